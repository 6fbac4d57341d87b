// What outlives the balancer process: states of nodes, tickets, counters, in memory that the
// supervisor holds. The control thread publishes, workers count, other processes only read
// (BoardReader). Not a log and not the configuration: it forgets what is no longer configured.

import Base
import Synchronization

/// The board of one balancer. Its raw memory is laid out as BoardLayout says; beside it, in this
/// process alone, it keeps what workers pick up between two events (states and metadata).
@safe
package final class Board: @unchecked Sendable {
    /// Bytes of a reason that are kept.
    package static let reasonLimit = 127

    /// What was published about one node.
    struct Published {
        var state: NodeState
        var weightPercent: UInt32
        /// Configured and found by the check, sorted by key; a configured key stays as configured.
        var metadata: [(String, String)]
        var metadataVersion: UInt64 = 0
    }

    let words: SharedWords
    package let workers: Int
    package let pools: [PoolSpec]
    private let firstNode: [Int]
    private let nodeTotal: Int
    /// What the memory said about nodes of the same id, before this process.
    private let adopted: [UInt64: AdoptedHealth]
    private let published: Mutex<[Published]>
    /// Of this process: bumped on each publish that changed something.
    private let counter: Atomic<UInt64>

    /// Bytes that `init` needs for these pools.
    package static func bytesNeeded(pools: [PoolSpec], workers: Int) -> Int {
        let nodes = pools.reduce(0) { $0 + $1.nodes.count }
        return (BoardLayout.words(pools: pools.count, nodes: nodes, workers: max(workers, 1)) ?? 0)
            * 8
    }

    /// Lays the board out in `memory`, which must outlive it, be aligned to 64 bytes and hold
    /// `bytesNeeded`. With `adopt`, what a board in it says about the same nodes and pools is kept:
    /// states, reasons, tickets, and the counters of workers that there still are. `now` is the
    /// moment at which fresh states begin. A memory that holds no sound board is laid out anew.
    package init(
        memory: UnsafeMutableRawBufferPointer, pools: [PoolSpec], workers: Int, adopt: Bool,
        now: UInt64 = 0
    ) throws(Refusal) {
        let nodes = pools.reduce(0) { $0 + $1.nodes.count }
        guard let needed = BoardLayout.words(pools: pools.count, nodes: nodes, workers: workers)
        else {
            throw Refusal(
                "\(pools.count) pools with \(nodes) nodes on \(workers) workers are too many")
        }
        guard let base = memory.baseAddress, UInt(bitPattern: base) % 64 == 0,
            memory.count / 8 >= needed
        else {
            throw Refusal(
                "the shared memory has \(memory.count) bytes, but \(needed * 8), aligned to 64, are needed"
            )
        }
        words = unsafe SharedWords(memory)
        self.workers = workers
        self.pools = pools
        let old = adopt ? BoardReader(words: words)?.memory() : nil
        var first: [Int] = []
        var total = 0
        for pool in pools {
            first.append(total)
            total += pool.nodes.count
        }
        firstNode = first
        nodeTotal = total
        adopted = (old?.rows ?? [:]).mapValues {
            AdoptedHealth(
                state: $0.state, weightPercent: $0.weightPercent, reason: $0.reason, since: $0.since
            )
        }
        published = Mutex([])
        counter = Atomic(1)
        layOut(old, now: now)
    }

    private func layOut(_ old: BoardMemory?, now: UInt64) {
        typealias L = BoardLayout
        words[L.Header.magic] = 0
        let sequence = words[L.Header.laidOut] | 1
        words[L.Header.laidOut] = sequence
        atomicMemoryFence(ordering: .acquiringAndReleasing)
        let end = BoardLayout.words(pools: pools.count, nodes: nodeTotal, workers: workers) ?? 0
        for index in L.Header.words..<end { words[index] = 0 }
        words[L.Header.version] = L.version
        words[L.Header.pools] = UInt64(pools.count)
        words[L.Header.nodes] = UInt64(nodeTotal)
        words[L.Header.workers] = UInt64(workers)
        words[L.Header.total] = UInt64(end)
        var fresh: [Published] = []
        for (index, pool) in pools.enumerated() {
            let at = poolWord(index)
            let id = hash64(pool.name)
            words[at + L.Pool.id] = id
            words[at + L.Pool.firstNode] = UInt64(firstNode[index])
            words[at + L.Pool.nodes] = UInt64(pool.nodes.count)
            words[at + L.Pool.nameLength] = UInt64(
                words.write(pool.name, at: at + L.Pool.name, words: L.Pool.nameWords))
            for slot in 0..<L.Pool.ticketCount {
                words[ticketWord(index, slot)] = old?.tickets[id]?[slot] ?? 0
            }
            for (node, spec) in pool.nodes.enumerated() {
                let before = old?.rows[spec.id]
                let row = Published(
                    state: before?.state ?? (pool.hasCheck ? .down : .up),
                    weightPercent: before?.weightPercent ?? 100, metadata: spec.metadata)
                fresh.append(row)
                write(
                    index, node, row, since: before?.since ?? now,
                    reason: before?.reason ?? (pool.hasCheck ? "not asked yet" : ""))
                for (worker, cell) in (before?.cells ?? []).enumerated() where worker < workers {
                    let at = cellWord(index, node, worker)
                    for word in 0..<L.Cell.words { words[at + word] = cell[word] }
                }
            }
        }
        published.withLock { $0 = fresh }
        _ = words.increment(L.Header.published)
        words[L.Header.magic] = L.magic
        words.release(L.Header.laidOut, sequence &+ 1)
    }

    // MARK: Publishing [control]

    /// Counts up whenever something was published: workers refresh when it moved. [any]
    package var version: UInt64 { counter.load(ordering: .acquiring) }

    /// What an earlier process left of this node's health, if anything: its machine goes on from
    /// there.
    package func adoptedHealth(pool: Int, node: Int) -> AdoptedHealth? {
        adopted[pools[pool].nodes[node].id]
    }

    /// Makes known what is now true of a node. `metadata` is the check's; the configured keys stay.
    /// `since`: when the state began (monotonic nanoseconds). True if anything differed from
    /// before. One thread publishes at a time. [control]
    @discardableResult
    package func publish(
        pool: Int, node: Int, state: NodeState, weightPercent: UInt32 = 100, reason: String = "",
        metadata: [(String, String)] = [], since: UInt64
    ) -> Bool {
        let spec = pools[pool].nodes[node]
        let merged = Self.merge(configured: spec.metadata, found: metadata)
        let row: Published? = published.withLock { rows in
            let at = firstNode[pool] + node
            let isSame = rows[at].metadata.elementsEqual(merged) { $0 == $1 }
            if isSame && rows[at].state == state && rows[at].weightPercent == weightPercent {
                return nil
            }
            rows[at].state = state
            rows[at].weightPercent = weightPercent
            if !isSame {
                rows[at].metadata = merged
                rows[at].metadataVersion &+= 1
            }
            return rows[at]
        }
        if let row {
            write(pool, node, row, since: since, reason: reason)
            _ = words.increment(BoardLayout.Header.published)
            _ = counter.wrappingAdd(1, ordering: .acquiringAndReleasing)
            return true
        }
        // The words alone may differ: nothing that workers would need to know.
        let kept = Published(state: state, weightPercent: weightPercent, metadata: [])
        write(pool, node, kept, since: since, reason: reason)
        return false
    }

    /// The same from a health machine.
    @discardableResult
    package func publish(pool: Int, node: Int, _ health: HealthMachine) -> Bool {
        publish(
            pool: pool, node: node, state: health.state, weightPercent: health.weightPercent,
            reason: health.reason, metadata: health.metadata, since: health.since)
    }

    /// Nothing is in flight any more: a new process has no exchange of the old one. [control,
    /// before the workers start]
    package func resetWorkers() {
        for node in 0..<nodeTotal {
            for worker in 0..<workers {
                words[cellWord(node, worker) + BoardLayout.Cell.inFlight] = 0
            }
        }
    }

    /// All rows as they are. [any]
    package func snapshot() -> [BoardRow] { BoardReader(words: words)?.rows() ?? [] }

    /// Runs `body` with what was published of a pool's nodes, in order. Short: it holds a lock that
    /// the control thread takes.
    func withPublished(pool: Int, _ body: (ArraySlice<Published>) -> Void) {
        let range = firstNode[pool]..<firstNode[pool] + pools[pool].nodes.count
        published.withLock { rows in body(rows[range]) }
    }

    /// Configured weight and the check's percentage together: never rounded down to nothing.
    static func effectiveWeight(_ configured: UInt32, percent: UInt32) -> UInt32 {
        guard configured > 0, percent > 0 else { return 0 }
        return UInt32(clamping: max(1, UInt64(configured) * UInt64(percent) / 100))
    }

    static func merge(
        configured: [(String, String)], found: [(String, String)]
    ) -> [(String, String)] {
        var result = configured
        for pair in found where !result.contains(where: { $0.0 == pair.0 }) { result.append(pair) }
        return result.sorted { $0.0.utf8.lexicographicallyPrecedes($1.0.utf8) }
    }

    // MARK: Places

    func poolWord(_ pool: Int) -> Int {
        BoardLayout.Header.words + pool * BoardLayout.Pool.words
    }

    func ticketWord(_ pool: Int, _ slot: Int) -> Int {
        precondition(slot >= 0 && slot < BoardLayout.Pool.ticketCount, "a pool has four tickets")
        return poolWord(pool) + BoardLayout.Pool.tickets + slot * BoardLayout.Pool.ticketStride
    }

    private func rowWord(_ pool: Int, _ node: Int) -> Int {
        poolWord(pools.count) + (firstNode[pool] + node) * BoardLayout.Row.words
    }

    func cellWord(_ pool: Int, _ node: Int, _ worker: Int) -> Int {
        cellWord(firstNode[pool] + node, worker)
    }

    private func cellWord(_ node: Int, _ worker: Int) -> Int {
        poolWord(pools.count) + nodeTotal * BoardLayout.Row.words
            + (node * workers + worker) * BoardLayout.Cell.words
    }

    /// Writes one row under its sequence number: readers see it whole or not at all.
    private func write(_ pool: Int, _ node: Int, _ row: Published, since: UInt64, reason: String) {
        typealias R = BoardLayout.Row
        let at = rowWord(pool, node)
        let spec = pools[pool].nodes[node]
        let sequence = words[at + R.sequence] | 1
        words[at + R.sequence] = sequence
        atomicMemoryFence(ordering: .acquiringAndReleasing)
        words[at + R.id] = spec.id
        words[at + R.state] = UInt64(row.state.rawValue) | UInt64(row.weightPercent) << 32
        let weight = Self.effectiveWeight(spec.weight, percent: row.weightPercent)
        words[at + R.weight] = UInt64(weight) | UInt64(spec.tier) << 32
        words[at + R.since] = since
        words[at + R.pool] = UInt64(pool)
        let name = words.write(spec.name, at: at + R.name, words: R.nameWords)
        let address = words.write(spec.address, at: at + R.address, words: R.addressWords)
        let why = words.write(reason, at: at + R.reason, words: R.reasonWords)
        words[at + R.lengths] = UInt64(name) | UInt64(address) << 8 | UInt64(why) << 16
        words.release(at + R.sequence, sequence &+ 1)
    }
}
