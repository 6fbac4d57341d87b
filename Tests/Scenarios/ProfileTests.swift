// The whole Octopus deployment behind one process, from `profile: "octopus"`: three servers, each with its portal
// and with what stands for its Tentacle port, in all states that a server can be in.

import Base
import Glibc
import TestKit
import Testing

@Suite("The Octopus profile, as a cluster", .timeLimit(.minutes(10)))
struct ProfileTests {
    /// Three servers. The web node answers pings; the other one is whoever takes connections on 10943, and says
    /// its name to who asks in HTTP, which is as good as any for bytes that nobody looks at.
    private final class Deployment {
        let web: [Node]
        let wire: [Node]
        let trivet: Trivet
        private let ports = [String: ReservedPort](
            uniqueKeysWithValues: ["http", "tentacles", "grpc", "admin"].map {
                ($0, try! ReservedPort())
            })

        init(web: [[String]] = [[], [], []], names: [String] = ["one", "two", "three"]) throws {
            self.web = try zip(names, web).map { try Node($0, arguments: $1) }
            wire = try (1...3).map { try Node("wire\($0)") }
            let hosts = zip(self.web, wire).enumerated().map { index, nodes in
                "{ name: 'server\(index + 1)', host: '127.0.0.1', web: \(nodes.0.port), "
                    + "tentacles: \(nodes.1.port), grpc: \(nodes.1.port) }"
            }
            trivet = try Trivet(
                configuration: """
                    {
                      profile: "octopus",
                      hosts: [\(hosts.joined(separator: ",\n"))],
                      listen: "127.0.0.1",
                      ports: { http: \(ports["http"]!.number), grpc: \(ports["grpc"]!.number),
                        tentacles: \(ports["tentacles"]!.number) },
                      admin: { address: "127.0.0.1:\(ports["admin"]!.number)" },
                      // Faster than in life.
                      pools: { octopus: { health: { check: "octopus", interval: "100ms",
                        timeout: "5s", rise: 1, fall: 2 } } },
                    }
                    """)
            try trivet.process.waitForLine(containing: "serving: ")
        }

        /// Who answers a new connection to a listener, over so many of them.
        func served(_ listener: String, _ count: Int = 6) throws -> Set<String> {
            var names: Set<String> = []
            for _ in 0..<count {
                let response = try RawClient(port: ports[listener]!.number).get("/")
                names.insert(response.node ?? "\(response.status)")
            }
            return names
        }

        func client(_ listener: String) throws -> RawClient {
            try RawClient(port: ports[listener]!.number)
        }

        func state() throws -> JSONNode {
            try RawClient(port: ports["admin"]!.number, host: "127.0.0.1").get("/state").json()
        }

        /// Changes the state of a server and waits for its Tentacle port to follow.
        func set(_ server: Int, _ state: String, isThen word: String) throws {
            let end = trivet.process.lines.count
            try web[server].set(state: state)
            try trivet.process.waitForLine(
                containing: "node tentacles/server\(server + 1): ", from: end)
            try trivet.process.waitForLine(containing: "-> \(word), as octopus/", from: end)
        }
    }

    @Test("every port of a server follows its ping: up, draining, offline, in trouble, and back")
    func states() throws {
        let cluster = try Deployment()
        #expect(try cluster.served("http") == ["one", "two", "three"])
        #expect(try cluster.served("tentacles") == ["wire1", "wire2", "wire3"])
        #expect(try cluster.served("grpc") == ["wire1", "wire2", "wire3"])

        // Who polls a server that drains is let be; who comes anew goes elsewhere.
        let poller = try cluster.client("tentacles")
        let mine = try #require(try poller.get("/").node)
        let server = try #require(cluster.wire.firstIndex { $0.name == mine })
        try cluster.set(server, "draining", isThen: "draining")
        let others = Set(["wire1", "wire2", "wire3"]).subtracting([mine])
        #expect(try cluster.served("tentacles") == others)
        #expect(try cluster.served("grpc") == others)
        #expect(try cluster.served("http").count == 2)
        #expect(try poller.get("/").node == mine)

        try cluster.set(server, "offline", isThen: "down")
        #expect(try cluster.served("tentacles") == others)
        try cluster.set(server, "up", isThen: "up")
        #expect(try cluster.served("tentacles").contains(mine))
        try cluster.set(server, "broken", isThen: "down")
        #expect(try cluster.served("http").count == 2)
        try cluster.set(server, "up", isThen: "up")

        // If all drain, they serve on, or nobody could un-drain one.
        for server in 0..<3 { try cluster.set(server, "draining", isThen: "draining") }
        #expect(try cluster.served("http") == ["one", "two", "three"])
        #expect(try cluster.served("tentacles") == ["wire1", "wire2", "wire3"])
        for server in 0..<3 { try cluster.set(server, "offline", isThen: "down") }
        #expect(try cluster.served("http") == ["503"])
        // Broken off, perhaps before it is known to be there.
        if let nobody = try? cluster.client("tentacles") { _ = try nobody.waitForEnd() }
        #expect(try poller.get("/").node == mine)
    }

    @Test("a server for the portal alone gets no Tentacle")
    func portal() throws {
        let cluster = try Deployment(web: [[], ["--max-tasks", "0"], []])
        #expect(try cluster.served("http") == ["one", "two", "three"])
        #expect(try cluster.served("tentacles") == ["wire1", "wire3"])
        #expect(try cluster.served("grpc") == ["wire1", "wire2", "wire3"])
    }

    @Test(
        "servers of two versions, and one that is there twice, are told of, in the log and in the state"
    )
    func warnings() throws {
        let cluster = try Deployment(
            web: [[], ["--release", "2026.4.1"], []], names: ["one", "two", "one"])
        let skew = try cluster.trivet.process.waitForLine(
            containing: "pool octopus: its nodes run different versions (")
        #expect(skew.contains("2026.4.1 on octopus/server2"), "\(skew)")
        #expect(skew.contains("all should run the same"))
        let twice = try cluster.trivet.process.waitForLine(
            containing: "octopus/server1 and octopus/server3 both say that they are \"one\"")
        #expect(twice.contains("is one server configured twice?"))
        try eventually("both in the state") { () -> Bool? in
            let state = try cluster.state()
            guard case .array(let pools)? = state["pools"]?.kind,
                case .array(let warnings)? = pools.first?["warnings"]?.kind
            else { return nil }
            return warnings.count == 2 ? true : nil
        }
        guard case .array(let listeners)? = try cluster.state()["listeners"]?.kind else {
            Issue.record("no listeners")
            return
        }
        #expect(listeners.map { $0["protocol"]?.stringValue } == ["http", "tcp", "tcp"])
    }

    @Test("check --expand prints what the profile stands for, and that serves as well")
    func expansion() throws {
        let folder = try TemporaryFolder()
        let file = try folder.write(
            "{ profile: 'octopus', hosts: ['10.0.0.11', '10.0.0.12:8080'] }", to: "trivet.json5")
        let (exit, output, error) = try Trivet.run(["check", "--expand", file])
        #expect(exit == .code(0), "\(error)")
        #expect(output.contains(#"{ name: "10.0.0.12", address: "10.0.0.12:8080" }"#))
        #expect(output.contains("health_of: \"octopus/10.0.0.11\""))
        let written = try folder.write(output, to: "written.json5")
        let again = try Trivet.run(["check", written])
        #expect(again.exit == .code(0), "\(again.error)")
        #expect(again.output.contains("3 listeners, 3 pools, 6 nodes"))
    }
}
