// WebSockets through a worker: bytes that come with the handshake, and ends that come one by one.

import Base
import Glibc
import Net
import Testing

@testable import Proxy

@Suite struct WorkerTunnelTests {
    private static let handshake =
        "GET /live HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    private static let accepted =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

    /// A tunnel whose node goes on as `serve` says, with what the node reads in the end.
    private func tunnel(
        early: String = "", _ serve: @escaping @Sendable (Conversation) throws -> Void,
        _ client: (Conversation) throws -> Void
    ) throws {
        let node = try TestNode { conversation in
            _ = try conversation.read(until: "\r\n\r\n")
            try serve(conversation)
        }
        let worker = try WorkerFixture(nodes: [node.port])
        do {
            let conversation = try Conversation(port: worker.port)
            try conversation.send(Self.handshake + early)
            #expect(try conversation.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 101"))
            try client(conversation)
        }
        #expect(worker.inFlight() == 0)
        #expect(worker.leave() == 0)
    }

    @Test("What comes in one packet with the handshake reaches the other side")
    func early() throws {
        try tunnel(early: "first") { node in
            try node.send(Self.accepted + "welcome")
            #expect(try node.read(count: 5) == Array("first".utf8))
            try node.send("thanks")
        } _: { client in
            let all = try client.readAll()
            #expect(all == "welcomethanks")
        }
    }

    @Test("A client's last words arrive after the node has ended its side", arguments: 0..<10)
    func nodeEndsFirst(_: Int) throws {
        let heard = try Wakeup()
        let words = String(repeating: "last words ", count: 20_000)
        try tunnel { node in
            try node.send(Self.accepted + "bye")
            node.endSending()
            if try node.readAll() == words { heard.signal() }
        } _: { client in
            #expect(try client.readAll() == "bye")
            try client.send(words)
        }
        var wait = pollfd(fd: heard.fd, events: Int16(POLLIN), revents: 0)
        #expect(unsafe poll(&wait, 1, 10_000) == 1)
        heard.close()
    }

    @Test("A node's last words arrive after the client has ended its side")
    func clientEndsFirst() throws {
        let words = String(repeating: "last words ", count: 50_000)
        try tunnel { node in
            try node.send(Self.accepted)
            #expect(try node.readAll() == "done")
            try node.send(words)
        } _: { client in
            try client.send("done")
            client.endSending()
            #expect(try client.readAll() == words)
        }
    }

    @Test("A client that is reset after it has ended its side does not leave a tunnel behind")
    func resetAfterEnd() throws {
        let isOver = try Wakeup()
        try tunnel { node in
            try node.send(Self.accepted)
            _ = try node.readAll()
            isOver.signal()
            // Says nothing until the tunnel is gone.
            var wait = pollfd(fd: node.fd, events: 0, revents: 0)
            _ = unsafe poll(&wait, 1, 10_000)
        } _: { client in
            client.endSending()
            var wait = pollfd(fd: isOver.fd, events: Int16(POLLIN), revents: 0)
            #expect(unsafe poll(&wait, 1, 10_000) == 1)
            client.resetOnClose()
        }
        isOver.close()
    }

    @Test("A node that refuses the handshake is answered from like any other")
    func refused() throws {
        let node = try TestNode.answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        let worker = try WorkerFixture(nodes: [node.port])
        let client = try Conversation(port: worker.port)
        for _ in 0..<3 {
            try client.send(Self.handshake)
            #expect(try client.response().body == "no")
        }
        #expect(worker.leave() == 0)
    }
}
