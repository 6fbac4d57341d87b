// What a worker must bear: nodes that cannot be reached or fall silent, clients that are slow, odd
// or not HTTP at all, and a great many of them.

import Base
import Glibc
import Net
import Testing

@testable import Proxy

@Suite struct WorkerTrialTests {
    private static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    /// A port where connects get no answer: its queue is full and nobody takes from it.
    private struct BlackHole {
        let port: UInt16
        private let listener: Int32
        private var fillers: [Int32] = []

        init() throws {
            listener = try Socket.listen(
                SocketAddress(.v4Loopback, port: 0), shared: false, backlog: 0)
            port = Socket.localAddress(listener)!.port
            for _ in 0..<4 {
                switch Socket.connect(SocketAddress(.v4Loopback, port: port)) {
                case .connected(let fd), .started(let fd): fillers.append(fd)
                case .failed(let code): throw Broken(errorText(code))
                }
            }
        }

        func end() {
            for fd in fillers { IO.close(fd) }
            IO.close(listener)
        }
    }

    private func refusingPort() throws -> UInt16 {
        let fd = try Socket.listen(SocketAddress(.v4Loopback, port: 0), shared: false)
        defer { IO.close(fd) }
        return Socket.localAddress(fd)!.port
    }

    @Test("An upload reaches the next node when one cannot be reached", arguments: [true, false])
    func unreachable(_ refuses: Bool) throws {
        let hole = try BlackHole()
        defer { hole.end() }
        let node = try TestNode { conversation in
            while true {
                #expect(try conversation.response().body.utf8.count == 100_000)
                try conversation.send(Self.ok)
            }
        }
        var times = WorkerFixture.Times()
        times.connect = 200_000_000
        let bad = refuses ? try refusingPort() : hole.port
        let worker = try WorkerFixture(nodes: [bad, node.port], times: times)
        let client = try Conversation(port: worker.port)
        for _ in 0..<4 {
            try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
            try client.send([UInt8](repeating: 0x61, count: 100_000))
            #expect(try client.response().body == "ok")
        }
        #expect(worker.inFlight() == 0)
        #expect(worker.leave() == 0)
    }

