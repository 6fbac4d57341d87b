// Requests in one line, and the reading of whole answers: status, fields, interim answers, bodies of
// every framing, trailers. A reader of its own: what the balancer writes is not judged by the
// balancer's code.

import Base

/// An answer that was read to its end.
package struct Response: Sendable {
    /// The first part of an answer, or an interim answer.
    package struct Head: Sendable {
        package var status = 0
        package var reason = ""
        package var version = ""
        package var fields: [(name: String, value: String)] = []

        /// The value of the first field of that name, whatever its case.
        package subscript(name: String) -> String? {
            fields.first { $0.name.lowercased() == name.lowercased() }?.value
        }

        package func values(_ name: String) -> [String] {
            fields.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
        }
    }

    package var head = Head()
    /// What came before it, with a status of 100 to 199.
    package var interim: [Head] = []
    package var body: [UInt8] = []
    package var trailers: [(name: String, value: String)] = []

    package var status: Int { head.status }
    package var text: String { String(decoding: body, as: UTF8.self) }
    /// The node that answered.
    package var node: String? { head["Octopus-Node"] }
    package subscript(name: String) -> String? { head[name] }

    package func json() throws -> JSONNode { try JSON5.parse(body, file: "the answer") }
}

extension JSONNode {
    /// Its text, if it is one: for expectations.
    package var stringValue: String? { if case .string(let text) = kind { text } else { nil } }
    /// Its whole number, if it is one.
    package var intValue: Int? {
        if case .number(let number) = kind { Int(exactly: number) } else { nil }
    }
}

extension RawClient {
    /// Sends a request, with a `Host` unless `fields` has one and a `Content-Length` if there is a
    /// body and `fields` has no framing.
    package func request(
        _ method: String, _ target: String, fields: [(String, String)] = [],
        body: [UInt8] = []
    ) throws {
        let names = fields.map { $0.0.lowercased() }
        var head = "\(method) \(target) HTTP/1.1\r\n"
        if !names.contains("host") { head += "Host: \(host)\r\n" }
        for (name, value) in fields { head += "\(name): \(value)\r\n" }
        if !body.isEmpty, !names.contains("content-length"), !names.contains("transfer-encoding") {
            head += "Content-Length: \(body.count)\r\n"
        }
        try send(Array((head + "\r\n").utf8) + body)
    }

    /// Sends a request and reads its answer.
    package func exchange(
        _ method: String, _ target: String, fields: [(String, String)] = [],
        body: [UInt8] = []
    ) throws -> Response {
        try request(method, target, fields: fields, body: body)
        return try response(to: method)
    }

    package func get(_ target: String, fields: [(String, String)] = []) throws -> Response {
        try exchange("GET", target, fields: fields)
    }

    /// Sends one chunk of a chunked body. No bytes: the last one, without trailers.
    package func sendChunk(_ bytes: [UInt8]) throws {
        try send(
            Array((String(bytes.count, radix: 16) + "\r\n").utf8) + bytes + Array("\r\n".utf8))
    }

    /// Reads a whole answer.
    ///
    /// - Parameter method: of the request: HEAD has an answer without a body.
    package func response(to method: String = "GET") throws -> Response {
        var response = Response()
        while true {
            response.head = try readHead()
            guard (100..<200).contains(response.status), response.status != 101 else { break }
            response.interim.append(response.head)
        }
        var body: [UInt8] = []
        response.trailers = try readBody(of: response.head, to: method) { body += $0 }
        response.body = body
        return response
    }

    /// Reads one head, which may be that of an interim answer.
    package func readHead() throws -> Response.Head {
        var lines: [String] = []
        while true {
            let line = try readLine()
            if line.isEmpty { break }
            lines.append(line)
        }
        guard let first = lines.first else { throw TestFailure("an empty line, not an answer") }
        let words = first.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard words.count >= 2, words[0].hasPrefix("HTTP/"), let status = Int(words[1]) else {
            throw TestFailure("not a status line: \(first.debugDescription)")
        }
        var head = Response.Head()
        head.version = String(words[0])
        head.status = status
        head.reason = words.count > 2 ? String(words[2]) : ""
        head.fields = try lines.dropFirst().map(Self.field)
        return head
    }

    /// Reads the body behind `head` piece by piece, in any number of gigabytes, and gives its
    /// trailers. `patience` is for each piece.
    package func readBody(
        of head: Response.Head, to method: String = "GET",
        _ take: (ArraySlice<UInt8>) throws -> Void
    ) throws -> [(name: String, value: String)] {
        if method == "HEAD" || head.status < 200 || head.status == 204 || head.status == 304 {
            return []
        }
        if head["Transfer-Encoding"]?.lowercased() == "chunked" {
            while true {
                let line = try readLine()
                let digits = line.prefix { $0.isHexDigit }
                guard let size = Int(digits, radix: 16) else {
                    throw TestFailure("not a chunk: \(line.debugDescription)")
                }
                if size == 0 { break }
                try readPieces(size, take)
                guard try readLine().isEmpty else {
                    throw TestFailure("a chunk of \(size) bytes is longer than it says")
                }
            }
            var trailers: [(name: String, value: String)] = []
            while true {
                let line = try readLine()
                if line.isEmpty { return trailers }
                trailers.append(try Self.field(line))
            }
        }
        if let length = head["Content-Length"] {
            guard let n = Int(length) else { throw TestFailure("Content-Length: \(length)") }
            try readPieces(n, take)
            return []
        }
        while let piece = try readSome() { try take(piece) }
        guard end == .closed else { throw TestFailure("reset in a body that ends with the end") }
        return []
    }

    private func readPieces(_ n: Int, _ take: (ArraySlice<UInt8>) throws -> Void) throws {
        var left = n
        while left > 0 {
            if unread.isEmpty, try !fill(until: Deadline(seconds: patience)) {
                throw TestFailure("\(ending) with \(left) of \(n) bytes to come")
            }
            let piece = unread.prefix(left)
            try take(piece)
            drop(piece.count)
            left -= piece.count
        }
    }

    /// A line that must end in CRLF, without it.
    private func readLine() throws -> String {
        let line = try read(until: "\n")
        // CRLF is one Character in Swift.
        guard line.hasSuffix("\r\n") else {
            throw TestFailure("a line without CRLF: \(line.debugDescription)")
        }
        return String(line.dropLast())
    }

    private static func field(_ line: String) throws -> (name: String, value: String) {
        guard let colon = line.firstIndex(of: ":") else {
            throw TestFailure("not a field: \(line.debugDescription)")
        }
        var value = line[line.index(after: colon)...]
        while value.first == " " || value.first == "\t" { value.removeFirst() }
        while value.last == " " || value.last == "\t" { value.removeLast() }
        return (String(line[..<colon]), String(value))
    }
}
