// A plugin for the tests of sessions: keeps a client on its node, also while that drains, and passes
// everybody else with the wish to stick. What the host does about it is what is tested.

import TrivetPlugin

struct FixtureSticky: Strategy, Plugin {
    static let name = "fixture-sticky"
    static let version = "0.1.0"
    static let summary = "keeps clients, for tests"

    init(_ setup: Setup) {}

    mutating func pick(_ pool: Pool, _ request: Request) -> Decision {
        guard let node = request.sessionNode, pool[node].state != .down, !request.hasTried(node)
        else { return .pass(stick: true) }
        return .node(node, because: "as before", stick: true)
    }
}

/// The entry that Trivet looks for.
@c @implementation
public func trivet_plugin_v1(_ host: HostRef, _ error: ErrorRef) -> TableRef {
    unsafe FixtureSticky.export(host, error)
}
