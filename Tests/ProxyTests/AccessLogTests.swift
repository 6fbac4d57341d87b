// The access log's lines: JSON whatever the request was, and true.

import Base
import CLinux
import Glibc
import Net
import Testing

@testable import Proxy

@Suite struct AccessLogTests {
    /// What a worker logs of what `body` has it do.
    private func lines(
        nodes: [UInt16], times: WorkerFixture.Times = .init(),
        _ body: (WorkerFixture) throws -> Void
    ) throws -> [JSONNode] {
        let file = unsafe clinux_memfd_create("log", 0)
        defer { IO.close(file) }
        let worker = try WorkerFixture(nodes: nodes, times: times, accessLog: file)
        try body(worker)
        #expect(worker.inFlight() == 0)
        #expect(worker.leave() == 0)
        var text = [UInt8](repeating: 0, count: Int(lseek(file, 0, SEEK_END)))
        let count = unsafe pread(file, &text, text.count, 0)
        return try text[..<max(0, count)].split(separator: 10).map {
            try JSON5.parse(Array($0), file: "line")
        }
    }

    private func number(_ line: JSONNode, _ key: String) -> Double? {
        if case .number(let value)? = line[key]?.kind { value } else { nil }
    }

    private func text(_ line: JSONNode, _ key: String) -> String? {
        if case .string(let value)? = line[key]?.kind { value } else { nil }
    }

    @Test("A line says what was asked, what came of it, and how many bytes went each way")
    func line() throws {
        let node = try TestNode { conversation in
            while true {
                _ = try conversation.response()
                try conversation.send("HTTP/1.1 201 Created\r\nContent-Length: 7\r\n\r\nthe end")
            }
        }
        let found = try lines(nodes: [node.port]) { worker in
            let client = try Conversation(port: worker.port)
            try client.send(
                "POST /a?b=\"c\\d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
            _ = try client.response()
        }
        #expect(found.count == 1)
        let line = try #require(found.first)
        #expect(text(line, "method") == "POST")
        #expect(text(line, "target") == "/a?b=\"c\\d")
        #expect(text(line, "client") == "127.0.0.1")
        #expect(number(line, "status") == 201)
        #expect(number(line, "received") == 3)
        #expect(number(line, "sent") == 7)
        #expect(number(line, "attempts") == 1)
        #expect(line["cut"] == nil)
    }

    @Test("A line counts the attempts there were, and says when an answer was cut")
    func troubles() throws {
        let dead = try TestNode { _ in }
        let short = try TestNode { conversation in
            _ = try conversation.read(until: "\r\n\r\n")
            try conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        }
        let found = try lines(nodes: [dead.port, short.port]) { worker in
            let client = try Conversation(port: worker.port)
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            _ = try? client.readAll()
        }
        #expect(found.map { number($0, "attempts") } == [2])
        #expect(found.map { number($0, "status") } == [200])
        #expect(found.map { $0["cut"] != nil } == [true])
        let lost = try lines(nodes: [dead.port]) { worker in
            let client = try Conversation(port: worker.port)
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.response().head.hasPrefix("HTTP/1.1 502"))
        }
        #expect(lost.map { number($0, "attempts") } == [1])
        #expect(lost.map { number($0, "status") } == [502])
    }

    @Test("The longest target leaves the line whole")
    func longTarget() throws {
        let node = try TestNode.answering("HTTP/1.1 204 No Content\r\n\r\n")
        let target = "/" + String(repeating: "\\", count: 10_000)
        let found = try lines(nodes: [node.port]) { worker in
            let client = try Conversation(port: worker.port)
            for _ in 0..<200 {
                try client.send("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n")
                _ = try client.read(until: "\r\n\r\n")
            }
        }
        #expect(found.count == 200)
        #expect(found.allSatisfy { text($0, "target")?.count == 1024 })
    }

    @Test("What cannot be read as a request has a line, with as much of it as can be told")
    func refusals() throws {
        let found = try lines(nodes: []) { worker in
            for request in [
                "GET /two-hosts HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                "POST /smuggled HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
                    + "Transfer-Encoding: chunked\r\n\r\n",
                "\u{16}\u{3}\u{1} no HTTP at all\r\n\r\n",
            ] {
                let client = try Conversation(port: worker.port)
                try client.send(request)
                #expect(try client.response().head.hasPrefix("HTTP/1.1 400"))
            }
        }
        #expect(found.map { text($0, "method") } == ["GET", "POST", "-"])
        #expect(found.map { text($0, "target") } == ["/two-hosts", "/smuggled", "-"])
        #expect(found.map { number($0, "status") } == [400, 400, 400])
        #expect(found.allSatisfy { text($0, "reason")?.isEmpty == false })
        #expect(found.map { number($0, "attempts") } == [0, 0, 0])
    }

    @Test("A log that nobody reads holds up no request, and what comes of it later is whole lines")
    func unread() throws {
        let node = try TestNode.answering("HTTP/1.1 204 No Content\r\n\r\n")
        var ends: [Int32] = [-1, -1]
        // Both ends wait: the worker must not.
        try #require(unsafe clinux_pipe2(&ends, 0) == 0)
        defer { ends.forEach(IO.close) }
        let target = "/" + String(repeating: "x", count: 1000)
        let count = 400
        let worker = try WorkerFixture(nodes: [node.port], accessLog: ends[1])
        let client = try Conversation(port: worker.port)
        for _ in 0..<count {
            try client.send("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n")
            _ = try client.read(until: "\r\n\r\n")
        }
        #expect(worker.leave() == 0)
        try #require(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0)
        var log: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let read = unsafe read(ends[0], &piece, piece.count)
            guard read > 0 else { break }
            log += piece[..<read]
        }
        #expect(log.last == 10)
        let lines = try log.split(separator: 10).map { try JSON5.parse(Array($0), file: "line") }
        #expect(lines.allSatisfy { text($0, "target") == target })
        // A pipe holds 64 KiB.
        #expect((40...80).contains(lines.count))
    }
}
