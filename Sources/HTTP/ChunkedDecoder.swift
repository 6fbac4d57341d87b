// The chunked transfer coding (RFC 9112 section 7.1), read as it arrives: the payload is handed out
// where it lies, sizes and extensions are judged byte by byte and dropped. Not a buffer: only the
// trailer section has to lie in the span at once.

import Base

/// What the next bytes of a chunked body are.
package enum ChunkEvent: Equatable, Sendable {
    /// Payload, in the bytes given; may be a part of a chunk. `consumed` counts up to its end.
    case data(ByteRange, consumed: Int)
    /// Drop the first `consumed` bytes; present the rest again, with more behind it.
    case more(consumed: Int)
    /// The body is over. `trailers` are the field lines, checked, each with its CRLF, without the
    /// empty line that ends them.
    case end(trailers: ByteRange, consumed: Int)
    case invalid(Fault)
}

/// Bytes of a trailer section, with its empty line. Trailers are checksums and statuses.
package let trailerLimit = 8_192

/// Reads one chunked body. Value of an exchange; after `end` or `invalid` it is of no more use.
package struct ChunkedDecoder: Sendable {
    private enum State: UInt8 {
        /// No digit of a chunk size yet, and at least one.
        case size, sizeDigits
        /// White space that must be followed by an extension.
        case beforeExtension
        /// After ";", in a name, after a name, after "=", in a value, in a quoted one, after "\"
        /// there, after a value.
        case beforeName, name, afterName, beforeValue, value, quoted, escaped, afterValue
        /// The CR of a size line has come.
        case sizeEnd
        case data, dataEnd, dataEndFeed
        case trailers, over, failed
    }

    private var state = State.size
    private var size: UInt64 = 0
    /// Bytes of the present size line.
    private var line = 0
    /// Bytes of size lines beyond what the chunks carry, see `chargeLine`.
    private var excess: UInt64 = 0

    package init() {}

    /// Payload bytes of the present chunk that have neither been handed out nor skipped.
    package private(set) var remainingInChunk: UInt64 = 0

    /// `count` payload bytes of the present chunk, at most `remainingInChunk`, have gone past without
    /// being shown here.
    package mutating func skip(_ count: UInt64) {
        precondition(count <= remainingInChunk, "more skipped than the chunk has")
        remainingInChunk -= count
        if remainingInChunk == 0, state == .data { state = .dataEnd }
    }

    /// Reads on at the first byte that was not consumed before.
    package mutating func next(_ bytes: Span<UInt8>) -> ChunkEvent {
        var index = 0
        let count = bytes.count
        while index < count {
            let byte = bytes[index]
            switch state {
            case .data:
                // A ByteRange counts to 4 GiB; no buffer comes near.
                let length = Int(min(UInt64(count - index), remainingInChunk, 1 << 31))
                let range = ByteRange(index, index + length)
                skip(UInt64(length))
                return .data(range, consumed: index + length)
            case .dataEnd:
                guard byte == carriageReturn else { return fail("a chunk longer than its size") }
                state = .dataEndFeed
            case .dataEndFeed:
                guard byte == lineFeed else { return fail("a chunk that does not end in CRLF") }
                state = .size
                line = 0
                size = 0
            case .sizeEnd:
                guard byte == lineFeed else {
                    return fail("a chunk size that does not end in CRLF")
                }
                guard chargeLine() else { return fail("more chunk extensions than are accepted") }
                remainingInChunk = size
                state = size == 0 ? .trailers : .data
            case .trailers: return readTrailers(bytes, index)
            case .over: return .end(trailers: .empty, consumed: 0)
            case .failed: return fail("a broken chunked body")
            default:
                line += 1
                guard line <= lineLimit else {
                    return fail("more chunk extensions than are accepted")
                }
                if let sentence = readSizeLine(byte) { return fail(sentence) }
            }
            index += 1
        }
        return .more(consumed: count)
    }

    private mutating func fail(_ sentence: StaticString) -> ChunkEvent {
        state = .failed
        return .invalid(Fault(400, sentence))
    }

    /// One byte of `chunk-size [ chunk-ext ] CR`. A sentence says what is wrong with it.
    private mutating func readSizeLine(_ byte: UInt8) -> StaticString? {
        switch state {
        case .size, .sizeDigits:
            let digit = hexValue(byte)
            if digit < 16 {
                guard size < 1 << 59 else { return "a chunk size beyond 2^63-1" }
                size = size << 4 | UInt64(digit)
                state = .sizeDigits
                return nil
            }
            guard state == .sizeDigits else { return "a chunk size that is no hexadecimal number" }
            return readAfter(byte, .beforeExtension, "a chunk size that is no hexadecimal number")
        case .beforeExtension:
            // White space is tolerated around ";" and "=" only (section 7.1.1).
            guard !isBlank(byte) else { return nil }
            guard byte == UInt8(ascii: ";") else { return "white space after a chunk size" }
            state = .beforeName
        case .beforeName:
            guard !isBlank(byte) else { return nil }
            guard isTokenCharacter(byte) else { return "a malformed chunk extension" }
            state = .name
        case .name:
            guard !isTokenCharacter(byte) else { return nil }
            guard byte != UInt8(ascii: "=") else {
                state = .beforeValue
                return nil
            }
            return readAfter(byte, .afterName, "a malformed chunk extension")
        case .afterName:
            guard !isBlank(byte) else { return nil }
            switch byte {
            case UInt8(ascii: "="): state = .beforeValue
            case UInt8(ascii: ";"): state = .beforeName
            default: return "a malformed chunk extension"
            }
        case .beforeValue:
            guard !isBlank(byte) else { return nil }
            if byte == UInt8(ascii: "\"") {
                state = .quoted
            } else {
                guard isTokenCharacter(byte) else { return "a malformed chunk extension" }
                state = .value
            }
        case .value:
            guard !isTokenCharacter(byte) else { return nil }
            return readAfter(byte, .beforeExtension, "a malformed chunk extension")
        case .quoted, .escaped:
            guard byte >= space || byte == tab, byte != 0x7F else {
                return "a control character in a chunk extension"
            }
            if state == .escaped {
                state = .quoted
            } else if byte == UInt8(ascii: "\\") {
                state = .escaped
            } else if byte == UInt8(ascii: "\"") {
                state = .afterValue
            }
        case .afterValue:
            return readAfter(byte, .beforeExtension, "a malformed chunk extension")
        default: return "a broken chunked body"
        }
        return nil
    }

    /// What may follow a size, a name or a value: the line end, another extension, or white space,
    /// after which the state is `blank`.
    private mutating func readAfter(
        _ byte: UInt8, _ blank: State, _ sentence: StaticString
    ) -> StaticString? {
        switch byte {
        case carriageReturn: state = .sizeEnd
        case UInt8(ascii: ";"): state = .beforeName
        case space, tab: state = blank
        case lineFeed: return "a chunk size line that ends in a bare line feed"
        default: return sentence
        }
        return nil
    }

    /// Sets the bytes of a size line against those that it announces. A sender of one-byte chunks
    /// with long extensions would else make us read without end for nothing. The rule is that of
    /// Go's net/http (CVE-2023-39326): 16 bytes a line and twice the payload are free, and 16 KiB
    /// beyond that in all.
    private mutating func chargeLine() -> Bool {
        let (free, overflow) = size.multipliedReportingOverflow(by: 2)
        let credit = overflow || free > 1 << 62 ? 1 << 62 : free + 16
        excess += UInt64(line) + 2
        excess = excess > credit ? excess - credit : 0
        return excess <= 16_384
    }

    /// The trailer section at `start`, all of it or not yet.
    private mutating func readTrailers(_ bytes: Span<UInt8>, _ start: Int) -> ChunkEvent {
        var index = start
        while true {
            switch readFieldLine(bytes, index) {
            case .invalid(let sentence): return fail(sentence)
            case .incomplete:
                guard bytes.count - start < trailerLimit else {
                    return fail("a trailer section longer than is accepted")
                }
                return .more(consumed: start)
            case .field(_, let end): index = end
            case .last(let end):
                guard end - start <= trailerLimit else {
                    return fail("a trailer section longer than is accepted")
                }
                state = .over
                return .end(trailers: ByteRange(start, index), consumed: end)
            }
        }
    }
}

