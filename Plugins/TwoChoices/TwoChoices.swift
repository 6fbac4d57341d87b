// The strategy "two-choices": the power of two random choices (Mitzenmacher 2001, "The power of two
// choices in randomized load balancing"), for nodes of different weight as well (Wieder 2007,
// "Balanced allocations with heterogenous bins").

import TrivetPlugin

/// Two random ready nodes; the one with fewer requests running for its weight takes this one:
/// `strategy: "two-choices"`. No options.
///
/// Nearly as even as looking at all nodes, at the price of two: O(1). And since each worker draws
/// for itself, not all of them rush to the node that was idle a millisecond ago, which
/// "least-connections" has to take care of. Right for large pools and requests that differ in cost.
///
/// Nodes are drawn by weight. Drawn evenly, none could get more than two in n of the requests, which
/// is too little for a node that is meant to get more than that; by weight, the shares of an idle
/// pool are exactly those of the weights, since of equals the one drawn first is taken, and as the
/// load grows it is levelled.
///
/// Nodes of weight 0 get nothing while another has more. A retry goes to an untried node.
struct TwoChoices: Strategy, Updating, Describing, Plugin {
    static let name = "two-choices"
    static let version = "1.0.0"
    static let summary = "the less busy of two random nodes, by weight"

    private let host: Host
    private var lottery = Lottery()

    init(_ setup: Setup) {
        host = setup.host
        lottery.fill(setup.pool)
    }

    mutating func update(_ pool: Pool, _ changes: Changes) {
        if !changes.isDisjoint(with: [.nodes, .states, .weights]) { lottery.fill(pool) }
    }

    mutating func pick(_ pool: Pool, _ request: Request) -> Decision {
        guard !pool.ready.isEmpty else { return .pass }
        let drawn = lottery.draw(host)
        if let first = drawn {
            let second = lottery.draw(host, except: first) ?? first
            let mayFirst = pool.isReady(first) && !request.hasTried(first)
            let maySecond = second != first && pool.isReady(second) && !request.hasTried(second)
            if mayFirst && maySecond {
                let node = isBusier(pool, first, than: second) ? second : first
                if !request.wantsReason { return .node(node, because: "less busy of two") }
                let running = pool.load(node).inFlightAll
                return .node(node, because: "less busy of two: \(running) running")
            }
            if mayFirst { return .node(first, because: "the only choice") }
            if maySecond { return .node(second, because: "the only choice") }
        }
        let start = host.random(below: pool.ready.count)
        if let node = pool.untried(request, from: start) {
            return .node(node, because: "not tried yet")
        }
        if let drawn, pool.isReady(drawn) { return .node(drawn, because: "all were tried") }
        return .node(pool.ready[start], because: "all were tried")
    }

    /// Compares running / weight without dividing. Where all weights are 0, all count as equal.
    private func isBusier(_ pool: Pool, _ node: NodeIndex, than other: NodeIndex) -> Bool {
        let running = UInt64(pool.load(node).inFlightAll)
        let runningThere = UInt64(pool.load(other).inFlightAll)
        let weight = UInt64(max(pool[node].weight, 1))
        let weightThere = UInt64(max(pool[other].weight, 1))
        return running * weightThere > runningThere * weight
    }

    func describe(_ pool: Pool, into description: inout Description) {
        description.add("nodes drawn from", lottery.count)
        description.add("sum of weights", lottery.total)
    }
}

/// The entry that Trivet looks for.
@c @implementation
public func trivet_plugin_v1(_ host: HostRef, _ error: ErrorRef) -> TableRef {
    unsafe TwoChoices.export(host, error)
}
