// Limits of nodes: the requests beyond them wait for their turn, and are told when there is no hope.

import Base
import Glibc
import TestKit
import Testing

@Suite("A node gets no more requests than it may have, and nobody is forgotten in the queue")
struct CapacityTests {
    /// A client whose request is at a node, which does not answer it.
    private func occupy(_ cluster: Cluster, node: Int = 0) throws -> RawClient {
        let client = try cluster.client()
        let before = try cluster.nodes[node].stats().inFlight
        try client.request("GET", "/hang")
        try cluster.nodes[node].waitForStats("a request") { $0.inFlight == before + 1 }
        return client
    }

    @Test(
        "40 requests at once, 3 places at each of 2 nodes: all are served", .timeLimit(.minutes(10))
    )
    func places() throws {
        let cluster = try Cluster(nodes: 2, health: nil, pool: "max_in_flight: 3,")
        let clients = try (0..<40).map { _ in try cluster.client() }
        for client in clients { try client.request("GET", "/slow?ms=50") }
        // 40 requests in rounds of 6: there is time to look.
        for _ in 0..<20 {
            for node in cluster.nodes { #expect(try node.stats().inFlight <= 3) }
        }
        for client in clients { #expect(try client.response().status == 200) }
        let served = try cluster.nodes.map { try $0.stats().requests }
        #expect(served.reduce(0, +) == 40 && served.allSatisfy { $0 >= 10 }, "\(served)")
    }

    @Test("a node's own limit counts for it, the pool's for the others", .timeLimit(.minutes(10)))
    func ownLimit() throws {
        let nodes = try (1...2).map { try Node("node\($0)") }
        let trivet = try Trivet(
            configuration: """
                { workers: 2, listeners: [{ address: "127.0.0.1:0", pool: "p" }],
                  pools: { p: { max_in_flight: 1, nodes: [
                    { name: "node1", address: "\(nodes[0].address)" },
                    { name: "node2", address: "\(nodes[1].address)", max_in_flight: 4 } ] } } }
                """)
        let port = try Cluster.port(of: trivet)
        let clients = try (0..<5).map { _ in try RawClient(port: port) }
        for client in clients { try client.request("GET", "/hang") }
        try nodes[0].waitForStats("one request") { $0.inFlight == 1 }
        try nodes[1].waitForStats("four requests") { $0.inFlight == 4 }
    }

    @Test(
        "a full queue and a long wait end with 503, when to come back, and a live connection",
        .timeLimit(.minutes(10)))
    func refused() throws {
        let cluster = try Cluster(
            nodes: 1, health: nil,
            pool: #"max_in_flight: 1, queue: { length: 1, timeout: "500ms" },"#)
        let occupant = try occupy(cluster)
        // Which of the two comes first, only the balancer knows.
        let clients = [try cluster.client(), try cluster.client()]
        for client in clients { try client.request("GET", "/") }
        let answers = try clients.map { try $0.response() }
        for answer in answers {
            #expect(answer.status == 503 && answer.head.values("Retry-After") == ["1"])
        }
        #expect(answers.count { $0.text.contains("so has the queue") } == 1)
        #expect(answers.count { $0.text.contains("in time") } == 1)
        occupant.reset()
        for client in clients { #expect(try client.get("/").status == 200) }
    }

    @Test("an upload waits for its place and arrives whole", .timeLimit(.minutes(10)))
    func upload() throws {
        let cluster = try Cluster(nodes: 1, health: nil, pool: "max_in_flight: 1,")
        let occupant = try occupy(cluster)
        let client = try cluster.client()
        let size = 300_000
        try client.send(
            "POST /api/packages/raw HTTP/1.1\r\nHost: test\r\nContent-Length: \(size)\r\n\r\n")
        try client.send(Pattern.bytes(50_000))
        occupant.reset()
        try client.send(Pattern.bytes(size - 50_000, from: 50_000))
        let answer = try client.response()
        #expect(answer.status == 201 && answer.text.contains(Pattern.sum(size)))
    }

    @Test("who gives up in the queue leaves nothing behind", .timeLimit(.minutes(10)))
    func leaving() throws {
        let cluster = try Cluster(nodes: 1, health: nil, pool: "max_in_flight: 1,")
        let occupant = try occupy(cluster)
        for _ in 0..<10 {
            let waiting = try (0..<5).map { _ in try cluster.client() }
            for client in waiting { try client.request("GET", "/hang") }
            for client in waiting { client.reset() }
        }
        let client = try cluster.client()
        try client.request("GET", "/")
        occupant.reset()
        #expect(try client.response().status == 200)
        try cluster.nodes[0].waitForStats("nothing") { $0.inFlight == 0 }
        #expect(try cluster.nodes[0].stats().requests == 2)
    }

    @Test("a reload that gives nodes more places serves who waits", .timeLimit(.minutes(10)))
    func raised() throws {
        let cluster = try Cluster(nodes: 1, health: nil, pool: "max_in_flight: 1,")
        let occupant = try occupy(cluster)
        let client = try cluster.client()
        try client.request("GET", "/")
        let file = cluster.trivet.folder.path + "/trivet.json5"
        let text = String(decoding: try readFile(file), as: UTF8.self)
        let at = try #require(text.range(of: "max_in_flight: 1"))
        try cluster.trivet.folder.write(
            text.replacing(at, with: "max_in_flight: 2"), to: "trivet.json5")
        let end = cluster.logEnd
        cluster.trivet.process.signal(SIGHUP)
        try cluster.trivet.process.waitForLine(containing: "reloaded", from: end)
        #expect(try client.response().status == 200)
        occupant.reset()
    }

    @Test("a reload that takes a pool away answers who waits in it", .timeLimit(.minutes(10)))
    func gone() throws {
        let cluster = try Cluster(nodes: 1, health: nil, pool: "max_in_flight: 1,")
        let occupant = try occupy(cluster)
        let client = try cluster.client()
        try client.request("GET", "/")
        let file = cluster.trivet.folder.path + "/trivet.json5"
        var text = String(decoding: try readFile(file), as: UTF8.self)
        while let at = text.range(of: "octopus") { text = text.replacing(at, with: "other") }
        try cluster.trivet.folder.write(text, to: "trivet.json5")
        let end = cluster.logEnd
        cluster.trivet.process.signal(SIGHUP)
        try cluster.trivet.process.waitForLine(containing: "reloaded", from: end)
        let answer = try client.response()
        #expect(answer.status == 503 && answer.text.contains("no longer configured"))
        #expect(try client.get("/").status == 200)
        occupant.reset()
    }

    @Test(
        "a client whose node is full is served elsewhere, and stays its node's",
        .timeLimit(.minutes(10)))
    func session() throws {
        let cluster = try Cluster(
            nodes: 2, health: nil, strategy: #"["sticky", "round-robin"]"#,
            pool:
                #"max_in_flight: 1, session: { cookie: "T", secret: "a secret of 26 characters." },"#
        )
        let first = try cluster.client().get("/")
        let home = try #require(first.node)
        let set = try #require(first.head.values("Set-Cookie").first)
        let cookie = [("Cookie", String(set.prefix { $0 != ";" }))]
        let node = try #require(cluster.nodes.first { $0.name == home })
        // The place of the request before may be free a moment after its answer.
        let busy = try eventually("a request at its node") {
            let client = try cluster.client()
            try client.request("GET", "/hang", fields: cookie)
            try eventually("a request") {
                try cluster.nodes.contains { try $0.stats().inFlight == 1 } ? true : nil
            }
            if try node.stats().inFlight == 1 { return client }
            client.reset()
            for node in cluster.nodes { try node.waitForStats("nothing") { $0.inFlight == 0 } }
            return nil
        }
        let away = try cluster.client().get("/", fields: cookie)
        #expect(away.node != home && away.status == 200)
        #expect(away.head.values("Set-Cookie") == [])
        busy.reset()
        try node.waitForStats("nothing") { $0.inFlight == 0 }
        try eventually("its own node again") {
            try cluster.client().get("/", fields: cookie).node == home ? true : nil
        }
    }
}

extension String {
    fileprivate func replacing(_ range: Range<Index>, with text: String) -> String {
        String(self[..<range.lowerBound]) + text + self[range.upperBound...]
    }
}
