// The demo node as a bad server, and its WebSocket: if it misbehaved otherwise than told, a scenario
// about the balancer would prove something else than it says.

import TestKit
import Testing

@Suite("A demo node misbehaves as told")
struct DemoNodeFaultTests {
    let node: Node
    let client: RawClient

    init() throws {
        node = try Node()
        client = try RawClient(port: node.port)
    }

    @Test("a reset is a reset, and an end is an end", .timeLimit(.minutes(10)))
    func resets() throws {
        try client.request("GET", "/reset")
        #expect(try client.waitForEnd() == .reset)
        let other = try RawClient(port: node.port)
        try other.request("GET", "/reset?how=end")
        #expect(try other.waitForEnd() == .closed)
    }

    @Test("half an answer is half of what was announced", .timeLimit(.minutes(10)))
    func half() throws {
        try client.request("GET", "/half?n=1000")
        #expect(try client.readHead()["Content-Length"] == "1000")
        #expect(try client.readToEnd() == Pattern.bytes(500))
    }

    @Test("an early answer comes while the body is held back, and ends the connection")
    func early() throws {
        try client.request("POST", "/early", fields: [("Content-Length", "100000000")])
        let answer = try client.response()
        #expect(answer.status == 413)
        #expect(answer["Connection"] == "close")
        try client.expectSilence(for: 0.2)
        #expect(try client.waitForEnd() == .closed)
        #expect(try node.stats().bytesIn == 0)
    }

    @Test("a hint comes before its answer", .timeLimit(.minutes(10)))
    func interim() throws {
        let answer = try client.get("/interim")
        #expect(answer.interim.map(\.status) == [103])
        #expect(answer.interim.first?["Link"] != nil)
        #expect(answer.status == 200)
    }

    @Test("garbage is not HTTP", .timeLimit(.minutes(10)))
    func garbage() throws {
        try client.request("GET", "/garbage")
        let bytes = try client.readToEnd()
        #expect(!bytes.isEmpty)
        #expect(!String(decoding: bytes, as: UTF8.self).hasPrefix("HTTP"))
    }

    @Test("trailers come behind the body", .timeLimit(.minutes(10)))
    func trailers() throws {
        let answer = try client.get("/trailers")
        #expect(answer.text.hasPrefix("node1 says"))
        #expect(answer.trailers.map(\.name) == ["X-Checksum"])
    }

    @Test("a node vanishes behind an answer that promised another", .timeLimit(.minutes(10)))
    func vanish() throws {
        let answer = try client.get("/vanish")
        #expect(answer.status == 200)
        #expect(answer["Connection"] == nil)
        #expect(try client.waitForEnd() == .closed)
    }

    @Test("a request that hangs is in flight until its client leaves", .timeLimit(.minutes(10)))
    func hang() throws {
        try client.request("GET", "/hang")
        try node.waitForStats("a request in flight") { $0.inFlight == 1 }
        try client.expectSilence(for: 0.2)
        client.reset()
        try node.waitForStats("no request in flight") { $0.inFlight == 0 }
    }

    @Test("any status can be had, and a path without anything is 404", .timeLimit(.minutes(10)))
    func statuses() throws {
        for code in [200, 301, 404, 418, 500, 503, 599] {
            #expect(try client.get("/status?code=\(code)").status == code)
        }
        #expect(try client.get("/status?code=304").body.isEmpty)
        #expect(try client.get("/status?code=77").status == 400)
        #expect(try client.get("/nothing").status == 404)
        #expect(try client.get("/api/packages/raw").status == 405)
    }

    @Test("a WebSocket echoes text, bytes and long messages", .timeLimit(.minutes(10)))
    func socket() throws {
        try client.openWebSocket()
        try client.sendText("hällo")
        #expect(try client.readFrame().text == "hällo")
        for size in [0, 125, 126, 65_535, 65_536, 200_000] {
            let bytes = Pattern.bytes(size)
            try client.sendFrame(.binary, bytes)
            let frame = try client.readFrame()
            #expect(frame == .init(opcode: .binary, payload: bytes), "\(size) bytes")
        }
    }

    @Test("pieces become one message, and pings pass between them", .timeLimit(.minutes(10)))
    func fragments() throws {
        try client.openWebSocket()
        try client.sendFrame(.text, Array("one ".utf8), isFinal: false)
        try client.sendFrame(.ping, Array("there?".utf8))
        let pong = try client.readFrame()
        #expect(pong == .init(opcode: .pong, payload: Array("there?".utf8)))
        try client.sendFrame(.continuation, Array("two".utf8))
        #expect(try client.readFrame().text == "one two")
    }

    @Test("a WebSocket closes with the code it was told", .timeLimit(.minutes(10)))
    func socketClose() throws {
        try client.openWebSocket()
        try client.sendFrame(.close, [0x03, 0xe8])
        #expect(try client.readFrame().closeCode == 1000)
        #expect(try client.waitForEnd() == .closed)
        try node.waitForStats("only the asking connection") { $0.connections == 1 }
    }

    @Test("wrong frames close a WebSocket with the code for it", .timeLimit(.minutes(10)))
    func wrongFrames() throws {
        let cases: [(code: Int, send: (RawClient) throws -> Void)] = [
            (1002, { try $0.sendFrame(.text, [0x61], isMasked: false) }),
            (1002, { try $0.sendFrame(.continuation, [0x61]) }),
            (1002, { try $0.sendFrame(.ping, [0x61], isFinal: false) }),
            (1007, { try $0.sendFrame(.text, [0xff, 0xfe]) }),
        ]
        for (code, send) in cases {
            let client = try RawClient(port: node.port)
            try client.openWebSocket()
            try send(client)
            #expect(try client.readFrame().closeCode == code)
            #expect(try client.waitForEnd() == .closed)
        }
    }

    @Test("a plain request for the WebSocket is told what to speak", .timeLimit(.minutes(10)))
    func plainSocket() throws {
        let answer = try client.get("/socket")
        #expect(answer.status == 426)
        #expect(answer["Sec-WebSocket-Version"] == "13")
    }

    @Test("a killed node takes its port's connections with it", .timeLimit(.minutes(10)))
    func killed() throws {
        try node.kill()
        #expect(try client.waitForEnd() == .reset || client.end == .closed)
        #expect(!RawClient.canConnect(to: node.port))
    }
}
