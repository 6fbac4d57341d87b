// One thread's C arrays of one pool: what plugins are shown of nodes, loads and the ready list.
// Filled from the board between calls; addresses stay the same for the life of the table.

import CTrivet
import Synchronization

/// Owned by one thread at a time. What plugins are lent points into it.
@safe
final class NodeTable {
    let count: Int
    let nodes: UnsafeMutablePointer<trivet_node>
    let loads: UnsafeMutablePointer<trivet_load>
    let ready: UnsafeMutablePointer<UInt32>
    let pool: UnsafeMutablePointer<trivet_pool>

    private let rows: PoolRows
    /// Checks judge every node; strategies see an ejected one as one that is down.
    private let showsEjections: Bool
    private let texts: LentText
    private var metadata: [MetadataBlock?]
    private var metadataVersions: [UInt64]
    /// Of each node as published, before its ejection.
    private var states: [NodeState]
    private var isEjected: [Bool]
    /// When each came back from being down or ejected; 0: never.
    private(set) var returned: [UInt64]
    /// When the first ejection ends, monotonic nanoseconds; `UInt64.max`: there is none.
    private(set) var ejectedUntil: UInt64 = .max

    /// Every node as configured and as the board has it now.
    init(board: Board, pool rows: PoolRows, showsEjections: Bool = true) {
        self.rows = rows
        self.showsEjections = showsEjections
        let spec = rows.spec
        count = spec.nodes.count
        let room = max(count, 1)
        unsafe nodes = .allocate(capacity: room)
        unsafe loads = .allocate(capacity: room)
        unsafe ready = .allocate(capacity: room)
        unsafe pool = .allocate(capacity: 1)
        texts = LentText(
            capacity: spec.nodes.reduce(spec.name.utf8.count) {
                $0 + $1.name.utf8.count + $1.address.utf8.count
            })
        metadata = Array(repeating: nil, count: count)
        metadataVersions = Array(repeating: .max, count: count)
        states = Array(repeating: .up, count: count)
        isEjected = Array(repeating: false, count: count)
        returned = Array(repeating: 0, count: count)
        unsafe nodes.initialize(repeating: trivet_node(), count: room)
        unsafe loads.initialize(repeating: trivet_load(), count: room)
        unsafe ready.initialize(repeating: 0, count: room)
        for (at, node) in spec.nodes.enumerated() {
            unsafe nodes[at].id = node.id
            unsafe nodes[at].name = texts.keep(node.name)
            unsafe nodes[at].address = texts.keep(node.address)
            unsafe nodes[at].tier = node.tier
        }
        var table = unsafe trivet_pool()
        unsafe table.size = UInt32(MemoryLayout<trivet_pool>.size)
        unsafe table.node_count = UInt32(count)
        unsafe table.node_stride = UInt32(MemoryLayout<trivet_node>.stride)
        unsafe table.load_stride = UInt32(MemoryLayout<trivet_load>.stride)
        unsafe table.nodes = UnsafePointer(nodes)
        unsafe table.load = UnsafePointer(loads)
        unsafe table.ready = UnsafePointer(ready)
        unsafe table.seed = spec.seed
        unsafe table.name = texts.keep(spec.name)
        // `ctx` is the ticket of the strategy that is being called; none during `create`.
        unsafe table.ticket = { pool in
            guard let ticket = unsafe pool?.pointee.ctx else { return 0 }
            let atomic = unsafe ticket.assumingMemoryBound(to: Atomic<UInt64>.self)
            return unsafe atomic.pointee.wrappingAdd(1, ordering: .relaxed).oldValue
        }
        unsafe pool.initialize(to: table)
        _ = refresh(board)
    }

    deinit {
        unsafe nodes.deallocate()
        unsafe loads.deallocate()
        unsafe ready.deallocate()
        unsafe pool.deallocate()
    }

    /// Takes over what was published; what changed, as TRIVET_CHANGED_*.
    func refresh(_ board: Board) -> UInt32 {
        var changed: UInt32 = 0
        ejectedUntil = .max
        board.withPublished(rows) { at, row in
            states[at] = row.state
            isEjected[at] = row.ejection.isEjected
            returned[at] = row.returned
            if isEjected[at] { ejectedUntil = min(ejectedUntil, row.ejection.until) }
            let spec = rows.spec.nodes[at]
            let weight = Board.effectiveWeight(spec.weight, percent: row.weightPercent)
            if unsafe nodes[at].weight != weight {
                unsafe nodes[at].weight = weight
                changed |= TRIVET_CHANGED_WEIGHT
            }
            if metadataVersions[at] != row.metadataVersion {
                metadataVersions[at] = row.metadataVersion
                let block = MetadataBlock(
                    Board.merge(configured: spec.metadata, found: row.metadata))
                unsafe nodes[at].metadata = UnsafePointer(block.pairs)
                unsafe nodes[at].metadata_count = UInt32(block.count)
                metadata[at] = block
                changed |= TRIVET_CHANGED_METADATA
            }
        }
        if showStates() { changed |= TRIVET_CHANGED_STATE }
        if unsafe changed & TRIVET_CHANGED_STATE != 0 || pool.pointee.ready_count == 0 {
            collectReady()
        }
        return changed
    }

    /// An ejected node is shown as down, unless no other takes traffic. True if any state is another
    /// now.
    private func showStates() -> Bool {
        let isAnyLeft =
            showsEjections
            && states.indices.contains { states[$0].takesTraffic && !isEjected[$0] }
        var hasChanged = false
        for at in states.indices {
            let isAway = isEjected[at] && isAnyLeft && states[at].takesTraffic
            let state = isAway ? NodeState.down.rawValue : states[at].rawValue
            if unsafe nodes[at].state != state {
                unsafe nodes[at].state = state
                hasChanged = true
            }
        }
        return hasChanged
    }

    /// The nodes to take: up or degraded ones of the best tier that has any; if there are none at
    /// all, the draining ones likewise.
    private func collectReady() {
        var isAnyUp = false
        var best: UInt32 = .max
        var bestDraining: UInt32 = .max
        for at in 0..<count {
            let state = unsafe NodeState(abi: nodes[at].state)
            let tier = unsafe nodes[at].tier
            if state.takesTraffic {
                isAnyUp = true
                best = min(best, tier)
            }
            if state == .draining { bestDraining = min(bestDraining, tier) }
        }
        var found = 0
        for at in 0..<count {
            let state = unsafe NodeState(abi: nodes[at].state)
            let tier = unsafe nodes[at].tier
            let isReady =
                isAnyUp
                ? state.takesTraffic && tier == best : state == .draining && tier == bestDraining
            if isReady {
                unsafe ready[found] = UInt32(at)
                found += 1
            }
        }
        unsafe pool.pointee.ready_count = UInt32(found)
    }
}

/// Metadata of one node as the ABI has it, replaced as a whole.
@safe
private final class MetadataBlock {
    let count: Int
    let pairs: UnsafeMutablePointer<trivet_pair>
    private let texts: LentText

    init(_ metadata: [(String, String)]) {
        count = metadata.count
        unsafe pairs = .allocate(capacity: max(count, 1))
        texts = LentText(
            capacity: metadata.reduce(0) { $0 + $1.0.utf8.count + $1.1.utf8.count })
        for (at, pair) in metadata.enumerated() {
            let (key, value) = unsafe (texts.keep(pair.0), texts.keep(pair.1))
            unsafe (pairs + at).initialize(to: trivet_pair(key: key, value: value))
        }
    }

    deinit { unsafe pairs.deallocate() }
}
