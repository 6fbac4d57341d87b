// The words of a message that are not its fields: the method, how a body is delimited, and what
// parsing a head can end with. Nothing here reads bytes but the recognition of a method.

import Base

/// The request methods of RFC 9110 section 9 and PATCH (RFC 5789). Case counts: `get` is `.other`,
/// and what is `.other` is forwarded as it came.
package enum Method: UInt8, Sendable {
    case get, head, post, put, delete, connect, options, trace, patch, other

    /// RFC 9110 section 9.2.1: asking for it changes nothing.
    package var isSafe: Bool {
        switch self {
        case .get, .head, .options, .trace: true
        case .post, .put, .delete, .connect, .patch, .other: false
        }
    }

    /// RFC 9110 section 9.2.2: asking twice is as good as asking once, so it may be tried again.
    package var isIdempotent: Bool {
        switch self {
        case .put, .delete: true
        default: isSafe
        }
    }

    /// The method of this name.
    package init(_ name: Span<UInt8>) { self.init(name, 0, name.count) }

    /// The method named by `bytes[start..<end]`.
    init(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) {
        self = .other
        switch end - start {
        case 3:
            if matches(bytes, start, "GET") { self = .get }
            if matches(bytes, start, "PUT") { self = .put }
        case 4:
            if matches(bytes, start, "POST") { self = .post }
            if matches(bytes, start, "HEAD") { self = .head }
        case 5:
            if matches(bytes, start, "PATCH") { self = .patch }
            if matches(bytes, start, "TRACE") { self = .trace }
        case 6: if matches(bytes, start, "DELETE") { self = .delete }
        case 7:
            if matches(bytes, start, "OPTIONS") { self = .options }
            if matches(bytes, start, "CONNECT") { self = .connect }
        default: break
        }
    }
}

/// How the end of a body is known (RFC 9112 section 6.3).
package enum BodyFraming: Equatable, Sendable {
    case none
    /// Exactly this many bytes; 0 when the sender said so.
    case length(UInt64)
    case chunked
    /// Up to the end of the connection; responses only.
    case untilClose

    /// False when no byte of a body follows, whether or not a length of 0 was announced.
    package var hasBody: Bool {
        switch self {
        case .none: false
        case .length(let count): count > 0
        case .chunked, .untilClose: true
        }
    }
}

/// What is wrong with a message, and the status that says so to the client: 4xx or 5xx for a
/// request, always 502 for a response. After a fault the connection it came from is of no more use.
package struct Fault: Equatable, Sendable {
    package let status: UInt16
    /// Lower case, without a full stop; never contains bytes of the message.
    package let sentence: StaticString

    package init(_ status: UInt16, _ sentence: StaticString) {
        self.status = status
        self.sentence = sentence
    }

    package static func == (left: Fault, right: Fault) -> Bool {
        left.status == right.status && left.sentence.description == right.sentence.description
    }

    /// The same fault found in a response: the node is to blame.
    var asResponse: Fault { Fault(502, sentence) }
}

/// What parsing a head ended with.
package enum HeadOutcome: Equatable, Sendable {
    /// Nothing wrong so far; call again with more bytes.
    case incomplete
    /// The head is the first `length` bytes, empty lines before it included.
    case complete(length: Int)
    case invalid(Fault)
}

/// How much of a head is accepted. What exceeds them is 414 (the target) or 431 (all else).
package struct HeadLimits: Sendable, Equatable {
    /// Bytes of the request target.
    package var target: Int
    /// Bytes of the whole head, with the empty line that ends it.
    package var head: Int
    /// Header lines.
    package var fields: Int

    package init(target: Int = 16_384, head: Int = 65_536, fields: Int = 200) {
        self.target = target
        self.head = head
        self.fields = fields
    }
}
