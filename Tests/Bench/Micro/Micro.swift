// What a request costs in the parts of it that are pure: one of them, so many times, to be counted from
// outside by Tests/Bench/micro. `micro PART COUNT` does it; the difference between two counts is what the
// part itself takes.

import Base
import Glibc
import HTTP
import Net

@main
enum Micro {
    static let parts: [(name: String, run: @Sendable (Int) -> Int)] = [
        ("request-parse", parseRequest), ("request-forward", forwardRequest),
        ("response-parse", parseResponse), ("response-forward", forwardResponse),
        ("chunks-64k", decodeChunks), ("timer", setTimers), ("route-path", readPaths),
    ]

    static func main() {
        let words = CommandLine.arguments
        guard words.count == 3, let count = Int(words[2]),
            let part = parts.first(where: { $0.name == words[1] })
        else {
            for part in parts { print(part.name) }
            exit(words.count == 1 ? 0 : 2)
        }
        // Printed, so that nothing of it can be left out.
        print(part.run(count))
    }

    /// As a browser sends it.
    static let request = Array(
        """
        GET /app/projects?skip=0&take=30 HTTP/1.1\r
        Host: deploy.example.com\r
        User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r
        Accept: application/json, text/plain, */*\r
        Accept-Language: en-US,en;q=0.5\r
        Accept-Encoding: gzip, deflate, br, zstd\r
        Connection: keep-alive\r
        Cookie: OctopusIdentificationToken=d2hhdGV2ZXIgaXQgaXM; theme=dark\r
        Cache-Control: no-cache\r
        \r\n
        """.utf8)
    static let response = Array(
        """
        HTTP/1.1 200 OK\r
        Content-Type: application/json; charset=utf-8\r
        Content-Length: 512\r
        Date: Wed, 01 Jul 2026 00:00:00 GMT\r
        Cache-Control: no-store\r
        Server: Kestrel\r
        X-Content-Type-Options: nosniff\r
        \r\n
        """.utf8)

    static func parseRequest(_ count: Int) -> Int {
        var head = RequestHead()
        var sum = 0
        for _ in 0..<count {
            if case .complete(let length) = head.parse(request.span) { sum += length }
        }
        return sum
    }

    static func forwardRequest(_ count: Int) -> Int {
        var head = RequestHead()
        guard case .complete = head.parse(request.span) else { return 0 }
        let facts = ForwardingFacts(
            client: IPAddress(v4: 0xC000_0207), secure: false, trusted: false, passUpgrade: false)
        var sum = 0
        var room = [UInt8](repeating: 0, count: 2048)
        for _ in 0..<count {
            sum += written(to: &room) { head.writeForwarded(request.span, facts: facts, to: &$0) }
        }
        return sum
    }

    static func parseResponse(_ count: Int) -> Int {
        var head = ResponseHead()
        var sum = 0
        for _ in 0..<count {
            if case .complete(let length) = head.parse(response.span, requestMethod: .get) {
                sum += length
            }
        }
        return sum
    }

    static func forwardResponse(_ count: Int) -> Int {
        var head = ResponseHead()
        guard case .complete = head.parse(response.span, requestMethod: .get) else { return 0 }
        let facts = ResponseFacts(
            clientMinorVersion: 1, closeConnection: false, framing: .length(512),
            passUpgrade: false)
        var sum = 0
        var room = [UInt8](repeating: 0, count: 2048)
        for _ in 0..<count {
            sum += written(to: &room) { head.writeForwarded(response.span, facts: facts, to: &$0) }
        }
        return sum
    }

    /// 64 KiB in chunks of 4 KiB.
    static func decodeChunks(_ count: Int) -> Int {
        var body: [UInt8] = []
        for _ in 0..<16 {
            body += Array("1000\r\n".utf8) + [UInt8](repeating: 0x78, count: 4096) + [13, 10]
        }
        body += Array("0\r\n\r\n".utf8)
        var sum = 0
        for _ in 0..<count {
            var decoder = ChunkedDecoder()
            var at = 0
            decoding: while at < body.count {
                switch decoder.next(body.span.extracting(at..<body.count)) {
                case .data(let range, let consumed):
                    sum += Int(range.length)
                    at += consumed
                case .more(let consumed):
                    if consumed == 0 { break decoding }
                    at += consumed
                case .end, .invalid: break decoding
                }
            }
        }
        return sum
    }

    /// Set anew, as each request of a connection does, among a thousand others.
    static func setTimers(_ count: Int) -> Int {
        var wheel = TimerWheel(now: 0)
        for id in 0..<1000 { wheel.set(UInt32(id), at: UInt64(id) * 50_000_000) }
        for step in 0..<count {
            wheel.set(UInt32(step % 1000), at: 10_000_000_000 + UInt64(step) * 1_000)
        }
        return Int(wheel.wait(now: 0))
    }

    /// Nine of ten are as they should be.
    static func readPaths(_ count: Int) -> Int {
        let plain = Array("/app/projects/Projects-1/deployments".utf8)
        let odd = Array("/app//projects/%41/../deployments".utf8)
        var sum = 0
        var room = [UInt8](repeating: 0, count: 256)
        for step in 0..<count {
            let path = step % 10 == 0 ? odd.span : plain.span
            if RoutePath.isNormal(path) {
                sum += 1
            } else {
                sum += written(to: &room) { RoutePath.write(path, as: .plain, to: &$0) }
                sum += written(to: &room) { RoutePath.write(path, as: .generous, to: &$0) }
            }
        }
        return sum
    }

    private static func written(
        to room: inout [UInt8], _ body: (inout OutputSpan<UInt8>) -> Bool
    ) -> Int {
        unsafe room.withUnsafeMutableBufferPointer { memory in
            var output = unsafe OutputSpan(buffer: memory, initializedCount: 0)
            let isWhole = body(&output)
            let count = unsafe output.finalize(for: memory)
            return isWhole ? count : 0
        }
    }
}
