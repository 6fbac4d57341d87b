// Tests of answers that the balancer gives by itself.

import Testing

@testable import HTTP

@Suite("Trivet's own responses")
struct CannedResponseTests {
    private func canned(
        _ status: UInt16, close: Bool = false, headOnly: Bool = false
    ) -> String? {
        written { out in
            CannedResponse.write(
                status: status, sentence: "no node is up", close: close, headOnly: headOnly,
                to: &out)
        }.map(text)
    }

    @Test("a redirect leads to the same place by https")
    func redirect() {
        func location(_ host: String, _ target: String, port: UInt16 = 443) -> String? {
            let (host, target) = (latin(host), latin(target))
            return written { out in
                CannedResponse.writeRedirect(
                    status: 301, host: host.span, port: port, target: target.span, close: false,
                    date: Span(), to: &out)
            }.map(text)
        }
        func answer(_ place: String) -> String {
            "HTTP/1.1 301 Moved Permanently\r\nLocation: \(place)\r\nContent-Length: 0\r\n\r\n"
        }
        #expect(location("a.example", "/b?c=d") == answer("https://a.example/b?c=d"))
        #expect(location("a.example:80", "/") == answer("https://a.example/"))
        #expect(location("a.example:80", "", port: 8443) == answer("https://a.example:8443/"))
        #expect(location("[::1]:80", "?q") == answer("https://[::1]/?q"))
        #expect(location("[::1]", "*") == answer("https://[::1]/*"))
        let host = latin("a")
        for capacity in 0..<60 {
            #expect(
                written(capacity: capacity) { out in
                    CannedResponse.writeRedirect(
                        status: 308, host: host.span, port: 443, target: host.span, close: true,
                        date: Span(), to: &out)
                } == nil)
        }
    }

    @Test("a refusal says why in plain text")
    func whole() {
        #expect(
            canned(503, close: true)
                == "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n"
                + "Content-Length: 14\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
                + "no node is up\n")
        #expect(
            canned(404, headOnly: true)
                == "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\n"
                + "Content-Length: 14\r\n\r\n")
        #expect(canned(100) == "HTTP/1.1 100 Continue\r\n\r\n")
        #expect(canned(405)?.contains("\r\nAllow: GET, ") == true)
    }

    @Test("whatever the status, it is a response that a strict client reads to its end")
    func readable() {
        for status in UInt16(100)...599 where status != 101 {
            guard let whole = canned(status) else {
                Issue.record("\(status) does not fit")
                continue
            }
            let response = Response(whole)
            #expect(response.status == status)
            let length = whole.utf8.count
            if case .length(let body) = response.framing {
                #expect(response.outcome == .complete(length: length - Int(body)))
            } else {
                #expect(response.framing == .none && response.outcome == .complete(length: length))
            }
            #expect(length <= CannedResponse.maxLength)
        }
    }

    @Test("every status that a fault has, has its name")
    func reasons() {
        for status: UInt16 in [400, 405, 414, 417, 431, 501, 502, 505] {
            #expect(CannedResponse.reason(status).description != "")
            if status != 400 {
                #expect(CannedResponse.reason(status).description != "Bad Request")
            }
        }
    }

    @Test("what does not fit leaves the output as it was")
    func capacity() {
        let full = canned(503)?.utf8.count ?? 0
        for capacity in 0..<full {
            let out = [UInt8](capacity: capacity) { out in
                let fitted = CannedResponse.write(
                    status: 503, sentence: "no node is up", close: false, headOnly: false, to: &out)
                #expect(!fitted)
            }
            #expect(out.isEmpty)
        }
    }
}
