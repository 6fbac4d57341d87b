// Tests of what of a response head reaches the client.

import Testing

@testable import HTTP

@Suite("Responses as clients see them")
struct ResponseForwardingTests {
    @Test("end-to-end fields arrive byte for byte, hop-by-hop ones end here")
    func fields() {
        let response = Response(
            "HTTP/1.1 200 Fine\r\nServer: x\r\nset-COOKIE: a=\u{E9}\r\nSet-Cookie: b\r\n"
                + "Connection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nTrailer: T\r\n"
                + "Upgrade: h2\r\nProxy-Connection: x\r\nX-Forwarded-For: kept\r\n"
                + "content-length: 003\r\nVia: 1.0 p\r\n\r\nabc")
        #expect(
            response.forwarded
                == "HTTP/1.1 200 Fine\r\nServer: x\r\nset-COOKIE: a=\u{E9}\r\nSet-Cookie: b\r\n"
                + "Trailer: T\r\nX-Forwarded-For: kept\r\nVia: 1.0 p\r\nContent-Length: 3\r\n\r\n")
    }

    @Test("browsers are told once to come by https, by us if we are to")
    func strictTransport() {
        let bytes = latin(
            "HTTP/1.1 200 OK\r\nstrict-transport-security: max-age=1\r\nContent-Length: 0\r\n\r\n")
        var head = ResponseHead()
        guard
            case .complete = head.parse(
                bytes.span, requestMethod: .get, upgradePassed: false, seen: 0)
        else {
            Issue.record("not parsed")
            return
        }
        for (line, expected) in [
            (nil, "strict-transport-security: max-age=1\r\n"),
            (
                StrictTransportLine(seconds: 60, subdomains: false),
                "Strict-Transport-Security: max-age=60\r\n"
            ),
            (
                StrictTransportLine(seconds: 60, subdomains: true),
                "Strict-Transport-Security: max-age=60; includeSubDomains\r\n"
            ),
        ] {
            let facts = ResponseFacts(
                clientMinorVersion: 1, closeConnection: false, framing: .length(0),
                passUpgrade: false, strictTransport: line)
            let all = written { out in
                head.writeForwarded(bytes.span, facts: facts, to: &out)
            }.map(text)
            #expect(all == "HTTP/1.1 200 OK\r\n" + expected + "Content-Length: 0\r\n\r\n")
        }
    }

    @Test("the version is ours, and the connection is what the client can understand")
    func versions() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        let length = "HTTP/1.0 200\r\nContent-Length: 1\r\n\r\n"
        let old = "HTTP/1.0 200 OK\r\n\r\n"
        #expect(Response(chunked).forwarded == chunked)
        #expect(
            Response(chunked, clientMinor: 0).forwarded
                == "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        #expect(
            Response(chunked, close: true).forwarded
                == "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        #expect(
            Response(length).forwarded == "HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\n")
        #expect(
            Response(length, clientMinor: 0).forwarded
                == "HTTP/1.1 200 \r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n")
        #expect(Response(old).forwarded == chunked)
        #expect(
            Response(old, clientMinor: 0).forwarded
                == "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    }

    @Test("a Connection field with a word that is none hides no field that it lists behind it")
    func malformedConnection() {
        let response = Response(
            "HTTP/1.1 200 OK\r\nConnection: \u{FF}, x-hop, a b,close\r\nX-Hop: 1\r\nContent-Length: 0\r\n\r\n"
        )
        #expect(response.forwarded == "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        #expect(!response.keepAlive)
    }

    @Test("a body that never was is still described to HEAD and 304, and not to 204")
    func withoutBody() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
        #expect(Response(head, to: .head).forwarded == head)
        let unchanged = "HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 5\r\n\r\n"
        #expect(Response(unchanged).forwarded == unchanged)
        #expect(
            Response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", to: .head).forwarded
                == "HTTP/1.1 200 OK\r\n\r\n")
        #expect(
            Response("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n").forwarded
                == "HTTP/1.1 204 No Content\r\n\r\n")
    }

    @Test("interim responses go on as they are, without a word about the connection")
    func interim() {
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        #expect(Response(hints, clientMinor: 1, close: true).forwarded == hints)
        #expect(
            Response("HTTP/1.1 100\r\nConnection: close\r\n\r\n").forwarded
                == "HTTP/1.1 100 \r\n\r\n")
    }

    @Test("an accepted WebSocket is told to the client, with the node's own fields")
    func webSocket() {
        let response = Response(
            "HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nSec-WebSocket-Accept: k\r\n"
                + "upgrade: websocket\r\n\r\n", upgradePassed: true, close: true)
        #expect(
            response.forwarded
                == "HTTP/1.1 101 Switching\r\nSec-WebSocket-Accept: k\r\nConnection: Upgrade\r\n"
                + "Upgrade: websocket\r\n\r\n")
    }

    @Test("what does not fit leaves the output as it was, at every size")
    func capacity() {
        let bytes = latin("HTTP/1.1 200 OK\r\nA: 1\r\nB:2\r\nContent-Length: 12\r\nC: 3\r\n\r\n")
        var head = ResponseHead()
        _ = head.parse(bytes.span, requestMethod: .get)
        let facts = ResponseFacts(
            clientMinorVersion: 0, closeConnection: false, framing: .length(12), passUpgrade: false)
        let whole = written { head.writeForwarded(bytes.span, facts: facts, to: &$0) } ?? []
        #expect(whole.count > bytes.count)
        for capacity in 1...whole.count + 1 {
            var fitted = false
            let out = [UInt8](capacity: capacity) { out in
                out.append(7)
                fitted = head.writeForwarded(bytes.span, facts: facts, to: &out)
            }
            #expect(fitted == (capacity == whole.count + 1))
            #expect(out == (fitted ? [7] + whole : [7]))
        }
    }
}
