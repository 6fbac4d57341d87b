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
    package static let strategyLimit = 4
    /// Strategies, the canary of each, and the shadow.
    package static let slotLimit = 9
    /// Bytes of a reason that are kept for the access log.
    package static let reasonLimit = 64
    /// Bytes that a strategy may have a client carry.
    package static let sessionLimit = 64

    /// One strategy as a pick calls it.
    @unsafe struct Slot {
        var instance: UnsafeMutableRawPointer?
        var pick:
            (
                @convention(c) (
                    UnsafeMutableRawPointer?, UnsafePointer<trivet_pool>?,
                    UnsafePointer<trivet_request>?, UnsafeMutablePointer<trivet_pick>?
                ) -> trivet_decision
            )?
        var result:
            (
                @convention(c) (
                    UnsafeMutableRawPointer?, UnsafePointer<trivet_pool>?,
                    UnsafePointer<trivet_result>?
                ) -> Void
            )?
        var ticket: UnsafeMutableRawPointer
        /// Where this worker counts what calls into its build cost; its fence as well. Nil: the
        /// slot is vacant, and passes.
        var tally: BuildTally?
        /// Answers that were no legal node.
        var badAnswers: UInt64 = 0
        var badAnswersToldAt: UInt64 = 0
        var badAnswersTold: UInt64 = 0
        /// The view's generation when the instance came: older picks were another's.
        var since: UInt32
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
        /// The node's row on the board: the same for as long as it is configured.
        var row: UInt32
        /// Requests that it may have at one time, on all workers; 0: no limit.
        var limit: UInt64
        /// All workers' words of the row: how many hold a place, and how many attempts failed in a row.
        var places: UnsafeMutablePointer<Atomic<UInt64>>
        var failuresInRow: UnsafeMutablePointer<Atomic<UInt64>>
        /// When its slow start began; 0: never.
        var returned: UInt64 = 0
        /// What it has saved up for its next turn, while it starts slowly.
        var credit: UInt64 = 0
    }

    /// What changes from call to call.
    @unsafe struct State {
        var cursor: UInt32
        var slotCount: Int
        /// A bit for each slot that serves.
        var present: UInt16 = 0
        var workers: Int
        /// The pool's, for crumbs.
        var number: UInt32
        var generation: UInt32 = 0
        var seenVersion: UInt64
        var gatheredAt: UInt64 = 0
        /// The node that is gathered next.
        var gatherFrom = 0
        var rebuiltAt: UInt64 = 0
        var isAnyStale = false
        var hasGathered = false
        var fallbackPicks: UInt64 = 0
        var reasonLength = 0
        var sticks = false
        var sessionLength = 0
        var wasDiverted = false
        /// Any node has a limit.
        var hasLimits = false
        /// When the last slow start ends, and the first ejection does.
        var slowUntil: UInt64 = 0
        var ejectedUntil: UInt64 = .max
    }

    private let staysInPlace = StaysInPlace()
    package let nodeCount: Int
    let nodes: UnsafeMutablePointer<trivet_node>
    let loads: UnsafeMutablePointer<trivet_load>
    let ready: UnsafeMutablePointer<UInt32>
    let pool: UnsafeMutablePointer<trivet_pool>
    let slots: UnsafeMutablePointer<Slot>
    let canaries: UnsafeMutablePointer<CanaryFront>
    let cells: UnsafeMutablePointer<Cell>
    let state: UnsafeMutablePointer<State>
    let reasonBytes: UnsafeMutablePointer<UInt8>
    let sessionBytes: UnsafeMutablePointer<UInt8>
    let nodeIndex: NodeIndex
    // What calls into strategies take, made once; `headers` is what `request` leads its callback
    // to.
    let headers: UnsafeMutablePointer<HeaderRecord>
    let request: UnsafeMutablePointer<trivet_request>
    let answer: UnsafeMutablePointer<trivet_pick>
    let result: UnsafeMutablePointer<trivet_result>
    let clock: UnsafePointer<UInt64>
    /// For whoever asks from another thread.
    let fallbackCount: FallbackCount

    package let place: InstancePlace
    private let table: NodeTable
    private let instances: Instances
    let gauge: CallGauge
    // Where the place has none: of this view alone.
    private let gauges: CallGauges
    private let vacant: Set<Int>
    /// How many strategies are configured.
    private let strategyCount: Int
    /// A bit for each slot that is configured.
    private let configured: UInt16
    /// By strategy.
    let watches: [CanaryWatch?]
    let shadowWatch: ShadowWatch?
    /// This worker's, of the shadow's watch.
    let shadowLine: UnsafeMutablePointer<Atomic<UInt64>>?

    /// Replaced one by one, without making the view's methods mutating. Nil: waits for `inherit`.
    private final class Instances {
        var list: [StrategyInstance?]
        init(_ list: [StrategyInstance?]) { self.list = list }
    }

    /// `strategies`: instances made for this place, in the order of the configuration; nil where the
    /// view that this one succeeds has one that goes on (`inherit`), or where the slot is `vacant`,
    /// since what it names is fenced. `canaries`: by the strategy's slot. May run on the loading
    /// thread; the view is then handed to its worker.
    package init(
        at place: InstancePlace, strategies: [StrategyInstance?], vacant: Set<Int> = [],
        canaries parts: [Int: CanaryPart] = [:], shadow: ShadowPart? = nil
    ) {
        self.vacant = vacant
        precondition(strategies.count <= Self.strategyLimit, "refused when the instances were made")
        self.place = place
        let seenVersion = place.board.version
        table = NodeTable(board: place.board, pool: place.pool)
        var seats = [StrategyInstance?](repeating: nil, count: Self.slotLimit)
        var configured: UInt16 = 0
        func seat(_ instance: StrategyInstance?, _ slot: Int) {
            seats[slot] = instance
            configured |= 1 << UInt16(slot)
        }
        for (slot, instance) in strategies.enumerated() { seat(instance, slot) }
        for (slot, part) in parts { seat(part.instance, slot + Self.canaryOffset) }
        if let shadow { seat(shadow.instance, Self.shadowSlot) }
        instances = Instances(seats)
        self.configured = configured
        strategyCount = strategies.count
        watches = (0..<Self.strategyLimit).map { parts[$0]?.watch }
        shadowWatch = shadow?.watch
        unsafe shadowLine = shadow?.watch.line(worker: place.worker)
        gauges = place.gauges ?? CallGauges(workers: place.board.workers)
        gauge = gauges.gauge(.worker(place.worker))
        nodeCount = table.count
        unsafe nodes = table.nodes
        unsafe loads = table.loads
        unsafe ready = table.ready
        unsafe pool = table.pool
        unsafe clock = UnsafePointer(place.clock.cell)
        fallbackCount = place.metrics.fallbackCount(pool: place.spec.name, worker: place.worker)
        unsafe slots = .allocate(capacity: Self.slotLimit)
        unsafe canaries = .allocate(capacity: Self.strategyLimit)
        for (slot, part) in parts {
            unsafe (canaries + slot).initialize(
                to: CanaryFront(
                    part.watch, worker: place.worker, seed: Self.drawSeed(place, slot: slot)))
        }
        unsafe cells = .allocate(capacity: max(nodeCount, 1))
        unsafe reasonBytes = .allocate(capacity: Self.reasonLimit)
        unsafe reasonBytes.initialize(repeating: 0, count: Self.reasonLimit)
        unsafe sessionBytes = .allocate(capacity: Self.sessionLimit)
        unsafe sessionBytes.initialize(repeating: 0, count: Self.sessionLimit)
        nodeIndex = unsafe NodeIndex(table.nodes, count: table.count)
        unsafe state = .allocate(capacity: 1)
        for node in 0..<nodeCount {
            let row = place.pool.rows[node]
            let own = unsafe place.board.words.address(place.board.cellWord(row, place.worker))
            let first = unsafe place.board.words.address(place.board.cellWord(row, 0))
            let shared = place.board.rowWord(row)
            unsafe (cells + node).initialize(
                to: Cell(
                    own: own, first: first, row: UInt32(row),
                    limit: UInt64(place.spec.nodes[node].maxInFlight),
                    places: place.board.words.address(shared + BoardLayout.Row.places),
                    failuresInRow: place.board.words.address(
                        shared + BoardLayout.Row.failuresInRow)))
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
                cursor: UInt32(truncatingIfNeeded: place.worker), slotCount: 0,
                workers: place.board.workers, number: UInt32(truncatingIfNeeded: place.pool.pool),
                seenVersion: seenVersion))
        noteReturns()
        let isWhole = seats.indices.allSatisfy {
            seats[$0] != nil || vacant.contains($0) || configured & 1 << UInt16($0) == 0
        }
        if isWhole {
            for (slot, instance) in seats.enumerated() where isConfigured(slot) {
                install(instance, slot)
            }
            unsafe state.pointee.slotCount = strategyCount
            unsafe state.pointee.present = configured
        }
    }

    private func isConfigured(_ slot: Int) -> Bool { configured & 1 << UInt16(slot) != 0 }

    /// Whether the strategy, canary or shadow in `slot` is there: its place in `slots` has a meaning.
    func isPresent(_ slot: Int) -> Bool {
        let present = unsafe state.pointee.present
        return slot >= 0 && slot < Self.slotLimit && present & 1 << UInt16(slot) != 0
    }

    private func install(_ instance: StrategyInstance?, _ slot: Int) {
        let board = place.board
        let ticket = unsafe board.words.address(board.ticketWord(place.pool.pool, slot))
        unsafe (slots + slot).initialize(
            to: Slot(
                instance: instance?.pointer, pick: instance?.kind.table.pointee.pick,
                result: instance?.kind.result, ticket: UnsafeMutableRawPointer(ticket),
                tally: instance?.kind.build.tally(.worker(place.worker)),
                since: state.pointee.generation))
    }

    deinit {
        unsafe slots.deallocate()
        unsafe canaries.deallocate()
        unsafe cells.deallocate()
        unsafe reasonBytes.deallocate()
        unsafe sessionBytes.deallocate()
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
        isPresent(slot) ? unsafe slots[slot].badAnswers : 0
    }
    /// Name of the strategy in `slot`, for the access log's configuration and messages. Cold.
    package func strategyName(_ slot: UInt8) -> String {
        instance(Int(slot)).map { Self.name($0.kind.name, slot: Int(slot)) } ?? "fallback"
    }

    /// How people tell a canary from what it is to replace.
    package static func name(_ name: String, slot: Int) -> String {
        if slot == shadowSlot { return name + " (shadow)" }
        return slot >= canaryOffset ? name + " (canary)" : name
    }

    var poolName: String { place.spec.name }

    /// What the strategy in `slot` would show an operator: one JSON object, at most 64 KiB; nil if
    /// it shows nothing. Between two events.
    package func describe(_ slot: Int) -> String? {
        guard let instance = instance(slot), let describe = unsafe instance.kind.describe
        else { return nil }
        let sink = Sink(limit: 64 * 1024)
        unsafe sink.collect { json in
            instance.kind.build.call(.describe) {
                unsafe describe(instance.pointer, UnsafePointer(pool), json)
            }
        }
        return sink.isOverfull ? nil : String(decoding: sink.bytes, as: UTF8.self)
    }

    /// The node's row on the board, or `UInt32.max` if there is no such node.
    package func row(_ node: UInt32) -> UInt32 {
        node < nodeCount ? unsafe cells[Int(node)].row : .max
    }
    /// The node in this row of the board, or `UInt32.max` if it is not in this pool (any more).
    /// O(nodes); for the moment after a reload.
    package func node(row: UInt32) -> UInt32 {
        for node in 0..<nodeCount where unsafe cells[node].row == row { return UInt32(node) }
        return .max
    }

    package func nodeState(_ node: UInt32) -> NodeState {
        node < nodeCount ? unsafe NodeState(abi: nodes[Int(node)].state) : .down
    }
    /// On this worker.
    package func inFlight(_ node: UInt32) -> UInt32 {
        node < nodeCount ? unsafe loads[Int(node)].in_flight : 0
    }

    /// Why the last pick came out as it did, in the strategy's words; valid until the next one.
    package func withLastReason(_ body: (Span<UInt8>) -> Void) {
        unsafe body(Span(_unsafeStart: reasonBytes, count: state.pointee.reasonLength))
    }

    /// Takes over what the control thread published, and tells the strategies. Between two events;
    /// costs one load when nothing moved.
    /// True if other nodes may take requests now.
    @discardableResult
    package func refresh(now: UInt64) -> Bool {
        if unsafe now >= state.pointee.ejectedUntil {
            place.board.endEjections(of: place.pool, now: now)
        }
        let version = place.board.version
        guard unsafe version != state.pointee.seenVersion else { return false }
        unsafe state.pointee.seenVersion = version
        let changed = table.refresh(place.board)
        noteReturns()
        if changed != 0 { tell(changed) }
        return changed & TRIVET_CHANGED_STATE != 0
    }

    /// Takes over from the table what ends by itself with time.
    private func noteReturns() {
        unsafe state.pointee.ejectedUntil = table.ejectedUntil
        unsafe state.pointee.hasLimits = false
        unsafe state.pointee.slowUntil = 0
        let slowStart = place.spec.slowStart
        for node in 0..<nodeCount {
            if unsafe cells[node].limit > 0 { unsafe state.pointee.hasLimits = true }
            let returned = table.returned[node]
            unsafe cells[node].returned = returned
            guard slowStart > 0, returned > 0 else { continue }
            unsafe state.pointee.slowUntil = max(state.pointee.slowUntil, returned &+ slowStart)
        }
    }

    private func tell(_ changed: UInt32) {
        for slot in 0..<Self.slotLimit where isPresent(slot) { tell(slot, changed) }
    }

    private func tell(_ slot: Int, _ changed: UInt32) {
        guard let instance = instances.list[slot] else { return }
        let deep = TRIVET_CHANGED_NODES | TRIVET_CHANGED_WEIGHT | TRIVET_CHANGED_METADATA
        if let update = unsafe instance.kind.update, let tally = unsafe slots[slot].tally {
            unsafe pool.pointee.ctx = slots[slot].ticket
            let mark = unsafe gauge.begin(tally, .update, pool: state.pointee.number)
            unsafe update(instance.pointer, UnsafePointer(pool), changed)
            gauge.end(mark)
            unsafe pool.pointee.ctx = nil
        } else if changed & deep != 0 {
            unsafe slots[slot].isStale = true
            unsafe state.pointee.isAnyStale = true
        }
    }

    // MARK: Successors [worker, between two events]

    /// Slots whose strategies have no `update` and have missed a change: each wants an instance made
    /// anew, off the worker, and then given to `replace`. Asked for at most once a second; 0: none.
    package func takeStale(now: UInt64) -> UInt16 {
        guard unsafe state.pointee.isAnyStale,
            unsafe now &- state.pointee.rebuiltAt >= 1_000_000_000 || state.pointee.rebuiltAt == 0
        else { return 0 }
        unsafe state.pointee.rebuiltAt = max(now, 1)
        unsafe state.pointee.isAnyStale = false
        var mask: UInt16 = 0
        for slot in 0..<Self.slotLimit where isPresent(slot) {
            guard unsafe slots[slot].isStale else { continue }
            unsafe slots[slot].isStale = false
            mask |= 1 << UInt16(slot)
        }
        return mask
    }

    /// The instance in `slot`.
    package func instance(_ slot: Int) -> StrategyInstance? {
        instances.list.indices.contains(slot) ? instances.list[slot] : nil
    }

    /// Another instance serves `slot` from now on, with what the present one has learnt. The old one
    /// comes back, to be destroyed where that is done.
    package func replace(_ slot: Int, with fresh: StrategyInstance) -> StrategyInstance? {
        guard let old = instance(slot) else { return nil }
        unsafe state.pointee.generation &+= 1
        handOver(from: old, to: fresh, slot)
        install(fresh, slot)
        instances.list[slot] = fresh
        return old
    }

    /// Goes on where another view of the same pool, on the same worker, stops: counters, turns, and
    /// what each strategy has learnt, under its name. Instances that nobody needs any more come
    /// back. The old view is not used after.
    package func inherit(from old: borrowing PoolView) -> [StrategyInstance] {
        unsafe state.pointee = unsafe State(
            cursor: old.state.pointee.cursor, slotCount: strategyCount, present: configured,
            workers: state.pointee.workers, number: state.pointee.number,
            generation: old.state.pointee.generation &+ 1,
            seenVersion: state.pointee.seenVersion, rebuiltAt: old.state.pointee.rebuiltAt,
            fallbackPicks: old.state.pointee.fallbackPicks)
        noteReturns()
        let isSamePool = old.place.pool === place.pool
        inheritLoads(old, isSamePool)
        var left: [StrategyInstance] = []
        for slot in 0..<Self.slotLimit {
            let before = old.instance(slot)
            guard isConfigured(slot) else {
                if let before { left.append(before) }
                continue
            }
            if let fresh = instances.list[slot] {
                if let teacher = old.teacher(of: fresh, slot) {
                    handOver(from: teacher, to: fresh, slot)
                }
                install(fresh, slot)
                if let before { left.append(before) }
            } else if vacant.contains(slot) {
                install(nil, slot)
                if let before { left.append(before) }
            } else if let before {
                instances.list[slot] = before
                install(before, slot)
                unsafe slots[slot].since = old.slots[slot].since
                unsafe slots[slot].badAnswers = old.slots[slot].badAnswers
                if unsafe old.slots[slot].isStale {
                    unsafe slots[slot].isStale = true
                    unsafe state.pointee.isAnyStale = true
                }
                if !isSamePool {
                    tell(
                        slot,
                        TRIVET_CHANGED_NODES | TRIVET_CHANGED_STATE | TRIVET_CHANGED_WEIGHT
                            | TRIVET_CHANGED_METADATA)
                }
            }
        }
        inheritDraws(old)
        return left
    }

    /// Whose learning a new instance goes on with: that of the same name, in its own place if it was
    /// there. A canary that comes new so begins with what the incumbent of its name knows.
    private func teacher(of fresh: StrategyInstance, _ slot: Int) -> StrategyInstance? {
        let name = fresh.kind.name
        if let before = instance(slot), before.kind.name == name { return before }
        return instances.list.first { $0?.kind.name == name } ?? nil
    }

    /// Canaries that stay go on drawing where they were.
    private func inheritDraws(_ old: borrowing PoolView) {
        for slot in 0..<Self.strategyLimit where watches[slot] != nil {
            guard watches[slot] === old.watches[slot] else { continue }
            unsafe canaries[slot].random = old.canaries[slot].random
            unsafe canaries[slot].counted = old.canaries[slot].counted
        }
    }

    /// All instances, when the pool is gone.
    package func dismiss() -> [StrategyInstance] { instances.list.compactMap { $0 } }

    private func inheritLoads(_ old: borrowing PoolView, _ isSamePool: Bool) {
        if isSamePool {
            unsafe loads.update(from: old.loads, count: nodeCount)
            return
        }
        var places: [UInt32: Int] = [:]
        for node in 0..<old.nodeCount { unsafe places[old.cells[node].row] = node }
        for node in 0..<nodeCount {
            if let before = unsafe places[cells[node].row] {
                unsafe loads[node] = unsafe old.loads[before]
            }
        }
    }

    private func handOver(from old: StrategyInstance, to fresh: StrategyInstance, _ slot: Int) {
        // What the header allows: 64 KiB and 64 bytes a node.
        guard let learnt = old.save(limit: 64 * 1024 + 64 * nodeCount) else { return }
        let board = place.board
        let ticket = unsafe board.words.address(board.ticketWord(place.pool.pool, slot))
        unsafe pool.pointee.ctx = UnsafeMutableRawPointer(ticket)
        _ = unsafe fresh.load(learnt, version: old.kind.stateVersion, pool: UnsafePointer(pool))
        unsafe pool.pointee.ctx = nil
    }
}