/// Bytes of one size line, extensions included. What it may take in all is `chargeLine`'s matter.
private let lineLimit = 16_384

/// Writes the line before a chunk of `count` bytes: the size and CRLF, at most 18 bytes. After the
/// chunk the caller writes CRLF. `count` is above 0, since 0 is the end of a body.
@_lifetime(out: copy out)
package func writeChunkHeader(_ count: Int, to out: inout OutputSpan<UInt8>) {
    var shift = max(0, (UInt64.bitWidth - 1 - count.leadingZeroBitCount) / 4 * 4)
    while shift >= 0 {
        let digit = UInt8(truncatingIfNeeded: (count >> shift) & 0xF)
        out.append(digit < 10 ? 48 + digit : 87 + digit)
        shift -= 4
    }
    out.append(carriageReturn)
    out.append(lineFeed)
}

/// Writes the end of a chunked body: the last chunk, those of the trailers (a range of `bytes` from
/// `ChunkEvent.end`) that may go on, and the empty line. False, with `out` as it was, when it does
/// not fit; it takes at most 5 bytes and one for each trailer more than the trailers have.
@_lifetime(out: copy out)
package func writeTrailers(
    _ bytes: Span<UInt8>, _ trailers: ByteRange, to out: inout OutputSpan<UInt8>
) -> Bool {
    let before = out.count
    if writeTrailerLines(bytes, trailers, to: &out) { return true }
    out.removeLast(out.count - before)
    return false
}

@_lifetime(out: copy out)
private func writeTrailerLines(
    _ bytes: Span<UInt8>, _ trailers: ByteRange, to out: inout OutputSpan<UInt8>
) -> Bool {
    guard out.write("0\r\n") else { return false }
    let end = Int(trailers.end)
    var index = Int(trailers.start)
    var copier = LineCopier()
    while index < end, case .field(let field, let next) = readFieldLine(bytes, index) {
        let name = field.name
        if isAllowedInTrailer(bytes, Int(name.start), Int(name.end)) {
            guard copier.add(bytes, field, to: &out) else { return false }
        }
        index = next
    }
    return copier.flush(bytes, to: &out) && out.write("\r\n")
}
