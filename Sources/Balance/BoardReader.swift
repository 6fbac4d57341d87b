// Reads a board that another process writes, or left behind: the supervisor, the screen of the
// demo, a balancer that starts anew. It trusts nothing in the memory, and writes nothing.

import Synchronization

/// One node as the board shows it.
package struct BoardRow: Sendable {
    package var id: UInt64 = 0
    package var pool = ""
    package var name = ""
    package var address = ""
    package var state = NodeState.down
    package var weightPercent: UInt32 = 100
    /// Effective.
    package var weight: UInt32 = 0
    package var tier: UInt32 = 0
    /// Monotonic nanoseconds at which the state began.
    package var since: UInt64 = 0
    package var reason = ""
    /// Monotonic nanoseconds until which it gets no requests, since those before failed; 0: it is not
    /// ejected.
    package var ejectedUntil: UInt64 = 0
    /// How often it was ejected.
    package var ejections: UInt64 = 0
    /// Sums over all workers from here on.
    package var inFlight: UInt64 = 0
    package var picks: UInt64 = 0
    package var failures: UInt64 = 0
    /// Time to first byte, moving average, nanoseconds; 0: none yet.
    package var latency: UInt64 = 0
    /// Answers 1xx, 2xx, 3xx, 4xx, 5xx.
    package var answers: [UInt64] = [0, 0, 0, 0, 0]
    package var bytesSent: UInt64 = 0
    package var bytesReceived: UInt64 = 0
    package var abandoned: UInt64 = 0
    /// Picks per worker.
    package var workerPicks: [UInt64] = []

    /// Of pool and node in the configuration.
    var position: UInt64 = 0
    /// The raw cells, worker by worker.
    var cells: [[UInt64]] = []
}

/// What a new board keeps of an old one.
struct BoardMemory {
    var rows: [UInt64: BoardRow] = [:]
    /// Of each pool, by the hash of its name.
    var tickets: [UInt64: [UInt64]] = [:]
    /// The same: which canary of each strategy was withdrawn.
    var withdrawals: [UInt64: [UInt64]] = [:]
}

