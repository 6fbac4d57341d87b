// The strategy "round-robin". Exactness comes from the pool's ticket, which all workers share; what
// a node can take (states, tiers) is the host's to know and arrives as `ready`.

import TrivetPlugin

/// Each ready node in its turn: `strategy: "round-robin"`. No options.
///
/// All workers take turns together: of 3,000 requests over 3 nodes each gets 1,000, whichever worker
/// accepted them. Nodes that are down or draining are left out, and backups (a higher `tier`) wait
/// until no better tier has a node that is ready. Weights make no difference, but for one: a node of
/// weight 0 gets no turn while another has more.
///
/// A retry goes to a ready node that has not been tried and takes no turn, so one failing node
/// does not shift the turns of the others. Right where requests cost about the same; where they do not,
/// a strategy that looks at the load is better.
struct RoundRobin: Strategy, Updating, Plugin {
    static let name = "round-robin"
    static let version = "1.0.0"
    static let summary = "each ready node in its turn, exact across workers"

    /// Some node has weight 0: turns are then counted among the others.
    private var hasIdle: Bool
    /// Where the next retry starts looking: spreads the retries of a failing node over all others.
    private var retries: Int

    init(_ setup: Setup) {
        hasIdle = Self.hasIdle(setup.pool)
        retries = setup.worker
    }

    mutating func update(_ pool: Pool, _ changes: Changes) {
        hasIdle = Self.hasIdle(pool)
    }

    mutating func pick(_ pool: Pool, _ request: Request) -> Decision {
        let ready = pool.ready
        guard !ready.isEmpty else { return .pass }
        if request.attempt > 0 {
            retries &+= 1
            if let node = pool.untried(request, from: retries) {
                return .node(node, because: "not tried yet")
            }
        }
        let takers = hasIdle ? Self.takers(pool) : ready.count
        if takers == ready.count || takers == 0 {
            let turn = Int(pool.ticket() % UInt64(ready.count))
            return .node(ready[turn], because: "its turn")
        }
        var turn = Int(pool.ticket() % UInt64(takers))
        var position = 0
        while true {
            if pool[ready[position]].weight > 0 {
                if turn == 0 { return .node(ready[position], because: "its turn") }
                turn -= 1
            }
            position += 1
        }
    }

    private static func hasIdle(_ pool: Pool) -> Bool {
        var offset = 0
        while offset < pool.count {
            if pool[pool.index(offset)].weight == 0 { return true }
            offset += 1
        }
        return false
    }

    /// How many ready nodes have a weight above 0.
    private static func takers(_ pool: Pool) -> Int {
        let ready = pool.ready
        var count = 0
        var position = 0
        while position < ready.count {
            if pool[ready[position]].weight > 0 { count += 1 }
            position += 1
        }
        return count
    }
}

/// The entry that Trivet looks for.
@c @implementation
public func trivet_plugin_v1(_ host: HostRef, _ error: ErrorRef) -> TableRef {
    unsafe RoundRobin.export(host, error)
}
