// The admin interface over real sockets: what people ask for, and clients that mean no good. None of them
// may keep an honest one from its answer.

import Base
import Glibc
import Net
import TestKit
import Testing

@testable import Admin
@testable import Proxy

@Suite struct AdminServerTests {
    /// A server with a snapshot of its own, ended with the test.
    private final class Desk {
        let server: AdminServer
        let port: UInt16

        /// `padding`: bytes that the state has more.
        init(padding: Int = 0, timeouts: AdminTimeouts = AdminTimeouts()) throws {
            let options = "\"" + String(repeating: "o", count: padding) + "\""
            server = try AdminServer(timeouts: timeouts) {
                var snapshot = makeSnapshot()
                snapshot.balancer.pools[0].strategies[0].options = options
                return snapshot
            }
            let (socket, port) = try Self.socket()
            self.port = port
            server.listen(on: socket)
        }

        deinit { server.stop() }

        static func socket() throws -> (Int32, UInt16) {
            let fd = try Socket.listen(SocketAddress(.v4Loopback, port: 0), shared: false)
            return (fd, Socket.localAddress(fd)?.port ?? 0)
        }

        func client() throws -> RawClient { try RawClient(port: port, host: "127.0.0.1") }

        /// An honest client is answered in time.
        func serves() throws -> Bool { try client().get("/").status == 200 }
    }

    @Test("both pages are there, on one connection, whole and as what they are")
    func pages() throws {
        let desk = try Desk()
        let client = try desk.client()
        let metrics = try client.get("/metrics")
        #expect(metrics.status == 200)
        #expect(metrics["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8")
        _ = try PrometheusReading(metrics.text)
        let state = try client.get("/state?of=all")
        #expect(state.status == 200 && state["Content-Type"] == "application/json")
        #expect(try state.json()["generation"]?.intValue == 4)
        let head = try client.exchange("HEAD", "/state")
        #expect(head.status == 200 && head.body.isEmpty)
        #expect(head["Content-Length"] == "\(state.body.count)")
        let index = try client.get("/")
        #expect(index.text.contains("/metrics") && index.text.contains("/state"))
        #expect(try client.get("/metrics/").status == 404)
        #expect(try client.get("/favicon.ico").status == 404)
        #expect(try client.get("/").status == 200, "a 404 does not end the connection")
    }

