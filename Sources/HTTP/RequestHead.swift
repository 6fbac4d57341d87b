// The head of a request: parsed in place and judged by RFC 9112, so that what it says about framing
// has one reading only. It keeps places in the buffer, never bytes: whoever asks it something later
// presents the same bytes again. It reads nothing and waits for nothing.

import Base

/// What the client asks to change the connection to.
package enum Upgrade: UInt8, Sendable {
    case none
    /// A well-formed WebSocket handshake (RFC 6455 section 4.1).
    case webSocket
    /// Anything else, h2c above all: taken out, and the request is served without it, as a server may
    /// always do (RFC 9110 section 7.8).
    case other
}

/// The head of one request. A worker has one of them and parses every head into it: its storage is
/// allocated once. What it says holds until the next `parse`, and only if that said `complete`.
package struct RequestHead: ~Copyable {
    package let limits: HeadLimits

    package private(set) var method = Method.other
    /// The method as received, in the parsed bytes, as are all ranges below.
    package private(set) var methodRange = ByteRange.empty
    /// The target as received.
    package private(set) var target = ByteRange.empty
    /// The path without the query, never decoded; "*" for OPTIONS. Empty when the target is an
    /// absolute-form without a path, which means "/" (to OPTIONS: "*").
    package private(set) var path = ByteRange.empty
    /// The host, with its port if there is one, that the request is for: that of an absolute-form,
    /// else of the Host field. Empty when an HTTP/1.0 client named none.
    package private(set) var authority = ByteRange.empty
    /// 0 or 1; 1 for all later ones, too.
    package private(set) var minorVersion: UInt8 = 1
    package private(set) var framing = BodyFraming.none
    /// Whether the client lets its connection be used again (RFC 9112 section 9.3).
    package private(set) var keepAlive = false
    /// Whether the client waits for a 100 before it sends the body.
    package private(set) var expectsContinue = false
    package private(set) var upgrade = Upgrade.none
    /// The number of a Max-Forwards field of an OPTIONS request. At 0 the request must not be
    /// forwarded but answered here (RFC 9110 section 7.6.2); forwarding writes one less.
    package private(set) var maxForwards: UInt64?

    /// The path and the query, for forwarding.
    package private(set) var origin = ByteRange.empty
    var table: FieldTable

    package init(limits: HeadLimits = HeadLimits()) {
        self.limits = limits
        table = FieldTable(capacity: limits.fields)
    }

    /// The header lines, as received and in their order.
    package var fields: Span<FieldRange> {
        @_lifetime(borrow self)
        get { table.fields }
    }

    /// Parses the head that `bytes` starts with; what follows it is not looked at. A few empty lines
    /// before it are skipped (RFC 9112 section 2.2) and counted into `complete(length:)`. What is
    /// already wrong in an incomplete head is said at once.
    ///
    /// `seen` makes dripping input cheap: how many of these bytes an earlier call had when it said
    /// `incomplete`. Without a line end among the new ones nothing can have become complete.
    package mutating func parse(_ bytes: Span<UInt8>, seen: Int = 0) -> HeadOutcome {
        if isStillIncomplete(bytes, seen: seen, limits: limits) { return .incomplete }
        let outcome = parseHead(bytes)
        switch outcome {
        case .complete(let length) where length > limits.head: return .invalid(Self.tooLong)
        case .incomplete where bytes.count >= limits.head: return .invalid(Self.tooLong)
        default: return outcome
        }
    }

    private static var tooLong: Fault { Fault(431, "a request head longer than is accepted") }
    private static var targetTooLong: Fault {
        Fault(414, "a request target longer than is accepted")
    }

    private mutating func parseHead(_ bytes: Span<UInt8>) -> HeadOutcome {
        table.reset()
        let count = bytes.count
        var index = 0
        while index < count, bytes[index] == carriageReturn {
            guard index < 2 * emptyLineLimit else {
                return .invalid(Fault(400, "too many empty lines before the request line"))
            }
            guard index + 1 < count else { return .incomplete }
            guard bytes[index + 1] == lineFeed else {
                return .invalid(Fault(400, "a carriage return without a line feed"))
            }
            index += 2
        }

        let methodStart = index
        while index < count, isTokenCharacter(bytes[index]) { index += 1 }
        guard index - methodStart <= methodLimit else {
            return .invalid(Fault(501, "a method name longer than is accepted"))
        }
        guard index < count else { return .incomplete }
        guard bytes[index] == space, index > methodStart else {
            return .invalid(Fault(400, "a request line that does not start with a method"))
        }
        methodRange = ByteRange(methodStart, index)
        method = Method(bytes, methodStart, index)
        index += 1

        let targetStart = index
        var query = -1
        index = endOfTarget(bytes, index, query: &query)
        let targetEnd = index
        guard targetEnd - targetStart <= limits.target else {
            return .invalid(Self.targetTooLong)
        }
        guard index < count else {
            // The target may be within its own limit, but not within that of the head.
            return count >= limits.head ? .invalid(Self.targetTooLong) : .incomplete
        }
        guard bytes[index] == space, targetEnd > targetStart else {
            return .invalid(Fault(400, "a request line with a malformed target or without version"))
        }
        index += 1

        switch readVersion(bytes, index) {
        case .incomplete: return .incomplete
        case .version(let minor): minorVersion = minor
        case .otherMajor: return .invalid(Fault(505, "a version of HTTP other than 1.0 and 1.1"))
        case .malformed: return .invalid(Fault(400, "a request line with a malformed version"))
        }
        index += versionLength
        guard index < count else { return .incomplete }
        guard bytes[index] == carriageReturn else {
            return .invalid(Fault(400, "a request line that does not end after its version"))
        }
        guard index + 1 < count else { return .incomplete }
        guard bytes[index + 1] == lineFeed else {
            return .invalid(Fault(400, "a carriage return without a line feed"))
        }
        index += 2

        target = ByteRange(targetStart, targetEnd)
        var parts = Target()
        if let sentence = parts.read(
            bytes, targetStart, targetEnd, query: query < 0 ? targetEnd : query, method: method)
        {
            return .invalid(Fault(400, sentence))
        }
        path = parts.path
        origin = parts.origin
        authority = parts.authority

        switch table.parse(bytes, from: index) {
        case .incomplete: return .incomplete
        case .invalid(let fault): return .invalid(fault)
        case .complete(let end):
            if let fault = judge(bytes) { return .invalid(fault) }
            return .complete(length: end)
        }
    }

    /// Everything that takes the whole head to decide.
    private mutating func judge(_ bytes: Span<UInt8>) -> Fault? {
        // RFC 9112 section 3.2: exactly one valid Host in HTTP/1.1, whatever the target says.
        guard table.hosts <= 1 else { return Fault(400, "more than one Host field") }
        guard table.hosts == 1 || minorVersion == 0 else { return Fault(400, "no Host field") }
        if table.hosts == 1 {
            let host = table.host
            guard isAuthority(bytes, Int(host.start), Int(host.end)) else {
                return Fault(400, "a malformed Host field")
            }
            // Section 3.2.2: the host of an absolute-form replaces that of the field.
            if authority.isEmpty { authority = host }
        }
        if let fault = judgeFraming(bytes) { return fault }
        switch method {
        case .connect: return Fault(501, "CONNECT is not implemented")
        case .trace: return Fault(405, "TRACE is not allowed")
        default: break
        }

        let options = table.options
        guard !options.malformed else { return Fault(400, "a malformed Connection field") }
        keepAlive = !options.close && (minorVersion == 1 || options.keepAlive)

        // RFC 9110 section 10.1.1. An HTTP/1.0 client cannot take a 100: its expectation is ignored.
        expectsContinue = false
        if table.expects > 0, minorVersion == 1 {
            guard table.expectsContinueOnly else {
                return Fault(417, "an expectation other than 100-continue")
            }
            expectsContinue = framing.hasBody
        }

        maxForwards = nil
        if method == .options, table.maxForwards > 0 {
            let value = table.maxForwardsValue
            guard table.maxForwards == 1, let number = decimal(bytes, value) else {
                return Fault(400, "a malformed Max-Forwards field")
            }
            maxForwards = number
        }

        upgrade = .none
        if table.upgrades > 0 {
            upgrade =
                table.upgrades == 1 && options.upgrade && minorVersion == 1 && method == .get
                    && !framing.hasBody
                    && isWord(bytes, Int(table.upgrade.start), Int(table.upgrade.end), "websocket")
                ? .webSocket : .other
        }
        return nil
    }

    /// RFC 9112 section 6.3, in its order; where it leaves a choice, the strict one.
    private mutating func judgeFraming(_ bytes: Span<UInt8>) -> Fault? {
        framing = .none
        if table.transferEncodings > 0 {
            // Section 6.1: a server may reject, or must close. A message that two recipients can
            // read in two ways is not for us to mend.
            guard minorVersion == 1 else {
                return Fault(400, "a Transfer-Encoding field in HTTP/1.0")
            }
            guard table.contentLengths == 0 else {
                return Fault(400, "both a Transfer-Encoding and a Content-Length field")
            }
            guard table.transferEncodings == 1 else {
                return Fault(400, "more than one Transfer-Encoding field")
            }
            switch TransferCoding(bytes, table.transferEncoding) {
            case .chunked: framing = .chunked
            case .unsupported: return Fault(501, "a transfer coding other than chunked")
            case .ambiguous:
                return Fault(400, "a Transfer-Encoding that does not end in one single chunked")
            }
        } else if table.contentLengths > 0 {
            // Identical repeated values could be merged; nobody honest sends them.
            guard table.contentLengths == 1 else {
                return Fault(400, "more than one Content-Length field")
            }
            guard let length = decimal(bytes, table.contentLength) else {
                return Fault(400, "a malformed Content-Length field")
            }
            framing = .length(length)
        }
        return nil
    }
}

/// Empty lines before a request line that are forgiven: old clients sent one after a POST.
private let emptyLineLimit = 4

/// Bytes of a method name. The longest registered one has 16 (RFC 9110 section 16.1.1).
private let methodLimit = 32
