// Tests of HTTP versions.

import Testing

@testable import HTTP

@Suite("Versions and dripping heads")
struct VersionTests {
    @Test("only HTTP/1 is spoken, a later minor version as 1.1, and what is none is told apart")
    func versions() {
        let cases: [(String, UInt16?)] = [
            ("HTTP/1.1", nil), ("HTTP/1.0", nil), ("HTTP/2.0", 505), ("HTTP/0.9", 505),
            ("HTTP/3.0", 505), ("HTTP/9.9", 505), ("HTTP/1.2", nil), ("HTTP/1.9", nil),
            ("http/1.1", 400), ("Http/1.1", 400), ("HTTP/1", 400), ("HTTP/1.", 400),
            ("HTTP/11.1", 400), ("HTTP/1.10", 400), ("HTTP/01.1", 400), ("HTTP/1,1", 400),
            ("HTTP /1.1", 400), ("HTTP/ 1.1", 400), ("HTTP/1.1 ", 400), (" HTTP/1.1", 400),
            ("HTTP/1.1x", 400), ("HTTP/a.b", 400), ("HTTPS/1.1", 400), ("HTTP/-1.1", 400),
            ("ICY/1.1", 400), ("", 400), ("HTTP/1.1\u{0}", 400), ("HTTP/1\u{B9}.1", 400),
        ]
        for (version, status) in cases {
            let request = Request("GET / \(version)\r\nHost: a\r\n\r\n")
            #expect(request.status == status, "\(version)")
            #expect(request.isComplete == (status == nil), "\(version)")
        }
    }

    @Test("a version that can never become one is refused before it is whole")
    func early() {
        #expect(Request("GET / X").status == 400)
        #expect(Request("GET / HTTQ").status == 400)
        #expect(Request("GET / HTTP/").outcome == .incomplete)
    }

    @Test("a head that comes byte by byte is not read again for each, yet complete at its last")
    func hint() {
        func waits(_ count: Int, seen: Int, _ limits: HeadLimits = HeadLimits()) -> Bool {
            isStillIncomplete(Array(bytes[..<count]).span, seen: seen, limits: limits)
        }
        let bytes = latin("GET /index.html HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(!waits(bytes.count, seen: 0))
        #expect(waits(12, seen: 11))
        // A line ended, the input doubled, a limit was reached: look again.
        #expect(!waits(26, seen: 25))
        #expect(!waits(16, seen: 15))
        #expect(!waits(12, seen: 11, HeadLimits(head: 12)))
        var head = RequestHead()
        for length in 1..<bytes.count {
            #expect(head.parse(Array(bytes[..<length]).span, seen: length - 1) == .incomplete)
        }
        #expect(head.parse(bytes.span, seen: bytes.count - 1) == .complete(length: bytes.count))
        // The same when the last look saw all but a few bytes, or nothing.
        for seen in 0..<bytes.count {
            #expect(head.parse(bytes.span, seen: seen) == .complete(length: bytes.count))
        }
    }

    @Test("a bare line feed is refused as soon as it comes, dripping or not")
    func drippingLineFeed() {
        let bytes = latin("GET / HTTP/1.1\nHost: a\n\n")
        var head = RequestHead()
        var outcome = HeadOutcome.incomplete
        var length = 0
        while outcome == .incomplete, length < bytes.count {
            length += 1
            outcome = head.parse(Array(bytes[..<length]).span, seen: length - 1)
        }
        #expect(length == 15)
        #expect(outcome != .incomplete)
    }
}
