// Reads HTTP/1.1 as a client or a node of the model does: small, strict, and written apart from the
// parsers it helps to test. It takes what was given to it and says what it means, or throws.

/// One direction of one connection.
struct MessageReader {
    struct Head {
        var startLine: String
        /// Names in lower case.
        var fields: [(name: String, value: String)] = []

        /// The one value of a field; nil if there is none.
        func value(_ name: String) throws -> String? {
            let all = fields.filter { $0.name == name }
            guard all.count < 2 else { throw Broken("\(all.count) fields \(name)") }
            return all.first?.value
        }

        /// How a body that may be there is framed.
        func framing(otherwise: Framing) throws -> Framing {
            let length = try value("content-length")
            if let coding = try value("transfer-encoding") {
                guard coding == "chunked", length == nil else { throw Broken("two framings") }
                return .chunked
            }
            guard let length else { return otherwise }
            guard let count = Int(length), count >= 0, String(count) == length else {
                throw Broken("a Content-Length of \(length)")
            }
            return .length(count)
        }
    }

    enum Framing: Equatable {
        case length(Int)
        case chunked
        case untilClose
    }

    enum Part {
        case head(Head)
        case body([UInt8])
        case end
    }

    private enum State: Equatable {
        case head
        /// A head was read: `expect` says what follows.
        case undecided
        case length(Int)
        case chunkLine
        case chunk(Int)
        case chunkEnd
        case trailers
        case untilClose
    }

    private var state = State.head
    private var pending: [UInt8] = []
    private var at = 0

    mutating func feed(_ bytes: [UInt8]) {
        if at == pending.count {
            pending = bytes
        } else {
            pending = Array(pending[at...]) + bytes
        }
        at = 0
    }

    /// Between two messages.
    var isIdle: Bool { state == .head && at == pending.count }
    /// Bytes that belong to no message yet.
    var isUntouched: Bool { state == .head }
    var isUntilClose: Bool { state == .untilClose }

    mutating func expect(_ framing: Framing) {
        switch framing {
        case .length(let count): state = .length(count)
        case .chunked: state = .chunkLine
        case .untilClose: state = .untilClose
        }
    }

    /// The next part, or nil until more is fed.
    mutating func next() throws -> Part? {
        while true {
            switch state {
            case .head:
                guard let head = try nextHead() else { return nil }
                state = .undecided
                return .head(head)
            case .undecided: throw Broken("nobody has said what follows a head")
            case .length(0), .chunk(0):
                let isChunk = state == .chunk(0)
                state = isChunk ? .chunkEnd : .head
                if !isChunk { return .end }
            case .length(let left):
                guard let piece = take(upTo: left) else { return nil }
                state = .length(left - piece.count)
                return .body(piece)
            case .chunk(let left):
                guard let piece = take(upTo: left) else { return nil }
                state = .chunk(left - piece.count)
                return .body(piece)
            case .untilClose:
                guard let piece = take(upTo: .max) else { return nil }
                return .body(piece)
            case .chunkLine:
                guard let line = try nextLine() else { return nil }
                guard let count = Int(line, radix: 16), count >= 0, !line.hasPrefix("+") else {
                    throw Broken("a chunk of \"\(line)\" bytes")
                }
                state = count == 0 ? .trailers : .chunk(count)
            case .chunkEnd:
                guard let line = try nextLine() else { return nil }
                guard line.isEmpty else { throw Broken("a chunk that goes on") }
                state = .chunkLine
            case .trailers:
                guard let line = try nextLine() else { return nil }
                if line.isEmpty {
                    state = .head
                    return .end
                }
            }
        }
    }

    private mutating func take(upTo limit: Int) -> [UInt8]? {
        guard at < pending.count else { return nil }
        let count = min(limit, pending.count - at)
        defer { at += count }
        return at == 0 && count == pending.count ? pending : Array(pending[at..<at + count])
    }

    private mutating func nextHead() throws -> Head? {
        let before = at
        var head: Head?
        while let line = try nextLine() {
            guard head != nil else {
                head = Head(startLine: line)
                continue
            }
            if line.isEmpty { return head }
            guard let colon = line.utf8.firstIndex(of: UInt8(ascii: ":")) else {
                throw Broken("a header line \"\(line)\"")
            }
            let value = line[colon...].dropFirst()
            head?.fields.append(
                (
                    line[..<colon].lowercased(),
                    String(value.first == " " ? value.dropFirst() : value)
                ))
        }
        // Not whole yet.
        at = before
        return nil
    }

    private mutating func nextLine() throws -> String? {
        guard let end = pending[at...].firstIndex(of: 10) else { return nil }
        guard end > at, pending[end - 1] == 13 else { throw Broken("a line without CR LF") }
        defer { at = end + 1 }
        return String(decoding: pending[at..<end - 1], as: UTF8.self)
    }
}
