// Corners of the data path that a review of it found, each with what a user would have lost.

import Base
import Glibc
import Net
import Testing

@testable import Proxy

@Suite struct WorkerEdgeTests {
    @Test("An answer that a client is slow to take is not cut by its next requests")
    func pendingHead() throws {
        let field = String(repeating: "x", count: 30_000)
        let node = try TestNode.answering("HTTP/1.1 304 Not Modified\r\nX-Long: \(field)\r\n\r\n")
        let worker = try WorkerFixture(nodes: [node.port])
        defer { worker.leave() }
        let client = try Conversation(port: worker.port)
        // 400 answers of 30 KB are more than the sockets take while nobody reads.
        for _ in 0..<400 { try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n") }
        client.endSending()
        for _ in 0..<400 {
            let head = try client.read(until: "\r\n\r\n")
            #expect(head.count > 30_000)
        }
        #expect(try client.readAll() == "")
    }

    @Test("After a retry the node has the response timeout, not the connect timeout")
    func patienceAfterRetry() throws {
        // Takes a request and goes away, the first time.
        let fickle = try TestNode { conversation in
            _ = try conversation.read(until: "\r\n\r\n")
        }
        let slow = try TestNode { conversation in
            _ = try conversation.read(until: "\r\n\r\n")
            // Longer than the connect timeout below.
            var nothing = pollfd()
            _ = unsafe poll(&nothing, 0, 600)
            try conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        }
        var times = WorkerFixture.Times()
        times.connect = 200_000_000
        let worker = try WorkerFixture(nodes: [fickle.port, slow.port], times: times)
        defer { worker.leave() }
        for _ in 0..<2 {
            let client = try Conversation(port: worker.port)
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.response().body == "ok")
        }
    }

    @Test("A node that dies after its 100 Continue still leaves the client an answer")
    func deathAfterInterim() throws {
        let node = try TestNode { conversation in
            _ = try conversation.read(until: "\r\n\r\n")
            try conversation.send("HTTP/1.1 100 Continue\r\n\r\n")
            _ = try conversation.read(count: 3)
        }
        let worker = try WorkerFixture(nodes: [node.port])
        defer { worker.leave() }
        let client = try Conversation(port: worker.port)
        try client.send(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        #expect(try client.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 100"))
        try client.send("abc")
        #expect(try client.response().head.hasPrefix("HTTP/1.1 502"))
    }

    @Test("A GET does not fail because a node closes the connection it is sent on")
    func staleConnection() throws {
        // Answers once, and closes when the next request comes.
        let node = try TestNode { conversation in
            _ = try conversation.read(until: "\r\n\r\n")
            try conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            _ = try conversation.read(until: "\r\n\r\n")
        }
        let worker = try WorkerFixture(nodes: [node.port])
        defer { worker.leave() }
        let client = try Conversation(port: worker.port)
        for _ in 0..<20 {
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.response().body == "ok")
        }
    }

    @Test("A POST goes out on a connection that was never idle")
    func freshForBodies() throws {
        // The second request on a connection is never answered.
        let node = try TestNode { conversation in
            let head = try conversation.read(until: "\r\n\r\n")
            if head.hasPrefix("POST") { _ = try conversation.read(count: 3) }
            try conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            _ = try conversation.read(until: "\r\n\r\n")
        }
        let worker = try WorkerFixture(nodes: [node.port])
        defer { worker.leave() }
        let client = try Conversation(port: worker.port)
        for _ in 0..<10 {
            try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
            #expect(try client.response().body == "ok")
        }
    }

    @Test("A drained worker answers what is in flight, closes what is idle, and leaves")
    func drain() throws {
        let gate = try Wakeup()
        let node = try TestNode { conversation in
            while true {
                _ = try conversation.read(until: "\r\n\r\n")
                var wait = pollfd(fd: gate.fd, events: Int16(POLLIN), revents: 0)
                _ = unsafe poll(&wait, 1, 10_000)
                try conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        }
        let worker = try WorkerFixture(nodes: [node.port])
        let idle = try Conversation(port: worker.port)
        try idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        gate.signal()
        #expect(try idle.response().body == "ok")
        gate.clear()
        let busy = try Conversation(port: worker.port)
        try busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        worker.order(.drain)
        #expect(try idle.readAll() == "")
        gate.signal()
        let (head, body) = try busy.response()
        #expect(body == "ok")
        #expect(head.contains("Connection: close"))
        worker.leave(now: false)
    }
}
