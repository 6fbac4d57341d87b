// The reply to one probe, read as its bytes come: a head and a body, or what a TCP peer says. Pure:
// no socket and no clock. What comes is hostile; whatever it is, this holds at most a head (64 KiB), a
// body up to the plan's limit and a few rests.

import Balance
import Base
import HTTP

/// Reads one reply. Owned by one probe.
package final class ReplyReader {
    package enum Progress: Equatable {
        /// More has to come.
        case more
        /// That is all that was asked for.
        case done
        /// It cannot be read on; why, in a few words.
        case broken(String)
    }

    /// HTTP status; 0 until there is a final head, and for TCP.
    package private(set) var status: UInt32 = 0
    /// Names in lower case.
    package private(set) var headers: [(String, String)] = []
    /// The body, or what a TCP peer has said so far.
    package private(set) var body: [UInt8] = []
    /// Whether a single byte has come.
    package private(set) var hasBegun = false

    private enum Stage {
        case head
        case body(BodyFraming)
        case said
    }
    private var stage: Stage
    private let method: Method
    private let limit: Int
    private let until: [UInt8]
    private var head = ResponseHead()
    private var decoder = ChunkedDecoder()
    /// Bytes that could not be dealt with yet, and how many of them a head was looked for in.
    private var rest: [UInt8] = []
    private var seen = 0
    private var interims = 0
    // A node that sends one after the other would be listened to for nothing.
    private static let interimLimit = 8

    /// What a plan asks for, of which `method` decides whether a body can come at all.
    package init(
        _ kind: ProbePlan.Kind, method: String = "GET", limit: Int, until: [UInt8] = []
    ) {
        stage = kind == .http ? .head : .said
        self.method =
            switch method {
            case "HEAD": .head
            case "CONNECT": .connect
            default: .get
            }
        self.limit = limit
        self.until = until
    }

    /// Whether nothing is to be read at all: a TCP probe that only connects or sends.
    package var needsNothing: Bool {
        if case .said = stage { limit == 0 } else { false }
    }

    /// Whether a pause of the peer ends the reply: a TCP one that has begun and has no known end.
    package var endsWithPause: Bool {
        if case .said = stage { hasBegun && until.isEmpty } else { false }
    }

    /// Takes the next bytes in.
    package func take(_ bytes: Span<UInt8>) -> Progress {
        if !bytes.isEmpty { hasBegun = true }
        switch stage {
        case .head:
            append(bytes, to: &rest)
            return readHead()
        case .body(.chunked):
            append(bytes, to: &rest)
            return readChunks()
        case .body(let framing): return readBody(bytes, framing)
        case .said: return readWords(bytes)
        }
    }

    /// The peer has said its last byte.
    package func end() -> Progress {
        switch stage {
        case .head where !hasBegun: .broken("the connection was closed without an answer")
        case .head: .broken("the connection was closed in the middle of the head")
        case .body(.untilClose), .said: .done
        case .body: .broken("the connection was closed in the middle of the body")
        }
    }

    private func readHead() -> Progress {
        while true {
            switch head.parse(rest.span, requestMethod: method, seen: seen) {
            case .incomplete:
                seen = rest.count
                return .more
            case .invalid(let fault): return .broken("answers with \(fault.sentence)")
            case .complete(let length):
                seen = 0
                if head.isInterim {
                    interims += 1
                    if interims > Self.interimLimit { return .broken("answers with 1xx only") }
                    rest.removeFirst(length)
                    continue
                }
                status = UInt32(head.status)
                headers = []
                for index in 0..<head.fields.count {
                    let field = head.fields[index]
                    headers.append((text(field.name).lowercased(), text(field.value)))
                }
                rest.removeFirst(length)
                stage = .body(head.framing)
                if !head.framing.hasBody || limit == 0 { return .done }
                let early = rest
                if head.framing == .chunked { return readChunks() }
                rest = []
                return readBody(early.span, head.framing)
            }
        }
    }

    private func text(_ range: ByteRange) -> String {
        String(decoding: rest[range.indices], as: UTF8.self)
    }

    private func readBody(_ bytes: Span<UInt8>, _ framing: BodyFraming) -> Progress {
        append(bytes, to: &body, upTo: limit)
        if case .length(let length) = framing, UInt64(body.count) >= length {
            body.removeLast(body.count - Int(length))
            return .done
        }
        return body.count >= limit ? .done : .more
    }

    private func readChunks() -> Progress {
        var start = 0
        defer { rest.removeFirst(start) }
        while true {
            let bytes = rest.span.extracting(start..<rest.count)
            switch decoder.next(bytes) {
            case .data(let range, let consumed):
                append(bytes.extracting(range.indices), to: &body, upTo: limit)
                start += consumed
                if body.count >= limit { return .done }
            case .more(let consumed):
                start += consumed
                return .more
            case .end(_, let consumed):
                start += consumed
                return .done
            case .invalid(let fault): return .broken("answers with \(fault.sentence)")
            }
        }
    }

    private func readWords(_ bytes: Span<UInt8>) -> Progress {
        // The words waited for may begin in what came before.
        let from = max(0, body.count - until.count)
        append(bytes, to: &body, upTo: limit)
        if body.count >= limit { return .done }
        guard !until.isEmpty, body.count - from >= until.count else { return .more }
        for start in from...body.count - until.count
        where body[start..<start + until.count].elementsEqual(until) {
            return .done
        }
        return .more
    }

    private func append(_ bytes: Span<UInt8>, to target: inout [UInt8], upTo limit: Int = .max) {
        let count = min(bytes.count, limit - target.count)
        unsafe bytes.withUnsafeBufferPointer { unsafe target.append(contentsOf: $0.prefix(count)) }
    }
}

extension ProbePlan {
    /// What goes onto the wire.
    var request: [UInt8] {
        guard kind == .http else { return payload }
        // A path is no host (RFC 9110 section 4.2.1); what listens there knows of one name only.
        let host = authority.hasPrefix("unix:") ? "localhost" : authority
        var text = "\(method) \(target) HTTP/1.1\r\nHost: \(host)\r\n"
        let names = headers.map { $0.name.lowercased() }
        if !names.contains("user-agent") { text += "User-Agent: trivet\r\n" }
        if !names.contains("accept") { text += "Accept: */*\r\n" }
        for header in headers { text += "\(header.name): \(header.value)\r\n" }
        if !payload.isEmpty || ["POST", "PUT", "PATCH"].contains(method) {
            text += "Content-Length: \(payload.count)\r\n"
        }
        text += "Connection: close\r\n\r\n"
        return Array(text.utf8) + payload
    }
}
