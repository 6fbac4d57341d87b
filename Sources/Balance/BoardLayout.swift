// The layout of the board in raw memory: who lies where. Read by processes of other builds as well,
// so any change here is a new `version`. No meaning, only places.
//
//     header    128 bytes   see Header
//     pools     704 each    id, position, node count, name; then 9 tickets, a cache line each
//     rows      448 each    one node: a sequence number, numbers, texts: see Row
//     cells     128 each    row-major, one per worker: counters that only this worker writes
//
// There is room for more pools and rows than are in use: a reload gives new ones free places, and
// whoever stays keeps its own, so that nobody's counters move while they are counted in.
//
// Everything is made of 64-bit words, little-endian as the machine is, and every access is atomic:
// the other process may read at any moment.

import Synchronization

/// Places in the board, in words of 8 bytes.
enum BoardLayout {
    static let magic: UInt64 = 0x4452_414F_4254_5654  // "TVTBOARD"
    static let version: UInt64 = 4

    enum Header {
        static let words = 16
        static let magic = 0
        static let version = 1
        /// Odd while the board is being laid out.
        static let laidOut = 2
        /// Counts publications.
        static let published = 3
        /// Room for so many.
        static let pools = 4
        static let rows = 5
        static let workers = 6
        static let total = 7
        /// Places below these are, or were, in use.
        static let poolsUsed = 8
        static let rowsUsed = 9
    }

    enum Pool {
        static let words = 88
        /// 0: nobody's.
        static let id = 0
        /// In the configuration.
        static let position = 1
        static let nodes = 2
        static let nameLength = 3
        static let name = 4
        static let nameWords = 12
        /// One cache line each, since all workers count here.
        static let tickets = 16
        static let ticketStride = 8
        /// One for each strategy of the pool, for the canary of each, and for the shadow.
        static let ticketCount = 9
        /// Beside the ticket of each canary: which one was withdrawn there; 0: none.
        static let withdrawal = 1
    }

    enum Row {
        static let words = 56
        /// Odd while the row is being written.
        static let sequence = 0
        static let id = 1
        /// State in the low half, weight percent in the high one.
        static let state = 2
        /// Effective weight in the low half, tier in the high one.
        static let weight = 3
        /// Monotonic nanoseconds at which the state began.
        static let since = 4
        /// Place of the pool in the low half, position in the pool in the high one; all ones: free.
        static let pool = 5
        static let free = UInt64.max
        /// Lengths of name, address and reason, a byte each.
        static let lengths = 6
        static let name = 7
        static let nameWords = 12
        static let address = 19
        static let addressWords = 13
        static let reason = 32
        static let reasonWords = 16
        // A cache line that workers write to, beside what the sequence number guards.
        /// Attempts that failed since the last one that did not.
        static let failuresInRow = 48
        /// Requests that hold a place at a node with a limit.
        static let places = 49
        // Guarded again.
        /// Monotonic nanoseconds until which the node is ejected; 0: it is not.
        static let ejectedUntil = 50
        /// How often it was.
        static let ejections = 51
    }

    enum Cell {
        static let words = 16
        static let inFlight = 0
        static let picks = 1
        static let failures = 2
        /// Time to first byte, moving average, nanoseconds; 0: none yet.
        static let latency = 3
        /// Monotonic nanoseconds of the last sample in it.
        static let latencyAt = 4
        /// Answers 1xx at 5, 2xx at 6, ... 5xx at 9.
        static let answers = 5
        static let bytesSent = 10
        static let bytesReceived = 11
        static let abandoned = 12
    }

    /// Words for so many of each; nil if that is no sensible board.
    static func words(_ capacity: BoardCapacity, workers: Int) -> Int? {
        guard capacity.pools >= 0, capacity.pools <= 1 << 20, capacity.nodes >= 0,
            capacity.nodes <= 1 << 22, workers > 0, workers <= 4096
        else { return nil }
        return Header.words + capacity.pools * Pool.words + capacity.nodes * Row.words
            + capacity.nodes * workers * Cell.words
    }
}

/// How many pools and nodes a board has room for.
package struct BoardCapacity: Equatable, Sendable {
    package var pools: Int
    package var nodes: Int

    package init(pools: Int, nodes: Int) {
        self.pools = pools
        self.nodes = nodes
    }

    /// For these and no more.
    package init(exactly pools: [PoolSpec]) {
        self.init(pools: pools.count, nodes: pools.reduce(0) { $0 + $1.nodes.count })
    }

    /// For these and for what later configurations may add. Memory that nobody has written to costs
    /// nothing, so there is plenty.
    package init(roomFor pools: [PoolSpec]) {
        let least = BoardCapacity(exactly: pools)
        self.init(pools: max(1024, least.pools * 4), nodes: max(16_384, least.nodes * 4))
    }
}

/// Words that several threads and processes share: each access is one atomic, none is torn.
@safe
struct SharedWords {
    private let base: UnsafeMutablePointer<Atomic<UInt64>>
    let count: Int

    /// `memory` must outlive this and everything copied from it.
    init(_ memory: UnsafeMutableRawBufferPointer) {
        // Atomic<UInt64> is laid out as UInt64, and every pattern of bits is one.
        count = memory.count / 8
        unsafe base = memory.baseAddress.unsafelyUnwrapped.bindMemory(
            to: Atomic<UInt64>.self, capacity: count)
    }

    /// Address of a word that lies within: for the hot path, which has checked it once.
    func address(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        precondition(index >= 0 && index < count, "outside of the board")
        return unsafe base + index
    }

    subscript(index: Int) -> UInt64 {
        get { unsafe address(index).pointee.load(ordering: .relaxed) }
        nonmutating set { unsafe address(index).pointee.store(newValue, ordering: .relaxed) }
    }

    func acquire(_ index: Int) -> UInt64 {
        unsafe address(index).pointee.load(ordering: .acquiring)
    }

    func release(_ index: Int, _ value: UInt64) {
        unsafe address(index).pointee.store(value, ordering: .releasing)
    }

    /// Counts up for all threads; the value before.
    func increment(_ index: Int) -> UInt64 {
        unsafe address(index).pointee.wrappingAdd(1, ordering: .acquiringAndReleasing).oldValue
    }

    /// Writes as much of `text` as fits, and gives back how many bytes that were.
    func write(_ text: String, at index: Int, words: Int) -> Int {
        let bytes = Array(cut(text, words * 8 - 1).utf8)
        for word in 0..<words {
            var value: UInt64 = 0
            for byte in 0..<8 where word * 8 + byte < bytes.count {
                value |= UInt64(bytes[word * 8 + byte]) << UInt64(byte * 8)
            }
            self[index + word] = value
        }
        return bytes.count
    }

    func text(at index: Int, words: Int, length: Int) -> String {
        var bytes: [UInt8] = []
        for byte in 0..<max(0, min(length, words * 8)) {
            bytes.append(UInt8(truncatingIfNeeded: self[index + byte / 8] >> UInt64(byte % 8 * 8)))
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
