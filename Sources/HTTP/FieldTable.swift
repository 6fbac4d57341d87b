// The field section of a head (RFC 9112 section 5): lines found, checked and told apart in one pass,
// into a table that is allocated once and filled again for each head. It counts what decides about
// framing and connections; what the counts mean for a request or a response is decided elsewhere.

import Base

/// How reading a field section ended.
enum FieldSection: Equatable {
    case incomplete
    /// The place after the empty line.
    case complete(end: Int)
    case invalid(Fault)
}

/// One line of a field section, as `readFieldLine` found it.
enum FieldLine {
    case incomplete
    /// A name, a colon and a value, its white space taken off; the next line starts at `end`.
    case field(FieldRange, end: Int)
    /// The empty line.
    case last(end: Int)
    case invalid(StaticString)
}

/// Reads the line at `start`. Strict: CRLF only, no white space before the name or the colon, no
/// folding, no control characters (RFC 9112 sections 2.2, 5.1 and 5.2; RFC 9110 section 5.5).
@inline(__always)
func readFieldLine(_ bytes: Span<UInt8>, _ start: Int) -> FieldLine {
    let count = bytes.count
    guard start < count else { return .incomplete }
    var index = start
    var byte = bytes[index]
    if byte == carriageReturn {
        guard index + 1 < count else { return .incomplete }
        guard bytes[index + 1] == lineFeed else {
            return .invalid("a carriage return without a line feed in the header section")
        }
        return .last(end: index + 2)
    }
    index = endOfToken(bytes, index)
    guard index < count else { return .incomplete }
    byte = bytes[index]
    let nameEnd = index
    guard byte == colon, nameEnd > start else { return .invalid(nameFault(byte, nameEnd == start)) }
    index += 1
    while index < count, isBlank(bytes[index]) { index += 1 }
    let valueStart = index
    index = endOfValue(bytes, index)
    guard index < count else { return .incomplete }
    guard bytes[index] == carriageReturn else {
        return .invalid(
            bytes[index] == lineFeed
                ? "a header line that ends in a bare line feed"
                : "a control character in a header field value")
    }
    guard index + 1 < count else { return .incomplete }
    guard bytes[index + 1] == lineFeed else {
        return .invalid("a carriage return without a line feed in a header field value")
    }
    let end = index + 2
    while index > valueStart, isBlank(bytes[index - 1]) { index -= 1 }
    return .field(
        FieldRange(name: ByteRange(start, nameEnd), value: ByteRange(valueStart, index)), end: end)
}

/// What a byte that neither goes on with a field name nor ends it has against it.
private func nameFault(_ byte: UInt8, _ isFirst: Bool) -> StaticString {
    switch (byte, isFirst) {
    case (space, true), (tab, true): "a header line that starts with white space"
    case (space, false), (tab, false): "white space between a header field name and its colon"
    case (lineFeed, _): "a header line that ends in a bare line feed"
    case (colon, _): "a header line without a field name"
    case (carriageReturn, _): "a header line without a colon"
    default: "a header field name with a character that is not allowed there"
    }
}

/// What the Connection fields of a head say (RFC 9110 section 7.6.1).
struct ConnectionOptions {
    var close = false
    var keepAlive = false
    var upgrade = false
    /// Something that is not a list of tokens, or more than `listedLimit` of them.
    var malformed = false
    /// More than `listedLimit`: fields that it lists may not be marked so.
    var overlong = false
}

/// Connection options that name fields we know nothing of: each is compared with every field, so
/// their number is bounded. Real heads have at most a few.
private let listedLimit = 32

/// The fields of one head. Owned by the head that owns it, and as single-threaded.
struct FieldTable: ~Copyable {
    private var ranges: [FieldRange]
    private var kinds: [FieldKind]
    private(set) var count = 0

    private(set) var hosts = 0
    private(set) var contentLengths = 0
    private(set) var transferEncodings = 0
    private(set) var connections = 0
    private(set) var upgrades = 0
    private(set) var expects = 0
    private(set) var maxForwards = 0
    private(set) var cookies = 0
    private(set) var options = ConnectionOptions()
    /// The value of the last field of its kind; meaningful when the count above is not 0.
    private(set) var host = ByteRange.empty
    private(set) var contentLength = ByteRange.empty
    private(set) var transferEncoding = ByteRange.empty
    private(set) var upgrade = ByteRange.empty
    private(set) var maxForwardsValue = ByteRange.empty
    /// False as soon as one Expect field is not `100-continue`.
    private(set) var expectsContinueOnly = true

    /// Room for `capacity` fields, allocated here and never again.
    init(capacity: Int) {
        let empty = FieldRange(name: .empty, value: .empty)
        ranges = [FieldRange](repeating: empty, count: capacity)
        kinds = [FieldKind](repeating: .other, count: capacity)
    }

    var fields: Span<FieldRange> {
        @_lifetime(borrow self)
        get { ranges.span.extracting(0..<count) }
    }

    func kind(_ index: Int) -> FieldKind { kinds[index] }

    mutating func reset() {
        count = 0
        hosts = 0
        contentLengths = 0
        transferEncodings = 0
        connections = 0
        upgrades = 0
        expects = 0
        maxForwards = 0
        cookies = 0
        options = ConnectionOptions()
        host = .empty
        contentLength = .empty
        transferEncoding = .empty
        upgrade = .empty
        maxForwardsValue = .empty
        expectsContinueOnly = true
    }

