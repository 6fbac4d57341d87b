// Sessions as a pool sees them: nodes found by the id that a client's session names, and what the last
// pick would have its client keep. How it travels is not known here.

import Base
import CTrivet

extension PoolView {
    /// The node of that id, or `PickFacts.noNode` if it is not (or no longer) in the pool. O(1).
    package func find(id: UInt64) -> UInt32 { unsafe nodeIndex.find(id, in: nodes) }

    /// The id of a node, the same after a restart and on a second balancer.
    package func id(of node: UInt32) -> UInt64 {
        node < nodeCount ? unsafe nodes[Int(node)].id : 0
    }

    /// It is to get no new clients, and may keep those it has.
    package func isDraining(_ node: UInt32) -> Bool {
        node < nodeCount ? unsafe nodes[Int(node)].state == TRIVET_DRAINING : false
    }

    /// What hashes of this pool are seeded with: the same that its strategies are shown.
    package var seed: UInt64 { unsafe pool.pointee.seed }

    /// What the last pick gives its client to carry; empty: nothing. Valid until the next one. The
    /// first of the strategies that were asked and gave anything counts.
    package func withLastSession(_ body: (Span<UInt8>) -> Void) {
        unsafe body(Span(_unsafeStart: sessionBytes, count: state.pointee.sessionLength))
    }

    /// The last pick gives its client something to carry.
    package var lastPickCarries: Bool { unsafe state.pointee.sessionLength > 0 }

    /// Copies what a strategy wants to be carried: it is lent until the next call into the instance.
    func keepSession(_ slot: Int) {
        let length = unsafe answer.pointee.session.len
        guard length > 0, unsafe state.pointee.sessionLength == 0,
            let data = unsafe answer.pointee.session.data
        else { return }
        guard length <= Self.sessionLimit else {
            noteLongSession(slot, length)
            return
        }
        for index in 0..<length {
            unsafe sessionBytes[index] = UInt8(bitPattern: data[index])
        }
        unsafe state.pointee.sessionLength = length
    }
}

/// Indices of nodes by their ids: open addressing with linear steps, at most half full. Ids are hashes
/// themselves, so their low bits are as good as any.
@safe
struct NodeIndex: ~Copyable {
    private static let free = UInt32.max
    private let slots: UnsafeMutablePointer<UInt32>
    private let mask: Int

    /// `nodes` stay what they are, with the same ids, for as long as this is asked.
    init(_ nodes: UnsafePointer<trivet_node>, count: Int) {
        var size = 4
        while size < 2 * count { size *= 2 }
        mask = size - 1
        unsafe slots = .allocate(capacity: size)
        unsafe slots.initialize(repeating: Self.free, count: size)
        for node in 0..<count {
            var at = unsafe Int(truncatingIfNeeded: nodes[node].id) & mask
            while unsafe slots[at] != Self.free { at = (at + 1) & mask }
            unsafe slots[at] = UInt32(node)
        }
    }

    deinit { unsafe slots.deallocate() }

    func find(_ id: UInt64, in nodes: UnsafePointer<trivet_node>) -> UInt32 {
        var at = Int(truncatingIfNeeded: id) & mask
        while true {
            let node = unsafe slots[at]
            if node == Self.free { return PickFacts.noNode }
            if unsafe nodes[Int(node)].id == id { return node }
            at = (at + 1) & mask
        }
    }
}
