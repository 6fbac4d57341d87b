// Filling Maglev's table (NSDI 2016, section 3.4, pseudocode 1): every node has an order of
// preference over all entries, and in its turn takes the first one that is free. Off the workers.

import Affinity
import TrivetPlugin

/// A table of `size` entries (a prime), each the offset of a node; empty if there are no nodes.
///
/// A node's order of preference is `offset, offset + skip, offset + 2 * skip, ...` modulo the size,
/// with `offset = mix(id) % size` and `skip = mix(id + golden) % (size - 1) + 1`. Nodes are sorted by
/// id, so their order in the configuration makes no difference.
///
/// Weights, which the paper leaves open: the k-th turn of a node comes at the time k / weight, that of
/// the lower id first. Equal weights make it the paper's rounds; a node of weight 3 takes three
/// entries while one of weight 1 takes one, and never in a row if it can be helped. Nodes of
/// weight 0 take none, unless all are of weight 0.
///
/// O(size * (log nodes + log size)): each turn costs a sift in a heap, and finds a free entry after
/// size / free looks on average.
func maglevTable(_ pool: Pool, size: Int) -> [UInt32] {
    let weights = pool.tableWeights
    let members = weights.indices.filter { weights[$0] > 0 }.map { offset in
        Member(
            id: pool[pool.index(offset)].id, offset: offset, weight: weights[offset], size: size)
    }
    guard !members.isEmpty else { return [] }
    var queue = TurnQueue(members.sorted { $0.id < $1.id })
    let free = UInt32.max
    var table = [UInt32](repeating: free, count: size)
    for _ in 0..<size {
        while table[queue.next.entry] != free { queue.next.skipEntry(size) }
        table[queue.next.entry] = UInt32(queue.next.offset)
        queue.endTurn()
    }
    return table
}

/// One node that fills the table.
private struct Member {
    let id: UInt64
    let offset: Int
    let weight: UInt64
    /// Its turns are counted from 1; this is the one to come.
    var turn: UInt64 = 1
    /// The entry it would like best of those it has not looked at.
    var entry: Int
    private let skip: Int

    init(id: UInt64, offset: Int, weight: UInt32, size: Int) {
        self.id = id
        self.offset = offset
        self.weight = UInt64(weight)
        entry = Int(mix(id) % UInt64(size))
        skip = Int(mix(id &+ 0x9E37_79B9_7F4A_7C15) % UInt64(size - 1)) + 1
    }

    mutating func skipEntry(_ size: Int) {
        entry += skip
        if entry >= size { entry -= size }
    }
}

/// Whose turn it is: a binary heap by the time of the next turn, then by id.
private struct TurnQueue {
    private var heap: [Member]

    /// Members in ascending order of id; not empty.
    init(_ members: [Member]) {
        heap = members
        for root in stride(from: heap.count / 2 - 1, through: 0, by: -1) { sift(root) }
    }

    /// The one whose turn it is.
    var next: Member {
        _read { yield heap[0] }
        _modify { yield &heap[0] }
    }

    mutating func endTurn() {
        heap[0].turn += 1
        sift(0)
    }

    private mutating func sift(_ start: Int) {
        var parent = start
        while true {
            var first = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < heap.count && isBefore(child, first) {
                first = child
            }
            if first == parent { return }
            heap.swapAt(parent, first)
            parent = first
        }
    }

    /// turn / weight of one before that of the other, without a division. The products fit: turns
    /// have 23 bits, weights 32.
    private func isBefore(_ one: Int, _ other: Int) -> Bool {
        let time = heap[one].turn * heap[other].weight
        let otherTime = heap[other].turn * heap[one].weight
        return time < otherTime || time == otherTime && heap[one].id < heap[other].id
    }
}
