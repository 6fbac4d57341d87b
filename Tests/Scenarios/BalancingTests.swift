// What a cluster's users rely on: requests spread evenly, nodes drained and lost without loss, states
// told in plain words.

import TestKit
import Testing

@Suite("Requests are balanced, and nodes come and go without loss")
struct BalancingTests {
    @Test("3,000 requests over 3 nodes and 2 workers land 1,000 each", .timeLimit(.minutes(10)))
    func exactTurns() throws {
        let cluster = try Cluster()
        // Many connections, so that both workers have some.
        for _ in 0..<30 {
            let client = try cluster.client()
            for _ in 0..<100 { #expect(try client.get("/status?code=200").status == 200) }
        }
        for node in cluster.nodes { #expect(try node.stats().requests == 1000) }
    }

    @Test(
        "a draining node gets no new request, and its upload ends well", .timeLimit(.minutes(10)))
    func draining() throws {
        let cluster = try Cluster()
        // An upload that is half through on some node.
        let upload = try cluster.client()
        let size = 200_000
        try upload.send(
            "POST /api/packages/raw HTTP/1.1\r\nHost: test\r\nContent-Length: \(size)\r\n\r\n")
        try upload.send(Pattern.bytes(size / 2))
        let busy = try eventually("an upload that has begun") {
            try cluster.nodes.first { try $0.stats().inFlight > 0 }
        }
        let end = cluster.logEnd
        try busy.set(state: "draining")
        try cluster.trivet.process.waitForLine(
            containing: "octopus/\(busy.name): up -> draining", from: end)
        let before = try busy.stats().requests
        let client = try cluster.client()
        for _ in 0..<50 { #expect(try client.get("/").node != busy.name) }
        #expect(try busy.stats().requests == before)
        try upload.send(Pattern.bytes(size - size / 2, from: size / 2))
        let answer = try upload.response()
        #expect(answer.status == 201 || answer.status == 200)
        #expect(answer.node == busy.name)
        #expect(answer.text.contains(Pattern.sum(size)))
        let now = cluster.logEnd
        try busy.set(state: "up")
        try cluster.trivet.process.waitForLine(
            containing: "octopus/\(busy.name): draining -> up", from: now)
        let seen = try Set((0..<6).compactMap { _ in try client.get("/").node })
        #expect(seen.count == 3)
    }

    @Test("if every node drains, they serve on", .timeLimit(.minutes(10)))
    func allDraining() throws {
        let cluster = try Cluster()
        for node in cluster.nodes {
            let end = cluster.logEnd
            try node.set(state: "draining")
            try cluster.trivet.process.waitForLine(
                containing: "octopus/\(node.name): up -> draining", from: end)
        }
        let client = try cluster.client()
        let seen = try Set((0..<6).compactMap { _ in try client.get("/").node })
        #expect(seen.count == 3)
    }

    @Test("if every node is down, the client is told in a sentence", .timeLimit(.minutes(10)))
    func allDown() throws {
        let cluster = try Cluster(nodes: 1)
        let end = cluster.logEnd
        try cluster.nodes[0].set(state: "offline")
        try cluster.trivet.process.waitForLine(
            containing: "octopus/node1: up -> down", from: end)
        let client = try cluster.client()
        let answer = try client.get("/")
        #expect(answer.status == 503)
        #expect(answer.text.contains("no node"))
        #expect(try client.get("/").status == 503, "the connection stays")
    }

    @Test("a killed node costs no GET", .timeLimit(.minutes(10)))
    func killed() throws {
        let cluster = try Cluster()
        let clients = try (0..<8).map { _ in try cluster.client() }
        for client in clients { #expect(try client.get("/").status == 200) }
        // In flight on all three nodes while one dies.
        for client in clients { try client.request("GET", "/slow?ms=300") }
        let victim = try eventually("a node with requests in flight") {
            try cluster.nodes.first { try $0.stats().inFlight > 0 }
        }
        try victim.kill()
        for client in clients {
            let answer = try client.response()
            #expect(answer.status == 200)
            #expect(answer.node != victim.name)
        }
        for client in clients {
            for _ in 0..<10 { #expect(try client.get("/").status == 200) }
        }
        try cluster.trivet.process.waitForLine(
            containing: "octopus/\(victim.name): up -> down", within: 10)
    }

    @Test("backups take over when the first tier is gone, and stand back again")
    func tiers() throws {
        let first = try Node("first")
        let backup = try Node("backup")
        let trivet = try Trivet(
            configuration: """
                { listeners: [{ address: "127.0.0.1:0", pool: "p" }],
                  pools: { p: { health: { check: "octopus", interval: "100ms", rise: 1 }, nodes: [
                    { name: "first", address: "\(first.address)" },
                    { name: "backup", address: "\(backup.address)", tier: 1 } ] } } }
                """)
        let client = try RawClient(port: Cluster.port(of: trivet))
        for _ in 0..<4 { #expect(try client.get("/").node == "first") }
        try first.set(state: "draining")
        try trivet.process.waitForLine(containing: "p/first: up -> draining")
        for _ in 0..<4 { #expect(try client.get("/").node == "backup") }
        try first.set(state: "up")
        try trivet.process.waitForLine(containing: "p/first: draining -> up")
        for _ in 0..<4 { #expect(try client.get("/").node == "first") }
    }

    @Test("host and path lead to their pools")
    func routes() throws {
        let web = try Node("web")
        let api = try Node("api")
        let trivet = try Trivet(
            configuration: """
                { listeners: [{ address: "127.0.0.1:0", pool: "web",
                    routes: [{ host: "*.example.com", path: "/v2/*", pool: "api" }] }],
                  pools: { web: { nodes: [{ name: "a", address: "\(web.address)" }] },
                           api: { nodes: [{ name: "b", address: "\(api.address)" }] } } }
                """)
        let client = try RawClient(port: Cluster.port(of: trivet))
        #expect(
            try client.get("/v2/x", fields: [("Host", "API.example.com:80")]).node == "api")
        #expect(try client.get("/v1/x", fields: [("Host", "api.example.com")]).node == "web")
        #expect(try client.get("/v2/x", fields: [("Host", "example.com")]).node == "web")
    }
}
