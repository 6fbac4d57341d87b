// The responses that Trivet gives itself: a status and one plain sentence, for whoever reads it with
// curl. No page, no product name.

import Base

package enum CannedResponse {
    /// The most bytes that `write` takes with a sentence of up to 512 bytes.
    package static let maxLength = 1_024

    /// Writes a whole response: text/plain, the sentence and a line end as its body. `close` says that
    /// the connection is closed after it, `headOnly` leaves the body out (HEAD), `date` is the Date line.
    /// False, with `out` as it was, when it does not fit.
    @_lifetime(out: copy out)
    @discardableResult
    package static func write(
        status: UInt16, sentence: StaticString, close: Bool, headOnly: Bool,
        date: Span<UInt8> = Span(), to out: inout OutputSpan<UInt8>
    ) -> Bool {
        let before = out.count
        if writeAll(status, sentence, close, headOnly, date, to: &out) { return true }
        out.removeLast(out.count - before)
        return false
    }

    @_lifetime(out: copy out)
    private static func writeAll(
        _ status: UInt16, _ sentence: StaticString, _ close: Bool, _ headOnly: Bool,
        _ date: Span<UInt8>, to out: inout OutputSpan<UInt8>
    ) -> Bool {
        guard out.write("HTTP/1.1 "), out.write(decimal: UInt64(status)), out.write(" "),
            out.write(reason(status)), out.write("\r\n"),
            status < 200 || out.write(date, 0, date.count)
        else { return false }
        // RFC 9110 section 15.5.6: a 405 says what is allowed. Other methods go to the nodes.
        if status == 405 {
            guard out.write("Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n") else {
                return false
            }
        }
        if status >= 200, status != 204, status != 304 {
            let length = UInt64(sentence.utf8CodeUnitCount + 1)
            guard out.write("Content-Type: text/plain; charset=utf-8\r\nContent-Length: "),
                out.write(decimal: length), out.write("\r\n")
            else { return false }
        }
        // What is short is likely to be there again in a moment (RFC 9110 section 10.2.3).
        if status == 429 || status == 503 {
            guard out.write("Retry-After: 1\r\n") else { return false }
        }
        if close {
            guard out.write("Connection: close\r\n") else { return false }
        }
        guard out.write("\r\n") else { return false }
        if headOnly || status < 200 || status == 204 || status == 304 { return true }
        return out.write(sentence) && out.write("\n")
    }

    /// Writes a response that sends a client to the same target by https. `host`: an authority as it came,
    /// with or without a port; `port`: where https is; `target`: in origin form, empty for the root.
    @_lifetime(out: copy out)
    package static func writeRedirect(
        status: UInt16, host: Span<UInt8>, port: UInt16, target: Span<UInt8>, close: Bool,
        date: Span<UInt8>, to out: inout OutputSpan<UInt8>
    ) -> Bool {
        let before = out.count
        var end = host.count
        // The colon of a port stands behind the bracket of an IPv6 address.
        while end > 0, host[end - 1] != UInt8(ascii: ":"), host[end - 1] != UInt8(ascii: "]") {
            end -= 1
        }
        let length = end > 0 && host[end - 1] == UInt8(ascii: ":") ? end - 1 : host.count
        let isRooted = !target.isEmpty && target[0] == UInt8(ascii: "/")
        let fits =
            out.write("HTTP/1.1 ") && out.write(decimal: UInt64(status)) && out.write(" ")
            && out.write(reason(status)) && out.write("\r\n") && out.write(date, 0, date.count)
            && out.write("Location: https://") && out.write(host, 0, length)
            && (port == 443 || out.write(":") && out.write(decimal: UInt64(port)))
            && (isRooted || out.write("/")) && out.write(target, 0, target.count)
            && out.write("\r\nContent-Length: 0\r\n")
            && (!close || out.write("Connection: close\r\n")) && out.write("\r\n")
        if !fits { out.removeLast(out.count - before) }
        return fits
    }

    /// The reason phrases of RFC 9110 section 15 and RFC 6585.
    package static func reason(_ status: UInt16) -> StaticString {
        switch status {
        case 100: "Continue"
        case 200: "OK"
        case 204: "No Content"
        case 301: "Moved Permanently"
        case 304: "Not Modified"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 411: "Length Required"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 417: "Expectation Failed"
        case 421: "Misdirected Request"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        // A client takes an unknown status for the first of its class (section 15).
        case 100..<200: "Continue"
        case 200..<300: "OK"
        case 300..<400: "Redirect"
        case 400..<500: "Bad Request"
        default: "Internal Server Error"
        }
    }
}
