// Tests of cookies in requests: the one that is ours is found and kept from the node, the others arrive
// as the client wrote them.

import Base
import Testing

@testable import HTTP

@Suite("Cookies of requests")
struct CookieTests {
    /// All values of the cookie S.
    private func values(_ fields: String) -> [String] {
        let bytes = latin("GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n")
        let name = latin("S")
        var head = RequestHead()
        guard case .complete = head.parse(bytes.span) else { return ["malformed"] }
        var found: [String] = []
        while let value = head.cookie(bytes.span, named: name.span, found.count) {
            found.append(text(bytes, value))
        }
        #expect(head.hasCookies || found.isEmpty)
        return found
    }

    /// The fields that a node sees of these, without S.
    private func forwarded(_ fields: String, without cookie: String = "S") -> String? {
        let bytes = latin("GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n")
        let name = latin(cookie)
        var head = RequestHead()
        guard case .complete = head.parse(bytes.span) else { return nil }
        let facts = ForwardingFacts(
            client: IPAddress(v4: 0xC000_0207), secure: false, trusted: false, passUpgrade: false)
        let all = written { out in
            head.writeForwarded(bytes.span, facts: facts, without: name.span, to: &out)
        }
        guard let all = all.map(text) else { return nil }
        let start = "GET / HTTP/1.1\r\nHost: a\r\n"
        #expect(all.hasPrefix(start) && all.hasSuffix(added()))
        return String(
            String.UnicodeScalarView(
                all.unicodeScalars.dropFirst(start.unicodeScalars.count)
                    .dropLast(added().unicodeScalars.count)))
    }

    @Test(
        "a cookie is found wherever it stands",
        arguments: [
            ("", []), ("Cookie: S=1\r\n", ["1"]), ("cookie:S=1;\r\n", ["1"]),
            ("Cookie: a=b; S=1; c=d\r\n", ["1"]), ("Cookie: a=b;S=1;c=d\r\n", ["1"]),
            ("Cookie: a=b\r\nX: S=0\r\nCOOKIE: S=1\r\nCookie: S=2; S=3\r\n", ["1", "2", "3"]),
            ("Cookie: S = 1 ; b\r\n", ["1"]), ("Cookie: S=\r\n", [""]),
            ("Cookie: S=a=b\r\n", ["a=b"]),
            ("Cookie: S\r\n", []), ("Cookie: s=1; SS=1; xS=1; =S; x=S=1\r\n", []),
            ("Cookie:\r\n", []), ("Cookie: ;;;\r\n", []), ("Set-Cookie: S=1\r\n", []),
        ] as [(String, [String])])
    func found(fields: String, expected: [String]) {
        #expect(values(fields) == expected)
    }

    @Test("a client that lists the field in Connection takes it out of its own request")
    func listed() {
        let fields = "Cookie: S=1; a=b\r\nConnection: cookie\r\n"
        #expect(values(fields) == [])
        #expect(forwarded(fields) == "")
    }

    @Test(
        "the node does not see it, and sees the others byte for byte",
        arguments: [
            ("Cookie: S=1\r\n", ""), ("Cookie: S=1; S=2\r\n", ""), ("Cookie: S=1; \r\n", ""),
            ("Cookie: ; S=1;;\r\n", ""),
            ("COOKIE: a=b; S=1\r\n", "COOKIE: a=b\r\n"),
            ("cookie:S=1; a=b\r\n", "cookie: a=b\r\n"),
            ("Cookie: a=b; S=1; c=d\r\n", "Cookie: a=b; c=d\r\n"),
            ("Cookie: a=b;S=1;  c = d;\r\n", "Cookie: a=b;  c = d;\r\n"),
            ("Cookie: a=\"\u{FF} x\"; S=1; b; =c\r\n", "Cookie: a=\"\u{FF} x\"; b; =c\r\n"),
            (
                "A: 1\r\nCookie: S=1\r\nB:2\r\nCookie: x=y; S=2\r\nC: 3\r\n",
                "A: 1\r\nB: 2\r\nCookie: x=y\r\nC: 3\r\n"
            ),
            ("Cookie: s=1; SS=1 ;x\r\nX: S=1\r\n", "Cookie: s=1; SS=1 ;x\r\nX: S=1\r\n"),
        ] as [(String, String)])
    func takenOut(fields: String, expected: String) {
        #expect(forwarded(fields) == expected)
        #expect(forwarded(fields, without: "") != nil)
    }

