// What strategies with tables of their own ask of a pool: whether a node from a table still takes
// traffic, where a retry may go, and which row belongs to which node after nodes came and went.

extension Pool {
    /// True if the node is one of `ready`, without walking it. For a node that comes from a table,
    /// since states may differ between any two calls.
    public func isReady(_ node: NodeIndex) -> Bool {
        guard node.offset < count, !ready.isEmpty else { return false }
        // All of `ready` are of one tier, and either all take traffic or all drain.
        let node = self[node]
        let first = self[ready[0]]
        guard node.tier == first.tier else { return false }
        switch node.state {
        case .up, .degraded: return first.state != .draining
        case .draining: return first.state == .draining
        case .down: return false
        }
    }

    /// A ready node that no earlier attempt used; one of weight 0 only if there is no other, nil if
    /// all were tried. Looks from position `start` of `ready` on, and over its end: count `start`
    /// up, and the retries of a failing node are spread over all others. O(ready).
    public func untried(_ request: Request, from start: Int = 0) -> NodeIndex? {
        let ready = ready
        guard !ready.isEmpty else { return nil }
        var position = Int(UInt(bitPattern: start) % UInt(ready.count))
        var idle: NodeIndex?
        var steps = 0
        while steps < ready.count {
            let node = ready[position]
            if !request.hasTried(node) {
                if self[node].weight > 0 { return node }
                idle = idle ?? node
            }
            position = position + 1 == ready.count ? 0 : position + 1
            steps += 1
        }
        return idle
    }

    /// The ids of all nodes in their order, to keep beside a table by node. Allocates.
    public var ids: [UInt64] {
        var ids: [UInt64] = []
        ids.reserveCapacity(count)
        while ids.count < count { ids.append(self[index(ids.count)].id) }
        return ids
    }

    /// For each node its place among `ids`, or nil for one that is not there: for a table by node
    /// when `update` says `.nodes`, or when `load` reads one by id. O(nodes); allocates.
    ///
    /// ```swift
    /// failures = pool.places(among: ids).map { $0.map { failures[$0] } ?? 0 }
    /// ids = pool.ids
    /// ```
    public func places(among ids: [UInt64]) -> [Int?] {
        var places: [UInt64: Int] = [:]
        places.reserveCapacity(ids.count)
        for (place, id) in ids.enumerated() { places[id] = place }
        return self.ids.map { places[$0] }
    }
}
