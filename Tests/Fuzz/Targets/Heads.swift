// Heads and chunked bodies as Trivet reads them: the same outcome however the bytes arrive, and every
// range within them.

import Base
import HTTP
import StrictHTTP

func readRequestHead(_ bytes: [UInt8]) throws(Finding) {
    let limits = HeadLimits(target: 256, head: 768, fields: 16)
    var head = RequestHead(limits: limits)
    let whole = head.parse(bytes.span)
    if case .complete(let length) = whole {
        try expect(length <= bytes.count, "a head longer than what was given")
        for range in [head.methodRange, head.target, head.path, head.authority] {
            try expect(range.isEmpty || Int(range.end) <= length, "a range outside of the head")
        }
        for index in 0..<head.fields.count {
            let field = head.fields[index]
            try expect(
                Int(field.name.end) < length && Int(field.value.end) < length,
                "a field outside of the head")
        }
    }
    var dripped = RequestHead(limits: limits)
    try compareCuts(bytes, whole) { dripped.parse($0, seen: $1) }
}

func readResponseHead(_ bytes: [UInt8]) throws(Finding) {
    let limits = HeadLimits(target: 256, head: 768, fields: 16)
    for method in [Method.get, .head] {
        for upgradePassed in [false, true] {
            var head = ResponseHead(limits: limits)
            let whole = head.parse(
                bytes.span, requestMethod: method, upgradePassed: upgradePassed)
            if case .complete(let length) = whole {
                try expect(length <= bytes.count, "a head longer than what was given")
                try expect((100...599).contains(head.status), "status \(head.status)")
                try expect(
                    head.status != 101 || head.upgradeAccepted, "a 101 that nobody asked for")
                try expect(Int(head.reason.end) < length, "a reason outside of the head")
            }
            var dripped = ResponseHead(limits: limits)
            try compareCuts(bytes, whole) {
                dripped.parse(
                    $0, requestMethod: method, upgradePassed: upgradePassed, seen: $1)
            }
        }
    }
}

/// Presents ever longer beginnings, as reads from a socket would: what is said of one must stay true of
/// the next, up to the whole.
private func compareCuts(
    _ bytes: [UInt8], _ whole: HeadOutcome, _ parse: (Span<UInt8>, Int) -> HeadOutcome
) throws(Finding) {
    var choices = Choices(bytes)
    var end = 0
    var seen = 0
    let stride = choices.next(4) == 0 ? 1 : 1 + bytes.count / 8
    while true {
        let outcome = parse(bytes.span.extracting(0..<end), seen)
        switch (outcome, whole) {
        case (.incomplete, _):
            if end == bytes.count {
                // Without a line end among the new bytes they are not looked at: a refusal may come later,
                // an end may not.
                if case .complete = whole {
                    throw Finding("incomplete in pieces, at once \(whole)")
                }
                try expect(
                    whole == .incomplete || !bytes[seen...].contains(0x0A),
                    "incomplete in pieces, at once \(whole)")
                return
            }
        case (.complete(let length), .complete(let wholeLength)):
            try expect(length == wholeLength, "\(length) bytes in pieces, at once \(wholeLength)")
            return
        case (.invalid, .invalid): return
        default: throw Finding("\(outcome) with \(end) of \(bytes.count) bytes, at once \(whole)")
        }
        seen = end
        end = min(bytes.count, end + 1 + choices.next(stride))
    }
}

/// A chunked body as Trivet reads it.
struct ReadBody: Equatable {
    var body: [UInt8] = []
    var trailers: [UInt8] = []
    var consumed = 0
    var isWhole = false
    var isBroken = false

    /// `pieces` gives the length of the next piece to arrive.
    init(_ bytes: [UInt8], _ pieces: () -> Int) {
        var decoder = ChunkedDecoder()
        var start = 0
        var end = 0
        while true {
            end = min(bytes.count, end + pieces())
            // As from a buffer: what was not consumed is shown again with more behind it.
            reading: while true {
                switch decoder.next(bytes.span.extracting(start..<end)) {
                case .data(let range, let count):
                    body += bytes[start + Int(range.start)..<start + Int(range.end)]
                    start += count
                case .more(let count):
                    start += count
                    break reading
                case .end(let range, let count):
                    trailers = Array(bytes[start + Int(range.start)..<start + Int(range.end)])
                    consumed = start + count
                    isWhole = true
                    return
                case .invalid:
                    isBroken = true
                    return
                }
            }
            if end == bytes.count {
                consumed = start
                return
            }
        }
    }
}

func readChunked(_ bytes: [UInt8]) throws(Finding) {
    let whole = ReadBody(bytes) { bytes.count }
    var choices = Choices(bytes)
    let most = 1 + choices.next(16)
    for pieces in [{ 1 }, { 1 + choices.next(most) }] {
        let cut = ReadBody(bytes, pieces)
        if whole.isBroken {
            try expect(cut.isBroken, "broken at once, but not in pieces")
        } else {
            try expect(cut == whole, "in pieces \(cut), at once \(whole)")
        }
    }
    do {
        let strict = try StrictChunks(bytes)
        // Limits apart, both take the same: the longest input stays within them.
        try expect(
            whole.isWhole || bytes.count > 8_192, "refused, though the RFC's grammar has it")
        guard whole.isWhole else { return }
        try expect(strict.body == whole.body, "another body than by the second opinion")
        try expect(strict.length == whole.consumed, "another length than by the second opinion")
    } catch let refusal as Refusal {
        try expect(!whole.isWhole, "taken, though the second opinion sees \(refusal)")
    } catch let finding as Finding {
        throw finding
    } catch {}
}