    /// Reads the field section that starts at `start`. The table is empty before.
    mutating func parse(_ bytes: Span<UInt8>, from start: Int) -> FieldSection {
        var index = start
        while true {
            switch readFieldLine(bytes, index) {
            case .incomplete: return .incomplete
            case .invalid(let sentence): return .invalid(Fault(400, sentence))
            case .last(let end):
                if connections > 0 { readConnection(bytes) }
                return .complete(end: end)
            case .field(let field, let end):
                guard count < ranges.count else {
                    return .invalid(Fault(431, "more header fields than are accepted"))
                }
                let kind = FieldKind(bytes, Int(field.name.start), Int(field.name.end))
                ranges[count] = field
                kinds[count] = kind
                count += 1
                if kind != .other { note(kind, field.value, bytes) }
                index = end
            }
        }
    }

    private mutating func note(_ kind: FieldKind, _ value: ByteRange, _ bytes: Span<UInt8>) {
        switch kind {
        case .host:
            hosts += 1
            host = value
        case .contentLength:
            contentLengths += 1
            contentLength = value
        case .transferEncoding:
            transferEncodings += 1
            transferEncoding = value
        case .connection: connections += 1
        case .cookie: cookies += 1
        case .upgrade:
            upgrades += 1
            upgrade = value
        case .expect:
            expects += 1
            if !isWord(bytes, Int(value.start), Int(value.end), "100-continue") {
                expectsContinueOnly = false
            }
        case .maxForwards:
            maxForwards += 1
            maxForwardsValue = value
        default: break
        }
    }

    /// Reads every Connection field and marks what they list. After the pass, since a field may
    /// stand before the Connection field that lists it.
    private mutating func readConnection(_ bytes: Span<UInt8>) {
        var listed = 0
        for field in 0..<count where kinds[field] == .connection {
            let end = Int(ranges[field].value.end)
            var index = Int(ranges[field].value.start)
            while index < end {
                // An element of a list: empty ones are ignored (RFC 9110 section 5.6.1.2).
                while index < end, isBlank(bytes[index]) || bytes[index] == comma { index += 1 }
                let start = index
                while index < end, isTokenCharacter(bytes[index]) { index += 1 }
                let length = index - start
                while index < end, isBlank(bytes[index]) { index += 1 }
                if index < end, bytes[index] != comma {
                    // What else it lists is taken out all the same: a response goes on without it.
                    options.malformed = true
                    while index < end, bytes[index] != comma { index += 1 }
                    continue
                }
                guard length > 0 else { continue }
                if isWord(bytes, start, start + length, "keep-alive") {
                    options.keepAlive = true
                    continue
                }
                if isWord(bytes, start, start + length, "upgrade") {
                    options.upgrade = true
                    continue
                }
                if isWord(bytes, start, start + length, "close") { options.close = true }
                listed += 1
                guard listed <= listedLimit else {
                    options.malformed = true
                    options.overlong = true
                    return
                }
                markListed(bytes, start, length)
            }
        }
    }

    private mutating func markListed(_ bytes: Span<UInt8>, _ start: Int, _ length: Int) {
        for field in 0..<count {
            let name = ranges[field].name
            if name.length == length, kinds[field].canBeListed,
                isSameToken(bytes, Int(name.start), start, count: length)
            {
                kinds[field] = .listed
            }
        }
    }
}

/// Commas in a Transfer-Encoding field. There are five codings in all.
private let commaLimit = 16

/// What a Transfer-Encoding value comes to. Only `chunked`, once and alone, is understood.
enum TransferCoding {
    case chunked
    /// Well-formed and ending in chunked, but with a coding before it that we do not implement.
    case unsupported
    /// chunked is not the last coding, or is there twice, or the value is no list of codings.
    case ambiguous

    /// RFC 9112 sections 6.1, 6.3 and 7.
    init(_ bytes: Span<UInt8>, _ value: ByteRange) {
        let start = Int(value.start)
        let end = Int(value.end)
        if isWord(bytes, start, end, "chunked") {
            self = .chunked
            return
        }
        self = .ambiguous
        var index = start
        var codings = 0
        var chunked = 0
        var isLast = false
        var commas = 0
        // Codings with parameters are not looked into: ambiguous is the safe answer.
        while index < end {
            // Elements of a list: empty ones are ignored, but not any number of them (RFC 9110
            // section 5.6.1.2).
            while index < end, isBlank(bytes[index]) || bytes[index] == comma {
                if bytes[index] == comma { commas += 1 }
                index += 1
            }
            if index == end { break }
            let token = index
            while index < end, isTokenCharacter(bytes[index]) { index += 1 }
            guard index > token else { return }
            codings += 1
            isLast = isWord(bytes, token, index, "chunked")
            if isLast { chunked += 1 }
            while index < end, isBlank(bytes[index]) { index += 1 }
            guard index == end || bytes[index] == comma else { return }
        }
        guard isLast, chunked == 1, commas <= commaLimit else { return }
        self = codings == 1 ? .chunked : .unsupported
    }
}
