// One worker's view of one pool: the C arrays that strategies see, their instances, and the
// counters. Made on the control thread, then owned by its worker. The hot path (pick, began, ended)
// is in PoolView+Pick and PoolView+Count; here is what happens between events.

import Base
import CTrivet
import Synchronization

/// Move-only, and nothing in it moves: everything that a pick touches lies behind pointers of its
/// own, so that no call retains, allocates or locks. Not mutating, so that a shared borrow
/// suffices.
@safe
package struct PoolView: ~Copyable {
    /// The slot that stands for the built-in round robin.
    package static let fallback: UInt8 = .max
    /// Strategies that a pool may name.
    package static let strategyLimit = BoardLayout.Pool.ticketCount
    /// Bytes of a reason that are kept for the access log.
    package static let reasonLimit = 64

    /// One strategy as a pick calls it.
    @unsafe struct Slot {
        var instance: UnsafeMutableRawPointer
        var pick:
            @convention(c) (
                UnsafeMutableRawPointer?, UnsafePointer<trivet_pool>?,
                UnsafePointer<trivet_request>?, UnsafeMutablePointer<trivet_pick>?
            ) -> trivet_decision
        var result:
            (
                @convention(c) (
                    UnsafeMutableRawPointer?, UnsafePointer<trivet_pool>?,
                    UnsafePointer<trivet_result>?
                ) -> Void
            )?
        var ticket: UnsafeMutableRawPointer
        /// Answers that were no legal node.
        var badAnswers: UInt64 = 0
        var badAnswersToldAt: UInt64 = 0
        var badAnswersTold: UInt64 = 0
        /// A strategy without `update` that has missed a change of weights or metadata.
        var isStale = false
    }

    /// What one node has beside its load.
    @unsafe struct Cell {
        /// This worker's words on the board.
        var own: UnsafeMutablePointer<Atomic<UInt64>>
        /// The first worker's words; the others follow.
        var first: UnsafeMutablePointer<Atomic<UInt64>>
        /// In flight on the other workers, when last gathered.
        var others: UInt32 = 0
    }

    /// What changes from call to call.
    @unsafe struct State {
        var cursor: UInt32
        var slotCount: Int
        var workers: Int
        var generation: UInt32 = 0
        var seenVersion: UInt64
        var gatheredAt: UInt64 = 0
        var rebuiltAt: UInt64 = 0
        var isAnyStale = false
        var hasGathered = false
        var fallbackPicks: UInt64 = 0
        var reasonLength = 0
        var sticks = false
    }

    let nodeCount: Int
    let nodes: UnsafeMutablePointer<trivet_node>
    let loads: UnsafeMutablePointer<trivet_load>
    let ready: UnsafeMutablePointer<UInt32>
    let pool: UnsafeMutablePointer<trivet_pool>
    let slots: UnsafeMutablePointer<Slot>
    let cells: UnsafeMutablePointer<Cell>
    let state: UnsafeMutablePointer<State>
    let reasonBytes: UnsafeMutablePointer<UInt8>
    // What calls into strategies take, made once; `headers` is what `request` leads its callback
    // to.
    let headers: UnsafeMutablePointer<HeaderRecord>
    let request: UnsafeMutablePointer<trivet_request>
    let answer: UnsafeMutablePointer<trivet_pick>
    let result: UnsafeMutablePointer<trivet_result>
    let clock: UnsafePointer<UInt64>

    private let board: Board
    private let place: InstancePlace
    private let table: NodeTable
    private let instances: Instances

    /// Replaced by a rebuild, without making the view's methods mutating.
    private final class Instances {
        var list: [StrategyInstance]
        init(_ list: [StrategyInstance]) { self.list = list }
    }

    /// `strategies`: instances made for this place, in the order of the configuration. May run on
    /// the control thread; the view is then handed to its worker.
    package init(at place: InstancePlace, strategies: [StrategyInstance]) {
        precondition(strategies.count <= Self.strategyLimit, "refused when the instances were made")
        board = place.board
        self.place = place
        let seenVersion = place.board.version
        table = NodeTable(board: place.board, pool: place.pool)
        instances = Instances(strategies)
        nodeCount = table.count
        unsafe nodes = table.nodes
        unsafe loads = table.loads
        unsafe ready = table.ready
        unsafe pool = table.pool
        unsafe clock = UnsafePointer(place.clock.cell)
        unsafe slots = .allocate(capacity: Self.strategyLimit)
        unsafe cells = .allocate(capacity: max(nodeCount, 1))
        unsafe reasonBytes = .allocate(capacity: Self.reasonLimit)
        unsafe reasonBytes.initialize(repeating: 0, count: Self.reasonLimit)
        unsafe state = .allocate(capacity: 1)
        for (index, instance) in strategies.enumerated() {
            let ticket = unsafe place.board.words.address(place.board.ticketWord(place.pool, index))
            unsafe (slots + index).initialize(
                to: Slot(
                    instance: instance.pointer, pick: instance.kind.table.pointee.pick,
                    result: instance.kind.result, ticket: UnsafeMutableRawPointer(ticket)))
        }
        for node in 0..<nodeCount {
            let own = unsafe board.words.address(board.cellWord(place.pool, node, place.worker))
            let first = unsafe board.words.address(board.cellWord(place.pool, node, 0))
            unsafe (cells + node).initialize(to: Cell(own: own, first: first))
        }
        unsafe headers = .allocate(capacity: 1)
        unsafe headers.initialize(
            to: HeaderRecord(bytes: nil, byteCount: 0, fields: nil, fieldCount: 0))
        unsafe request = .allocate(capacity: 1)
        unsafe request.initialize(to: trivet_request())
        unsafe request.pointee.size = UInt32(MemoryLayout<trivet_request>.size)
        unsafe request.pointee.header = HeaderRecord.callback
        unsafe request.pointee.ctx = UnsafeMutableRawPointer(headers)
        unsafe answer = .allocate(capacity: 1)
        unsafe answer.initialize(to: trivet_pick())
        unsafe result = .allocate(capacity: 1)
        unsafe result.initialize(to: trivet_result())
        unsafe result.pointee.size = UInt32(MemoryLayout<trivet_result>.size)
        // Workers begin their turns at different nodes.
        unsafe state.initialize(
            to: State(
                cursor: UInt32(truncatingIfNeeded: place.worker), slotCount: strategies.count,
                workers: place.board.workers, seenVersion: seenVersion))
    }

    deinit {
        unsafe slots.deallocate()
        unsafe cells.deallocate()
        unsafe reasonBytes.deallocate()
        unsafe state.deallocate()
        unsafe headers.deallocate()
        unsafe request.deallocate()
        unsafe answer.deallocate()
        unsafe result.deallocate()
    }

    /// Nodes that take new requests now.
    package var readyCount: Int { unsafe Int(pool.pointee.ready_count) }
    /// Whether any node is up, degraded or draining: else every pick is `noneAlive`.
    package var anyAlive: Bool { readyCount > 0 }
    /// Counts up whenever an instance was replaced: goes with a pick into its AttemptResult.
    package var generation: UInt32 { unsafe state.pointee.generation }
    /// Picks that the built-in round robin made, on this worker.
    package var fallbackPicks: UInt64 { unsafe state.pointee.fallbackPicks }
    /// Answers of the strategy in `slot` that were no legal node, on this worker.
    package func badAnswers(_ slot: Int) -> UInt64 {
        let count = unsafe state.pointee.slotCount
        return slot >= 0 && slot < count ? unsafe slots[slot].badAnswers : 0
    }
    /// Name of the strategy in `slot`, for the access log's configuration and messages. Cold.
    package func strategyName(_ slot: UInt8) -> String {
        Int(slot) < instances.list.count ? instances.list[Int(slot)].kind.name : "fallback"
    }

    var poolName: String { place.spec.name }

    /// What the strategy in `slot` would show an operator: one JSON object, at most 64 KiB; nil if
    /// it shows nothing. Between two events.
    package func describe(_ slot: Int) -> String? {
        guard instances.list.indices.contains(slot) else { return nil }
        let instance = instances.list[slot]
        guard let describe = unsafe instance.kind.describe else { return nil }
        let sink = Sink(limit: 64 * 1024)
        unsafe sink.collect { unsafe describe(instance.pointer, UnsafePointer(pool), $0) }
        return sink.isOverfull ? nil : String(decoding: sink.bytes, as: UTF8.self)
    }

    package func nodeState(_ node: UInt32) -> NodeState {
        node < nodeCount ? unsafe NodeState(abi: nodes[Int(node)].state) : .down
    }
    /// On this worker.
    package func inFlight(_ node: UInt32) -> UInt32 {
        node < nodeCount ? unsafe loads[Int(node)].in_flight : 0
    }

    /// Why the last pick came out as it did, in the strategy's words; valid until the next one.
    package var lastReason: Span<UInt8> {
        @_lifetime(borrow self) get {
            let span = unsafe Span(
                _unsafeStart: reasonBytes, count: state.pointee.reasonLength)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// Takes over what the control thread published, and tells the strategies. Between two events;
    /// costs one load when nothing moved.
    package func refresh(now: UInt64) {
        let version = board.version
        if unsafe version != state.pointee.seenVersion {
            unsafe state.pointee.seenVersion = version
            let changed = table.refresh(board, place.pool)
            if changed != 0 { tell(changed) }
        }
        if unsafe state.pointee.isAnyStale,
            unsafe now &- state.pointee.rebuiltAt >= 1_000_000_000
                || state.pointee.rebuiltAt == 0
        {
            unsafe state.pointee.rebuiltAt = max(now, 1)
            rebuildStale()
        }
    }

    private func tell(_ changed: UInt32) {
        let deep = TRIVET_CHANGED_NODES | TRIVET_CHANGED_WEIGHT | TRIVET_CHANGED_METADATA
        for (index, instance) in instances.list.enumerated() {
            if let update = unsafe instance.kind.update {
                unsafe pool.pointee.ctx = slots[index].ticket
                unsafe update(instance.pointer, UnsafePointer(pool), changed)
                unsafe pool.pointee.ctx = nil
            } else if changed & deep != 0 {
                unsafe slots[index].isStale = true
                unsafe state.pointee.isAnyStale = true
            }
        }
    }

    /// A strategy without `update` is made anew, at most once a second, and carries over what it
    /// has learnt. If it refuses, the old instance stays. Off the path of a request, but on the
    /// worker.
    private func rebuildStale() {
        unsafe state.pointee.isAnyStale = false
        for (index, old) in instances.list.enumerated() where unsafe slots[index].isStale {
            unsafe slots[index].isStale = false
            do throws(Refusal) {
                let fresh = try old.kind.make(at: old.place, slot: index, options: old.options)
                if let learnt = old.save() {
                    unsafe pool.pointee.ctx = slots[index].ticket
                    _ = unsafe fresh.load(
                        learnt, version: old.kind.stateVersion, pool: UnsafePointer(pool))
                    unsafe pool.pointee.ctx = nil
                }
                unsafe slots[index].instance = fresh.pointer
                instances.list[index] = fresh
                unsafe state.pointee.generation &+= 1
            } catch {
                Log.warning("\(error.sentence); its older instance stays")
            }
        }
    }
}
