// Connections of tcp listeners: bytes go both ways as they are, ends come one by one, a node that cannot be
// reached costs nothing, and the name in a ClientHello leads to a pool without TLS being ended.

import Base
import Glibc
import Net
import TestKit
import Testing

@testable import Proxy

@Suite("Streams") struct WorkerStreamTests {
    private func through(
        _ nodes: [UInt16], routes: RouteTable? = nil, times: WorkerFixture.Times = .init(),
        _ body: (WorkerFixture) throws -> Void
    ) throws {
        let worker = try WorkerFixture(nodes: nodes, times: times, stream: true, routes: routes)
        try body(worker)
        #expect(worker.inFlight() == 0)
        #expect(worker.leave() == 0)
    }

    private static func route(_ host: String) -> RouteTable {
        var routes = RouteTable(otherwise: nil)
        routes.add(host: host, path: nil, pool: 0)
        return routes
    }

    @Test("A node may speak first, and nothing is added or taken away")
    func serverFirst() throws {
        let node = try TestNode { node in
            try node.send("220 ready\r\n")
            #expect(try node.readAll() == "\0\r\n\r\nGET nothing")
            try node.send("bye")
        }
        try through([node.port]) { worker in
            let client = try Conversation(port: worker.port)
            #expect(try client.read(until: "\r\n") == "220 ready\r\n")
            try client.send("\0\r\n\r\nGET nothing")
            client.endSending()
            #expect(try client.readAll() == "bye")
        }
    }

    @Test("A node's end is passed on while its client still speaks")
    func halfClose() throws {
        let heard = try Gate()
        let words = String(repeating: "last words ", count: 100_000)
        let all = Guarded("")
        let node = try TestNode { node in
            try node.send("bye")
            node.endSending()
            let text = try node.readAll()
            all.withLock { $0 = text }
            heard.ring()
        }
        try through([node.port]) { worker in
            let client = try Conversation(port: worker.port)
            #expect(try client.readAll() == "bye")
            try client.send(words)
            client.endSending()
            #expect(heard.await { all.withLock { $0 == words } })
        }
    }

    @Test("64 MB come through unchanged in both directions at once")
    func bulk() throws {
        let size = 64 << 20
        let node = try TestNode { node in
            var sum = 0
            var count = 0
            while count < size {
                let bytes = try node.read(count: 1 << 20)
                count += bytes.count
                for byte in bytes { sum = (sum &* 31 &+ Int(byte)) & 0xFFFF_FFFF }
                try node.send(bytes)
            }
            node.endSending()
        }
        try through([node.port]) { worker in
            let client = try Conversation(port: worker.port)
            let piece = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
            for number in 0..<64 {
                var mine = piece
                mine[0] = UInt8(number)
                try client.send(mine)
                #expect(try client.read(count: 1 << 20) == mine)
            }
            client.endSending()
            #expect(try client.readAll() == "")
        }
    }

    @Test("A node that cannot be reached costs its client nothing, and no byte")
    func retried() throws {
        let dead = try TinyServer.deadAddress().port
        let node = try TestNode { node in
            #expect(try node.read(count: 5) == Array("hello".utf8))
            try node.send("welcome")
        }
        try through([dead, node.port]) { worker in
            for _ in 0..<6 {
                let client = try Conversation(port: worker.port)
                try client.send("hello")
                #expect(try client.readAll() == "welcome")
            }
        }
    }

    @Test("Where no node can be reached the client's connection is broken, not left waiting")
    func unreachable() throws {
        let dead = try TinyServer.deadAddress().port
        try through([dead]) { worker in
            let client = try Conversation(port: worker.port)
            #expect(throws: (any Error).self) { try client.read(count: 1) }
        }
    }

    @Test("A reset is passed on as one: nobody takes half for the whole")
    func reset() throws {
        let node = try TestNode { (node: Conversation) throws in
            #expect(try node.read(count: 2) == Array("go".utf8))
            node.resetOnClose()
        }
        try through([node.port]) { worker in
            let client = try Conversation(port: worker.port)
            try client.send("go")
            #expect(throws: (any Error).self) { _ = try client.readAll() }
        }
    }

    @Test("The name in a ClientHello leads to its pool, and the node gets the hello whole")
    func named() throws {
        let hello = TLSHello.bytes(name: "Tentacles.example.com", record: 20)
        let node = try TestNode { node in
            #expect(try node.read(count: hello.count) == hello)
            try node.send("hello of the server")
        }
        try through([node.port], routes: Self.route("*.example.com")) { worker in
            let client = try Conversation(port: worker.port)
            // As slowly as it may come.
            for byte in hello { try client.send([byte]) }
            #expect(try client.readAll() == "hello of the server")
        }
    }

    @Test(
        "Who asks for another name, or speaks no TLS, gets nowhere without a route for it",
        arguments: ["other.example.org", nil, "GET / HTTP/1.1\r\n\r\n"])
    func unnamed(_ what: String?) throws {
        let node = try TestNode { _ in Issue.record("nobody is to come here") }
        try through([node.port], routes: Self.route("*.example.com")) { worker in
            let client = try Conversation(port: worker.port)
            let isText = what?.hasPrefix("GET") == true
            try client.send(isText ? Array(what!.utf8) : TLSHello.bytes(name: what))
            // Closed with bytes unread, or after they were read: an error, or an end.
            let answer = try? client.readAll()
            #expect(answer ?? "" == "")
        }
    }

    @Test("Who says nothing on a listener that looks for names is let go")
    func silent() throws {
        let node = try TestNode { _ in Issue.record("nobody is to come here") }
        var times = WorkerFixture.Times()
        times.header = 100_000_000
        try through([node.port], routes: Self.route("*.example.com"), times: times) { worker in
            let client = try Conversation(port: worker.port)
            try client.send(Array(TLSHello.bytes(name: "a.example.com").dropLast()))
            let answer = try? client.readAll()
            #expect(answer ?? "" == "")
        }
    }
}
