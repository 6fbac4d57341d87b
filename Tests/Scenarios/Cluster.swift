// Three demo nodes and Trivet in front of them, as processes: what most scenarios begin with.

import Base
import TestKit

/// A running balancer with its nodes; everything ends with it.
final class Cluster {
    let nodes: [Node]
    let trivet: Trivet
    let port: UInt16

    /// - Parameters:
    ///   - nodes: how many.
    ///   - health: the pool's block, or nil for none.
    ///   - pool: further keys of the pool, each with a comma at its end.
    ///   - listener: further keys of the listener, likewise.
    ///   - top: further keys of the configuration, likewise.
    ///   - descriptors: how many the processes may have open.
    init(
        nodes count: Int = 3, workers: Int = 2,
        health: String? = #"{ check: "octopus", interval: "200ms", timeout: "2s" }"#,
        strategy: String = #""round-robin""#, pool: String = "", listener: String = "",
        top: String = "", in folder: TemporaryFolder? = nil, descriptors: Int? = nil
    ) throws {
        let nodes = try (1...count).map { try Node("node\($0)") }
        self.nodes = nodes
        let lines = nodes.map { #"{ name: "\#($0.name)", address: "\#($0.address)" }"# }
        let check = health.map { "health: \($0)," } ?? ""
        trivet = try Trivet(
            configuration: """
                {
                  workers: \(workers), \(top)
                  listeners: [{ name: "web", address: "127.0.0.1:0", pool: "octopus", \(listener) }],
                  pools: { octopus: { strategy: \(strategy), \(check) \(pool)
                    nodes: [\(lines.joined(separator: ", "))] } },
                }
                """, in: folder, descriptors: descriptors)
        port = try Self.port(of: trivet)
    }

    /// The port of its first listener, once it serves.
    static func port(of trivet: Trivet) throws -> UInt16 {
        let line = try trivet.process.waitForLine(containing: "serving: ")
        guard let start = line.range(of: " on 127.0.0.1:")?.upperBound,
            let port = UInt16(line[start...].prefix { $0.isNumber })
        else { throw TestFailure("no port in \"\(line)\"") }
        return port
    }

    func client() throws -> RawClient { try RawClient(port: port) }

    /// The one balancer process of the supervisor.
    func balancer() throws -> ProcessFacts {
        let children = try trivet.process.facts.children()
        guard children.count == 1 else { throw TestFailure("\(children.count) balancers") }
        return ProcessFacts(children[0])
    }

    /// Where the log ends now: for `waitForLine(from:)`.
    var logEnd: Int { trivet.process.lines.count }
}

extension String {
    /// Where a text stands in this one; Foundation has this, and is not here.
    func range(of text: String) -> Range<Index>? {
        var at = startIndex
        while at < endIndex {
            if self[at...].hasPrefix(text) { return at..<index(at, offsetBy: text.count) }
            at = index(after: at)
        }
        return nil
    }
}
