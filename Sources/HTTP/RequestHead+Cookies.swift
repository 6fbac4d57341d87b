// The cookies of a request: found by name, and taken out of what is forwarded. Read as RFC 6265 section
// 5.4 has clients write them, leniently where a node might be lenient too: whatever a node could take
// for the cookie is found. What a value means is not decided here.

import Base

/// The pairs of one Cookie field, one after another.
private struct CookiePairs {
    /// A pair as it stands between semicolons, and its two sides without white space.
    struct Pair {
        var whole: ByteRange
        var name: ByteRange
        var value: ByteRange
    }

    private var at: Int
    private let end: Int
    private var isOver = false

    init(_ field: ByteRange) {
        at = Int(field.start)
        end = Int(field.end)
    }

    mutating func next(_ bytes: Span<UInt8>) -> Pair? {
        if isOver { return nil }
        let start = at
        var equals = -1
        while at < end, bytes[at] != UInt8(ascii: ";") {
            if equals < 0, bytes[at] == UInt8(ascii: "=") { equals = at }
            at += 1
        }
        let stop = at
        if at < end { at += 1 } else { isOver = true }
        // Without an equals sign there is no name.
        return Pair(
            whole: ByteRange(start, stop),
            name: equals < 0 ? .empty : Self.trimmed(bytes, start, equals),
            value: Self.trimmed(bytes, equals < 0 ? start : equals + 1, stop))
    }

    private static func trimmed(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> ByteRange {
        var (start, end) = (start, end)
        while start < end, isBlank(bytes[start]) { start += 1 }
        while start < end, isBlank(bytes[end - 1]) { end -= 1 }
        return ByteRange(start, end)
    }
}

/// Whether a run of bytes is this name; case counts.
private func isName(_ bytes: Span<UInt8>, _ range: ByteRange, _ name: Span<UInt8>) -> Bool {
    guard Int(range.length) == name.count, !name.isEmpty else { return false }
    let start = Int(range.start)
    for index in 0..<name.count where bytes[start + index] != name[index] { return false }
    return true
}

extension RequestHead {
    /// Whether there is a Cookie field at all: most requests to some pools have none.
    package var hasCookies: Bool { table.cookies > 0 }

    /// The value of the `n`-th cookie of that name, over all Cookie fields; nil if there are no more.
    /// A client has several if they were set for different paths or domains.
    package func cookie(
        _ bytes: Span<UInt8>, named name: Span<UInt8>, _ n: Int = 0
    ) -> ByteRange? {
        var left = n
        for index in 0..<table.count where table.kind(index) == .cookie {
            var pairs = CookiePairs(table.fields[index].value)
            while let pair = pairs.next(bytes) {
                guard isName(bytes, pair.name, name) else { continue }
                if left == 0 { return pair.value }
                left -= 1
            }
        }
        return nil
    }

    /// The value of the first field of that name, which is in lower case.
    package func value(_ bytes: Span<UInt8>, of name: Span<UInt8>) -> ByteRange? {
        for index in 0..<table.count {
            let field = table.fields[index]
            guard Int(field.name.length) == name.count else { continue }
            let start = Int(field.name.start)
            var isSame = true
            for offset in 0..<name.count where lowercased(bytes[start + offset]) != name[offset] {
                isSame = false
                break
            }
            if isSame { return field.value }
        }
        return nil
    }

    /// Whether an X-Forwarded-Proto field says that the client came by TLS. Only of use where the
    /// sender is believed.
    package func saysHTTPS(_ bytes: Span<UInt8>) -> Bool {
        for index in 0..<table.count where table.kind(index) == .forwardedProto {
            let value = table.fields[index].value
            if isWord(bytes, Int(value.start), Int(value.end), "https") { return true }
        }
        return false
    }

    /// Whether the field has a cookie of that name.
    func hasCookie(_ bytes: Span<UInt8>, _ field: FieldRange, named name: Span<UInt8>) -> Bool {
        var pairs = CookiePairs(field.value)
        while let pair = pairs.next(bytes) {
            if isName(bytes, pair.name, name) { return true }
        }
        return false
    }

    /// Writes a Cookie field without the cookies of that name. The others stay byte for byte, with the
    /// semicolons and blanks before them; where nothing is left, nothing is written.
    @_lifetime(out: copy out)
    func writeCookies(
        _ bytes: Span<UInt8>, _ field: FieldRange, without name: Span<UInt8>,
        to out: inout OutputSpan<UInt8>
    ) -> Bool {
        var pairs = CookiePairs(field.value)
        var isAnyLeft = false
        while let pair = pairs.next(bytes) {
            if isName(bytes, pair.name, name) { continue }
            if !isAnyLeft {
                var start = Int(pair.whole.start)
                let end = Int(pair.whole.end)
                while start < end, isBlank(bytes[start]) { start += 1 }
                // Nothing but white space is not worth a line.
                if start == end { continue }
                guard out.write(bytes, field.name), out.write(": "),
                    out.write(bytes, start, end)
                else { return false }
                isAnyLeft = true
            } else {
                guard out.write(";"), out.write(bytes, pair.whole) else { return false }
            }
        }
        return !isAnyLeft || out.write("\r\n")
    }
}
