// The head of a response from a node: parsed in place and judged as severely as a request, since a
// node may be broken or taken over, and a response that can be read in two ways lets it answer
// requests of others. It keeps places in the buffer, never bytes.

import Base

/// The head of one response. A worker has one of them and parses every head into it: its storage is
/// allocated once. What it says holds until the next `parse`, and only if that said `complete`.
package struct ResponseHead: ~Copyable {
    package let limits: HeadLimits

    /// From 100 to 599.
    package private(set) var status: UInt16 = 0
    /// The reason phrase, in the parsed bytes. May be empty.
    package private(set) var reason = ByteRange.empty
    /// 0 or 1.
    package private(set) var minorVersion: UInt8 = 1
    package private(set) var framing = BodyFraming.none
    /// Whether the node's connection can be used again once the body has come.
    package private(set) var keepAlive = false
    /// A 1xx other than 101: another head follows for the same request.
    package private(set) var isInterim = false
    /// A 101 that accepts the WebSocket handshake which was passed on.
    package private(set) var upgradeAccepted = false
    /// What a Content-Length field says when no body follows (HEAD and 304): how long it would be.
    private(set) var announcedLength: UInt64?

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

    /// Parses the head that `bytes` starts with; what follows it is not looked at. `requestMethod` and
    /// `upgradePassed` tell what it answers: a 101 that nobody asked for is invalid. `seen` as in
    /// `RequestHead.parse`. Faults have status 502.
    package mutating func parse(
        _ bytes: Span<UInt8>, requestMethod: Method, upgradePassed: Bool = false, seen: Int = 0
    ) -> HeadOutcome {
        if isStillIncomplete(bytes, seen: seen, limits: limits) { return .incomplete }
        let outcome = parseHead(bytes, requestMethod, upgradePassed)
        switch outcome {
        case .complete(let length) where length > limits.head: return .invalid(Self.tooLong)
        case .incomplete where bytes.count >= limits.head: return .invalid(Self.tooLong)
        default: return outcome
        }
    }

    private static var tooLong: Fault { Fault(502, "a response head longer than is accepted") }

    private mutating func parseHead(
        _ bytes: Span<UInt8>, _ requestMethod: Method, _ upgradePassed: Bool
    ) -> HeadOutcome {
        table.reset()
        let count = bytes.count
        switch readVersion(bytes, 0) {
        case .incomplete: return .incomplete
        case .version(let minor): minorVersion = minor
        case .otherMajor, .malformed:
            return .invalid(Fault(502, "a response that does not start with HTTP/1.0 or HTTP/1.1"))
        }
        var index = versionLength
        guard index < count else { return .incomplete }
        guard bytes[index] == space else {
            return .invalid(Fault(502, "a malformed status line"))
        }
        index += 1
        var number: UInt16 = 0
        for place in index..<index + 3 {
            guard place < count else { return .incomplete }
            guard isDigit(bytes[place]) else {
                return .invalid(Fault(502, "a status that is not three digits"))
            }
            number = number * 10 + UInt16(bytes[place] &- 0x30)
        }
        index += 3
        // RFC 9110 section 15: others are invalid, and to be treated like a 5xx. 502 is one.
        guard number >= 100, number <= 599 else {
            return .invalid(Fault(502, "a status that is not between 100 and 599"))
        }
        status = number
        guard index < count else { return .incomplete }
        // The space before an empty reason is mandatory (RFC 9112 section 4), but its absence is
        // common and cannot be misread.
        if bytes[index] == space {
            index += 1
        } else if bytes[index] != carriageReturn {
            return .invalid(Fault(502, "a status that is not three digits"))
        }
        let reasonStart = index
        index = endOfValue(bytes, index)
        guard index < count else { return .incomplete }
        reason = ByteRange(reasonStart, index)
        guard bytes[index] == carriageReturn else {
            return .invalid(Fault(502, "a control character in the status line"))
        }
        guard index + 1 < count else { return .incomplete }
        guard bytes[index + 1] == lineFeed else {
            return .invalid(Fault(502, "a carriage return without a line feed in the status line"))
        }

        switch table.parse(bytes, from: index + 2) {
        case .incomplete: return .incomplete
        case .invalid(let fault): return .invalid(fault.asResponse)
        case .complete(let end):
            if let fault = judge(bytes, requestMethod, upgradePassed) { return .invalid(fault) }
            return .complete(length: end)
        }
    }

    /// RFC 9112 sections 6.3 and 9.3; where they leave a choice, the strict one.
    private mutating func judge(
        _ bytes: Span<UInt8>, _ requestMethod: Method, _ upgradePassed: Bool
    ) -> Fault? {
        // What the fields say is judged even where no body can follow: a node that gets this wrong
        // does not mean what we would read.
        var declared = BodyFraming.untilClose
        if table.transferEncodings > 0 {
            guard minorVersion == 1 else {
                return Fault(502, "a Transfer-Encoding field in HTTP/1.0")
            }
            guard table.contentLengths == 0 else {
                return Fault(502, "both a Transfer-Encoding and a Content-Length field")
            }
            guard table.transferEncodings == 1,
                TransferCoding(bytes, table.transferEncoding) == .chunked
            else { return Fault(502, "a transfer coding other than one single chunked") }
            declared = .chunked
        } else if table.contentLengths > 0 {
            guard table.contentLengths == 1 else {
                return Fault(502, "more than one Content-Length field")
            }
            guard let length = decimal(bytes, table.contentLength) else {
                return Fault(502, "a malformed Content-Length field")
            }
            declared = .length(length)
        }

        // A malformed Connection field is no reason to lose the response, only the connection.
        let options = table.options
        guard !options.overlong else { return Fault(502, "too many connection options") }
        keepAlive =
            !options.close && !options.malformed && (minorVersion == 1 || options.keepAlive)
        announcedLength = nil
        isInterim = false
        upgradeAccepted = false

        if status == 101 {
            guard upgradePassed, minorVersion == 1 else {
                return Fault(502, "a 101 that was not asked for")
            }
            guard options.upgrade, table.upgrades == 1,
                isWord(bytes, Int(table.upgrade.start), Int(table.upgrade.end), "websocket")
            else { return Fault(502, "a 101 to something other than a WebSocket") }
            upgradeAccepted = true
        }
        if status < 200 || status == 204 {
            isInterim = status < 200 && status != 101
            framing = .none
            // Neither has a body or says how long it is (RFC 9110 section 8.6, RFC 9112 section
            // 6.1). Who says so all the same may well send one: do not read on from there. After an
            // interim response we must, and would take a body for a head, which is then invalid.
            if declared != .untilClose, declared != .length(0) {
                if isInterim { return Fault(502, "an interim response with a body") }
                keepAlive = false
            }
            if status == 101 { keepAlive = false }
            return nil
        }
        if status == 304 || requestMethod == .head {
            framing = .none
            if case .length(let length) = declared { announcedLength = length }
            return nil
        }
        if requestMethod == .connect, status < 300 {
            // Section 6.3, 2: a tunnel, whatever the fields say. CONNECT is never forwarded.
            return Fault(502, "a tunnel that was not asked for")
        }
        framing = declared
        if declared == .untilClose { keepAlive = false }
        return nil
    }
}
