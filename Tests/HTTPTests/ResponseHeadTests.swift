// Tests of what is accepted as a response, and what is refused.

import Testing

@testable import HTTP

@Suite("Response heads")
struct ResponseHeadTests {
    private func response(
        _ lines: String..., status: String = "200 OK", version: String = "1.1",
        to method: Method = .get, upgradePassed: Bool = false
    ) -> Response {
        let fields = lines.map { $0 + "\r\n" }.joined()
        return Response(
            "HTTP/\(version) \(status)\r\n\(fields)\r\n", to: method, upgradePassed: upgradePassed)
    }

    @Test("a plain response says what it is")
    func plain() {
        let input = "HTTP/1.1 404 Not \u{E9} Found\r\nContent-Length: 3\r\n\r\nabc"
        let response = Response(input)
        #expect(response.outcome == .complete(length: latin(input).count - 3))
        #expect(response.status == 404)
        #expect(response.reason == "Not \u{E9} Found")
        #expect(response.minorVersion == 1)
        #expect(response.framing == .length(3))
        #expect(response.keepAlive && !response.isInterim && !response.upgradeAccepted)
    }

    @Test("a response is incomplete at every byte before its last")
    func everyPrefix() {
        let bytes = latin("HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 3\r\n\r\n")
        for length in 0..<bytes.count {
            #expect(Response(Array(bytes[..<length])).outcome == .incomplete, "\(length)")
        }
    }

    @Test("what is no status line is the node's fault, and never relayed")
    func malformedLine() {
        let inputs = [
            "hello", "\r\nHTTP/1.1 200 OK\r\n", "HTTP/2.0 200 OK\r\n", "HTTP/0.9 200 OK\r\n",
            "http/1.1 200 OK\r\n", "HTTP/1.1  200 OK\r\n",
            "HTTP/1.1 20 OK\r\n", "HTTP/1.1 2000 OK\r\n", "HTTP/1.1 +20 OK\r\n",
            "HTTP/1.1 099 OK\r\n", "HTTP/1.1 600 OK\r\n", "HTTP/1.1 999 OK\r\n",
            "HTTP/1.1 2x0 OK\r\n", "HTTP/1.1\t200 OK\r\n", "HTTP/1.1 200\tOK\r\n",
            "HTTP/1.1 200 OK\n", "HTTP/1.1 200 O\u{0}K\r\n", "HTTP/1.1 200 OK\r \r\n",
            "ICY 200 OK\r\n", "SSH-2.0-x\r\n", "\u{0}", "<html>", "HTTP/1.1 200OK\r\n",
            "HTTP/1.1 \r\n", " HTTP/1.1 200 OK\r\n",
        ]
        for line in inputs {
            #expect(Response(line + "\r\n").fault == 502, "\(line)")
        }
    }

    @Test("an empty reason is fine, with and without the space before it")
    func emptyReason() {
        #expect(response(status: "200 ").status == 200)
        #expect(response(status: "200").status == 200)
        #expect(response(status: "200").reason == "")
    }

    @Test("the end of a body is known by RFC 9112 section 6.3, in its order")
    func framing() {
        #expect(response("Content-Length: 5").framing == .length(5))
        #expect(response("Transfer-Encoding: Chunked").framing == .chunked)
        #expect(response().framing == .untilClose)
        #expect(response(version: "1.0").framing == .untilClose)
        #expect(response("Content-Length: 5", version: "1.0").framing == .length(5))
        for status in ["204 No Content", "304 Not Modified", "100 Continue", "103 Early Hints"] {
            #expect(response(status: status).framing == .none)
            #expect(response("Content-Length: 0", status: status).framing == .none)
        }
        #expect(response("Content-Length: 5", status: "204 x").framing == .none)
        #expect(response("Content-Length: 5", status: "304 x").framing == .none)
        #expect(response("Transfer-Encoding: chunked", to: .head).framing == .none)
        #expect(response("Content-Length: 5", to: .head).framing == .none)
        #expect(response(to: .head).framing == .none)
        #expect(response("Content-Length: 5", status: "200 x", to: .options).framing == .length(5))
        #expect(response(to: .connect).fault == 502)
    }

    @Test("ambiguous framing is the node's fault, also where no body can follow")
    func badFraming() {
        for method in [Method.get, .head] {
            for status in ["200 OK", "204 No Content", "304 Not Modified"] {
                func fault(_ lines: String..., version: String = "1.1") -> UInt16? {
                    let fields = lines.map { $0 + "\r\n" }.joined()
                    return Response("HTTP/\(version) \(status)\r\n\(fields)\r\n", to: method).fault
                }
                #expect(fault("Content-Length: x") == 502)
                #expect(fault("Content-Length: -1") == 502)
                #expect(fault("Content-Length: 1, 1") == 502)
                #expect(fault("Content-Length: 1", "Content-Length: 1") == 502)
                #expect(fault("Content-Length: 1", "Transfer-Encoding: chunked") == 502)
                #expect(fault("Transfer-Encoding: gzip") == 502)
                #expect(fault("Transfer-Encoding: gzip, chunked") == 502)
                #expect(fault("Transfer-Encoding: chunked, chunked") == 502)
                #expect(fault("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") == 502)
                #expect(fault("Transfer-Encoding: chunked", version: "1.0") == 502)
                #expect(fault("A : b") == 502)
                #expect(fault("A: b\u{0}") == 502)
                #expect(fault("A: b\r\n c") == 502)
                #expect(fault("A: b\nC: d") == 502)
            }
        }
    }

