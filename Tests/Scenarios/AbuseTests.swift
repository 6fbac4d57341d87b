// More clients than there is room for, descriptors that run out, readers that do not read: the whole
// program under it, and what others notice.

import Base
import Glibc
import TestKit
import Testing

@Suite("Too much is survived")
struct AbuseTests {
    /// Connects and asks once; nil if nobody answers.
    private func served(_ cluster: Cluster, within seconds: Double = 10) throws -> RawClient? {
        let client = try cluster.client()
        client.patience = seconds
        try client.request("GET", "/")
        guard let answer = try? client.response(), answer.status == 200 else { return nil }
        client.patience = 10
        return client
    }

    /// Has the balancer keep as many descriptors as told, whatever it has open.
    private func limit(_ process: ProcessFacts, to count: Int) throws {
        let child = try Child(
            "/usr/bin/prlimit", ["--pid", "\(process.pid)", "--nofile=\(count):20000"])
        guard try child.waitForEnd() == .code(0) else { throw TestFailure(child.transcript()) }
    }

    private func adminPort(of cluster: Cluster) throws -> UInt16 {
        let line = try cluster.trivet.process.waitForLine(containing: "admin on 127.0.0.1:")
        return try #require(line.split(separator: ":").last.flatMap { UInt16($0) })
    }

    private func metric(_ series: String, on port: UInt16) throws -> Double? {
        try RawClient(port: port, host: "127.0.0.1").get("/metrics").text.split(separator: "\n")
            .first { $0.hasPrefix(series + " ") }
            .flatMap { Double($0.dropFirst(series.count + 1)) }
    }

    private func lines(_ words: String, of cluster: Cluster) -> Int {
        cluster.trivet.process.lines.count { $0.text.contains(words) }
    }

    @Test(
        "with few descriptors, clients wait without a spin, and who is in is served",
        .timeLimit(.minutes(10)))
    func fewDescriptors() throws {
        let cluster = try Cluster(nodes: 1, descriptors: 200)
        let line = try cluster.trivet.process.waitForLine(containing: "200 descriptors: room for")
        let room = try #require(line.split(separator: " ").compactMap { Int($0) }.last)
        var held: [RawClient] = []
        while let client = try served(cluster, within: 0.5) {
            held.append(client)
            try #require(held.count <= room)
        }
        #expect(held.count > room / 2, "\(held.count) of \(room)")
        try cluster.trivet.process.waitForLine(containing: "no connections are taken until")
        let waiting = try cluster.client()
        try waiting.request("GET", "/")
        let before = try cluster.balancer().cpuSeconds()
        try waiting.expectSilence(for: 1)
        let spent = try cluster.balancer().cpuSeconds() - before
        #expect(spent < 0.35, "\(spent) s of 1 s were spent on waiting")
        // A body has a connection to the node made anew: there is room for those.
        for client in held {
            #expect(try client.exchange("POST", "/", body: [1]).status == 200)
        }
        held.removeFirst(held.count / 2)
        #expect(try waiting.response().status == 200)
        #expect(lines("no connections are taken until", of: cluster) <= 2)
    }

