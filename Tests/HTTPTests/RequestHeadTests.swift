// Tests of what is accepted as a request, and what is refused.

import Base
import Testing

@testable import HTTP

@Suite("Request heads")
struct RequestHeadTests {
    /// A POST with these lines, each ended by CRLF, after its Host.
    private func post(_ lines: String..., version: String = "1.1") -> Request {
        let fields = lines.map { $0 + "\r\n" }.joined()
        return Request("POST /p HTTP/\(version)\r\nHost: a\r\n\(fields)\r\n")
    }

    @Test("a plain request says what it is")
    func plain() {
        let input = "GET /a?b HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\nGET "
        let request = Request(input)
        #expect(request.outcome == .complete(length: input.utf8.count - 4))
        #expect(request.method == .get)
        #expect(request.methodText == "GET")
        #expect(request.target == "/a?b")
        #expect(request.path == "/a")
        #expect(request.authority == "example.com")
        #expect(request.minorVersion == 1)
        #expect(request.framing == .none)
        #expect(request.keepAlive)
        #expect(!request.expectsContinue)
        #expect(request.upgrade == .none)
        #expect(request.fields == ["Host=example.com", "Accept=*/*"])
    }

    @Test("a request is incomplete at every byte before its last, and never invalid on the way")
    func everyPrefix() {
        let bytes = latin(
            "\r\n\r\nPOST http://a/b?c HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX: \u{E9}\r\n\r\n"
        )
        for length in 0..<bytes.count {
            #expect(Request(Array(bytes[..<length])).outcome == .incomplete, "\(length)")
        }
        #expect(Request(bytes).outcome == .complete(length: bytes.count))
    }

    @Test("a few empty lines before a request are forgiven, more are not")
    func emptyLines() {
        let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        for count in 0...8 {
            let input = String(repeating: "\r\n", count: count) + request
            let expected: UInt16? = count <= 4 ? nil : 400
            #expect(Request(input).status == expected)
            if count <= 4 {
                #expect(Request(input).outcome == .complete(length: latin(input).count))
            }
        }
        #expect(Request("\n\(request)").status == 400)
        #expect(Request("\r\r\n\(request)").status == 400)
        #expect(Request("\r").outcome == .incomplete)
        #expect(Request("").outcome == .incomplete)
    }

    @Test("a malformed request line is refused as soon as it shows")
    func malformedLine() {
        let inputs = [
            "\u{16}\u{3}\u{1}", " ", "\u{0}", "GET\t", "GET/ HTTP/1.1\r\n", "(",
            "GET  / HTTP/1.1\r\n",
            "GET /  HTTP/1.1\r\n", "GET /\r\n", "GET / \r\n", "GET / HTTP/1.1 \r\n", "GET\r\n",
            "GET / HTTP/1.1\n", "GET / HTTP/1.1\rHost", "G\u{C9}T / ", "GET / HTTP/1.1\r\r\n",
            "GET /\u{0B}", "GET /a b HTTP/1.1\r\n", "GET /\n", "{", "\u{80}\u{2E}", "GET \t/ ",
        ]
        for start in inputs {
            #expect(Request(start).status == 400, "\(start)")
        }
    }

    @Test("methods that are not known go on, endless ones do not")
    func methods() {
        #expect(Request("M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n").method == .other)
        let long = String(repeating: "M", count: 32)
        #expect(Request("\(long) / HTTP/1.1\r\nHost: a\r\n\r\n").methodText == long)
        #expect(Request("\(long)M").status == 501)
    }

    @Test("CONNECT and TRACE are refused, so that no client tunnels or mirrors through us")
    func refusedMethods() {
        #expect(Request("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n").status == 501)
        #expect(Request("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n").status == 501)
        #expect(Request("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n").status == 405)
        #expect(Request("CONNECT a:443 HTTP/1.1\r\n\r\n").status == 400)
    }

    @Test("a request has one valid host, or two readers could see two")
    func hosts() {
        func get(_ lines: String, _ version: String = "1.1") -> Request {
            Request("GET / HTTP/\(version)\r\n\(lines)\r\n")
        }
        #expect(get("").status == 400)
        #expect(get("Host: a\r\nHost: a\r\n").status == 400)
        #expect(get("Host: a\r\nhOST: b\r\n").status == 400)
        #expect(get("Host:\r\n").status == 400)
        #expect(get("Host: a b\r\n").status == 400)
        #expect(get("Host: a, b\r\n").status == 400)
        #expect(get("Host: http://a\r\n").status == 400)
        #expect(get("Host: a/\r\n").status == 400)
        #expect(get("", "1.0").authority == "")
        #expect(get("", "1.0").isComplete)
        #expect(get("Host: a\r\n", "1.0").authority == "a")
        #expect(get("Host: a\r\nHost: a\r\n", "1.0").status == 400)
        #expect(get("Host: @\r\n", "1.0").status == 400)
        #expect(Request("GET http://b/ HTTP/1.1\r\n\r\n").status == 400)
        #expect(Request("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n").authority == "b")
        #expect(Request("GET http://b/ HTTP/1.0\r\n\r\n").authority == "b")
    }

