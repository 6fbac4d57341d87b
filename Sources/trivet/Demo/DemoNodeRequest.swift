// The demo node's own reading of a request head: short, and separate from the balancer's on purpose.
// It refuses what two readers could take for different requests, so that such a thing is seen if the
// balancer ever lets it through.

/// One request, as it came.
struct DemoNodeRequest {
    enum Framing: Equatable {
        case none
        case length(Int)
        case chunked
    }

    /// The first line, byte for byte.
    var line = ""
    var method = ""
    var target = ""
    /// The target without its query.
    var path = ""
    /// The query, without percent-decoding: demo options are words and numbers.
    var query: [(name: String, value: String)] = []
    var minorVersion = 1
    /// In their order, names as they came.
    var fields: [(name: String, value: String)] = []
    var framing = Framing.none

    /// The first field of that name. `name`: lower case.
    func field(_ name: String) -> String? {
        fields.first { $0.name.lowercased() == name }?.value
    }

    /// All fields of that name, taken apart at commas, in lower case.
    func list(_ name: String) -> [String] {
        fields.filter { $0.name.lowercased() == name }
            .flatMap { $0.value.split(separator: ",") }
            .map { Self.trimmed($0).lowercased() }
    }

    func option(_ name: String) -> String? { query.first { $0.name == name }?.value }

    /// A number of the query, not negative.
    func number(_ name: String, default value: Int) -> Int {
        option(name).flatMap { Int($0) }.map { max(0, $0) } ?? value
    }

    /// Whether the connection goes on behind the answer (RFC 9112, section 9.3).
    var keepsAlive: Bool {
        let words = list("connection")
        if words.contains("close") { return false }
        return minorVersion == 1 || words.contains("keep-alive")
    }

    var expectsContinue: Bool { list("expect").contains("100-continue") && minorVersion == 1 }
}

extension DemoNodeRequest {
    /// Why a head was refused: the sentence is the body of the 400.
    struct Fault: Error {
        let sentence: String
    }

    /// Reads a head: its lines without their CRLF, the empty one not among them.
    init(head: [String]) throws(Fault) {
        guard let first = head.first else { throw Fault(sentence: "an empty head") }
        line = first
        let words = first.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 3, !words[0].isEmpty, !words[1].isEmpty else {
            throw Fault(sentence: "the request line must have three parts: \(first)")
        }
        switch words[2] {
        case "HTTP/1.1": minorVersion = 1
        case "HTTP/1.0": minorVersion = 0
        default: throw Fault(sentence: "only HTTP/1.0 and HTTP/1.1 here, not \(words[2])")
        }
        method = String(words[0])
        target = String(words[1])
        var rest = words[1]
        // absolute-form, as a client sends it to a proxy
        if rest.hasPrefix("http://") {
            let host = rest.dropFirst(7)
            rest = host.firstIndex(of: "/").map { host[$0...] } ?? "/"
        }
        let mark = rest.firstIndex(of: "?") ?? rest.endIndex
        path = String(rest[..<mark])
        for pair in rest[mark...].dropFirst().split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            query.append((String(parts[0]), parts.count > 1 ? String(parts[1]) : ""))
        }
        for line in head.dropFirst() {
            guard let colon = line.firstIndex(of: ":"), colon != line.startIndex,
                !line[..<colon].contains(where: { $0 == " " || $0 == "\t" })
            else { throw Fault(sentence: "not a header field: \(line)") }
            let name = String(line[..<colon])
            fields.append((name, Self.trimmed(line[line.index(after: colon)...])))
        }
        if minorVersion == 1, fields.count(where: { $0.name.lowercased() == "host" }) != 1 {
            throw Fault(sentence: "HTTP/1.1 needs exactly one Host")
        }
        framing = try readFraming()
    }

    /// RFC 9112, section 6.3, of requests.
    private func readFraming() throws(Fault) -> Framing {
        let codings = list("transfer-encoding")
        let lengths = fields.filter { $0.name.lowercased() == "content-length" }.map(\.value)
        if !codings.isEmpty {
            guard lengths.isEmpty else {
                throw Fault(sentence: "Transfer-Encoding and Content-Length together")
            }
            guard codings == ["chunked"], minorVersion == 1 else {
                throw Fault(sentence: "only chunked, and only in HTTP/1.1, not \(codings)")
            }
            return .chunked
        }
        guard let length = lengths.first else { return .none }
        guard lengths.count == 1, length.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }),
            let number = Int(length)
        else { throw Fault(sentence: "not one Content-Length in digits: \(lengths)") }
        return number == 0 ? .none : .length(number)
    }
}

extension DemoNodeRequest {
    /// Without the spaces and tabs around it.
    static func trimmed(_ text: Substring) -> String {
        var text = text
        while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return String(text)
    }
}