    @Test("a node's connection is used again only when it is surely at the start of a response")
    func persistence() {
        let length = "Content-Length: 1"
        #expect(response(length).keepAlive)
        #expect(!response(length, "Connection: close").keepAlive)
        #expect(!response(length, "Connection: keep-alive", "Connection: CLOSE").keepAlive)
        #expect(!response(length, version: "1.0").keepAlive)
        #expect(response(length, "Connection: keep-alive", version: "1.0").keepAlive)
        #expect(!response(length, "Connection: a b").keepAlive)
        #expect(!response().keepAlive)
        #expect(response(status: "204 x").keepAlive)
        #expect(response("Content-Length: 0", status: "204 x").keepAlive)
        #expect(!response(length, status: "204 x").keepAlive)
        #expect(!response("Transfer-Encoding: chunked", status: "204 x").keepAlive)
        #expect(response(length, status: "304 x").keepAlive)
        #expect(response(length, to: .head).keepAlive)
    }

    @Test("what Connection lists stays behind, or the response does")
    func overlongConnection() {
        let names = (0..<32).map { "x-\($0)" }
        #expect(response("Connection: " + names.joined(separator: ",")).fault == nil)
        let more = (names + ["x-secret"]).joined(separator: ", ")
        #expect(response("X-Secret: s", "Connection: " + more).fault == 502)
        let second = "Connection: x-secret"
        #expect(
            response("X-Secret: s", "Connection: " + names.joined(separator: ","), second).fault
                == 502)
    }

    @Test("interim responses are known as such, and cannot hide a body")
    func interim() {
        #expect(response(status: "100 Continue").isInterim)
        #expect(response("Link: x", status: "103 Early Hints").isInterim)
        #expect(!response(status: "204 x").isInterim)
        #expect(response("Content-Length: 4", status: "100 Continue").fault == 502)
        #expect(response("Transfer-Encoding: chunked", status: "103 x").fault == 502)
    }

    @Test("a 101 is valid only as the answer to a WebSocket handshake that was passed on")
    func switching() {
        let upgrade = "Upgrade: WebSocket"
        let connection = "Connection: Upgrade"
        let status = "101 Switching Protocols"
        let good = response(upgrade, connection, status: status, upgradePassed: true)
        #expect(good.upgradeAccepted && !good.isInterim && !good.keepAlive)
        #expect(good.framing == .none)
        #expect(response(upgrade, connection, status: status).fault == 502)
        #expect(response(status: status, upgradePassed: true).fault == 502)
        #expect(response(upgrade, status: status, upgradePassed: true).fault == 502)
        #expect(
            response("Upgrade: h2c", connection, status: status, upgradePassed: true).fault == 502)
        #expect(
            response(upgrade, connection, status: status, version: "1.0", upgradePassed: true).fault
                == 502)
        #expect(!response("Content-Length: 1", upgradePassed: true).upgradeAccepted)
    }

    @Test("limits hold for responses too")
    func limits() {
        let bytes = latin("HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n\r\n")
        #expect(Response(bytes, limits: HeadLimits(head: bytes.count)).fault == nil)
        #expect(Response(bytes, limits: HeadLimits(head: bytes.count - 1)).fault == 502)
        #expect(Response(bytes, limits: HeadLimits(fields: 1)).fault == 502)
        #expect(Response(Array(bytes.dropLast()), limits: HeadLimits(head: 20)).fault == 502)
    }

    @Test("one head object parses one response after another without remembering the last")
    func reuse() {
        let first = latin("HTTP/1.1 304 x\r\nContent-Length: 7\r\nConnection: close\r\n\r\n")
        let second = latin("HTTP/1.1 204 y\r\n\r\n")
        var head = ResponseHead()
        #expect(head.parse(first.span, requestMethod: .get) == .complete(length: first.count))
        #expect(head.announcedLength == 7 && !head.keepAlive)
        #expect(head.parse(second.span, requestMethod: .get) == .complete(length: second.count))
        #expect(head.announcedLength == nil && head.keepAlive && head.fields.count == 0)
        for seen in 0..<second.count {
            #expect(
                head.parse(second.span, requestMethod: .get, seen: seen)
                    == .complete(length: second.count))
        }
    }
}
