// The strategy "wary-choices": what a plugin looks like that has options, uses randomness and learns
// from how its picks end. (The bundled "two-choices" goes by weight and knows no penalty.)

import TrivetPlugin

/// Two random ready nodes; the less busy one takes the request: `strategy: "wary-choices"`.
///
/// Nearly as even as asking all nodes, at the price of two; and workers do not all rush to the
/// same idle node (Mitzenmacher 2001, "The power of two choices in randomized load balancing").
///
/// Option `penalty`: running requests that a node counts as, for each of its last picks that
/// failed, up to eight of them (default 2).
struct TwoChoices: Strategy, Learning, Updating, Plugin {
    static let name = "wary-choices"
    static let version = "1.0.0"
    static let summary = "the less busy of two random nodes, wary of failures"
    static let options = [
        Option("penalty", "running requests that one recent failure counts as (default 2)")
    ]

    private let host: Host
    private let penalty: UInt32
    private var failures: [UInt32]  // recent ones, by node

    init(_ setup: Setup) throws(Refusal) {
        host = setup.host
        penalty = UInt32(try setup.options.integer("penalty", default: 2, in: 0...100))
        failures = Array(repeating: 0, count: setup.pool.count)
    }

    mutating func pick(_ pool: Pool, _ request: Request) -> Decision {
        let ready = pool.ready
        guard !ready.isEmpty else { return .pass }
        let one = ready[host.random(below: ready.count)]
        let other = ready[host.random(below: ready.count)]
        if request.hasTried(one) && request.hasTried(other) { return .pass }
        if request.hasTried(one) { return .node(other, because: "the other was tried") }
        if request.hasTried(other) { return .node(one, because: "the other was tried") }
        let better = load(pool, one) <= load(pool, other) ? one : other
        return .node(better, because: "less busy of two: \(load(pool, better)) running")
    }

    mutating func learn(_ pool: Pool, _ result: PickResult) {
        guard let node = result.node else { return }
        switch result.outcome {
        case .answered where result.status < 500: failures[node.offset] /= 2
        case .abandoned: break
        default: failures[node.offset] = min(failures[node.offset] + 1, 8)
        }
    }

    mutating func update(_ pool: Pool, _ changes: Changes) {
        if changes.contains(.nodes) { failures = Array(repeating: 0, count: pool.count) }
    }

    private func load(_ pool: Pool, _ node: NodeIndex) -> UInt32 {
        pool.load(node).inFlightAll + penalty * failures[node.offset]
    }
}

/// The entry that Trivet looks for.
@c @implementation
public func trivet_plugin_v1(_ host: HostRef, _ error: ErrorRef) -> TableRef {
    TwoChoices.export(host, error)
}