    @Test("a length is one number, so that a body ends at one place")
    func contentLengths() {
        #expect(post("Content-Length: 0").framing == .length(0))
        #expect(post("content-LENGTH:007\t").framing == .length(7))
        #expect(
            post("Content-Length: 9223372036854775807").framing == .length(UInt64(Int64.max)))
        #expect(post().framing == .none)
        let bad = [
            "", "+1", "-1", "0x1", "1 1", "1,1", "1, 1", "1;", "1.0", "1e1", "\"1\"",
            "9223372036854775808", "18446744073709551617", "\u{B9}", "1\u{A0}", "a", "1_0",
        ]
        for value in bad { #expect(post("Content-Length: \(value)").status == 400, "\(value)") }
        #expect(post("Content-Length: 1", "Content-Length: 1").status == 400)
        #expect(post("Content-Length: 1", "Content-Length: 2").status == 400)
        // Not this field, whatever a node makes of it.
        #expect(post("Content_Length: 5").framing == .none)
        #expect(post("X-Content-Length: 5").framing == .none)
    }

    @Test("chunked is the only coding, once and alone, in HTTP/1.1 without a length")
    func transferEncodings() {
        #expect(post("Transfer-Encoding: chunked").framing == .chunked)
        #expect(post("transfer-encoding:\tChUnKeD \t").framing == .chunked)
        let cases: [([String], UInt16)] = [
            // CL.TE and TE.CL, in both orders, and with values that are fine or wrong by themselves.
            (["Content-Length: 5", "Transfer-Encoding: chunked"], 400),
            (["Transfer-Encoding: chunked", "Content-Length: 5"], 400),
            (["Transfer-Encoding: chunked", "Content-Length: 0"], 400),
            (["Transfer-Encoding: gzip", "Content-Length: 5"], 400),
            (["Transfer-Encoding: chunked", "Content-Length: x"], 400),
            // TE.TE.
            (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], 400),
            (["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], 400),
            (["Transfer-Encoding: x", "Transfer-Encoding: chunked"], 400),
            (["Transfer-Encoding: chunked, chunked"], 400),
            (["Transfer-Encoding: chunked, identity"], 400),
            (["Transfer-Encoding: identity"], 400),
            (["Transfer-Encoding: gzip"], 400),
            (["Transfer-Encoding: gzip, chunked"], 501),
            (["Transfer-Encoding:"], 400),
            (["Transfer-Encoding: xchunked"], 400),
            (["Transfer-Encoding: \"chunked\""], 400),
            (["Transfer-Encoding: chunked\u{0}"], 400),
            (["Transfer-Encoding: \u{B}chunked"], 400),
            (["Transfer-Encoding: chunked;a=b"], 400),
            (["Transfer-Encoding: ,"], 400),
            (["Transfer-Encoding: chunked, chunked,"], 400),
            (["Transfer-Encoding : chunked"], 400),
            (["Transfer-Encoding\t: chunked"], 400),
            ([" Transfer-Encoding: chunked"], 400),
            (["X: y\n Transfer-Encoding: chunked"], 400),
            (["X: y\nTransfer-Encoding: chunked"], 400),
            (["X: y\rTransfer-Encoding: chunked"], 400),
            (["Transfer-Encoding:\r\n chunked"], 400),
            (["Transfer-Encoding\u{0}: chunked"], 400),
            (["Transfer-Encoding: chunk", " ed"], 400),
        ]
        for (lines, status) in cases {
            let fields = lines.map { $0 + "\r\n" }.joined()
            let request = Request("POST / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n")
            #expect(request.status == status, "\(lines)")
        }
        #expect(post("Transfer-Encoding: chunked", version: "1.0").status == 400)
        #expect(
            post("Transfer-Encoding: chunked", "Connection: keep-alive", version: "1.0").status
                == 400)
    }

    @Test("a connection persists when both sides want it")
    func persistence() {
        #expect(post().keepAlive)
        #expect(!post("Connection: close").keepAlive)
        #expect(!post("Connection: Close").keepAlive)
        #expect(!post("Connection: keep-alive, close").keepAlive)
        #expect(!post("Connection: keep-alive", "Connection: close").keepAlive)
        #expect(post("Connection: keep-alive").keepAlive)
        #expect(!post(version: "1.0").keepAlive)
        #expect(post("Connection: Keep-Alive", version: "1.0").keepAlive)
        #expect(!post("Connection: keep-alive, close", version: "1.0").keepAlive)
        #expect(!post("Proxy-Connection: keep-alive", version: "1.0").keepAlive)
        #expect(post("Connection: a b").status == 400)
    }

    @Test("an expectation is 100-continue or refused; HTTP/1.0 has none")
    func expectations() {
        #expect(post("Content-Length: 1", "Expect: 100-Continue").expectsContinue)
        #expect(post("Transfer-Encoding: chunked", "Expect: 100-continue").expectsContinue)
        #expect(!post("Content-Length: 0", "Expect: 100-continue").expectsContinue)
        #expect(!post("Expect: 100-continue").expectsContinue)
        #expect(post("Expect: 100-continue, x").status == 417)
        #expect(post("Expect: 200-ok").status == 417)
        #expect(post("Expect:").status == 417)
        #expect(post("Expect: x", "Expect: 100-continue").status == 417)
        let old = post("Content-Length: 1", "Expect: 100-continue", version: "1.0")
        #expect(old.isComplete && !old.expectsContinue)
        #expect(post("Expect: x", version: "1.0").isComplete)
    }

