// What outlives the balancer process: states of nodes, tickets, counters, in memory that the
// supervisor holds. The control thread publishes, workers count, other processes only read
// (BoardReader). Not a log and not the configuration: it forgets what is no longer configured.

import Base
import Synchronization

/// The board of one balancer. Its raw memory is laid out as BoardLayout says; beside it, in this
/// process alone, it keeps what workers pick up between two events (states and metadata).
///
/// Who sits where is decided by `seat`, on one thread at a time; a pool or node that stays keeps its
/// place, and with it its tickets, counters and state. A place that is left is given away again only
/// after `sweep`, when no worker counts in it any more.
@safe
package final class Board: @unchecked Sendable {
    /// Bytes of a reason that are kept.
    package static let reasonLimit = 127
    /// The reason of a node that no check has asked about yet.
    package static let notAskedYet = "not asked yet"

    /// What is known about one node.
    struct Published {
        var spec: NodeSpec
        /// Place of its pool, and its position there.
        var pool: Int
        var position: Int
        var state: NodeState
        var weightPercent: UInt32
        var reason: String
        var since: UInt64
        var ejection = Ejection()
        /// When it came back from being down or ejected, and slow start began; 0: never.
        var returned: UInt64 = 0
        /// Found by the check.
        var metadata: [(String, String)] = []
        var metadataVersion: UInt64 = 0
    }

    struct Seating {
        /// By place; nil: free.
        var rows: [Published?] = []
        var pools: [PoolRows?] = []
        var freeRows: [Int] = []
        var freePools: [Int] = []
        /// In the order of the configuration.
        var current: [PoolRows] = []
    }

    let words: SharedWords
    package let workers: Int
    package let capacity: BoardCapacity
    let seating: Guarded<Seating>
    /// Of this process: bumped on each publish that changed something.
    private let counter: Atomic<UInt64>

    /// Bytes that `init` needs.
    package static func bytesNeeded(_ capacity: BoardCapacity, workers: Int) -> Int {
        (BoardLayout.words(capacity, workers: max(workers, 1)) ?? 0) * 8
    }

    /// The same for these pools and no more.
    package static func bytesNeeded(pools: [PoolSpec], workers: Int) -> Int {
        bytesNeeded(BoardCapacity(exactly: pools), workers: workers)
    }

    /// Lays the board out in `memory`, which must outlive it, be aligned to 64 bytes and hold
    /// `bytesNeeded` for `capacity` (nil: exactly these pools). With `adopt`, what a board in it
    /// says about the same nodes and pools is kept: states, reasons, tickets, and the counters of
    /// workers that there still are. `now` is the moment at which fresh states begin. A memory that
    /// holds no sound board is laid out anew.
    package init(
        memory: UnsafeMutableRawBufferPointer, pools: [PoolSpec], workers: Int, adopt: Bool,
        capacity: BoardCapacity? = nil, now: UInt64 = 0
    ) throws(Refusal) {
        let capacity = capacity ?? BoardCapacity(exactly: pools)
        guard let needed = BoardLayout.words(capacity, workers: workers) else {
            throw Refusal(
                "\(capacity.pools) pools with \(capacity.nodes) nodes on \(workers) workers are too many"
            )
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
        self.capacity = capacity
        let old = adopt ? BoardReader(words: words)?.memory() : nil
        seating = Guarded(Seating())
        counter = Atomic(1)
        try layOut(pools, old, words: needed, now: now)
    }

    private func layOut(
        _ pools: [PoolSpec], _ old: BoardMemory?, words total: Int, now: UInt64
    ) throws(Refusal) {
        typealias H = BoardLayout.Header
        words[H.magic] = 0
        let sequence = words[H.laidOut] | 1
        words[H.laidOut] = sequence
        atomicMemoryFence(ordering: .acquiringAndReleasing)
        words[H.version] = BoardLayout.version
        words[H.pools] = UInt64(capacity.pools)
        words[H.rows] = UInt64(capacity.nodes)
        words[H.workers] = UInt64(workers)
        words[H.total] = UInt64(total)
        words[H.poolsUsed] = 0
        words[H.rowsUsed] = 0
        commit(try seat(pools, now: now, adopting: old))
        words[H.magic] = BoardLayout.magic
        words.release(H.laidOut, sequence &+ 1)
    }

    // MARK: Seating [loader]

    /// Who sits where now, in the order of the configuration. [any]
    package var pools: [PoolRows] { seating.withLock { $0.current } }

    /// Finds a place for each of these pools and nodes: its own if it has one (the same pool name,
    /// and there the same node id and address), else a free one. Nothing that is in use changes by
    /// it; `commit` or `sweep` follows. A pool whose spec is as before comes back as the same object.
    package func seat(_ pools: [PoolSpec], now: UInt64) throws(Refusal) -> [PoolRows] {
        try seat(pools, now: now, adopting: nil)
    }

    private func seat(
        _ pools: [PoolSpec], now: UInt64, adopting old: BoardMemory?
    ) throws(Refusal) -> [PoolRows] {
        try seating.withLock { (seating) throws(Refusal) -> [PoolRows] in
            var result: [PoolRows] = []
            for (position, spec) in pools.enumerated() {
                let before = seating.current.first { $0.spec.name == spec.name }
                if let before, before.spec == spec {
                    result.append(before)
                    continue
                }
                let place: Int
                if let before {
                    place = before.pool
                } else {
                    place = try takePool(spec, old, &seating)
                }
                var known: [UInt64: Int] = [:]
                for row in before?.rows ?? [] {
                    if let seated = seating.rows[row] { known[seated.spec.id] = row }
                }
                var rows: [Int] = []
                for (index, node) in spec.nodes.enumerated() {
                    if let row = known[node.id], seating.rows[row]?.spec.address == node.address {
                        rows.append(row)
                    } else {
                        let fresh = Published(
                            spec: node, pool: place, position: index,
                            state: spec.hasCheck ? .down : .up, weightPercent: 100,
                            reason: spec.hasCheck ? Self.notAskedYet : "", since: now)
                        rows.append(try takeRow(fresh, old?.rows[node.id], &seating))
                    }
                }
                let seated = PoolRows(spec: spec, pool: place, rows: rows)
                if before == nil {
                    writePool(seated, position: position)
                    seating.pools[place] = seated
                }
                result.append(seated)
            }
            return result
        }
    }

    /// These are the pools from now on. What is new of their nodes' configuration is shown.
    package func commit(_ pools: [PoolRows]) {
        seating.withLock { seating in
            seating.current = pools
            for (position, pool) in pools.enumerated() {
                seating.pools[pool.pool] = pool
                writePool(pool, position: position)
                for (index, row) in pool.rows.enumerated() {
                    guard var seated = seating.rows[row] else { continue }
                    let spec = pool.spec.nodes[index]
                    if seated.position == index && seated.spec == spec { continue }
                    seated.position = index
                    seated.spec = spec
                    seating.rows[row] = seated
                    write(row, seated)
                }
            }
        }
        noteChange()
    }

    /// Frees the places of all that is not committed: when every worker has taken over the new
    /// pools, or when they came to nothing. The rows that became free come back.
    @discardableResult
    package func sweep() -> [Int] {
        seating.withLock { seating in
            var taken = Set<Int>()
            for pool in seating.current { taken.formUnion(pool.rows) }
            var freed: [Int] = []
            for row in seating.rows.indices where seating.rows[row] != nil && !taken.contains(row) {
                seating.rows[row] = nil
                freed.append(row)
                writeFree(row)
            }
            seating.freeRows += freed.reversed()
            let places = Set(seating.current.map(\.pool))
            for place in seating.pools.indices
            where seating.pools[place] != nil && !places.contains(place) {
                seating.pools[place] = nil
                seating.freePools.append(place)
                words[poolWord(place) + BoardLayout.Pool.id] = 0
            }
            return freed
        }
    }

    private func takePool(
        _ spec: PoolSpec, _ old: BoardMemory?, _ seating: inout Seating
    ) throws(Refusal) -> Int {
        var place = seating.freePools.popLast()
        if place == nil && seating.pools.count < capacity.pools {
            place = seating.pools.count
            seating.pools.append(nil)
            words.release(BoardLayout.Header.poolsUsed, UInt64(seating.pools.count))
        }
        guard let place else {
            throw Refusal("there is room for \(capacity.pools) pools: more need a restart")
        }
        // Taken from here on: a later pool of this round must not get it as well.
        seating.pools[place] = PoolRows(spec: spec, pool: place, rows: [])
        let tickets = old?.tickets[hash64(spec.name)]
        for slot in 0..<BoardLayout.Pool.ticketCount {
            words[ticketWord(place, slot)] = tickets?[slot] ?? 0
        }
        let withdrawals = old?.withdrawals[hash64(spec.name)]
        for slot in 0..<PoolView.strategyLimit {
            words[withdrawalWord(place, slot)] = withdrawals?[slot] ?? 0
        }
        return place
    }

    private func takeRow(
        _ fresh: Published, _ old: BoardRow?, _ seating: inout Seating
    ) throws(Refusal) -> Int {
        var row = seating.freeRows.popLast()
        if row == nil && seating.rows.count < capacity.nodes {
            row = seating.rows.count
            seating.rows.append(nil)
        }
        guard let row else {
            throw Refusal("there is room for \(capacity.nodes) nodes: more need a restart")
        }
        var seated = fresh
        let before = old?.address == fresh.spec.address ? old : nil
        if let before {
            seated.state = before.state
            seated.weightPercent = before.weightPercent
            seated.reason = before.reason
            seated.since = before.since
            seated.ejection = Ejection(until: before.ejectedUntil, count: before.ejections)
        }
        let shared = rowWord(row)
        words[shared + BoardLayout.Row.failuresInRow] = 0
        words[shared + BoardLayout.Row.places] = 0
        for worker in 0..<workers {
            let at = cellWord(row, worker)
            let cell = before.flatMap { worker < $0.cells.count ? $0.cells[worker] : nil }
            for word in 0..<BoardLayout.Cell.words { words[at + word] = cell?[word] ?? 0 }
        }
        seating.rows[row] = seated
        write(row, seated)
        if UInt64(row) >= words[BoardLayout.Header.rowsUsed] {
            words.release(BoardLayout.Header.rowsUsed, UInt64(row + 1))
        }
        return row
    }

    // MARK: Publishing [control]

    /// Counts up whenever something was published: workers refresh when it moved. [any]
    package var version: UInt64 { counter.load(ordering: .acquiring) }

    /// What is known of a node's health: its machine goes on from there. Nil if nobody has asked
    /// yet.
    package func health(row: Int) -> AdoptedHealth? {
        seating.withLock { seating in
            guard let seated = seating.rows[row],
                seated.state != .down || seated.reason != Self.notAskedYet
            else { return nil }
            return AdoptedHealth(
                state: seated.state, weightPercent: seated.weightPercent, reason: seated.reason,
                since: seated.since)
        }
    }

    /// Makes known what is now true of a node. `metadata` is the check's; the configured keys stay.
    /// `since`: when the state began (monotonic nanoseconds). True if anything that workers need to
    /// know differed from before. One thread publishes at a time. [control]
    @discardableResult
    package func publish(
        row: Int, state: NodeState, weightPercent: UInt32 = 100, reason: String = "",
        metadata: [(String, String)] = [], since: UInt64
    ) -> Bool {
        let changed = seating.withLock { seating in
            guard var seated = seating.rows[row] else { return false }
            let isSame = seated.metadata.elementsEqual(metadata) { $0 == $1 }
            let changed =
                !isSame || seated.state != state || seated.weightPercent != weightPercent
            if seated.state == .down && state.takesTraffic && seated.reason != Self.notAskedYet {
                // It was away, and has been started anew: what it did before counts no more.
                seated.ejection.lift()
                seated.returned = since
            }
            seated.state = state
            seated.weightPercent = weightPercent
            // Where the words alone differ, that is nothing that workers would need to know.
            seated.reason = reason
            seated.since = since
            if !isSame {
                seated.metadata = metadata
                seated.metadataVersion &+= 1
            }
            seating.rows[row] = seated
            write(row, seated)
            return changed
        }
        guard changed else { return false }
        noteChange()
        return true
    }

    /// Workers look again before their next pick.
    func noteChange() {
        _ = words.increment(BoardLayout.Header.published)
        _ = counter.wrappingAdd(1, ordering: .acquiringAndReleasing)
    }

    /// The same of the n-th node of the n-th pool.
    @discardableResult
    package func publish(
        pool: Int, node: Int, state: NodeState, weightPercent: UInt32 = 100, reason: String = "",
        metadata: [(String, String)] = [], since: UInt64
    ) -> Bool {
        publish(
            row: pools[pool].rows[node], state: state, weightPercent: weightPercent,
            reason: reason, metadata: metadata, since: since)
    }

    /// The same from a health machine.
    @discardableResult
    package func publish(row: Int, _ health: HealthMachine) -> Bool {
        publish(
            row: row, state: health.state, weightPercent: health.weightPercent,
            reason: health.reason, metadata: health.metadata, since: health.since)
    }

    /// Nothing is in flight any more: a new process has no exchange of the old one. [control,
    /// before the workers start]
    package func resetWorkers() {
        for row in 0..<Int(words[BoardLayout.Header.rowsUsed]) {
            words[rowWord(row) + BoardLayout.Row.failuresInRow] = 0
            words[rowWord(row) + BoardLayout.Row.places] = 0
            for worker in 0..<workers {
                words[cellWord(row, worker) + BoardLayout.Cell.inFlight] = 0
            }
        }
    }

    /// All rows as they are. [any]
    package func snapshot() -> [BoardRow] { BoardReader(words: words)?.rows() ?? [] }

    /// The nodes of one pool as they are, in its order; those that have left their places since are
    /// missing. [any]
    package func snapshot(of pool: PoolRows) -> [BoardRow] {
        guard let reader = BoardReader(words: words) else { return [] }
        return zip(pool.rows, pool.spec.nodes).compactMap { row, node in
            reader.row(row).flatMap { $0.id == node.id ? $0 : nil }
        }
    }

    /// Runs `body` with the position and what was published of each node of a pool. Short: it holds a
    /// lock that the control thread takes.
    func withPublished(_ pool: PoolRows, _ body: (Int, borrowing Published) -> Void) {
        seating.withLock { seating in
            for (index, row) in pool.rows.enumerated() {
                if let seated = seating.rows[row] { body(index, seated) }
            }
        }
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

    private func poolWord(_ place: Int) -> Int {
        BoardLayout.Header.words + place * BoardLayout.Pool.words
    }

    func ticketWord(_ place: Int, _ slot: Int) -> Int {
        precondition(slot >= 0 && slot < BoardLayout.Pool.ticketCount, "no such ticket")
        return poolWord(place) + BoardLayout.Pool.tickets + slot * BoardLayout.Pool.ticketStride
    }

    /// Where it is kept which canary of the strategy in `slot` was withdrawn.
    func withdrawalWord(_ place: Int, _ slot: Int) -> Int {
        ticketWord(place, slot + PoolView.canaryOffset) + BoardLayout.Pool.withdrawal
    }

    /// A pool has no canary of the strategy in `slot` any more: the next one begins unjudged. [loader]
    package func forgetWithdrawal(_ pool: PoolRows, _ slot: Int) {
        words[withdrawalWord(pool.pool, slot)] = 0
    }

    func rowWord(_ row: Int) -> Int {
        poolWord(capacity.pools) + row * BoardLayout.Row.words
    }

    func cellWord(_ row: Int, _ worker: Int) -> Int {
        poolWord(capacity.pools) + capacity.nodes * BoardLayout.Row.words
            + (row * workers + worker) * BoardLayout.Cell.words
    }

    private func writePool(_ pool: PoolRows, position: Int) {
        typealias P = BoardLayout.Pool
        let at = poolWord(pool.pool)
        words[at + P.id] = hash64(pool.spec.name)
        words[at + P.position] = UInt64(position)
        words[at + P.nodes] = UInt64(pool.rows.count)
        words[at + P.nameLength] = UInt64(
            words.write(pool.spec.name, at: at + P.name, words: P.nameWords))
    }

    /// Writes one row under its sequence number: readers see it whole or not at all.
    func write(_ row: Int, _ seated: borrowing Published) {
        typealias R = BoardLayout.Row
        let at = rowWord(row)
        let sequence = words[at + R.sequence] | 1
        words[at + R.sequence] = sequence
        atomicMemoryFence(ordering: .acquiringAndReleasing)
        words[at + R.id] = seated.spec.id
        words[at + R.state] = UInt64(seated.state.rawValue) | UInt64(seated.weightPercent) << 32
        let weight = Self.effectiveWeight(seated.spec.weight, percent: seated.weightPercent)
        words[at + R.weight] = UInt64(weight) | UInt64(seated.spec.tier) << 32
        words[at + R.since] = seated.since
        words[at + R.ejectedUntil] = seated.ejection.until
        words[at + R.ejections] = seated.ejection.count
        words[at + R.pool] = UInt64(seated.pool) | UInt64(seated.position) << 32
        let name = words.write(seated.spec.name, at: at + R.name, words: R.nameWords)
        let address = words.write(seated.spec.address, at: at + R.address, words: R.addressWords)
        let why = words.write(seated.reason, at: at + R.reason, words: R.reasonWords)
        words[at + R.lengths] = UInt64(name) | UInt64(address) << 8 | UInt64(why) << 16
        words.release(at + R.sequence, sequence &+ 1)
    }

    private func writeFree(_ row: Int) {
        typealias R = BoardLayout.Row
        let at = rowWord(row)
        let sequence = words[at + R.sequence] | 1
        words[at + R.sequence] = sequence
        atomicMemoryFence(ordering: .acquiringAndReleasing)
        words[at + R.pool] = R.free
        words.release(at + R.sequence, sequence &+ 1)
    }
}

/// Where one pool and its nodes lie on the board, for as long as its configuration stays as it is.
/// A reload that changes it makes another; nodes that stay keep their rows.
package final class PoolRows: Sendable {
    package let spec: PoolSpec
    /// The pool's place: the same for as long as a pool of this name is configured.
    package let pool: Int
    /// By position in the pool.
    package let rows: [Int]

    /// A pool of nobody.
    package static let none = PoolRows(spec: PoolSpec(name: "", nodes: []), pool: 0, rows: [])

    init(spec: PoolSpec, pool: Int, rows: [Int]) {
        self.spec = spec
        self.pool = pool
        self.rows = rows
    }
}