    @Test(
        "when not a single descriptor is left, it is our fault and not the node's, and it passes",
        .timeLimit(.minutes(10)))
    func noDescriptors() throws {
        let cluster = try Cluster(
            nodes: 1, workers: 1, top: #"admin: { address: "127.0.0.1:0" },"#)
        let admin = try adminPort(of: cluster)
        let held = try (0..<8).map { _ in try #require(try served(cluster)) }
        let balancer = try cluster.balancer()
        // A probe that is out has a descriptor that comes free: it is what is there between two of them.
        let counts = try (0..<40).map { _ in
            _ = poll(nil, 0, 20)
            return try balancer.descriptorCount()
        }
        try limit(balancer, to: counts.min() ?? 0)
        let waiting = try (0..<5).map { _ in try cluster.client() }
        for client in waiting { try client.request("GET", "/") }
        try cluster.trivet.process.waitForLine(containing: "no connections are taken until")
        let before = try balancer.cpuSeconds()
        try waiting[0].expectSilence(for: 1)
        let spent = try balancer.cpuSeconds() - before
        #expect(spent < 0.35, "\(spent) s of 1 s were spent on waiting")
        // An idle connection to the node makes room for each new one, as long as there is one.
        var refused: Response?
        for client in held where refused == nil {
            try client.request("POST", "/upload", fields: [("Content-Length", "10")], body: [1])
            if (try? client.expectSilence(for: 0.3)) == nil { refused = try client.response() }
        }
        #expect(refused?.status == 503)
        #expect(refused?["Retry-After"] == "1")
        try cluster.trivet.process.waitForLine(containing: "connections to nodes cannot be made")
        #expect(lines("no connections are taken until", of: cluster) == 1)
        #expect(lines("connections to nodes cannot be made", of: cluster) == 1)
        // A reload is refused then, and the next one is not.
        let end = cluster.logEnd
        cluster.trivet.process.signal(SIGHUP)
        try cluster.trivet.process.waitForLine(containing: "reload refused", from: end)
        try limit(balancer, to: 10_000)
        for client in waiting { #expect(try client.response().status == 200) }
        #expect(
            try metric(#"trivet_node_failures_total{pool="octopus",node="node1"}"#, on: admin) == 0)
        #expect(
            try metric(#"trivet_node_state{pool="octopus",node="node1",state="up"}"#, on: admin)
                == 1)
        cluster.trivet.process.signal(SIGHUP)
        try cluster.trivet.process.waitForLine(containing: "reloaded: ", from: end)
        #expect(try cluster.balancer().pid == balancer.pid)
    }

    @Test(
        "one client is held to its connections over all workers, and a reload changes how many",
        .timeLimit(.minutes(10)))
    func perClient() throws {
        let folder = try TemporaryFolder()
        let cluster = try Cluster(
            nodes: 1, listener: "max_connections_per_client: 3,",
            top: #"pid_file: "trivet.pid", admin: { address: "127.0.0.1:0" },"#, in: folder)
        let admin = try adminPort(of: cluster)
        let held = try (0..<3).map { _ in try #require(try served(cluster)) }
        for _ in 0..<4 { #expect(try cluster.client().get("/").status == 429) }
        let other = try RawClient(port: cluster.port, from: 0x7F00_0002)
        #expect(try other.get("/").status == 200)
        try cluster.trivet.process.waitForLine(
            containing: "listener web refuses a connection of 127.0.0.1, which has 3")
        #expect(lines("refuses a connection", of: cluster) == 1)
        func refusals() throws -> Double? {
            try metric(
                #"trivet_listener_refused_connections_total{listener="web",limit="client"}"#,
                on: admin)
        }
        #expect(try refusals() == 4)
        #expect(
            try metric(#"trivet_listener_max_connections_per_client{listener="web"}"#, on: admin)
                == 3)
        let config = folder.path + "/trivet.json5"
        let text = String(decoding: try readFile(config), as: UTF8.self)
        func reload(_ limit: Int) throws {
            try folder.write(
                text.replacing("per_client: 3", with: "per_client: \(limit)"), to: "trivet.json5")
            let (exit, output, error) = try Trivet.run(["reload", config])
            guard exit == .code(0) else { throw TestFailure(output + error) }
        }
        // A lower limit cuts nobody.
        try reload(1)
        for client in held { #expect(try client.get("/").status == 200) }
        #expect(try cluster.client().get("/").status == 429)
        try reload(100)
        #expect(try cluster.client().get("/").status == 200)
        for client in held { #expect(try client.get("/").status == 200) }
    }

    @Test(
        "two hundred readers that stop hold the node back, not our memory", .timeLimit(.minutes(10))
    )
    func slowReaders() throws {
        let cluster = try Cluster(nodes: 1)
        let warm = try cluster.client()
        #expect(try warm.get("/bytes?n=1000000&chunked=1").body.count == 1_000_000)
        let before = try cluster.balancer().residentBytes()
        let slow = try (0..<200).map { _ in
            try RawClient(port: cluster.port, receiveBuffer: 4096)
        }
        for (i, client) in slow.enumerated() {
            try client.request("GET", "/bytes?n=8000000" + (i % 2 == 0 ? "&chunked=1" : ""))
        }
        for client in slow { #expect(try client.readHead().status == 200) }
        for _ in 0..<20 { #expect(try warm.get("/").status == 200) }
        let during = try cluster.balancer().residentBytes()
        if ProcessFacts.isMemoryTelling {
            // A buffer of 64 KiB for each that has one.
            #expect(during - before < 24 << 20, "\((during - before) >> 10) KiB more")
        }
        // They are held back, not cut: whoever reads on has all of it. One is dear enough.
        var count = 0
        let head = try RawClient(port: cluster.port).exchange("HEAD", "/bytes?n=8000000").head
        _ = try slow[1].readBody(of: head) { count += $0.count }
        #expect(count == 8_000_000)
    }

    @Test("a limit that the system cannot hold is warned of before it is needed")
    func warned() throws {
        let folder = try TemporaryFolder()
        let file = try folder.write(
            """
            { listeners: [{ name: "web", address: "127.0.0.1:0", pool: "p",
                            max_connections: 9000000 }],
              pools: { p: { nodes: [{ name: "a", address: "127.0.0.1:1" }] } } }
            """, to: "t.json5")
        let check = try Trivet.run(["check", file])
        #expect(check.exit == .code(0))
        #expect(check.error.contains("t.json5:1:39: the listener \"web\" may have 9000000"))
        #expect(check.error.hasPrefix("warning: "))
        #expect(check.output.contains("is good"))
    }

    @Test("who has too few descriptors to serve at all is told so, not served badly")
    func tooFew() throws {
        let trivet = try Trivet(
            configuration: """
                { listeners: [{ address: "127.0.0.1:0", pool: "p" }],
                  pools: { p: { nodes: [{ name: "a", address: "127.0.0.1:1" }] } } }
                """, descriptors: 64)
        #expect(try trivet.process.waitForEnd() == .code(3))
        #expect(
            trivet.process.text(of: .error).contains("64 descriptors, the limit of this process"))
    }
}
