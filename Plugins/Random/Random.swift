// The strategy "random": by weight, in constant time. The alias method itself (Walker 1977, Vose
// 1991) is the SDK's `Lottery`; here is when its table is made, and what else a pick must heed.

import TrivetPlugin

/// A random ready node, each as likely as its weight says: `strategy: "random"`. No options.
///
/// Workers share nothing for it, and it costs the same at 10,000 nodes as at three. Right where
/// there are many requests and nodes and any even spread will do, or to compare others with: over
/// few requests the shares are uneven, where round robin's are exact. "two-choices" costs little
/// more and looks at the load.
///
/// Nodes of weight 0 get nothing while another has more. A retry is drawn among the untried nodes.
struct Random: Strategy, Updating, Describing, Plugin {
    static let name = "random"
    static let version = "1.0.0"
    static let summary = "a random ready node, by weight"

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
        // One draw, unless this is a retry; then enough to go by weight in nearly all cases.
        var draws = request.tried.isEmpty ? 1 : 8
        while draws > 0, let node = lottery.draw(host) {
            if pool.isReady(node) && !request.hasTried(node) {
                return .node(node, because: "drawn by weight")
            }
            draws -= 1
        }
        let start = host.random(below: pool.ready.count)
        if let node = pool.untried(request, from: start) {
            return .node(node, because: "not tried yet")
        }
        if let node = lottery.draw(host), pool.isReady(node) {
            return .node(node, because: "all were tried")
        }
        return .node(pool.ready[start], because: "all were tried")
    }

    func describe(_ pool: Pool, into description: inout Description) {
        description.add("nodes drawn from", lottery.count)
        description.add("sum of weights", lottery.total)
    }
}

/// The entry that Trivet looks for.
@c @implementation
public func trivet_plugin_v1(_ host: HostRef, _ error: ErrorRef) -> TableRef {
    unsafe Random.export(host, error)
}