    @Test("only a whole WebSocket handshake is an upgrade; h2c and others are served without")
    func upgrades() {
        func upgrade(
            _ lines: String, method: String = "GET", version: String = "1.1"
        ) -> Upgrade {
            Request("\(method) / HTTP/\(version)\r\nHost: a\r\n\(lines)\r\n").upgrade
        }
        let asked = "Connection: keep-alive, Upgrade\r\n"
        #expect(upgrade(asked + "Upgrade: websocket\r\n") == .webSocket)
        #expect(upgrade("Upgrade: WebSocket\r\nConnection: upgrade\r\n") == .webSocket)
        #expect(upgrade(asked + "Upgrade: websocket\r\nContent-Length: 0\r\n") == .webSocket)
        #expect(upgrade(asked) == .none)
        #expect(upgrade("Upgrade: websocket\r\n") == .other)
        #expect(upgrade(asked + "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n") == .other)
        #expect(upgrade(asked + "Upgrade: websocket, h2c\r\n") == .other)
        #expect(upgrade(asked + "Upgrade: websocket\r\nUpgrade: h2c\r\n") == .other)
        #expect(upgrade(asked + "Upgrade: websocket\r\n", method: "POST") == .other)
        #expect(upgrade(asked + "Upgrade: websocket\r\n", version: "1.0") == .other)
        #expect(upgrade(asked + "Upgrade: websocket\r\nContent-Length: 1\r\n") == .other)
        #expect(upgrade(asked + "Upgrade: websocket\r\nTransfer-Encoding: chunked\r\n") == .other)
    }

    @Test("Max-Forwards counts for OPTIONS")
    func maxForwards() {
        func options(_ lines: String) -> Request {
            Request("OPTIONS * HTTP/1.1\r\nHost: a\r\n\(lines)\r\n")
        }
        #expect(options("").maxForwards == nil)
        #expect(options("Max-Forwards: 0\r\n").maxForwards == 0)
        #expect(options("Max-Forwards: 10\r\n").maxForwards == 10)
        #expect(options("Max-Forwards: x\r\n").status == 400)
        #expect(options("Max-Forwards: 1\r\nMax-Forwards: 2\r\n").status == 400)
        #expect(post("Max-Forwards: 3").maxForwards == nil)
    }

    @Test("limits refuse what exceeds them with the status for it, and nothing before")
    func limits() {
        func status(_ input: String, _ limits: HeadLimits) -> UInt16? {
            Request(latin(input), limits: limits).status
        }
        let start = "GET /aaaaaaaaa HTTP/1.1\r\nHost: a\r\n"
        let whole = start + "\r\n"
        #expect(status(whole, HeadLimits(target: 10)) == nil)
        #expect(status(whole, HeadLimits(target: 9)) == 414)
        #expect(status("GET /aaaaaaaaa", HeadLimits(target: 9)) == 414)
        #expect(status("GET /aaaaaaaaa", HeadLimits(target: 10)) == nil)
        #expect(status(whole, HeadLimits(head: whole.utf8.count)) == nil)
        #expect(status(whole, HeadLimits(head: whole.utf8.count - 1)) == 431)
        #expect(status(start, HeadLimits(head: start.utf8.count + 1)) == nil)
        #expect(status(start, HeadLimits(head: start.utf8.count)) == 431)
        #expect(status("GET /aaaa", HeadLimits(head: 9)) == 414)
        #expect(status(whole, HeadLimits(fields: 1)) == nil)
        #expect(status(start + "A: b\r\n\r\n", HeadLimits(fields: 1)) == 431)
        #expect(status(start + "A: " + String(repeating: "x", count: 70_000), HeadLimits()) == 431)
    }

    @Test("one head object parses one request after another without remembering the last")
    func reuse() {
        let first = latin(
            "OPTIONS http://b/c HTTP/1.1\r\nHost: a\r\nConnection: close, upgrade, x\r\nX: 1\r\n"
                + "Upgrade: h2c\r\nMax-Forwards: 3\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        )
        let second = latin("GET / HTTP/1.0\r\nConnection: keep-alive\r\nX: 1\r\n\r\n")
        var head = RequestHead()
        #expect(head.parse(first.span) == .complete(length: first.count))
        #expect(head.maxForwards == 3 && head.expectsContinue && head.upgrade == .other)
        #expect(head.parse(second.span) == .complete(length: second.count))
        #expect(head.method == .get && head.minorVersion == 0 && head.keepAlive)
        #expect(head.authority.isEmpty && head.framing == .none && head.maxForwards == nil)
        #expect(!head.expectsContinue && head.upgrade == .none && head.fields.count == 2)
        #expect(head.table.kind(1) == .other)
    }
}
