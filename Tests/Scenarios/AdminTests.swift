// The window on a running balancer, with real processes: what it shows is what happened, also after a
// reload and after a crash, and `trivet reload` finds the running one through it.

import Base
import Glibc
import TestKit
import Testing

@Suite("What an operator can see of a running balancer")
struct AdminTests {
    /// The value of a line of `/metrics`.
    private func value(_ series: String, on port: UInt16) throws -> Double? {
        try RawClient(port: port, host: "127.0.0.1").get("/metrics").text.split(separator: "\n")
            .first { $0.hasPrefix(series + " ") }
            .flatMap { Double($0.dropFirst(series.utf8.count + 1)) }
    }

    private func expect(_ series: String, _ wanted: Double, on port: UInt16) throws {
        try eventually("\(series) \(wanted)") {
            try value(series, on: port) == wanted ? true : nil
        }
    }

    private func state(on port: UInt16) throws -> JSONNode {
        try RawClient(port: port, host: "127.0.0.1").get("/state").json()
    }

    private func adminPort(of trivet: Trivet) throws -> UInt16 {
        let line = try trivet.process.waitForLine(containing: "; admin on 127.0.0.1:")
        guard let start = line.range(of: "; admin on 127.0.0.1:")?.upperBound,
            let port = UInt16(line[start...].prefix { $0.isNumber })
        else { throw TestFailure("no admin port in \"\(line)\"") }
        return port
    }

