// How the demo node writes an answer: whole, or piece by piece with the framing that the client's
// version allows. Every answer names the node in the field `Octopus-Node`, as Octopus Server does.

extension DemoNodeConnection {
    /// How much will follow a head.
    enum Length {
        case known(Int)
        /// Chunked; for a client of HTTP/1.0, until the connection is closed.
        case unknown
        /// Until the connection is closed.
        case untilClose
    }

    /// Answers with text, or with JSON if `type` says so.
    func reply(
        _ status: Int, _ text: String, type: String = "text/plain; charset=utf-8",
        fields: [(String, String)] = []
    ) -> Bool {
        let body = Array(text.utf8)
        return begin(status, fields: [("Content-Type", type)] + fields, .known(body.count))
            && (answer.isHeadOnly || send(body.span))
    }

    func reply(_ status: Int, json: String) -> Bool {
        reply(status, json, type: "application/json")
    }

    /// Sends the head of an answer.
    func begin(_ status: Int, fields: [(String, String)] = [], _ length: Length) -> Bool {
        var head = "HTTP/1.1 \(status) \(Self.reason(status))\r\nOctopus-Node: \(node.name)\r\n"
        for (name, value) in fields { head += "\(name): \(value)\r\n" }
        answer = Answer()
        answer.isHeadOnly = request.method == "HEAD" || status == 204 || status == 304
        switch length {
        case .known(let n):
            if status != 204 { head += "Content-Length: \(n)\r\n" }
        case .unknown where request.minorVersion == 1:
            answer.isChunked = true
            head += "Transfer-Encoding: chunked\r\n"
        case .unknown, .untilClose:
            keepAlive = false
        }
        if !request.keepsAlive { keepAlive = false }
        if !keepAlive {
            head += "Connection: close\r\n"
        } else if request.minorVersion == 0 {
            head += "Connection: keep-alive\r\n"
        }
        return send(head + "\r\n")
    }

    /// Sends a piece of the body with one write. Not of no bytes: in chunks that is the end.
    func write(_ bytes: Span<UInt8>) -> Bool {
        if answer.isHeadOnly || bytes.isEmpty { return true }
        guard answer.isChunked else { return send(bytes) }
        var chunk = Array((String(bytes.count, radix: 16) + "\r\n").utf8)
        chunk.reserveCapacity(chunk.count + bytes.count + 2)
        unsafe bytes.withUnsafeBufferPointer { unsafe chunk.append(contentsOf: $0) }
        chunk += [0x0d, 0x0a]
        return send(chunk.span)
    }

    func write(_ text: String) -> Bool { write(Array(text.utf8).span) }

    /// Ends a body that was written piece by piece. Trailers: whole lines without their CRLF.
    func end(trailers: [String] = []) -> Bool {
        guard answer.isChunked, !answer.isHeadOnly else { return true }
        return send("0\r\n" + trailers.map { $0 + "\r\n" }.joined() + "\r\n")
    }

    static func reason(_ status: Int) -> String {
        switch status {
        case 101: "Switching Protocols"
        case 103: "Early Hints"
        case 200: "OK"
        case 201: "Created"
        case 204: "No Content"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 304: "Not Modified"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 413: "Content Too Large"
        case 418: "I'm a teapot"
        case 426: "Upgrade Required"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        default: "Status \(status)"
        }
    }
}