/// A view of a board in memory that somebody else may be writing.
@safe
package struct BoardReader {
    private let words: SharedWords
    private let capacity: BoardCapacity
    private let workers: Int

    /// Nil if there is no sound board in `memory`, which must outlive the reader. A board that is
    /// laid out anew afterwards wants a new reader.
    package init?(memory: UnsafeRawBufferPointer) {
        guard let base = memory.baseAddress, UInt(bitPattern: base) % 8 == 0,
            memory.count / 8 >= BoardLayout.Header.words
        else { return nil }
        // Never written through: the mapping may be read-only.
        let bytes = unsafe UnsafeMutableRawBufferPointer(mutating: memory)
        self.init(words: unsafe SharedWords(bytes))
    }

    init?(words: SharedWords) {
        typealias H = BoardLayout.Header
        guard words[H.magic] == BoardLayout.magic, words[H.version] == BoardLayout.version,
            words.acquire(H.laidOut) & 1 == 0,
            let pools = Int(exactly: words[H.pools]), let rows = Int(exactly: words[H.rows]),
            let workers = Int(exactly: words[H.workers])
        else { return nil }
        let capacity = BoardCapacity(pools: pools, nodes: rows)
        guard let total = BoardLayout.words(capacity, workers: workers),
            words[H.total] == UInt64(total), total <= words.count
        else { return nil }
        self.words = words
        self.capacity = capacity
        self.workers = workers
    }

    /// Counts publications: unchanged means that no state changed since. Counters move without it.
    package var version: UInt64 { words.acquire(BoardLayout.Header.published) }

    /// All rows as they are, in the order of the configuration; a row that is being written all the
    /// time (or was left half written by a crash) is left out.
    package func rows() -> [BoardRow] {
        let used = min(words.acquire(BoardLayout.Header.rowsUsed), UInt64(capacity.nodes))
        return (0..<Int(used)).compactMap(row).sorted { $0.position < $1.position }
    }

    func memory() -> BoardMemory {
        var result = BoardMemory()
        for row in rows() { result.rows[row.id] = row }
        typealias P = BoardLayout.Pool
        let used = min(words.acquire(BoardLayout.Header.poolsUsed), UInt64(capacity.pools))
        for pool in 0..<Int(used) {
            let at = BoardLayout.Header.words + pool * P.words
            result.tickets[words[at + P.id]] = (0..<P.ticketCount).map {
                words[at + P.tickets + $0 * P.ticketStride]
            }
            result.withdrawals[words[at + P.id]] = (0..<PoolView.strategyLimit).map {
                words[
                    at + P.tickets + ($0 + PoolView.canaryOffset) * P.ticketStride + P.withdrawal]
            }
        }
        return result
    }

    /// The node in one place of the board.
    func row(_ node: Int) -> BoardRow? {
        typealias R = BoardLayout.Row
        let at = BoardLayout.Header.words + capacity.pools * BoardLayout.Pool.words + node * R.words
        // A writer needs well under a microsecond; who never finishes has died.
        for _ in 0..<1000 {
            let before = words.acquire(at + R.sequence)
            guard before & 1 == 0 else { continue }
            if words[at + R.pool] == R.free { return nil }
            var row = BoardRow()
            row.id = words[at + R.id]
            row.state = NodeState(abi: UInt32(truncatingIfNeeded: words[at + R.state]))
            row.weightPercent = UInt32(truncatingIfNeeded: words[at + R.state] >> 32)
            row.weight = UInt32(truncatingIfNeeded: words[at + R.weight])
            row.tier = UInt32(truncatingIfNeeded: words[at + R.weight] >> 32)
            row.since = words[at + R.since]
            let pool = words[at + R.pool]
            row.ejectedUntil = words[at + R.ejectedUntil]
            row.ejections = words[at + R.ejections]
            let lengths = words[at + R.lengths]
            row.name = words.text(
                at: at + R.name, words: R.nameWords, length: Int(lengths & 0xFF))
            row.address = words.text(
                at: at + R.address, words: R.addressWords, length: Int(lengths >> 8 & 0xFF))
            row.reason = words.text(
                at: at + R.reason, words: R.reasonWords, length: Int(lengths >> 16 & 0xFF))
            atomicMemoryFence(ordering: .acquiring)
            let place = Int(pool & 0xFFFF_FFFF)
            guard words[at + R.sequence] == before, place < capacity.pools else { continue }
            row.pool = poolName(place)
            row.position = poolPosition(place) << 32 | pool >> 32
            readCells(node, into: &row)
            return row
        }
        return nil
    }

    private func poolPosition(_ pool: Int) -> UInt64 {
        let at = BoardLayout.Header.words + pool * BoardLayout.Pool.words
        return words[at + BoardLayout.Pool.position] & 0xFFFF_FFFF
    }

    private func poolName(_ pool: Int) -> String {
        typealias P = BoardLayout.Pool
        let at = BoardLayout.Header.words + pool * P.words
        return words.text(
            at: at + P.name, words: P.nameWords,
            length: Int(truncatingIfNeeded: words[at + P.nameLength] & 0xFF))
    }

    private func readCells(_ node: Int, into row: inout BoardRow) {
        typealias C = BoardLayout.Cell
        let first =
            BoardLayout.Header.words + capacity.pools * BoardLayout.Pool.words
            + capacity.nodes * BoardLayout.Row.words + node * workers * C.words
        var latency = LatencyMean(now: .max)
        for worker in 0..<workers {
            let at = first + worker * C.words
            let cell = (0..<C.words).map { words[at + $0] }
            row.cells.append(cell)
            row.inFlight &+= cell[C.inFlight]
            row.picks &+= cell[C.picks]
            row.workerPicks.append(cell[C.picks])
            row.failures &+= cell[C.failures]
            for kind in 0..<5 { row.answers[kind] &+= cell[C.answers + kind] }
            row.bytesSent &+= cell[C.bytesSent]
            row.bytesReceived &+= cell[C.bytesReceived]
            row.abandoned &+= cell[C.abandoned]
            latency.add(cell[C.latency], at: cell[C.latencyAt])
        }
        row.latency = latency.value
    }
}