    @Test("requests, states and their reasons are shown as they are", .timeLimit(.minutes(10)))
    func counts() throws {
        let cluster = try Cluster(
            health: #"{ check: "octopus", interval: "50ms", timeout: "2s", rise: 1, fall: 1 }"#,
            listener: "max_connections: 500", top: #"admin: { address: "127.0.0.1:0" },"#)
        let port = try adminPort(of: cluster.trivet)
        let client = try cluster.client()
        for _ in 0..<30 { #expect(try client.get("/").status == 200) }
        for node in ["node1", "node2", "node3"] {
            let labels = #"{pool="octopus",node="\#(node)"}"#
            try expect("trivet_node_picks_total\(labels)", 10, on: port)
            try expect(
                #"trivet_node_responses_total{pool="octopus",node="\#(node)",class="2xx"}"#, 10,
                on: port)
            try expect("trivet_node_in_flight\(labels)", 0, on: port)
        }
        try expect(#"trivet_listener_connections{listener="web"}"#, 1, on: port)
        try expect(#"trivet_listener_max_connections{listener="web"}"#, 500, on: port)
        try expect(#"trivet_pool_fallback_picks_total{pool="octopus"}"#, 0, on: port)
        let down = #"trivet_node_state{pool="octopus",node="node2",state="down"}"#
        try expect(down, 0, on: port)
        try cluster.nodes[1].kill()
        try expect(down, 1, on: port)
        let state = try state(on: port)
        #expect(state["supervisor_pid"]?.intValue == Int(cluster.trivet.process.pid))
        #expect(state["pid"]?.intValue == Int(try cluster.balancer().pid))
        guard case .array(let pools)? = state["pools"]?.kind, let pool = pools.first,
            case .array(let nodes)? = pool["nodes"]?.kind,
            case .array(let strategies)? = pool["strategies"]?.kind,
            case .array(let plugins)? = state["plugins"]?.kind
        else { throw TestFailure(state.encoded()) }
        #expect(nodes.map { $0["state"]?.stringValue } == ["up", "down", "up"])
        #expect(nodes[1]["reason"]?.stringValue?.isEmpty == false)
        #expect(nodes[1]["address"]?.stringValue == cluster.nodes[1].address)
        #expect(strategies.first?["name"]?.stringValue == "round-robin")
        #expect(strategies.first?["build"]?.stringValue?.count == 16)
        #expect(plugins.count == 2 && plugins.allSatisfy { $0["serving"]?.kind == .bool(true) })
    }

    @Test("reloads and refusals are counted, and a crash loses no count", .timeLimit(.minutes(10)))
    func reloads() throws {
        let folder = try TemporaryFolder()
        let admin = try ReservedPort()
        // No pid_file: the running one is found by its admin address.
        let cluster = try Cluster(
            top: #"plugins: ["."], admin: { address: "127.0.0.1:\#(admin.number)" },"#, in: folder)
        let config = folder.path + "/trivet.json5"
        func reload() throws -> (exit: Child.Exit, said: String) {
            let outcome = try Trivet.run(["reload", config])
            return (outcome.exit, outcome.output + outcome.error)
        }
        try expect("trivet_generation", 1, on: admin.number)
        #expect(try reload().exit == .code(0))
        try expect("trivet_generation", 2, on: admin.number)
        try expect(#"trivet_reloads_total{outcome="done"}"#, 1, on: admin.number)
        let before = try value("trivet_last_reload_timestamp_seconds", on: admin.number)
        #expect((before ?? 0) > 1_500_000_000)
        let text = try folder.write("hello", to: "libtext.so")
        let (exit, said) = try reload()
        #expect(exit == .code(1) && said.contains("libtext.so"), "\(said)")
        try expect(#"trivet_reloads_total{outcome="refused"}"#, 1, on: admin.number)
        try expect("trivet_generation", 2, on: admin.number)
        let state = try state(on: admin.number)
        guard case .array(let refused)? = state["refused_plugins"]?.kind else {
            throw TestFailure(state.encoded())
        }
        #expect(refused.count == 1)
        #expect(refused.first?["file"]?.stringValue?.hasSuffix("/libtext.so") == true)
        _ = unsafe unlink(text)
        let balancer = try cluster.balancer()
        kill(balancer.pid, SIGKILL)
        try expect("trivet_balancer_restarts_total", 1, on: admin.number)
        #expect(try value(#"trivet_reloads_total{outcome="done"}"#, on: admin.number) == 1)
        #expect(try cluster.client().get("/").status == 200)
    }

    @Test("the admin address moves, goes and comes back on a reload", .timeLimit(.minutes(10)))
    func moving() throws {
        let folder = try TemporaryFolder()
        let (first, second) = (try ReservedPort(), try ReservedPort())
        let cluster = try Cluster(
            top: #"pid_file: "trivet.pid", admin: { address: "127.0.0.1:\#(first.number)" },"#,
            in: folder)
        let config = folder.path + "/trivet.json5"
        let text = String(decoding: try readFile(config), as: UTF8.self)
        func reload(_ text: String) throws {
            try folder.write(text, to: "trivet.json5")
            let (exit, output, error) = try Trivet.run(["reload", config])
            guard exit == .code(0) else { throw TestFailure(output + error) }
        }
        let client = try cluster.client()
        #expect(try client.get("/").status == 200)
        let scraper = try RawClient(port: first.number, host: "127.0.0.1")
        #expect(try scraper.get("/metrics").status == 200)
        try reload(text)
        #expect(try scraper.get("/metrics").status == 200, "nothing has changed")
        try reload(text.replacing(":\(first.number)", with: ":\(second.number)"))
        #expect(try RawClient(port: second.number, host: "127.0.0.1").get("/metrics").status == 200)
        try eventually("the old address is closed") {
            RawClient.canConnect(to: first.number) ? nil : true
        }
        try reload(
            text.replacing(#"admin: { address: "127.0.0.1:\#(first.number)" },"#, with: ""))
        try eventually("there is no admin address") {
            RawClient.canConnect(to: second.number) ? nil : true
        }
        try reload(text)
        #expect(try RawClient(port: first.number, host: "127.0.0.1").get("/state").status == 200)
        // One that is in use is refused, and the present one stays.
        let taken = try RawClient(port: cluster.port)
        #expect(try taken.get("/").status == 200)
        try folder.write(
            text.replacing(":\(first.number)", with: ":\(cluster.nodes[0].port)"),
            to: "trivet.json5")
        let (exit, output, error) = try Trivet.run(["reload", config])
        #expect(exit == .code(1) && (output + error).contains("admin cannot listen on"))
        #expect(try RawClient(port: first.number, host: "127.0.0.1").get("/state").status == 200)
        #expect(try client.get("/").status == 200)
    }
}
