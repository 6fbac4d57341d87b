// Answers that come before the request is through: whoever is told no amid an upload has to hear it,
// whatever its manners.

import Base
import Glibc
import Net
import Testing

@testable import Proxy

@Suite struct WorkerEarlyAnswerTests {
    /// A node that says `answer` once it has the head, reads nothing after it, and stays.
    private func deaf(_ answer: String, _ size: Int, until over: Wakeup) throws -> TestNode {
        try TestNode { conversation in
            _ = try conversation.read(until: "\r\n\r\n")
            try conversation.send(
                "HTTP/1.1 \(answer)\r\nContent-Length: \(size)\r\n\r\n"
                    + String(repeating: "n", count: size))
            var wait = pollfd(fd: over.fd, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&wait, 1, 20_000)
        }
    }

    @Test(
        "A client that reads only after its upload gets an answer that no buffer holds",
        arguments: ["413 Content Too Large", "200 OK"], ["Content-Length: 30000000", "chunked"])
    func readsLate(_ status: String, _ framing: String) throws {
        let over = try Wakeup()
        let size = 20_000_000
        try with(deaf(status, size, until: over)) { worker in
            let client = try Conversation(port: worker.port)
            let isChunked = framing == "chunked"
            let field = isChunked ? "Transfer-Encoding: chunked" : framing
            try client.send("PUT / HTTP/1.1\r\nHost: a\r\n\(field)\r\n\r\n")
            for _ in 0..<30 {
                if isChunked { try client.send("f4240\r\n") }
                try client.send([UInt8](repeating: 1, count: 1_000_000))
                if isChunked { try client.send("\r\n") }
            }
            if isChunked { try client.send("0\r\n\r\n") }
            let (head, body) = try client.response()
            #expect(head.hasPrefix("HTTP/1.1 \(status)"))
            #expect(head.contains("Connection: close"))
            #expect(body.utf8.count == size)
            over.signal()
        }
        over.close()
    }

    @Test("A client whose upload is answered and then not taken is not held until a timer")
    func notTaken() throws {
        let over = try Wakeup()
        try with(deaf("200 OK", 2, until: over)) { worker in
            let client = try Conversation(port: worker.port)
            try client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000\r\n\r\n")
            try client.send([UInt8](repeating: 1, count: 30_000_000))
            #expect(try client.response().body == "nn")
            over.signal()
        }
        over.close()
    }

    @Test("A node that answers first and reads on gets the whole upload")
    func readsOn() throws {
        let got = try Wakeup()
        let size = 12_000_000
        let node = try TestNode { conversation in
            _ = try conversation.read(until: "\r\n\r\n")
            try conversation.send("HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok")
            for _ in 0..<12 { _ = try conversation.read(count: size / 12) }
            got.signal()
            _ = try conversation.readAll()
        }
        try with(node) { worker in
            let client = try Conversation(port: worker.port)
            try client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: \(size)\r\n\r\n")
            // The answer is here before the upload goes on.
            #expect(try client.response().head.hasPrefix("HTTP/1.1 202"))
            try client.send([UInt8](repeating: 1, count: size))
            var wait = pollfd(fd: got.fd, events: Int16(POLLIN), revents: 0)
            #expect(unsafe poll(&wait, 1, 10_000) == 1)
            #expect(try client.readAll() == "")
        }
        got.close()
    }

    @Test("A node may answer while it reads, byte for byte", arguments: [100, 3_000_000])
    func duplex(_ size: Int) throws {
        let node = try TestNode { conversation in
            _ = try conversation.read(until: "\r\n\r\n")
            try conversation.send("HTTP/1.1 200 OK\r\nContent-Length: \(size * 10)\r\n\r\n")
            for _ in 0..<10 { try conversation.send(try conversation.read(count: size)) }
            _ = try conversation.readAll()
        }
        try with(node) { worker in
            let client = try Conversation(port: worker.port)
            try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(size * 10)\r\n\r\n")
            for round in 0..<10 {
                let part = [UInt8](repeating: UInt8(round), count: size)
                let upload = try Thread("upload") { try? client.send(part) }
                if round == 0 { _ = try client.read(until: "\r\n\r\n") }
                #expect(try client.read(count: size) == part)
                upload.join()
            }
        }
    }

    @Test("A chunk that makes no sense after an early answer does not spoil that answer")
    func brokenAfterAnswer() throws {
        let told = try Wakeup()
        let seen = try Wakeup()
        let node = try TestNode { conversation in
            _ = try conversation.read(until: "hello")
            try conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
            var wait = pollfd(fd: told.fd, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&wait, 1, 10_000)
            try conversation.send("cd")
            #expect(try !conversation.readAll().contains("0\r\n"))
            seen.signal()
        }
        try with(node) { worker in
            let client = try Conversation(port: worker.port)
            try client.send(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            _ = try client.read(until: "ab")
            try client.send("zz\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
            told.signal()
            #expect(try client.readAll() == "cd")
            var wait = pollfd(fd: seen.fd, events: Int16(POLLIN), revents: 0)
            #expect(unsafe poll(&wait, 1, 10_000) == 1)
        }
        told.close()
        seen.close()
    }

    @Test("An answer's head that drips in has no more time than one that comes at once")
    func drippingHead() throws {
        let node = try TestNode { conversation in
            _ = try conversation.read(until: "\r\n\r\n")
            for byte in Array("HTTP/1.1 200 OK\r\n".utf8) + [UInt8](repeating: 0x61, count: 4000) {
                try conversation.send([byte])
                _ = poll(nil, 0, 5)
            }
        }
        var times = WorkerFixture.Times()
        times.response = 400_000_000
        try with(node, times: times) { worker in
            let client = try Conversation(port: worker.port)
            try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
            #expect(try client.response().head.hasPrefix("HTTP/1.1 504"))
        }
    }
}
