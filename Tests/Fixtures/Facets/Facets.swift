// A plugin for the tests: every facet of the SDK once, so that losing one fails a test. Its own
// dynamic product, which no release contains.

import TrivetPlugin

struct Facets: Plugin, Attending {
    static let name = "fixture-facets"
    static let version = "0.1.0"
    static var offers: [Offer] { [.strategy(Everything.self), .check(TwoSteps.self)] }

    static func prepare(_ host: Host) throws(Refusal) { host.log(.info, "prepared") }
    static func retire() {}
}

/// Carries a count, sticks, explains, reads every kind of option.
struct Everything: Strategy, Updating, Learning, Lasting, Describing {
    static let name = "everything"
    static let summary = "every facet of the SDK"
    static let options = [Option("size", "a number"), Option("wait", "a duration")]
    static let stateVersion: UInt32 = 7

    private let host: Host
    private let counter: Metric
    private let size: Int
    private let wait: UInt64
    private var picks: UInt64 = 0
    private var lastToken: UInt64 = 0
    private var lastChanges = Changes()

    init(_ setup: Setup) throws(Refusal) {
        let options = setup.options
        host = setup.host
        counter = host.counter("picks_total", "picks")
        size = try options.integer("size", default: 3, in: 1...9)
        wait = try options.duration("wait", default: 5)
        _ = try options.number("ratio", default: 1, in: 0...1.5)
        _ = try options.flag("loud", default: false)
        _ = try options.choice("mode", of: ["fast", "slow"], default: "fast")
        _ = try options.text("text", default: "")
    }

    mutating func pick(_ pool: Pool, _ request: Request) -> Decision {
        picks += 1
        counter.add()
        if request.target.equals("/long") {
            let nine: Text = "123456789"
            return .node(
                pool.index(0), because: "\(nine)\(nine)\(nine)\(nine)\(nine)\(nine)\(nine)é\(1)")
        }
        if request.target.equals("/stick") { return .pass(stick: true, because: "sticks") }
        if request.target.equals("/refuse") { return .refuse(because: "no") }
        if let zone = request.header("x-zone") {
            var offset = 0
            while offset < pool.count {
                let node = pool.index(offset)
                if let of = pool[node].metadata("zone"), of.equals(zone) {
                    return .node(
                        node, because: "zone \(zone) has \(pool.load(node).inFlightAll) running",
                        token: picks, session: "zone=\(zone)")
                }
                offset += 1
            }
        }
        if !request.session.isEmpty, let node = request.sessionNode {
            return .node(node, because: "as before", stick: true, session: Text(request.session))
        }
        return .pass
    }

    mutating func update(_ pool: Pool, _ changes: Changes) { lastChanges = changes }

    mutating func learn(_ pool: Pool, _ result: PickResult) { lastToken = result.token }

    func save(to state: inout StateWriter) {
        state.write(picks)
        state.write("é")
        state.write(2.5)
    }

    mutating func load(from state: inout StateReader, version: UInt32, _ pool: Pool) -> Bool {
        guard version == Self.stateVersion, let count = state.read(UInt64.self),
            state.read(String.self) == "é", state.read(Double.self) == 2.5, state.isAtEnd
        else { return false }
        picks = count
        return true
    }

    func describe(_ pool: Pool, into description: inout Description) {
        description.add("picks", picks)
        description.add("size", size)
        description.add("wait", wait)
        description.add("token", lastToken)
        description.add("nodes_changed", lastChanges.contains(.nodes))
        description.add("quote", "a \"b\"\n")
    }
}

/// Asks twice, and reports from both answers.
struct TwoSteps: HealthCheck {
    static let name = "two-steps"
    static let summary = "a round of two questions"

    init(_ setup: CheckSetup) {}

    mutating func probe(_ node: Node, step: Int) -> Probe? {
        if node.tier > 0 { return nil }
        var probe = Probe(
            step == 0
                ? .http(
                    method: "POST", target: "/login", headers: [("X-A", "1")], body: [123, 125])
                : .tcp(send: [80], until: [10]))
        probe.port = 99
        probe.tls = step == 0
        probe.timeout = 250
        probe.authority = "node.example"
        return probe
    }

    mutating func judge(_ node: Node, _ reply: Reply) -> Judgement {
        if reply.step == 0, reply.outcome == .answered { return .askAgain }
        return .done(
            Verdict(
                .degraded, because: "load \(reply.json("/load").shown)", weight: 5000, next: 750,
                metadata: [("load", reply.header("x-load") ?? "none")]))
    }
}

/// The entry that Trivet looks for.
@c @implementation
public func trivet_plugin_v1(_ host: HostRef, _ error: ErrorRef) -> TableRef {
    unsafe Facets.export(host, error)
}
