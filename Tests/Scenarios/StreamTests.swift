// Connections of tcp listeners, through the real program: each has its node, which it keeps through
// reloads; new ones follow the nodes' states; the name in a ClientHello leads to a pool.

import Glibc
import TestKit
import Testing

@Suite("Connections are balanced as they are", .timeLimit(.minutes(10)))
struct StreamTests {
    @Test("each connection has one node, in turns, and 50 MB through it arrive whole")
    func turns() throws {
        let cluster = try Cluster(listener: #"protocol: "tcp""#)
        var nodes: [String: Int] = [:]
        for _ in 0..<9 {
            let client = try cluster.client()
            let first = try #require(try client.get("/").node)
            for _ in 0..<5 { #expect(try client.get("/").node == first) }
            nodes[first, default: 0] += 1
        }
        #expect(nodes.count == 3)
        let client = try cluster.client()
        let size = 50_000_000
        try client.send(
            "POST /api/packages/raw HTTP/1.1\r\nHost: test\r\nContent-Length: \(size)\r\n\r\n")
        try client.send(Pattern.bytes(size))
        #expect(try client.response().text.contains(Pattern.sum(size)))
    }

    @Test("a connection outlives reloads and the draining of its node; new ones go elsewhere")
    func reloads() throws {
        let cluster = try Cluster(listener: #"protocol: "tcp""#)
        let client = try cluster.client()
        let name = try #require(try client.get("/").node)
        let node = try #require(cluster.nodes.first { $0.name == name })
        var end = cluster.logEnd
        cluster.trivet.process.signal(SIGHUP)
        try cluster.trivet.process.waitForLine(containing: "reloaded", from: end)
        #expect(try client.get("/").node == name)
        end = cluster.logEnd
        try node.set(state: "draining")
        try cluster.trivet.process.waitForLine(
            containing: "octopus/\(name): up -> draining", from: end)
        #expect(try client.get("/").node == name)
        for _ in 0..<6 {
            let other = try cluster.client()
            #expect(try other.get("/").node != name)
        }
        #expect(try client.get("/").node == name)
    }

    @Test("connections follow the verdict on another port of their node, from the first on")
    func followers() throws {
        let nodes = try (1...2).map { try Node("node\($0)") }
        let web = nodes.map { #"{ name: "\#($0.name)", address: "\#($0.address)" }"# }
        let wire = nodes.map {
            #"{ name: "\#($0.name)", address: "\#($0.address)", health_of: "web/\#($0.name)" }"#
        }
        try nodes[0].set(state: "draining")
        let trivet = try Trivet(
            configuration: """
                {
                  listeners: [{ address: "127.0.0.1:0", protocol: "tcp", pool: "wire" }],
                  pools: {
                    web: { health: { check: "octopus", interval: "100ms", timeout: "5s" },
                      nodes: [\(web.joined(separator: ", "))] },
                    wire: { nodes: [\(wire.joined(separator: ", "))] },
                  },
                }
                """)
        let port = try Cluster.port(of: trivet)
        func served() throws -> String? { try RawClient(port: port).get("/").node }
        for _ in 0..<4 { #expect(try served() == "node2") }
        var end = trivet.process.lines.count
        try nodes[0].set(state: "up")
        try nodes[1].set(state: "offline")
        try trivet.process.waitForLine(
            containing: "node wire/node1: draining -> up, as web/node1", from: end)
        try trivet.process.waitForLine(
            containing: "node wire/node2: up -> down, as web/node2", from: end)
        for _ in 0..<4 { #expect(try served() == "node1") }
        end = trivet.process.lines.count
        trivet.process.signal(SIGHUP)
        try trivet.process.waitForLine(containing: "reloaded", from: end)
        for _ in 0..<4 { #expect(try served() == "node1") }
    }

    @Test("connections of a node that drains are let go after the pool's time, a few at a time")
    func letGo() throws {
        let cluster = try Cluster(
            workers: 1, pool: #"drain_timeout: "1s","#, listener: #"protocol: "tcp""#)
        let clients = try (0..<60).map { _ in try cluster.client() }
        let names = try clients.map { try #require(try $0.get("/").node) }
        let node = cluster.nodes[0]
        let theirs = zip(clients, names).filter { $0.1 == node.name }.map(\.0)
        #expect(theirs.count == 20)
        let end = cluster.logEnd
        try node.set(state: "draining")
        try cluster.trivet.process.waitForLine(
            containing: "octopus/\(node.name): up -> draining", from: end)
        // Five a second: when the first are gone, others are still served.
        try eventually("the first to go") { theirs.contains { !$0.isOpen } ? true : nil }
        let gone = theirs.count { !$0.isOpen }
        #expect(gone >= 1 && gone <= 10)
        try eventually("the last to go") { theirs.allSatisfy { !$0.isOpen } ? true : nil }
        for (client, name) in zip(clients, names) where name != node.name {
            #expect(try client.get("/").node == name)
        }
    }
}
