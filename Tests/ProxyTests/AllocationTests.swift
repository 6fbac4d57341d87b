// The promise that a request costs no allocation once everything is warm, counted. True of release
// builds; in debug the count is taken but not judged, and under a sanitizer it is not even taken.

import CAllocations
import CLinux
import Glibc
import Testing

@testable import Proxy

@Suite(.serialized) struct AllocationTests {
    /// Runs `exchange` warm, then 2,000 times, and counts what the worker's thread allocates.
    private func count(
        _ answer: String, _ exchange: (Conversation) throws -> Void
    ) throws -> UInt64 {
        let node = try TestNode.answering(answer)
        let worker = try WorkerFixture(nodes: [node.port])
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
