// A whole strategy in one file; SDK/README.md says how to build it with one command.

import TrivetPlugin

struct Turns: Strategy, Plugin {
    static let name = "turns", version = "1.0.0", summary = "every ready node in its turn"
    init(_ setup: Setup) {}
    mutating func pick(_ pool: Pool, _ request: Request) -> Decision {
        let turn = Int(truncatingIfNeeded: pool.ticket())
        guard let node = pool.untried(request, from: turn) else { return .pass }
        return .node(node, because: "its turn")
    }
}

/// The entry that Trivet looks for.
@c @implementation public func trivet_plugin_v1(_ host: HostRef, _ error: ErrorRef) -> TableRef {
    Turns.export(host, error)
}
