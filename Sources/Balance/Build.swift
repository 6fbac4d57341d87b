// One loaded library as the host watches over it: what its calls cost, what it did wrong, and
// whether it is fenced. The counters are kept per thread, so that workers share no cache line while
// they pick; who reads adds them up. Not the plugin's tables: those are StrategyKind and CheckKind.

import Base
import Synchronization

/// What is known of a build at one moment, over all threads.
package struct BuildReading: Equatable, Sendable {
    package var calls: UInt64 = 0
    /// Time in calls.
    package var nanoseconds: UInt64 = 0
    package var longest: Nanoseconds = 0
    /// Calls that were over the budget, and were charged for it.
    package var overruns: UInt64 = 0
    /// Calls that were over it only because the thread was taken off its core meanwhile.
    package var excused: UInt64 = 0
    package var badAnswers: UInt64 = 0
    package var strikes: UInt64 = 0

    package init() {}
}

/// Made when a library is loaded; must live until no thread can be inside it any more, and as long
/// as any of its tallies is held. Any thread.
@safe
package final class Build: @unchecked Sendable {
    /// So many overruns, in calls that recur...
    package static let strikeLimit = 5
    /// ... within so long, and the build is fenced: five stalls a minute are noticed by clients,
    /// and one may have been the machine's.
    package static let strikeWindow: Nanoseconds = 60_000_000_000

    /// Of the file's content; never 0.
    package let id: UInt64
    package let origin: PluginOrigin
    /// In which it was loaded.
    package let generation: Int

    private struct Record: Sendable {
        var reason: String?
        /// When the last strikes were, at most `strikeLimit`.
        var recent: [Nanoseconds] = []
        var strikes: UInt64 = 0
        var updateStruckAt: Nanoseconds?
        var toldAt: Nanoseconds?
        var untold = 0
    }

    private let tallies: UnsafeMutablePointer<Atomic<UInt64>>
    private let threads: Int
    private let record = Guarded(Record())
    private let instances = Atomic<Int>(0)

    /// `id`: the first 8 bytes of the SHA-256 of its content.
    package init(id: UInt64, origin: PluginOrigin, generation: Int, workers: Int) {
        // 0 means "inside no plugin" on the page.
        self.id = id == 0 ? 1 : id
        self.origin = origin
        self.generation = generation
        threads = ThreadRole.count(workers: workers)
        let words = threads * BuildTally.words
        // Aligned to the pairs of cache lines that processors fetch.
        let memory = UnsafeMutableRawPointer.allocate(byteCount: words * 8, alignment: 128)
        unsafe tallies = memory.bindMemory(to: Atomic<UInt64>.self, capacity: words)
        for word in 0..<words { unsafe (tallies + word).initialize(to: Atomic(0)) }
        let owner = unsafe UInt64(UInt(bitPattern: Unmanaged.passUnretained(self).toOpaque()))
        for thread in 0..<threads {
            let line = unsafe tallies + thread * BuildTally.words
            unsafe line[BuildTally.id].store(self.id, ordering: .relaxed)
            unsafe line[BuildTally.owner].store(owner, ordering: .relaxed)
        }
    }

    deinit { unsafe tallies.deallocate() }

    /// As messages and the admin interface write it: 16 hex digits.
    package var idText: String { Self.text(of: id) }

    package static func text(of id: UInt64) -> String {
        let digits = String(id, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// "plugin least-busy 1.2 (build 00f3..., libleast.so)"
    package var label: String {
        let file = origin.file.split(separator: "/").last.map(String.init) ?? origin.file
        let version = origin.version.isEmpty ? "" : " \(origin.version)"
        return "plugin \(origin.plugin)\(version) (build \(idText), \(file))"
    }

    /// Where one thread counts. Valid as long as the build.
    package func tally(_ role: ThreadRole) -> BuildTally {
        precondition(role.line < threads, "no such worker")
        return unsafe BuildTally(line: tallies + role.line * BuildTally.words)
    }

    package func read() -> BuildReading {
        var reading = BuildReading()
        var ticks: UInt64 = 0
        var longest: UInt64 = 0
        for thread in 0..<threads {
            let tally = unsafe BuildTally(line: tallies + thread * BuildTally.words)
            reading.calls &+= tally.load(BuildTally.calls)
            ticks &+= tally.load(BuildTally.ticks)
            longest = max(longest, tally.load(BuildTally.longest))
            reading.overruns &+= tally.load(BuildTally.overruns)
            reading.excused &+= tally.load(BuildTally.excused)
            reading.badAnswers &+= tally.load(BuildTally.badAnswers)
        }
        reading.nanoseconds = Ticks.nanoseconds(ticks)
        reading.longest = Ticks.nanoseconds(longest)
        reading.strikes = record.withLock { $0.strikes }
        return reading
    }

    /// Instances that were made and not destroyed yet: with none, nobody can be inside it.
    package var liveInstances: Int { instances.load(ordering: .acquiring) }
    func instanceMade() { instances.wrappingAdd(1, ordering: .acquiringAndReleasing) }
    func instanceGone() { instances.wrappingSubtract(1, ordering: .acquiringAndReleasing) }

    // MARK: Fence

    /// Why it is fenced; nil: it is not.
    package var fenceReason: String? { record.withLock { $0.reason } }
    package var isFenced: Bool { fenceReason != nil }

    /// From here on no thread calls it for a decision (each notices by its tally, before its next
    /// call). For good: a fence is lifted by another content. False if it was fenced already, whose
    /// reason stays.
    @discardableResult
    package func fence(reason: String) -> Bool {
        let isNew = record.withLock { record in
            guard record.reason == nil else { return false }
            record.reason = reason
            return true
        }
        guard isNew else { return false }
        for thread in 0..<threads {
            unsafe tallies[thread * BuildTally.words + BuildTally.fenced].store(
                1, ordering: .relaxed)
        }
        return true
    }

    // MARK: Strikes

    /// A call that was over the budget by its own doing. [its thread, off the path that returns in
    /// time]
    struct Overrun {
        var function: PluginFunction
        var role: ThreadRole
        var took: Nanoseconds
        var budget: Nanoseconds
        /// Monotonic.
        var at: Nanoseconds
    }

    /// Says so in the log (the first time at once, then at most every ten seconds), and strikes.
    /// True if this strike fenced it.
    func note(_ overrun: Overrun) -> Bool {
        let (untold, isLast) = record.withLock { record -> (Int?, Bool) in
            var untold: Int?
            record.untold += 1
            if record.toldAt.map({ overrun.at &- $0 >= 10_000_000_000 }) ?? true {
                untold = record.untold
                record.untold = 0
                record.toldAt = overrun.at
            }
            return (untold, record.reason == nil && Self.strikes(overrun, &record))
        }
        if let untold {
            Log.warning(
                "\(label): \(overrun.function) on \(overrun.role) took \(Self.ms(overrun.took)), "
                    + "where plugins_budget allows \(Self.ms(overrun.budget))"
                    + (untold > 1 ? " (\(untold) such calls since this was last said)" : ""))
        }
        guard isLast else { return false }
        let reason =
            "\(Self.strikeLimit) calls within a minute took longer than plugins_budget "
            + "(\(Self.ms(overrun.budget))), the last one, \(overrun.function) on \(overrun.role), "
            + Self.ms(overrun.took)
        guard fence(reason: reason) else { return false }
        Log.error("\(label) is fenced: \(reason)")
        return true
    }

    /// True with the last strike that is needed.
    private static func strikes(_ overrun: Overrun, _ record: inout Record) -> Bool {
        guard overrun.function.recurs else { return false }
        if overrun.function == .update {
            // One change of a large pool is told to every worker, and is one strike.
            if let before = record.updateStruckAt, overrun.at &- before < 1_000_000_000 {
                return false
            }
            record.updateStruckAt = overrun.at
        }
        record.strikes &+= 1
        if record.recent.count == strikeLimit { record.recent.removeFirst() }
        record.recent.append(overrun.at)
        return record.recent.count == strikeLimit
            && overrun.at &- record.recent[0] <= strikeWindow
    }

    /// "5.2 ms"
    private static func ms(_ nanoseconds: Nanoseconds) -> String {
        let tenths = (nanoseconds + 50_000) / 100_000
        return tenths % 10 == 0 ? "\(tenths / 10) ms" : "\(tenths / 10).\(tenths % 10) ms"
    }
}

/// One thread's counters of one build, as that thread writes them: a pointer, held beside what is
/// called. Must not outlive its Build.
@safe
package struct BuildTally: @unchecked Sendable {
    // Places, in words of 8 bytes; two cache lines a thread.
    static let words = 16
    static let id = 0
    static let fenced = 1
    static let calls = 2
    static let ticks = 3
    static let longest = 4
    static let overruns = 5
    static let excused = 6
    static let badAnswers = 7
    static let owner = 8

    private let line: UnsafeMutablePointer<Atomic<UInt64>>

    init(line: UnsafeMutablePointer<Atomic<UInt64>>) {
        unsafe self.line = unsafe line
    }

    /// Asked before each call for a decision; on the cache line that the call counts on anyway.
    @inline(__always)
    package var isFenced: Bool { load(Self.fenced) != 0 }

    @inline(__always)
    var build: UInt64 { load(Self.id) }

    /// An answer that was no legal node. [its thread]
    package func countBadAnswer() { add(Self.badAnswers, 1) }

    /// Of the build that is known to live.
    var owner: Build {
        let bits = UInt(load(Self.owner))
        let pointer = unsafe UnsafeRawPointer(bitPattern: bits).unsafelyUnwrapped
        return unsafe Unmanaged<Build>.fromOpaque(pointer).takeUnretainedValue()
    }

    @inline(__always)
    func countCall(ticks: UInt64) {
        add(Self.calls, 1)
        add(Self.ticks, ticks)
        if ticks > load(Self.longest) { unsafe line[Self.longest].store(ticks, ordering: .relaxed) }
    }

    @inline(__always)
    func load(_ word: Int) -> UInt64 { unsafe line[word].load(ordering: .relaxed) }

    /// There is one writer, so no read-modify-write is needed.
    @inline(__always)
    func add(_ word: Int, _ amount: UInt64) {
        unsafe line[word].store(load(word) &+ amount, ordering: .relaxed)
    }
}
