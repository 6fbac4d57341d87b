// Tests of the forms of a request target.

import Base
import Testing

@testable import HTTP

@Suite("Targets and hosts")
struct TargetTests {
    @Test("hosts as clients send them are accepted")
    func hosts() {
        let inputs = [
            "a", "example.com", "example.com:80", "example.com:", "EXAMPLE.com:65535", "10.0.0.1",
            "[::1]", "[::1]:8080", "[2001:db8::192.0.2.1]:1", "a_b.c", "a%20b", "x!$&'()*+,;=y",
            "xn--bcher-kva.example", "localhost", "a..b", "a.",
        ]
        for host in inputs {
            let isHost = isAuthority(latin(host).span, 0, host.count)
            #expect(isHost, "\(host)")
        }
    }

    @Test("what is no host is refused, or a node would see another site than the routes did")
    func notHosts() {
        let inputs = [
            "", ":", ":80", "a b", "a/b", "a?b", "a#b", "user@a", "u:p@a", "a:b", "a:80:80",
            "a:65536", "a:+1", "a:999999", "[::1", "::1", "[::1]x", "[::1]:x", "[]", "[g::1]",
            "[1:2]", "[1:2:3:4:5:6:7:8:9]", "[v1.x]", "[fe80::1%eth0]", "a%2", "a%zz", "a,b@c",
            "a\\b", "<a>", "a\u{E9}", "a\tb", "a|b", "a\"", "a^b", "{a}", "[::1]]", "a]",
            String(repeating: "a", count: 301),
        ]
        for host in inputs {
            let bytes = latin(host)
            let isHost = isAuthority(bytes.span, 0, bytes.count)
            #expect(!isHost, "\(host)")
        }
    }

    @Test("targets of every form are taken apart without changing a byte of them")
    func forms() {
        let cases: [(String, path: String, authority: String, start: String)] = [
            ("GET /", "/", "h", "GET / "),
            ("GET /a/b?c=d?e", "/a/b", "h", "GET /a/b?c=d?e "),
            ("GET /?", "/", "h", "GET /? "),
            ("GET //x/../y/./%2e%2E//", "//x/../y/./%2e%2E//", "h", "GET //x/../y/./%2e%2E// "),
            ("GET /a|b[c]{d}\"<>\\^`", "/a|b[c]{d}\"<>\\^`", "h", "GET /a|b[c]{d}\"<>\\^` "),
            ("OPTIONS *", "*", "h", "OPTIONS * "),
            ("GET http://o", "", "o", "GET / "),
            ("GET http://o/", "/", "o", "GET / "),
            ("GET hTTp://o:81/p?q", "/p", "o:81", "GET /p?q "),
            ("GET https://[::1]/p", "/p", "[::1]", "GET /p "),
            ("GET http://o?q", "", "o", "GET /?q "),
            ("OPTIONS http://o", "", "o", "OPTIONS * "),
            ("OPTIONS http://o/", "/", "o", "OPTIONS / "),
            ("GET /http://x", "/http://x", "h", "GET /http://x "),
        ]
        for (line, path, authority, start) in cases {
            let request = Request("\(line) HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(request.isComplete, "\(line)")
            #expect(request.path == path, "\(line)")
            #expect(request.authority == authority, "\(line)")
            #expect(
                request.forwarded
                    == "\(start)HTTP/1.1\r\nHost: \(authority)\r\n" + added(host: authority))
        }
    }

    @Test("targets that are of no form are refused")
    func refused() {
        let inputs = [
            "GET *", "GET x", "GET http:", "GET http://", "GET http:///x", "GET http://:80/",
            "GET http://u@h/", "GET http://u:p@h/", "GET ftp://h/", "GET h:80", "GET https:/x",
            "GET http://a b/", "OPTIONS **", "GET http://h:x/", "GET http://[::1/", "GET ?x",
            "GET /#x", "GET /\u{E9}", "GET /\u{0}", "GET /\u{7F}", "GET /\t", "GET http://h\\x/",
            "GET mailto:a@b", "GET /a b",
        ]
        for line in inputs {
            #expect(Request("\(line) HTTP/1.1\r\nHost: h\r\n\r\n").status == 400, "\(line)")
        }
    }
}