    @Test("without a session nothing of a Cookie field is touched")
    func untouched() {
        let fields = "Cookie: S=1;;  a=b ; S=2 ;\r\n"
        #expect(forwarded(fields, without: "") == fields)
        #expect(forwarded(fields, without: "T") == fields)
    }

    @Test("whatever a Cookie field holds, what is left has no cookie of that name and all others")
    func mutated() {
        var random = SplitMix64(seed: 6265)
        let letters: [Character] = ["S", "S", "=", "=", ";", ";", " ", "a", "1", "\t", "\"", ","]
        for _ in 0..<20_000 {
            let value = String(
                (0..<Int(random.next() % 16)).map { _ in letters[Int(random.next() % 12)] })
            let rest = forwarded("Cookie: \(value)\r\n") ?? "none"
            func pairs(_ text: Substring) -> [String] {
                text.split(separator: ";").map { part in
                    String(part.trimmed)
                }.filter { !$0.isEmpty }
            }
            func isSession(_ pair: String) -> Bool {
                guard let equals = pair.firstIndex(of: "=") else { return false }
                return pair[..<equals].trimmed == "S"
            }
            let before = pairs(value[...])
            let after = pairs(rest.isEmpty ? "" : rest.dropFirst("Cookie: ".count).dropLast(1))
            if before.contains(where: isSession) {
                #expect(after == before.filter { !isSession($0) }, "\(value.debugDescription)")
            } else {
                #expect(after == before, "\(value.debugDescription)")
            }
        }
    }

    @Test("a header is found by its name in any case, a proxy's word on TLS too")
    func headers() {
        let bytes = latin(
            "GET / HTTP/1.1\r\nHost: a\r\nX-USER: me\r\nx-user: you\r\n"
                + "X-Forwarded-Proto: HTTPS\r\n\r\n")
        var head = RequestHead()
        _ = head.parse(bytes.span)
        let (name, other) = (latin("x-user"), latin("x-use"))
        let value = head.value(bytes.span, of: name.span)
        let none = head.value(bytes.span, of: other.span)
        let isSecure = head.saysHTTPS(bytes.span)
        #expect(value.map { text(bytes, $0) } == "me")
        #expect(none == nil)
        #expect(isSecure)
    }

    @Test("a line of ours stands in the head of an answer, and in no interim one")
    func linesOfOurs() throws {
        func answer(_ text: String) -> String? {
            let bytes = latin(text)
            var head = ResponseHead()
            _ = head.parse(bytes.span, requestMethod: .get, upgradePassed: false)
            let facts = ResponseFacts(
                clientMinorVersion: 1, closeConnection: false,
                framing: head.framing(forClientMinorVersion: 1), passUpgrade: false)
            let line = latin("Set-Cookie: S=1\r\n")
            return written { out in
                head.writeForwarded(bytes.span, facts: facts, adding: line.span, to: &out)
            }.map { HTTPTests.text($0) }
        }
        #expect(
            answer("HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 3\r\n\r\n")
                == "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nSet-Cookie: S=1\r\nContent-Length: 3\r\n\r\n"
        )
        #expect(answer("HTTP/1.1 103 Hint\r\nA: b\r\n\r\n") == "HTTP/1.1 103 Hint\r\nA: b\r\n\r\n")
    }
}

extension Substring {
    fileprivate var trimmed: Substring {
        var rest = self
        while let first = rest.first, first == " " || first == "\t" { rest.removeFirst() }
        while let last = rest.last, last == " " || last == "\t" { rest.removeLast() }
        return rest
    }
}
