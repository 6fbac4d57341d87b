// Which nodes take requests now, as a question about one node. A hash leads to a node first and asks
// then, so a list of the ready ones is of no use to it; nor may it look through 10,000 of them.

import TrivetPlugin

/// What the nodes in `Pool.ready` have in common: whether they drain, and their tier. Good for one
/// pick.
package struct Takers {
    private let areDraining: Bool
    private let tier: UInt32

    /// Nil if no node is alive.
    package init?(_ pool: Pool) {
        guard !pool.ready.isEmpty else { return nil }
        let first = pool[pool.ready[0]]
        areDraining = first.state == .draining
        tier = first.tier
    }

    /// The node at this offset if it is ready and no earlier attempt has used it. O(1).
    package func untried(_ offset: Int, _ pool: Pool, _ request: Request) -> NodeIndex? {
        guard offset < pool.count else { return nil }
        let index = pool.index(offset)
        let node = pool[index]
        guard node.tier == tier else { return nil }
        switch node.state {
        case .up, .degraded: guard !areDraining else { return nil }
        case .draining: guard areDraining else { return nil }
        case .down: return nil
        }
        return request.attempt > 0 && request.hasTried(index) ? nil : index
    }

    /// The ready node that suits the key best, by highest random weight (Thaler, Ravishankar: "Using
    /// Name-Based Mappings to Increase Hit Rates", 1998): untried before tried ones, and of these
    /// such with a weight above 0 first; otherwise weights make no difference.
    ///
    /// O(ready nodes): for when a table has led to nodes in vain a bounded number of times, which
    /// means that few are ready, or (rarely) chance.
    package func bestSuited(_ key: UInt64, _ pool: Pool, _ request: Request) -> NodeIndex {
        let ready = pool.ready
        var best = ready[0]
        var bestRank = -1
        var bestScore: UInt64 = 0
        var position = 0
        while position < ready.count {
            let index = ready[position]
            let node = pool[index]
            let rank = request.hasTried(index) ? 0 : node.weight == 0 ? 1 : 2
            let score = mix(key ^ mix(node.id))
            if rank > bestRank || rank == bestRank && score > bestScore {
                best = index
                bestRank = rank
                bestScore = score
            }
            position += 1
        }
        return best
    }
}

extension Pool {
    /// Weights to build a table from: those of the nodes, or 1 each if all are 0. Allocates.
    package var tableWeights: [UInt32] {
        var weights: [UInt32] = []
        weights.reserveCapacity(count)
        var isAnyAbove = false
        var offset = 0
        while offset < count {
            let weight = self[index(offset)].weight
            isAnyAbove = isAnyAbove || weight > 0
            weights.append(weight)
            offset += 1
        }
        return isAnyAbove ? weights : [UInt32](repeating: 1, count: count)
    }
}
