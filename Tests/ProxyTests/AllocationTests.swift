// The promise that a request costs no allocation once everything is warm, counted. True of release
// builds; in debug the count is taken but not judged, and under a sanitizer it is not even taken.

import Balance
import CAllocations
import CLinux
import CTrivet
import Config
import Glibc
import Testing

@testable import Proxy

@Suite(.serialized) struct AllocationTests {
    /// Runs `exchange` warm, then 2,000 times, and counts what the worker's thread allocates.
    private func count(
        _ answer: String, affinity: Affinity = .none, strategy: StrategyKind? = nil,
        candidate: StrategyKind? = nil, _ exchange: (Conversation) throws -> Void
    ) throws -> UInt64 {
        let node = try TestNode.answering(answer)
        let worker = try WorkerFixture(
            nodes: [node.port], affinity: affinity, strategy: strategy, candidate: candidate)
        defer { worker.leave() }
        let client = try Conversation(port: worker.port)
        for _ in 0..<200 { try exchange(client) }
        allocations_watch(try worker.threadIdentifier())
        defer { allocations_watch(0) }
        for _ in 0..<2000 { try exchange(client) }
        return allocations_count()
    }

    #if DEBUG
        static let isJudged = false
    #else
        static let isJudged = allocations_are_counted()
    #endif

    @Test("A kept-alive GET costs no allocation")
    func get() throws {
        let count = try count("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello") { client in
            try client.send("GET /a HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\n")
            let (_, body) = try client.response()
            #expect(body == "hello")
        }
        if Self.isJudged { #expect(count == 0) }
    }

    @Test("A client that keeps its node costs no allocation, nor does it to give it a cookie")
    func session() throws {
        var session = Session(cookie: "S")
        session.secrets = ["0123456789abcdef"]
        session.maxAge = 3_600_000_000_000
        let affinity = Affinity(
            session: session, hashKey: .header("x-user"), pool: "pool", spare: [])
        let strategy = try StickyStrategy(recording: false).kind()
        var cookie = "x=y"
        var isGiven = false
        let count = try count(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", affinity: affinity,
            strategy: strategy
        ) { client in
            try client.send(
                "GET /both?z HTTP/1.1\r\nHost: example.com\r\nX-User: me\r\nCookie: a=b\r\n\r\n")
            let first = try client.response().head
            #expect(first.contains("Set-Cookie: S="))
            if !isGiven {
                let start = try #require(first.split(separator: "Set-Cookie: ").last)
                cookie = String(start.prefix { $0 != ";" })
                isGiven = true
            }
            try client.send(
                "GET /both?z HTTP/1.1\r\nHost: example.com\r\nCookie: a=b; \(cookie); c=d\r\n\r\n")
            let second = try client.response().head
            #expect(!second.contains("Set-Cookie"))
        }
        if Self.isJudged { #expect(count == 0) }
    }

    /// Picks the first node, without a word.
    private func firstNode() throws -> StrategyKind {
        let table = UnsafeMutablePointer<trivet_strategy>.allocate(capacity: 1)
        unsafe table.initialize(to: trivet_strategy())
        unsafe table.pointee.size = UInt32(MemoryLayout<trivet_strategy>.size)
        let name: StaticString = "first"
        unsafe table.pointee.name = trivet_str(
            data: UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self),
            len: name.utf8CodeUnitCount)
        unsafe table.pointee.create = { table, _, _, _ in
            unsafe UnsafeMutableRawPointer(mutating: table)
        }
        unsafe table.pointee.destroy = { _ in }
        unsafe table.pointee.pick = { _, _, _, answer in
            unsafe answer!.pointee.node = 0
            return TRIVET_PICKED
        }
        unsafe table.pointee.result = { _, _, _ in }
        return unsafe try StrategyKind(
            table: UnsafePointer(table),
            origin: PluginOrigin(file: "test.so", plugin: "test", version: "1"))
    }

    @Test("A pool with a canary and a shadow costs no allocation")
    func candidates() throws {
        let count = try count(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", strategy: try firstNode(),
            candidate: try firstNode()
        ) { client in
            try client.send("GET /a HTTP/1.1\r\nHost: example.com\r\n\r\n")
            #expect(try client.response().body == "hello")
        }
        if Self.isJudged { #expect(count == 0) }
    }

    @Test("A response in chunks costs no allocation")
    func chunked() throws {
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        let count = try count(answer) { client in
            try client.send("GET /a HTTP/1.1\r\nHost: example.com\r\n\r\n")
            let response = try client.read(until: "0\r\n\r\n")
            #expect(response.hasSuffix("5\r\nhello\r\n0\r\n\r\n"))
        }
        if Self.isJudged { #expect(count == 0) }
    }
}
