// Metrics that plugins register: counters, gauges and histograms, one family per pool, strategy and
// name. Values are summed over workers when somebody reads, and outlive instances, so that a reload
// loses nothing. Not the host's own counters: those are on the board.

import Base
import Synchronization

/// All plugin metrics of the process. Registration and reading are [control]; adding is lock-free.
package final class Metrics: Sendable {
    package enum Kind: UInt32, Sendable {
        case counter = 0
        case gauge = 1
        case histogram = 2
    }

    /// What is read out.
    package struct Reading: Sendable {
        package var pool: String
        package var plugin: String
        package var name: String
        package var help: String
        package var kind: Kind
        /// Sum of what was added or recorded.
        package var sum: Double
        /// How often.
        package var count: UInt64
        /// Histograms: how many values were at most 2^(index - 31) and more than half of that, each
        /// counted once; the last one has all that are larger.
        package var buckets: [UInt64]
    }

    /// Metrics that one strategy or check may have in a pool: enough for a dashboard of its own.
    package static let limit = 32
    static let bucketCount = 64

    struct Family: Sendable {
        var name: String
        var help: String
        var kind: Kind
        var cells: [Int: MetricCell] = [:]
    }

    struct Key: Hashable, Sendable {
        var pool: String
        var plugin: String
    }

    private let families = Guarded<[Key: [Family]]>([:])
    private let fallbacks = Guarded<[String: [Int: MetricCell]]>([:])

    package init() {}

    /// Picks that the built-in round robin has made in a pool, on all workers.
    package func fallbackPicks(pool: String) -> UInt64 {
        fallbacks.withLock { $0[pool]?.values.reduce(0) { $0 &+ $1.count } ?? 0 }
    }

    /// Where one worker counts them: the same for each view of a pool of this name.
    func fallbackCount(pool: String, worker: Int) -> FallbackCount {
        fallbacks.withLock { fallbacks in
            let cell = fallbacks[pool]?[worker] ?? MetricCell(kind: .counter)
            fallbacks[pool, default: [:]][worker] = cell
            return FallbackCount(cell)
        }
    }

    /// The cell of `worker`, or nil if refused: bad name, too many, or another kind than before.
    func register(
        pool: String, plugin: String, worker: Int, kind: Kind, name: String, help: String
    ) -> (index: Int, cell: MetricCell)? {
        guard Self.isName(name) else { return nil }
        let key = Key(pool: pool, plugin: plugin)
        return families.withLock { families in
            var list = families[key] ?? []
            var index = list.firstIndex { $0.name == name }
            if index == nil {
                guard list.count < Self.limit else { return nil }
                list.append(Family(name: name, help: help, kind: kind))
                index = list.count - 1
            }
            guard let index, list[index].kind == kind else { return nil }
            let cell = list[index].cells[worker] ?? MetricCell(kind: kind)
            list[index].cells[worker] = cell
            families[key] = list
            return (index, cell)
        }
    }

    /// Everything registered so far, sorted by pool, plugin and order of registration.
    package func read() -> [Reading] {
        families.withLock { families in
            families.sorted { ($0.key.pool, $0.key.plugin) < ($1.key.pool, $1.key.plugin) }
                .flatMap { key, list in
                    list.map { family in
                        var reading = Reading(
                            pool: key.pool, plugin: key.plugin, name: family.name,
                            help: family.help, kind: family.kind, sum: 0, count: 0, buckets: [])
                        for cell in family.cells.values { cell.add(to: &reading) }
                        return reading
                    }
                }
        }
    }

    /// As Prometheus has it, without colons: those are the host's.
    static func isName(_ name: String) -> Bool {
        guard let first = name.utf8.first, name.utf8.count <= 64 else { return false }
        let isLetter = { (byte: UInt8) in
            byte == UInt8(ascii: "_")
                || (byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z"))
        }
        return isLetter(first)
            && name.utf8.allSatisfy {
                isLetter($0) || ($0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9"))
            }
    }
}

/// One metric on one worker: written by that worker's thread alone, read by any.
@safe
final class MetricCell: @unchecked Sendable {
    private let words: UnsafeMutablePointer<Atomic<UInt64>>
    private let wordCount: Int

    init(kind: Metrics.Kind) {
        wordCount = 2 + (kind == .histogram ? Metrics.bucketCount : 0)
        unsafe words = .allocate(capacity: wordCount)
        for word in 0..<wordCount { unsafe (words + word).initialize(to: Atomic(0)) }
    }

    deinit {
        unsafe words.deinitialize(count: wordCount)
        unsafe words.deallocate()
    }

    func add(_ amount: Double) {
        guard amount.isFinite else { return }
        let sum = Double(bitPattern: load(0)) + amount
        store(0, sum.bitPattern)
        store(1, load(1) &+ 1)
        if wordCount > 2 {
            // What is above 2^(k-1) and at most 2^k goes to k + 31; zero and below into the first.
            let isPower = amount.significand == 1
            let power = amount > 0 ? Int(amount.exponent) + (isPower ? 0 : 1) : Int.min / 2
            let bucket = 2 + max(0, min(power + 31, Metrics.bucketCount - 1))
            store(bucket, load(bucket) &+ 1)
        }
    }

    func add(to reading: inout Metrics.Reading) {
        reading.sum += Double(bitPattern: load(0))
        reading.count &+= load(1)
        guard wordCount > 2 else { return }
        if reading.buckets.isEmpty {
            reading.buckets = Array(repeating: 0, count: Metrics.bucketCount)
        }
        for bucket in 0..<Metrics.bucketCount { reading.buckets[bucket] &+= load(2 + bucket) }
    }

    /// How often something was added.
    var count: UInt64 { load(1) }

    /// Where that is counted. As long-lived as the cell.
    var countAddress: UnsafeMutablePointer<Atomic<UInt64>> { unsafe words + 1 }

    private func load(_ word: Int) -> UInt64 { unsafe words[word].load(ordering: .relaxed) }
    private func store(_ word: Int, _ value: UInt64) {
        unsafe words[word].store(value, ordering: .relaxed)
    }
}

/// Counts picks of the built-in round robin: a pointer, so that nothing is retained for a pick. The
/// cell behind it is kept by the process's Metrics, which a view holds by its place.
@safe
struct FallbackCount {
    private let count: UnsafeMutablePointer<Atomic<UInt64>>

    init(_ cell: MetricCell) { unsafe count = cell.countAddress }

    /// There is one writer, so no read-modify-write is needed.
    @inline(__always)
    func add() {
        unsafe count.pointee.store(
            count.pointee.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
    }
}
