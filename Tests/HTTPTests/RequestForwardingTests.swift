// Tests of what of a request head reaches the node.

import Base
import Testing

@testable import HTTP

@Suite("Requests as nodes see them")
struct RequestForwardingTests {
    private func forwarded(
        _ input: String, trusted: Bool = false, passUpgrade: Bool = false
    ) -> String? {
        Request(input, trusted: trusted, passUpgrade: passUpgrade).forwarded
    }

    @Test("end-to-end fields arrive byte for byte and in order")
    func byteExact() {
        let fields =
            "user-AGENT: a  b\tc\r\nCookie: \u{E9}=\"\u{FF}\"; x=y\r\nX-Empty:\r\nvia: 1.1 p\r\n"
            + "Trailer: T\r\nAuthorization: Basic eDp5\r\nDate: now\r\nX_Odd!#$%&'*+.^`|~: 1\r\n"
        #expect(
            forwarded("GET /p?q HTTP/1.1\r\nhost: a\r\n\(fields)\r\n")
                == "GET /p?q HTTP/1.1\r\nHost: a\r\n"
                + fields.replacing("X-Empty:", with: "X-Empty: ") + added())
    }

    @Test("white space around values is mended, the values are not touched")
    func whiteSpace() {
        #expect(
            forwarded(
                "GET / HTTP/1.1\r\nA:b\r\nB:\tc\r\nC:  d e \r\nHost:a\r\nD: f\t\r\nE: g\r\n\r\n")
                == "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nB: c\r\nC: d e\r\nD: f\r\nE: g\r\n"
                + added()
        )
    }

    @Test("hop-by-hop fields end here, with everything that Connection lists")
    func hopByHop() {
        #expect(
            forwarded(
                "GET / HTTP/1.1\r\nKeep-Alive: 5\r\nX-Hop: 1\r\nA: 1\r\nHost: a\r\nTE: trailers\r\n"
                    + "Connection: close, x-hop, te, A-b\r\nProxy-Connection: close\r\nB: 2\r\n"
                    + "Upgrade: h2c\r\nHTTP2-Settings: x\r\na-B: 3\r\n\r\n")
                == "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\n" + added())
    }

    @Test("Connection cannot take out what a node must see")
    func protected() {
        #expect(
            forwarded(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n"
                    + "X-Forwarded-For: 10.0.0.1\r\nForwarded: for=b\r\nConnection: host, "
                    + "content-length, transfer-encoding, expect, x-forwarded-for, forwarded, "
                    + "x-forwarded-proto, x-forwarded-host\r\n\r\n", trusted: true)
                == "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nForwarded: for=b\r\n"
                + "Content-Length: 3\r\nX-Forwarded-For: 10.0.0.1, 192.0.2.7\r\n"
                + "X-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n\r\n")
    }

    @Test("framing is written anew in its one plain form")
    func framing() {
        #expect(
            forwarded("POST / HTTP/1.1\r\nCONTENT-LENGTH:  0042\r\nHost: a\r\n\r\n")
                == "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 42\r\n" + added())
        #expect(
            forwarded("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n")
                == "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" + added())
        #expect(
            forwarded("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
                == "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n" + added())
    }

    @Test("an untrusted client cannot say where it comes from, a trusted proxy can")
    func forwardedFields() {
        let input =
            "GET / HTTP/1.1\r\nHost: a\r\nx-forwarded-for: 10.0.0.1\r\nX-Forwarded-Proto: https\r\n"
            + "X-Forwarded-Host: b\r\nForwarded: for=c\r\nX-FORWARDED-FOR: 10.0.0.2,10.0.0.3\r\n\r\n"
        #expect(forwarded(input) == "GET / HTTP/1.1\r\nHost: a\r\n" + added())
        #expect(
            forwarded(input, trusted: true)
                == "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n"
                + "X-Forwarded-Host: b\r\nForwarded: for=c\r\n"
                + "X-Forwarded-For: 10.0.0.1, 10.0.0.2,10.0.0.3, 192.0.2.7\r\n\r\n")
        #expect(
            forwarded("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For:\r\n\r\n", trusted: true)
                == "GET / HTTP/1.1\r\nHost: a\r\n" + added())
        let secure = Request(latin("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), secure: true).forwarded
        #expect(secure == "GET / HTTP/1.1\r\nHost: a\r\n" + added(proto: "https"))
    }

    @Test("whom a client's certificate is for is ours to say, however a client spells it")
    func clientSubject() {
        let input =
            "GET / HTTP/1.1\r\nHost: a\r\nX-Client-Cert-Subject: CN=1\r\n"
            + "x_client_cert_SUBJECT: CN=2\r\nX-Client_Cert-Subject:\r\nX-Client-Cert-Subjects: kept\r\n"
            + "Connection: X-Client-Cert-Subject\r\n\r\n"
        #expect(
            forwarded(input)
                == "GET / HTTP/1.1\r\nHost: a\r\nX-Client-Cert-Subjects: kept\r\n" + added())
        // A trusted proxy has had the TLS, unless we have.
        #expect(
            forwarded(input, trusted: true)?.contains("X-Client-Cert-Subject: CN=1\r\n") == true)
        let bytes = latin(input)
        var head = RequestHead()
        guard case .complete = head.parse(bytes.span) else {
            Issue.record("not parsed")
            return
        }
        let subject = latin("CN=One")
        for trusted in [false, true] {
            let facts = ForwardingFacts(
                client: IPAddress(v4: 0xC000_0207), secure: true, trusted: trusted,
                passUpgrade: false)
            let all = written { out in
                head.writeForwarded(
                    bytes.span, facts: facts, subject: subject.span, to: &out)
            }.map(text)
            #expect(all?.contains("X-Client-Cert-Subject: CN=One\r\n") == true)
            #expect(all?.contains("CN=1") == false && all?.contains("CN=2") == false)
            #expect(all?.contains("X-Forwarded-Proto: https\r\n") == true)
        }
    }

    @Test("an HTTP/1.0 client's request is a good HTTP/1.1 one for the node")
    func oldClients() {
        let input = latin("POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n")
        let end = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n\r\n"
        #expect(
            Request(input).forwarded
                == "POST / HTTP/1.1\r\nHost: \r\nContent-Length: 1\r\n" + end)
        #expect(
            Request(input, node: IPAddress(v4: 0x0A00_0001), port: 8080).forwarded
                == "POST / HTTP/1.1\r\nHost: 10.0.0.1:8080\r\nContent-Length: 1\r\n" + end)
        #expect(
            Request(input, node: IPAddress(high: 0, low: 1)).forwarded
                == "POST / HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 1\r\n" + end)
    }

    @Test("a WebSocket handshake passes when it may, and is a plain request when not")
    func webSocket() {
        let input =
            "GET /ws HTTP/1.1\r\nHost: a\r\nUPGRADE: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
            + "Sec-WebSocket-Key: k\r\n\r\n"
        #expect(
            forwarded(input, passUpgrade: true)
                == "GET /ws HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: k\r\nConnection: Upgrade\r\n"
                + "Upgrade: websocket\r\n" + added())
        #expect(
            forwarded(input)
                == "GET /ws HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: k\r\n" + added())
        // h2c is taken out even when a WebSocket would be let through.
        #expect(
            forwarded(
                "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                    + "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", passUpgrade: true)
                == "GET / HTTP/1.1\r\nHost: a\r\n" + added())
    }

    @Test("Max-Forwards is counted down for OPTIONS and left alone elsewhere")
    func maxForwards() {
        #expect(
            forwarded("OPTIONS / HTTP/1.1\r\nMax-Forwards: 05\r\nHost: a\r\n\r\n")
                == "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 4\r\n" + added())
        #expect(
            forwarded("GET / HTTP/1.1\r\nMax-Forwards: 05\r\nHost: a\r\n\r\n")
                == "GET / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 05\r\n" + added())
    }

    @Test("what does not fit leaves the output as it was, at every size")
    func capacity() {
        let bytes = latin(
            "POST /p HTTP/1.1\r\nA: 1\r\nB:2\r\nHost: a\r\nContent-Length: 12\r\nC: 3\r\n"
                + "X-Forwarded-For: ::1\r\n\r\n")
        var head = RequestHead()
        #expect(head.parse(bytes.span) == .complete(length: bytes.count))
        let facts = ForwardingFacts(
            client: IPAddress(high: 1 << 32, low: 0), secure: false, trusted: true,
            passUpgrade: true)
        guard let whole = written({ head.writeForwarded(bytes.span, facts: facts, to: &$0) }) else {
            Issue.record("does not fit")
            return
        }
        for capacity in 3..<whole.count + 60 {
            var fitted = false
            let out = [UInt8](capacity: capacity) { out in
                out.append(1)
                out.append(2)
                out.append(3)
                fitted = head.writeForwarded(bytes.span, facts: facts, to: &out)
            }
            #expect(out == (fitted ? [1, 2, 3] + whole : [1, 2, 3]))
            // The address asks for the room of the longest one.
            if capacity >= whole.count + 3 + IPAddress.maxTextLength { #expect(fitted) }
            if capacity < whole.count + 3 { #expect(!fitted) }
        }
    }
}
