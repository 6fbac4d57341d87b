// Whom a connection is for: heard of the proxies in front that are believed, and told to nodes.

import Base
import Glibc
import Net
import Testing

@testable import Proxy

@Suite("Introductions") struct WorkerIntroductionTests {
    private static let line = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
    private static let everybody = AddressRange("127.0.0.0/8")!
    private static let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.9.9.9\r\n\r\n"
    private static let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    private func through(
        _ node: TestNode, trusted: [AddressRange] = [everybody], reads: Bool = true,
        stream: Bool = false, times: WorkerFixture.Times = .init(),
        says: ProxyHeader.Version? = nil, _ body: (WorkerFixture) throws -> Void
    ) throws {
        let worker = try WorkerFixture(
            nodes: [node.port], times: times, trusted: trusted, stream: stream,
            readsProxyHeader: reads, proxyHeader: says)
        try body(worker)
        #expect(worker.inFlight() == 0)
        #expect(worker.leave() == 0)
    }

    @Test("A request is for whom the proxy in front says, who is not believed by that")
    func heard() throws {
        let node = try TestNode { node in
            while true {
                let head = try node.read(until: "\r\n\r\n")
                #expect(head.contains("\r\nX-Forwarded-For: 192.0.2.7\r\n"))
                try node.send(Self.answer)
            }
        }
        try through(node) { worker in
            let client = try Conversation(port: worker.port)
            // One piece, then byte by byte; the second request is still for the same.
            try client.send(Self.line + Self.request)
            #expect(try client.read(until: "ok").hasPrefix("HTTP/1.1 200"))
            try client.send(Self.request)
            #expect(try client.read(until: "ok").hasPrefix("HTTP/1.1 200"))
            let slow = try Conversation(port: worker.port)
            for byte in (Self.line + Self.request).utf8 { try slow.send([byte]) }
            #expect(try slow.read(until: "ok").hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test("A proxy that speaks for itself is itself")
    func itself() throws {
        let node = try TestNode { node in
            let head = try node.read(until: "\r\n\r\n")
            #expect(head.contains("\r\nX-Forwarded-For: 10.9.9.9, 127.0.0.1\r\n"))
            try node.send(Self.answer)
        }
        try through(node) { worker in
            let client = try Conversation(port: worker.port)
            try client.send("PROXY UNKNOWN\r\n" + Self.request)
            #expect(try client.read(until: "ok").hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test("Who is no trusted proxy cannot say whom it is for: its header is a bad request")
    func unbelieved() throws {
        let node = try TestNode { _ in Issue.record("nobody is to come here") }
        try through(node, trusted: [AddressRange("10.0.0.0/8")!]) { worker in
            let client = try Conversation(port: worker.port)
            try client.send(Self.line + Self.request)
            #expect(try client.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 400"))
        }
    }

    @Test(
        "A trusted proxy that does not say it, or not in time, is not served",
        arguments: [request, "PROXY TCP4 1.2.3.4\r\n", "", "PROXY TCP4 192.0.2.7 "])
    func silent(_ words: String) throws {
        let node = try TestNode { _ in Issue.record("nobody is to come here") }
        var times = WorkerFixture.Times()
        times.header = 100_000_000
        try through(node, times: times) { worker in
            let client = try Conversation(port: worker.port)
            try client.send(words)
            let answer = try? client.readAll()
            #expect(answer ?? "" == "")
        }
    }

    @Test("A node is told first whom a stream is for", arguments: [ProxyHeader.Version.v1, .v2])
    func stream(_ version: ProxyHeader.Version) throws {
        let length = version == .v1 ? Self.line.utf8.count + 2 : 28
        let node = try TestNode { node in
            // The length of a line depends on its last port.
            var bytes = try node.read(count: length - 4)
            while case .incomplete = ProxyHeader.parse(bytes.span) {
                bytes += try node.read(count: 1)
            }
            guard case .complete(let ends?, _) = ProxyHeader.parse(bytes.span) else {
                Issue.record("no header")
                return
            }
            #expect(ends.source.description == "192.0.2.7")
            #expect(ends.sourcePort == 56_324)
            #expect(ends.target == .v4Loopback)
            #expect(try node.readAll() == "hello")
            try node.send("bye")
        }
        try through(node, stream: true, says: version) { worker in
            let client = try Conversation(port: worker.port)
            try client.send(Self.line + "hello")
            client.endSending()
            #expect(try client.readAll() == "bye")
        }
    }

    @Test("A node that is told has a connection for each client, and no request of another on it")
    func requests() throws {
        let connections = Guarded(0)
        let node = try TestNode { node in
            connections.withLock { $0 += 1 }
            let first = try node.read(until: "\r\n\r\n")
            #expect(first.hasPrefix("PROXY TCP4 127.0.0.1 127.0.0.1 "))
            #expect(first.contains("\r\nGET / HTTP/1.1\r\n"))
            try node.send(Self.answer)
            _ = try node.readAll()
        }
        try through(node, reads: false, says: .v1) { worker in
            let client = try Conversation(port: worker.port)
            for _ in 0..<3 {
                try client.send(Self.request)
                #expect(try client.read(until: "ok").hasPrefix("HTTP/1.1 200"))
            }
            #expect(connections.withLock { $0 } == 3)
        }
    }
}