    @Test("A GET survives nodes that reset it before they answer")
    func resetBeforeAnswer() throws {
        let bad = try TestNode { conversation in
            _ = try conversation.read(until: "\r\n\r\n")
            conversation.resetOnClose()
            try conversation.send("HTTP/1.1 200 OK\r\nContent-Le")
        }
        let good = try TestNode.answering(Self.ok)
        let worker = try WorkerFixture(nodes: [bad.port, good.port, bad.port])
        let client = try Conversation(port: worker.port)
        for _ in 0..<30 {
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.response().body == "ok")
        }
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        _ = try client.response()
        #expect(worker.inFlight() == 0)
        #expect(worker.leave() == 0)
    }

    @Test("A PUT of nothing is sent again like a GET, a POST of nothing goes out afresh")
    func emptyBodies() throws {
        // Answers once, and closes when the next request comes.
        let node = try TestNode { conversation in
            let head = try conversation.read(until: "\r\n\r\n")
            #expect(head.contains("Content-Length: 0"))
            try conversation.send(Self.ok)
            _ = try conversation.read(until: "\r\n\r\n")
        }
        let worker = try WorkerFixture(nodes: [node.port])
        let client = try Conversation(port: worker.port)
        for method in ["PUT", "POST", "DELETE", "POST", "PUT", "PUT", "POST"] {
            try client.send("\(method) / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            #expect(try client.response().body == "ok")
        }
        #expect(worker.leave() == 0)
    }

    @Test("A node that does not answer in time costs a 504, and no more than its time")
    func silentNode() throws {
        let node = try TestNode { conversation in _ = try conversation.readAll() }
        var times = WorkerFixture.Times()
        times.response = 200_000_000
        let worker = try WorkerFixture(nodes: [node.port], times: times)
        let client = try Conversation(port: worker.port)
        for _ in 0..<2 {
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.response().head.hasPrefix("HTTP/1.1 504"))
        }
        #expect(worker.inFlight() == 0)
        #expect(worker.leave() == 0)
    }

    @Test("A GET survives nodes that are silent; what may not be repeated does not go to another")
    func silentNodes() throws {
        let silent = try TestNode { conversation in _ = try conversation.readAll() }
        let node = try TestNode { conversation in
            while true {
                _ = try conversation.response()
                try conversation.send(Self.ok)
            }
        }
        var times = WorkerFixture.Times()
        times.response = 200_000_000
        let worker = try WorkerFixture(nodes: [silent.port, silent.port, node.port], times: times)
        let client = try Conversation(port: worker.port)
        for _ in 0..<4 {
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.response().body == "ok")
        }
        var statuses: Set<Substring> = []
        for _ in 0..<3 {
            try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
            statuses.insert(try client.response().head.dropFirst(9).prefix(3))
        }
        #expect(statuses == ["200", "504"])
        #expect(worker.inFlight() == 0)
        #expect(worker.leave() == 0)
    }

    @Test("A lone node that takes no connection costs a 504, and not the response timeout")
    func fullNode() throws {
        let hole = try BlackHole()
        defer { hole.end() }
        var times = WorkerFixture.Times()
        times.connect = 200_000_000
        let worker = try WorkerFixture(nodes: [hole.port], times: times)
        let client = try Conversation(port: worker.port)
        try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.response().head.hasPrefix("HTTP/1.1 504"))
        #expect(worker.leave() == 0)
    }

    @Test("A request that is retried on a kept connection has the whole response timeout")
    func patienceOnKeptConnection() throws {
        // Answers the first request; holds the second for 2 s and goes away.
        let fickle = try TestNode { conversation in
            let head = try conversation.read(until: "\r\n\r\n")
            if head.hasPrefix("GET /first") {
                try conversation.send(Self.ok)
                _ = try conversation.read(until: "\r\n\r\n")
                return
            }
            _ = poll(nil, 0, 2000)
        }
        let slow = try TestNode { conversation in
            while true {
                let head = try conversation.read(until: "\r\n\r\n")
                if !head.hasPrefix("GET /first") { _ = poll(nil, 0, 2000) }
                try conversation.send(Self.ok)
            }
        }
        var times = WorkerFixture.Times()
        times.response = 3_000_000_000
        let worker = try WorkerFixture(nodes: [fickle.port, slow.port], times: times)
        let client = try Conversation(port: worker.port)
        for target in ["/first", "/first", "/second"] {
            try client.send("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.response().body == "ok")
        }
        #expect(worker.leave() == 0)
    }

    @Test("A head that drips in is answered 408; a silent connection is closed without a word")
    func headerTimeout() throws {
        let node = try TestNode.answering(Self.ok)
        var times = WorkerFixture.Times()
        times.header = 200_000_000
        times.idle = 200_000_000
        let worker = try WorkerFixture(nodes: [node.port], times: times)
        let slow = try Conversation(port: worker.port)
        try slow.send("GET / HT")
        #expect(try slow.readAll().hasPrefix("HTTP/1.1 408"))
        #expect(try Conversation(port: worker.port).readAll() == "")
        let idle = try Conversation(port: worker.port)
        try idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try idle.response().body == "ok")
        #expect(try idle.readAll() == "")
        #expect(worker.leave() == 0)
    }

    @Test("An answer that stops in its middle is cut after the idle time")
    func stalledAnswer() throws {
        let node = try TestNode { conversation in
            _ = try conversation.read(until: "\r\n\r\n")
            try conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
            _ = try conversation.readAll()
        }
        var times = WorkerFixture.Times()
        times.exchangeIdle = 200_000_000
        let worker = try WorkerFixture(nodes: [node.port], times: times)
        let client = try Conversation(port: worker.port)
        try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.read(until: "abc").hasPrefix("HTTP/1.1 200"))
        #expect(throws: Broken.self) { try client.readAll() }
        #expect(worker.inFlight() == 0)
        #expect(worker.leave() == 0)
    }

    @Test("What is not HTTP is told so, and the connection ends")
    func notHTTP() throws {
        let node = try TestNode.answering(Self.ok)
        let worker = try WorkerFixture(nodes: [node.port])
        let client = try Conversation(port: worker.port)
        try client.send(
            [0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3] + [UInt8](repeating: 7, count: 500))
        #expect(try client.readAll().hasPrefix("HTTP/1.1 400"))
        #expect(worker.leave() == 0)
    }

    @Test(
        "A head of about 64 KiB gets an answer, whether it can be forwarded or not",
        arguments: [64_000, 65_300, 65_480, 65_530, 65_536, 70_000, 200_000])
    func hugeHead(_ size: Int) throws {
        let node = try TestNode.answering(Self.ok)
        let worker = try WorkerFixture(nodes: [node.port])
        let client = try Conversation(port: worker.port)
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: "
        let filler = String(repeating: "x", count: size - start.utf8.count - 4)
        try client.send(start + filler + "\r\n\r\n")
        let head = try client.response().head
        #expect(head.hasPrefix("HTTP/1.1 200") || head.hasPrefix("HTTP/1.1 431"))
        #expect(size > 65_000 || head.hasPrefix("HTTP/1.1 200"))
        #expect(worker.inFlight() == 0)
        #expect(worker.leave() == 0)
    }

    @Test(
        "A node's head of about 64 KiB gets through or is a 502",
        arguments: [64_000, 65_400, 65_530, 65_536, 70_000, 200_000])
    func hugeAnswer(_ size: Int) throws {
        let start = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: "
        let filler = String(repeating: "x", count: size - start.utf8.count - 4)
        let node = try TestNode.answering(start + filler + "\r\n\r\nok")
        let worker = try WorkerFixture(nodes: [node.port])
        let client = try Conversation(port: worker.port)
        for _ in 0..<2 {
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            let (head, body) = try client.response()
            #expect(head.hasPrefix("HTTP/1.1 200") ? body == "ok" : head.hasPrefix("HTTP/1.1 502"))
            #expect(size > 65_000 || body == "ok")
        }
        #expect(worker.inFlight() == 0)
        #expect(worker.leave() == 0)
    }

    @Test("A half-closed client still gets its answer")
    func halfClosed() throws {
        let node = try TestNode.answering(Self.ok)
        let worker = try WorkerFixture(nodes: [node.port])
        let client = try Conversation(port: worker.port)
        try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.endSending()
        #expect(try client.response().body == "ok")
        #expect(try client.readAll() == "")
        #expect(worker.leave() == 0)
    }

    @Test("A newcomer's request that comes with the order to drain is served")
    func drainNewcomer() throws {
        let node = try TestNode.answering(Self.ok)
        for _ in 0..<20 {
            let worker = try WorkerFixture(nodes: [node.port])
            do {
                let clients = try (0..<10).map { _ in try Conversation(port: worker.port) }
                for client in clients { try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n") }
                worker.order(.drain)
                for client in clients { #expect(try client.response().body == "ok") }
            }
            #expect(worker.leave(now: false) == 0)
        }
    }

    @Test("A thousand connections, ended in every way, leave nothing behind")
    func churn() throws {
        let node = try TestNode { conversation in
            while true {
                let head = try conversation.read(until: "\r\n\r\n")
                if head.hasPrefix("POST") { _ = try conversation.read(count: 1000) }
                if head.contains("/reset") {
                    conversation.resetOnClose()
                    return
                }
                if head.contains("/end") { return }
                try conversation.send(Self.ok)
            }
        }
        let worker = try WorkerFixture(nodes: [node.port, node.port])
        let body = String(repeating: "b", count: 1000)
        for i in 0..<1000 {
            let client = try Conversation(port: worker.port)
            switch i % 8 {
            case 0: break
            case 1: try client.send("GET / HT")
            case 2: try client.send("GET /unread HTTP/1.1\r\nHost: a\r\n\r\n")
            case 3:
                try client.send("GET /reset HTTP/1.1\r\nHost: a\r\n\r\n")
                #expect(try client.response().head.hasPrefix("HTTP/1.1 502"))
            case 4:
                try client.send("GET /end HTTP/1.1\r\nHost: a\r\n\r\n")
                client.resetOnClose()
            case 5:
                try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf")
            case 6:
                try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + body)
                #expect(try client.response().body == "ok")
                client.resetOnClose()
            default:
                try client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                #expect(try client.readAll().hasSuffix("ok"))
            }
        }
        #expect(worker.inFlight() == 0)
        #expect(worker.leave(now: false) == 0)
    }
}
