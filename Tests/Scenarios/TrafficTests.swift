// What goes through: uploads of any size, events one by one, WebSockets, odd answers of odd nodes. Every
// byte is checked, and that memory stays flat.

import TestKit
import Testing

@Suite("Traffic streams through, whole and unhurried")
struct TrafficTests {
    @Test("a large upload streams through while memory stays flat", .timeLimit(.minutes(10)))
    func largeUpload() throws {
        let cluster = try Cluster(nodes: 1)
        let size = 512 << 20
        let warm = try cluster.client()
        #expect(try warm.get("/").status == 200)
        let before = try cluster.balancer().residentBytes()
        let client = try cluster.client()
        try client.send(
            "POST /api/packages/raw?sum=off HTTP/1.1\r\nHost: test\r\n"
                + "Content-Length: \(size)\r\n\r\n")
        try client.sendPattern(size / 2)
        // The first half is at the node before the second leaves: nothing is held back.
        try cluster.nodes[0].waitForStats("the first half") { $0.bytesIn >= size / 2 - (8 << 20) }
        let during = try cluster.balancer().residentBytes()
        if ProcessFacts.isMemoryTelling {
            #expect(during - before < 8 << 20, "\((during - before) >> 10) KiB more")
        }
        try client.sendPattern(size / 2)
        let answer = try client.response()
        #expect(answer.text.contains("\(size)"))
    }

    @Test("an upload arrives byte for byte", .timeLimit(.minutes(10)))
    func exactUpload() throws {
        let cluster = try Cluster(nodes: 1)
        let size = 20_000_001
        let client = try cluster.client()
        try client.send(
            "POST /api/packages/raw HTTP/1.1\r\nHost: test\r\nContent-Length: \(size)\r\n\r\n")
        try client.sendPattern(size)
        client.patience = 30
        #expect(try client.response().text.contains(Pattern.sum(size)))
    }

