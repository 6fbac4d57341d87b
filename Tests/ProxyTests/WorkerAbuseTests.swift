// Clients that mean no good, or have too many of their kind: what they cost, and that others are served
// meanwhile. One worker, real sockets.

import Base
import Glibc
import HTTP
import Net
import TestKit
import Testing

@testable import Proxy

@Suite("Abuse costs little, and others nothing")
struct WorkerAbuseTests {
    private static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    // MARK: Limits

    @Test("a client with too many connections is told so, and is served again when one has gone")
    func crowded() throws {
        let node = try TestNode.answering(Self.ok)
        let worker = try WorkerFixture(
            nodes: [node.port], connections: ConnectionCount(limit: nil, perClient: 2))
        defer { #expect(worker.leave() == 0) }
        var clients = try (0..<2).map { _ in try RawClient(port: worker.port) }
        for client in clients { #expect(try client.get("/").status == 200) }
        let third = try RawClient(port: worker.port)
        let answer = try third.get("/")
        #expect(answer.status == 429)
        #expect(answer["Retry-After"] == "1")
        #expect(answer["Connection"] == "close")
        #expect(try third.waitForEnd() == .closed)
        // Other addresses are other clients.
        #expect(try RawClient(port: worker.port, from: 0x7F00_0002).get("/").status == 200)
        for client in clients { #expect(try client.get("/").status == 200) }
        clients.removeLast()
        _ = try eventually("a place") {
            try RawClient(port: worker.port).get("/").status == 200 ? true : nil
        }
    }

    @Test("a trusted proxy has as many connections as it likes")
    func trusted() throws {
        let node = try TestNode.answering(Self.ok)
        let worker = try WorkerFixture(
            nodes: [node.port], trusted: [try #require(AddressRange("127.0.0.1"))],
            connections: ConnectionCount(limit: nil, perClient: 1))
        defer { #expect(worker.leave() == 0) }
        let clients = try (0..<20).map { _ in try RawClient(port: worker.port) }
        for client in clients { #expect(try client.get("/").status == 200) }
    }

    @Test("a flood over the limit is dropped, and who was there before is served through it")
    func flood() throws {
        let node = try TestNode.answering(Self.ok)
        let worker = try WorkerFixture(
            nodes: [node.port], connections: ConnectionCount(limit: 1000, perClient: 4))
        defer { #expect(worker.leave() == 0) }
        let good = try RawClient(port: worker.port, from: 0x7F00_0009)
        var crowd: [RawClient] = []
        for round in 0..<300 {
            if let client = try? RawClient(port: worker.port) { crowd.append(client) }
            if round % 50 == 0 { #expect(try good.get("/").status == 200) }
        }
        // Not read from, so that those that were told stay for a while.
        let most = 1 + 4 + ConnectionCount.courtesyPerClient
        _ = try eventually("all but a few are closed") {
            let open = crowd.count { (try? $0.waitForEnd(within: 0)) == nil }
            return open <= most ? true : nil
        }
        #expect(try good.get("/").status == 200)
    }

    // MARK: Timers

    @Test("a head that drips is cut when its whole time is over, however steadily it drips")
    func drippingHead() throws {
        let node = try TestNode.answering(Self.ok)
        var times = WorkerFixture.Times()
        times.header = 400_000_000
        let worker = try WorkerFixture(nodes: [node.port], times: times)
        defer { #expect(worker.leave() == 0) }
        let client = try RawClient(port: worker.port)
        try client.send("GET / HTTP/1.1\r\nHost: a\r\n")
        let start = monotonicNow()
        // A byte each 50 ms, until it is told to stop.
        for _ in 0..<100 {
            guard (try? client.send("a")) != nil else { break }
            if (try? client.expectSilence(for: 0.05)) == nil { break }
        }
        let took = Double(monotonicNow() - start) / 1e9
        #expect(took < 3, "\(took) s")
        #expect(try client.response().status == 408)
    }

    @Test("who connects and says nothing is let go, and so is who is idle between requests")
    func silence() throws {
        let node = try TestNode.answering(Self.ok)
        var times = WorkerFixture.Times()
        times.header = 200_000_000
        times.idle = 300_000_000
        let worker = try WorkerFixture(nodes: [node.port], times: times)
        defer { #expect(worker.leave() == 0) }
        #expect(try RawClient(port: worker.port).waitForEnd(within: 3) == .closed)
        let client = try RawClient(port: worker.port)
        #expect(try client.get("/").status == 200)
        #expect(try client.waitForEnd(within: 3) == .closed)
    }

    @Test("an upload that drips is served as long as it moves, and cut when it does not")
    func drippingUpload() throws {
        let node = try TestNode { conversation in
            _ = try conversation.read(until: "\r\n\r\n")
            _ = try conversation.read(count: 10)
            try conversation.send(Self.ok)
        }
        var times = WorkerFixture.Times()
        times.exchangeIdle = 400_000_000
        let worker = try WorkerFixture(nodes: [node.port], times: times)
        defer { #expect(worker.leave() == 0) }
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
        let client = try RawClient(port: worker.port)
        try client.send(head)
        for _ in 0..<10 {
            try client.expectSilence(for: 0.1)
            try client.send("x")
        }
        #expect(try client.response().status == 200)
        let stalled = try RawClient(port: worker.port)
        try stalled.send(head + "xxx")
        #expect(try stalled.response().status == 408)
        #expect(worker.inFlight() == 0)
    }

    @Test("a client that does not read its answer is cut, and the node is let go")
    func unreadAnswer() throws {
        let gone = try Gate()
        let node = try TestNode { conversation in
            _ = try conversation.read(until: "\r\n\r\n")
            try conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            while conversation.sendWhileTaken(1 << 20, quiet: 5000) == 1 << 20 {}
            gone.ring()
        }
        var times = WorkerFixture.Times()
        times.exchangeIdle = 300_000_000
        let worker = try WorkerFixture(nodes: [node.port], times: times)
        defer { #expect(worker.leave() == 0) }
        let client = try RawClient(port: worker.port, receiveBuffer: 4096)
        try client.request("GET", "/")
        _ = try eventually("the request is begun") {
            worker.board.snapshot().contains { $0.inFlight == 1 } ? true : nil
        }
        #expect(worker.inFlight() == 0)
        _ = try client.readToEnd()
        #expect(client.end == .reset, "what is not whole must not look so")
    }

    // MARK: Descriptors

    /// Seconds that the worker has been on a processor.
    private func cpu(_ worker: WorkerFixture) throws -> Double {
        try ProcessFacts(getpid()).cpuSeconds(thread: worker.threadIdentifier())
    }

    @Test(
        "without descriptors for more, clients wait without a spin, are taken when one goes, and are served"
    )
    func noRoom() throws {
        Lines.collect()
        let node = try TestNode.answering(Self.ok)
        let room = SocketRoom(limit: 40, own: 0)
        let worker = try WorkerFixture(nodes: [node.port], room: room)
        defer { #expect(worker.leave() == 0) }
        // Descriptors are not really short here: what is looked at is that it does not come to that.
        var held: [RawClient] = []
        while true {
            let client = try RawClient(port: worker.port, within: 0.3)
            try client.request("GET", "/")
            guard (try? client.response())?.status == 200 else { break }
            client.patience = 10
            held.append(client)
            try #require(held.count < 100)
        }
        #expect(held.count >= room.plan.clients - 2 && held.count <= room.plan.clients)
        let waiting = try (0..<10).map { _ in try RawClient(port: worker.port) }
        let before = try cpu(worker)
        try waiting[0].expectSilence(for: 1)
        let spent = try cpu(worker) - before
        #expect(spent < 0.2, "\(spent) s")
        for client in held { #expect(try client.get("/").status == 200) }
        #expect(Lines.about("no connections are taken until others end").count == 1)
        // Who waits is taken at once when somebody goes.
        held.removeAll()
        let start = monotonicNow()
        for client in waiting { #expect(try client.get("/").status == 200) }
        let took = Double(monotonicNow() - start) / 1e9
        #expect(took < 2, "\(took) s")
    }

    // MARK: Storms

    @Test(
        "a storm of connections that are torn down at once leaves nothing behind, and others served"
    )
    func storm() throws {
        let node = try TestNode.answering(Self.ok)
        let worker = try WorkerFixture(nodes: [node.port])
        defer { #expect(worker.leave() == 0) }
        let good = try RawClient(port: worker.port)
        #expect(try good.get("/").status == 200)
        for round in 0..<5000 {
            let client = try RawClient(port: worker.port)
            if round % 2 == 0 { try client.send("GET / HTTP/1.1\r\nHo") }
            client.reset()
            if round % 500 == 0 { #expect(try good.get("/").status == 200) }
        }
        #expect(try good.get("/").status == 200)
        #expect(worker.inFlight() == 0)
    }
}
