// The strategy "sticky": keeps clients on their node. Which node a new client gets is the next
// strategy's to say; how a session is carried (a signed cookie) is the host's.

import TrivetPlugin

/// Keeps a client on the node that it has a session with: `strategy: ["sticky", "round-robin"]`. No
/// options. For applications that keep something of their users in a node's memory.
///
/// It stays first in the list. A client is kept as long as its node is alive: also while the node
/// drains, and whatever its tier and weight. New clients, and those whose node is down, has left the
/// pool or has just failed them, are passed to the next strategy, and stick to whichever node
/// serves them in the end. If none follows, they get one by the built-in round robin.
struct Sticky: Strategy, Updating, Plugin {
    static let name = "sticky"
    static let version = "1.0.0"
    static let summary = "keeps a client on its node, also while it drains; passes others on"

    init(_ setup: Setup) {}

    /// Nothing is derived from the pool; declared so that no new instance is made for a change.
    mutating func update(_ pool: Pool, _ changes: Changes) {}

    mutating func pick(_ pool: Pool, _ request: Request) -> Decision {
        guard let node = request.sessionNode, node.offset < pool.count else {
            return .pass(stick: true, because: "no session yet")
        }
        if request.hasTried(node) { return .pass(stick: true, because: "its node failed") }
        if pool[node].state == .down { return .pass(stick: true, because: "its node is down") }
        // The wish holds: the host renews a session that grows old or was signed with an old secret,
        // and sends nothing where there is nothing to renew.
        return .node(node, because: "its session", stick: true)
    }
}

/// The entry that Trivet looks for.
@c @implementation
public func trivet_plugin_v1(_ host: HostRef, _ error: ErrorRef) -> TableRef {
    unsafe Sticky.export(host, error)
}