    @Test("a chunked upload arrives whole", .timeLimit(.minutes(10)))
    func chunkedUpload() throws {
        let cluster = try Cluster(nodes: 1)
        let client = try cluster.client()
        try client.send(
            "PUT /api/packages/raw HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
        var sent = 0
        for size in [1, 10, 1000, 65_536, 65_537, 300_000, 7] {
            try client.sendChunk(Pattern.bytes(size, from: sent))
            sent += size
        }
        try client.sendChunk([])
        let answer = try client.response()
        #expect(answer.text.contains(Pattern.sum(sent)))
    }

    @Test("a client that waits to be told gets its 100, then its answer", .timeLimit(.minutes(10)))
    func expectContinue() throws {
        let cluster = try Cluster(nodes: 1)
        let client = try cluster.client()
        try client.send(
            "POST /api/packages/raw HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n"
                + "Expect: 100-continue\r\n\r\n")
        #expect(try client.readHead().status == 100)
        try client.send(Pattern.bytes(5))
        #expect(try client.response().text.contains(Pattern.sum(5)))
    }

    @Test(
        "downloads arrive whole, however they are framed", .timeLimit(.minutes(10)),
        arguments: ["", "&chunked=1", "&close=1"])
    func downloads(framing: String) throws {
        let cluster = try Cluster(nodes: 1)
        let client = try cluster.client()
        for size in [0, 1, 65_536, 5_000_000] {
            let answer = try client.get("/bytes?n=\(size)\(framing)")
            #expect(answer.body == Pattern.bytes(size))
        }
    }

    @Test("a reader that stops holds the node back, not our memory", .timeLimit(.minutes(10)))
    func slowReader() throws {
        let cluster = try Cluster(nodes: 1)
        let warm = try cluster.client()
        #expect(try warm.get("/bytes?n=1000000&chunked=1").body.count == 1_000_000)
        let before = try cluster.balancer().residentBytes()
        let slow = try (0..<8).map { _ in try RawClient(port: cluster.port, receiveBuffer: 4096) }
        for client in slow { try client.request("GET", "/bytes?n=50000000&chunked=1") }
        for client in slow { #expect(try client.readHead().status == 200) }
        // Others are served meanwhile.
        for _ in 0..<20 { #expect(try warm.get("/").status == 200) }
        let during = try cluster.balancer().residentBytes()
        if ProcessFacts.isMemoryTelling {
            #expect(during - before < 8 << 20, "\((during - before) >> 10) KiB more")
        }
    }

    @Test("server-sent events arrive one by one", .timeLimit(.minutes(10)))
    func events() throws {
        let cluster = try Cluster(nodes: 1)
        let client = try cluster.client()
        try client.request("GET", "/events?count=3&every=400")
        #expect(try client.readHead().status == 200)
        var times: [UInt64] = []
        for _ in 0..<3 {
            _ = try client.read(until: "\n\n")
            times.append(Deadline.now())
        }
        for i in 1..<3 { #expect(times[i] - times[i - 1] > 200_000_000, "they came together") }
    }

    @Test("a WebSocket echoes through it, both ways and to its end", .timeLimit(.minutes(10)))
    func webSocket() throws {
        let cluster = try Cluster(nodes: 1)
        let client = try cluster.client()
        #expect(try client.openWebSocket().status == 101)
        for i in 0..<100 {
            try client.sendText("message \(i)")
            #expect(try client.readFrame().text == "message \(i)")
        }
        let long = Pattern.bytes(200_000)
        try client.sendFrame(.binary, long)
        #expect(try client.readFrame().payload == long)
        try client.sendFrame(.close, [3, 232])
        #expect(try client.readFrame().opcode == .close)
    }

    @Test("requests sent in one breath are answered in order", .timeLimit(.minutes(10)))
    func pipelining() throws {
        let cluster = try Cluster()
        let client = try cluster.client()
        for i in 0..<20 { try client.request("GET", "/status?code=\(200 + i % 4)") }
        for i in 0..<20 { #expect(try client.response().status == 200 + i % 4) }
    }

    @Test("interim answers and trailers are passed on", .timeLimit(.minutes(10)))
    func interimAndTrailers() throws {
        let cluster = try Cluster(nodes: 1)
        let client = try cluster.client()
        let early = try client.get("/interim")
        #expect(early.interim.map(\.status) == [103])
        #expect(early.status == 200)
        #expect(!(try client.get("/trailers").trailers.isEmpty))
    }

    @Test("an answer before the upload is through reaches the client", .timeLimit(.minutes(10)))
    func earlyAnswer() throws {
        let cluster = try Cluster(nodes: 1)
        let client = try cluster.client()
        try client.send("POST /early HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n")
        try client.send(Pattern.bytes(100_000))
        #expect(try client.response().status == 413)
    }

    @Test(
        "what a node breaks off or makes up is never passed on as whole", .timeLimit(.minutes(10)))
    func brokenAnswers() throws {
        let cluster = try Cluster(nodes: 1)
        #expect(try cluster.client().get("/garbage").status == 502)
        #expect(try cluster.client().get("/reset").status == 502)
        let half = try cluster.client()
        try half.request("GET", "/half?n=100000")
        #expect(try half.readHead().status == 200)
        #expect(throws: (any Error).self) { try half.read(exactly: 100_000) }
        #expect(try cluster.client().get("/").status == 200)
    }

    @Test("what a client says about whom it forwards for is not believed", .timeLimit(.minutes(10)))
    func forwarded() throws {
        let forged = [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "https")]
        let wary = try Cluster(nodes: 1)
        let seen = try wary.client().get("/echo", fields: forged).text
        #expect(!seen.contains("6.6.6.6"))
        #expect(seen.contains("X-Forwarded-For: 127.0.0.1"))
        #expect(seen.contains("X-Forwarded-Proto: http\r\n"))
        let trusting = try Cluster(nodes: 1, listener: #"trusted_proxies: ["127.0.0.0/8"]"#)
        let kept = try trusting.client().get("/echo", fields: forged).text
        #expect(kept.contains("6.6.6.6, 127.0.0.1"))
        #expect(kept.contains("X-Forwarded-Proto: https"))
    }

    @Test(
        "who asks to go on in HTTP/2 is answered in HTTP/1.1, and no node hears of it",
        .timeLimit(.minutes(10)))
    func h2c() throws {
        let cluster = try Cluster(nodes: 1)
        let client = try cluster.client()
        let fields = [
            ("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"),
            ("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA"),
        ]
        let answer = try client.get("/echo", fields: fields)
        #expect(answer.status == 200 && answer.interim.isEmpty)
        let seen = answer.text.lowercased()
        #expect(seen.contains("host: ") && !seen.contains("h2c") && !seen.contains("settings"))
        // It is an HTTP/1.1 connection still.
        #expect(try client.get("/").status == 200)
    }

    @Test("an ambiguous request is refused and its connection closed", .timeLimit(.minutes(10)))
    func smuggling() throws {
        let cluster = try Cluster(nodes: 1)
        let client = try cluster.client()
        try client.send(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
                + "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.response().status == 400)
        #expect(try client.readToEnd().isEmpty)
        #expect(try cluster.nodes[0].stats().requests == 0)
    }

    @Test("a silent client is cut after the idle time, a slow one is not", .timeLimit(.minutes(10)))
    func patience() throws {
        let cluster = try Cluster(nodes: 1, pool: #"timeouts: { idle: "600ms" },"#)
        let slow = try cluster.client()
        try slow.send("POST /api/packages/raw HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n")
        let silent = try cluster.client()
        try silent.send("POST /api/packages/raw HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n")
        // A byte every 200 ms: three times as long in all as no byte may take.
        for i in 0..<12 {
            try slow.send(Pattern.bytes(1, from: i))
            if i < 11 { try slow.expectSilence(for: 0.2) }
        }
        #expect(try slow.response().text.contains(Pattern.sum(12)))
        #expect(try silent.response().status == 408)
    }

    @Test("limits are kept, and say what was too much", .timeLimit(.minutes(10)))
    func limits() throws {
        let cluster = try Cluster(
            nodes: 1, workers: 1,
            listener: "limits: { target: 1024, head: 4096, fields: 20 }, max_connections: 3")
        let client = try cluster.client()
        let target = "/" + String(repeating: "x", count: 2000)
        #expect(try client.get(target).status == 414)
        let long = ("X-Long", String(repeating: "x", count: 5000))
        #expect(try cluster.client().get("/", fields: [long]).status == 431)
        let many = (0..<30).map { ("X-\($0)", "1") }
        #expect(try cluster.client().get("/", fields: many).status == 431)
        let guests = try eventually("three free places") { () -> [RawClient]? in
            let guests = try (0..<3).map { _ in try cluster.client() }
            for guest in guests {
                guard try guest.get("/").status == 200 else { return nil }
            }
            return guests
        }
        #expect(try cluster.client().response().status == 503)
        #expect(try guests[0].get("/").status == 200)
    }
}
