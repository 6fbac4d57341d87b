// The demo node as an Octopus server: what the balancer's other scenarios, and people who run
// `trivet demo`, rely on. Each test has a node of its own.

import Base
import TestKit
import Testing

@Suite("A demo node is a well-behaved Octopus server")
struct DemoNodeTests {
    @Test("the page says who answered and what arrived", .timeLimit(.minutes(10)))
    func page() throws {
        let node = try Node("alpha")
        let answer = try RawClient(port: node.port).get(
            "/?a=b", fields: [("Host", "octopus.example"), ("X-Forwarded-Proto", "https")])
        #expect(answer.status == 200)
        #expect(answer.node == "alpha")
        for part in [
            "alpha", "GET /?a=b HTTP/1.1", "octopus.example", "X-Forwarded-Proto", "https",
        ] { #expect(answer.text.contains(part), "\(part) is missing") }
    }

    @Test(
        "the ping tells each state by its status and its body", .timeLimit(.minutes(10)),
        arguments: [
            ("up", 200, false, false), ("maintenance", 200, true, false),
            ("draining", 418, true, false), ("offline", 418, false, true),
        ])
    func ping(state: String, status: Int, isInMaintenance: Bool, isOffline: Bool) throws {
        let node = try Node("n", arguments: ["--max-tasks", "7", "--release", "2026.4.1"])
        try node.set(state: state)
        let answer = try RawClient(port: node.port).get("/api/octopusservernodes/ping")
        #expect(answer.status == status)
        #expect(answer.node == "n")
        let json = try answer.json()
        #expect(json["IsInMaintenanceMode"]?.kind == .bool(isInMaintenance))
        #expect(json["IsOffline"]?.kind == .bool(isOffline))
        #expect(json["Name"]?.stringValue == "n")
        #expect(json["Version"]?.stringValue == "2026.4.1")
        #expect(json["MaxConcurrentTasks"]?.intValue == 7)
    }

    @Test("a broken node answers its ping with 500 and a page", .timeLimit(.minutes(10)))
    func brokenPing() throws {
        let node = try Node(arguments: ["--state", "broken"])
        let client = try RawClient(port: node.port)
        let ping = try client.get("/API/OctopusServerNodes/ping")
        #expect(ping.status == 500)
        #expect(ping.text.hasPrefix("<html>"))
        #expect(try client.get("/").status == 200, "everything but the ping goes on")
    }

    @Test("a state that does not exist is refused, and changes nothing", .timeLimit(.minutes(10)))
    func unknownState() throws {
        let node = try Node()
        let client = try RawClient(port: node.port)
        let answer = try client.exchange("POST", "/demo/state?set=asleep")
        #expect(answer.status == 400)
        #expect(answer.text.contains("draining"))
        #expect(try node.stats().state == "up")
    }

    @Test(
        "a package is summed as it arrived, whatever its framing", .timeLimit(.minutes(10)),
        arguments: ["/api/packages/raw", "/api/Spaces-1/packages/raw?replace=true"])
    func packages(target: String) throws {
        let node = try Node()
        let client = try RawClient(port: node.port)
        let n = 300_000
        try client.request("POST", target, fields: [("Content-Length", "\(n)")])
        try client.sendPattern(n)
        let plain = try client.response()
        #expect(plain.status == 201)
        #expect(try plain.json()["bytes"]?.intValue == n)
        #expect(try plain.json()["sha256"]?.stringValue == Pattern.sum(n))

        try client.request("PUT", target, fields: [("Transfer-Encoding", "chunked")])
        for start in stride(from: 0, to: n, by: 7919) {
            try client.sendChunk(Pattern.bytes(min(7919, n - start), from: start))
        }
        try client.send("0\r\nX-Sum: none\r\n\r\n")
        let chunked = try client.response()
        #expect(try chunked.json()["bytes"]?.intValue == n)
        #expect(try chunked.json()["sha256"]?.stringValue == Pattern.sum(n))
        #expect(try node.stats().bytesIn == 2 * n)
    }

    @Test("an upload is counted while it arrives", .timeLimit(.minutes(10)))
    func uploadInFlight() throws {
        let node = try Node()
        let client = try RawClient(port: node.port)
        try client.request("POST", "/api/packages/raw", fields: [("Content-Length", "1000")])
        try client.send(Pattern.bytes(400))
        let half = try node.waitForStats("400 bytes") { $0.bytesIn == 400 }
        #expect(half.inFlight == 1)
        #expect(half.requests == 1)
        try client.send(Pattern.bytes(600, from: 400))
        let answer = try client.response()
        #expect(try answer.json()["sha256"]?.stringValue == Pattern.sum(1000))
        try node.waitForStats("no request in flight") { $0.inFlight == 0 }
    }

    @Test("a client that waits for 100 gets it before it sends the body", .timeLimit(.minutes(10)))
    func expectContinue() throws {
        let node = try Node()
        let client = try RawClient(port: node.port)
        for target in ["/api/packages/raw", "/echo", "/"] {
            try client.request(
                "POST", target, fields: [("Expect", "100-continue"), ("Content-Length", "5")])
            #expect(try client.readHead().status == 100, "\(target)")
            try client.send("hello")
            let answer = try client.response()
            #expect(answer.interim.isEmpty)
            #expect((200...201).contains(answer.status))
        }
        #expect(try node.stats().bytesIn == 15)
    }

    @Test("a connection is kept, and pipelined requests are answered in order")
    func pipelining() throws {
        let node = try Node()
        let client = try RawClient(port: node.port)
        for i in 0..<20 {
            try client.request("POST", "/echo?\(i)", body: Array("body \(i)".utf8))
            try client.request("HEAD", "/bytes?n=50")
        }
        for i in 0..<20 {
            let echo = try client.response()
            #expect(echo.text.hasPrefix("POST /echo?\(i) HTTP/1.1\r\n"))
            #expect(echo.text.hasSuffix("\r\n\r\nbody \(i)"))
            let head = try client.response(to: "HEAD")
            #expect(head["Content-Length"] == "50")
        }
        let stats = try node.stats()
        #expect(stats.requests == 40)
        #expect(stats.accepted == 2, "the client and the one who asks")
    }

    @Test("a client that says close, or speaks HTTP/1.0, sees the connection end")
    func closing() throws {
        let node = try Node()
        let polite = try RawClient(port: node.port)
        let answer = try polite.get("/status?code=204", fields: [("Connection", "close")])
        #expect(answer.status == 204)
        #expect(answer["Connection"] == "close")
        #expect(answer["Content-Length"] == nil)
        #expect(try polite.waitForEnd() == .closed)

        let old = try RawClient(port: node.port)
        try old.send("GET /bytes?n=1000&chunked=1 HTTP/1.0\r\n\r\n")
        let whole = try old.response()
        #expect(whole["Transfer-Encoding"] == nil)
        #expect(whole.body == Pattern.bytes(1000))
    }

    @Test(
        "a download is the same bytes in every framing", .timeLimit(.minutes(10)),
        arguments: ["", "&chunked=1", "&close=1"])
    func downloads(option: String) throws {
        let node = try Node()
        let answer = try RawClient(port: node.port).get("/bytes?n=200000\(option)")
        #expect(answer.body == Pattern.bytes(200_000))
        let isChunked = answer["Transfer-Encoding"] == "chunked"
        #expect(isChunked == (option == "&chunked=1"))
        #expect((answer["Content-Length"] == "200000") == option.isEmpty)
    }

    @Test("an echo gives back chunked bodies with their trailers", .timeLimit(.minutes(10)))
    func echo() throws {
        let node = try Node()
        let client = try RawClient(port: node.port)
        try client.request(
            "POST", "/echo", fields: [("X-Odd", " a, b "), ("Transfer-Encoding", "chunked")])
        try client.sendChunk(Array("one ".utf8))
        try client.sendChunk(Array("two".utf8))
        try client.send("0\r\nX-Sum: 7\r\n\r\n")
        let answer = try client.response()
        #expect(answer.text.contains("X-Odd: a, b\r\n"))
        #expect(answer.text.hasSuffix("\r\n\r\none two"))
        #expect(answer.trailers.map(\.name) == ["X-Sum"])
        #expect(answer.trailers.map(\.value) == ["7"])
    }

    @Test("events come one by one, not all at the end", .timeLimit(.minutes(10)))
    func events() throws {
        let node = try Node()
        let client = try RawClient(port: node.port)
        let begun = Deadline.now()
        try client.request("GET", "/events?count=3&every=150")
        #expect(try client.readHead()["Content-Type"] == "text/event-stream")
        var times: [UInt64] = []
        for i in 0..<3 {
            #expect(try client.read(until: "event \(i)\n\n").contains("id: \(i)\n"))
            times.append((Deadline.now() - begun) / 1_000_000)
        }
        #expect(times[1] >= 140 && times[2] >= 290, "arrived after \(times) ms")
        #expect(try client.read(until: "0\r\n\r\n").hasSuffix("0\r\n\r\n"))
    }

    @Test("the slow answer takes its time, and the body's arrival is timed")
    func times() throws {
        let node = try Node()
        let client = try RawClient(port: node.port)
        let begun = Deadline.now()
        #expect(try client.get("/slow?ms=120").status == 200)
        #expect(Deadline.now() - begun >= 120_000_000)

        try client.request("POST", "/firstbyte", fields: [("Content-Length", "2")])
        try client.send("a")
        try client.expectSilence(for: 0.1)
        try client.send("b")
        let answer = try client.response().json()
        #expect(answer["bytes"]?.intValue == 2)
        #expect(answer["span_ms"]?.intValue ?? 0 >= 90)
    }

    @Test(
        "a request that two servers could read in two ways is refused", .timeLimit(.minutes(10)),
        arguments: [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX-Field : b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        ])
    func ambiguous(request: String) throws {
        let node = try Node()
        let client = try RawClient(port: node.port)
        try client.send(request)
        let answer = try client.response()
        #expect(answer.status == 400)
        #expect(answer["Connection"] == "close")
        #expect(try client.waitForEnd() == .closed)
    }

    @Test("wrong arguments are named, and the exit code says whose fault it is")
    func arguments() throws {
        let wrong = try Trivet.run(["demo-node", "--port", "high"])
        #expect(wrong.exit == .code(2))
        #expect(wrong.error.contains("--port") && wrong.error.contains("high"))
        #expect(try Trivet.run(["demo-node", "--nmae", "x"]).error.contains("--nmae"))
        let node = try Node()
        let taken = try Trivet.run(["demo-node", "--port", "\(node.port)"])
        #expect(taken.exit == .code(3))
        #expect(taken.error.contains("\(node.port)"))
        #expect(try Trivet.run(["demo-node", "--help"]).output.contains("usage"))
    }
}
