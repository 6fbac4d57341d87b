// The health check "octopus": reads the ping of an Octopus Deploy server node. What is known of that
// ping: status 200 is online; 418 is draining or offline, and only the JSON body tells which; the
// body may lack any member, be an HTML page, be cut short, or be empty.

import TrivetPlugin

/// Asks a node of an Octopus Deploy cluster how it is: `health: { check: "octopus" }`.
///
/// | the node answers | verdict |
/// | --- | --- |
/// | 200 | up |
/// | 418, `IsOffline` is true in the body | down, at once |
/// | 418 otherwise, also with an unreadable body | draining, at once |
/// | anything else, or nothing in time | down, after `fall` such answers |
///
/// Option `path`: the ping's path (default /api/octopusservernodes/ping), for a server under a
/// virtual directory.
///
/// Metadata for strategies and dashboards, as far as the body has them: `version`, `node` (the
/// node's own name), `max-tasks` (its task cap; 0 is a node for the web portal only). An answer that
/// cannot be read leaves what was known; a node that is down has none.
struct Octopus: HealthCheck, Plugin {
    static let name = "octopus"
    static let version = "1.0.0"
    static let summary = "the ping of an Octopus Deploy server: up, draining or down"
    static let options = [
        Option("path", "path of the ping (default \(standardPath))")
    ]
    private static let standardPath = "/api/octopusservernodes/ping"

    private let path: String
    /// What living nodes said last, by node id: one damaged body is no news.
    private var known: [UInt64: [(key: String, value: String)]] = [:]

    init(_ setup: CheckSetup) throws(Refusal) {
        path = try setup.options.path("path", default: Self.standardPath)
    }

    mutating func probe(_ node: Node, step: Int) -> Probe? {
        Probe(.http(target: path, headers: [("Accept", "application/json")]))
    }

    mutating func judge(_ node: Node, _ reply: Reply) -> Judgement {
        guard reply.outcome == .answered else { return down(node, because: reply.failure) }
        switch reply.status {
        case 200:
            return .done(Verdict(.up, because: "online", metadata: metadata(node, reply)))
        case 418 where reply.json("/IsOffline") == .bool(true):
            return down(node, because: "says it is offline", atOnce: true)
        case 418:
            let drains = reply.json("/IsInMaintenanceMode") == .bool(true)
            return .done(
                Verdict(
                    .draining,
                    because: drains ? "drains for maintenance" : "answered 418: it drains",
                    atOnce: true, metadata: metadata(node, reply)))
        default:
            return down(node, because: "answered \(reply.status), not 200 or 418")
        }
    }

    private mutating func down(
        _ node: Node, because reason: String, atOnce: Bool = false
    ) -> Judgement {
        known[node.id] = nil
        return .done(Verdict(.down, because: reason, atOnce: atOnce))
    }

    /// What the body tells, or what an earlier one told if this one is not JSON.
    private mutating func metadata(
        _ node: Node, _ reply: Reply
    ) -> [(key: String, value: String)] {
        guard case .compound = reply.json("") else { return known[node.id] ?? [] }
        var found: [(key: String, value: String)] = []
        if let tasks = reply.json("/MaxConcurrentTasks").integer, tasks >= 0 {
            found.append(("max-tasks", "\(tasks)"))
        }
        if let name = reply.json("/Name").string, !name.isEmpty { found.append(("node", name)) }
        if let version = reply.json("/Version").string, !version.isEmpty {
            found.append(("version", version))
        }
        known[node.id] = found
        return found
    }
}

/// The entry that Trivet looks for.
@c @implementation
public func trivet_plugin_v1(_ host: HostRef, _ error: ErrorRef) -> TableRef {
    unsafe Octopus.export(host, error)
}