    @Test("nothing can be changed: other methods are told which there are")
    func methods() throws {
        let desk = try Desk()
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "get"] {
            let client = try desk.client()
            let answer = try client.exchange(method, "/state", body: Array("x=1".utf8))
            #expect(answer.status == 405 && answer["Allow"] == "GET, HEAD", "\(method)")
            #expect(try client.waitForEnd() == .closed)
        }
        let client = try desk.client()
        #expect(try client.exchange("GET", "/", body: Array("smuggled".utf8)).status == 200)
        #expect(try client.waitForEnd() == .closed, "what stood behind is not read as a request")
    }

    @Test("requests one behind the other, and a client that has said its last, get their answers")
    func pipelining() throws {
        let desk = try Desk()
        let client = try desk.client()
        let one = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
        try client.send(one + "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n" + one)
        client.endSending()
        #expect(try client.response().status == 200)
        #expect(try client.response().status == 404)
        #expect(try client.response().status == 200)
        #expect(try client.waitForEnd() == .closed)
        let old = try desk.client()
        try old.send("GET / HTTP/1.0\r\n\r\n")
        #expect(try old.response().status == 200)
        #expect(try old.waitForEnd() == .closed)
    }

    @Test("garbage and what is too long gets its status and no more")
    func garbage() throws {
        let desk = try Desk()
        for (text, status) in [
            ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n", 400), ("GET /\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n\r\n", 400), ("GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", 505),
            (
                "GET /" + String(repeating: "a", count: 2000)
                    + " HTTP/1.1\r\nHost: localhost\r\n\r\n", 414
            ),
            ("GET / HTTP/1.1\r\nHost: localhost\r\nX: " + String(repeating: "a", count: 9000), 431),
            (
                "GET / HTTP/1.1\r\nHost: localhost\r\n"
                    + String(repeating: "X: y\r\n", count: 150) + "\r\n", 431
            ),
        ] {
            let client = try desk.client()
            try client.send(text)
            #expect(try client.response().status == status, "\(text.prefix(20))")
            #expect(try client.waitForEnd() == .closed)
        }
        // Who goes on sending is left, not followed.
        let client = try desk.client()
        try client.send("NONSENSE\r\n\r\n")
        _ = try? client.sendPattern(1_000_000)
        #expect(try desk.serves())
    }

    @Test("a web page that leads a name of its own here reads nothing; people and scrapers do")
    func otherNames() throws {
        let desk = try Desk()
        func status(_ host: String) throws -> Int {
            try RawClient(port: desk.port, host: host).get("/state").status
        }
        for host in [
            "127.0.0.1", "127.0.0.1:\(desk.port)", "localhost", "LocalHost:9900", "localhost.",
            "[::1]", "[::1]:9900", "10.0.0.1", "trivet.localhost",
        ] {
            #expect(try status(host) == 200, "\(host)")
        }
        for host in [
            "evil.example", "evil.example:9900", "127.0.0.1.evil.example", "localhost.evil.example",
            "evillocalhost", "1.2.3", "h",
        ] {
            #expect(try status(host) == 421, "\(host)")
        }
        let old = try desk.client()
        try old.send("GET /state HTTP/1.0\r\n\r\n")
        #expect(try old.response().status == 200)
    }

    @Test("where others may ask, they may do so by any name")
    func remote() throws {
        let desk = try Desk()
        let (socket, port) = try Desk.socket()
        desk.server.listen(on: socket, isPrivate: false)
        let client = try RawClient(port: port, host: "trivet.monitoring.svc:9900")
        #expect(try client.get("/metrics").status == 200)
    }

    @Test("who is slow to ask, or silent, is let go")
    func slow() throws {
        var timeouts = AdminTimeouts()
        timeouts.head = 100_000_000
        timeouts.idle = 200_000_000
        timeouts.leaving = 100_000_000
        let desk = try Desk(timeouts: timeouts)
        let slow = try desk.client()
        try slow.send("GET / HTTP/1.1\r\nHo")
        let silent = try desk.client()
        let keptAlive = try desk.client()
        #expect(try keptAlive.get("/").status == 200)
        #expect(try desk.serves())
        for client in [slow, silent, keptAlive] { _ = try client.waitForEnd() }
    }

    @Test("who never reads a large answer harms nobody, and is let go")
    func unread() throws {
        var timeouts = AdminTimeouts()
        timeouts.answer = 300_000_000
        let padding = 8_000_000
        let desk = try Desk(padding: padding, timeouts: timeouts)
        let greedy = try (0..<7).map { _ in
            let client = try RawClient(
                port: desk.port, receiveBuffer: 4096, host: "127.0.0.1")
            try client.request("GET", "/state")
            return client
        }
        #expect(try desk.serves())
        #expect(try desk.client().get("/metrics").status == 200)
        // Their time has to pass, and who does not read hears of nothing. On a busy machine the answer
        // itself takes a while to make, and their time begins with it.
        _ = poll(nil, 0, 3000)
        for client in greedy {
            #expect(throws: (any Error).self, "it was cut off") { try client.response() }
        }
        let patient = try desk.client().get("/state")
        #expect(patient.status == 200 && patient.body.count > padding)
    }

    @Test("answers that nobody reads do not fill the memory, nor keep others from theirs")
    func hoarded() throws {
        let desk = try Desk(padding: 20_000_000)
        let greedy = try (0..<6).map { _ in
            let client = try RawClient(
                port: desk.port, receiveBuffer: 4096, host: "127.0.0.1")
            try client.request("GET", "/state")
            // Its answer is made, and waits.
            _ = try client.readHead()
            return client
        }
        #expect(try desk.client().get("/metrics").status == 200)
        let rest = (try? greedy[0].readToEnd())?.count ?? 0
        #expect(rest < 20_000_000, "the first made room")
        withExtendedLifetime(greedy) {}
    }

    @Test("many connections at once: the newest is answered, whatever the others do")
    func crowd() throws {
        let desk = try Desk()
        let crowd = try (0..<200).map { index in
            let client = try desk.client()
            if index % 2 == 0 { try client.send("GET / HTTP/1.1\r\n") }
            return client
        }
        #expect(try desk.serves())
        let metrics = try desk.client().get("/metrics")
        #expect(metrics.status == 200)
        withExtendedLifetime(crowd) {}
        // The limit holds: of those, most were let go.
        let left = crowd.count { (try? $0.waitForEnd(within: 0.01)) == nil }
        #expect(left <= AdminLoop.connectionLimit)
    }

    @Test("it moves to another address, and ends, without a restart")
    func moving() throws {
        let desk = try Desk()
        let keptAlive = try desk.client()
        #expect(try keptAlive.get("/").status == 200)
        let (socket, port) = try Desk.socket()
        desk.server.listen(on: socket)
        try eventually("the old address is closed") {
            RawClient.canConnect(to: desk.port) ? nil : true
        }
        #expect(try RawClient(port: port, host: "127.0.0.1").get("/state").status == 200)
        #expect(try keptAlive.get("/").status == 200, "who is connected stays so")
        desk.server.listen(on: nil)
        try eventually("the new one as well") { RawClient.canConnect(to: port) ? nil : true }
    }

    @Test("the same socket, handed over by one reload after another, goes on answering")
    func handedOver() throws {
        let desk = try Desk()
        let (socket, port) = try Desk.socket()
        defer { close(socket) }
        for _ in 0..<50 {
            desk.server.listen(on: dup(socket))
            #expect(try RawClient(port: port, host: "127.0.0.1").get("/").status == 200)
        }
    }
}
