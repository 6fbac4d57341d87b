// A path as routing reads it. Servers differ in what they take for the same path: some decode %2F, take
// a backslash for a slash, drop ";parameters" before they look for "..". So a path is read twice, once
// as RFC 3986 has it and once as the most generous server may, and a route counts only where both
// readings lie under it. What is forwarded stays as it came. Spans in, bytes out, no memory.

package enum RoutePath {
    package enum Reading: Sendable {
        /// RFC 3986 section 6.2.2: escapes of unreserved characters decoded, others in capitals, dot
        /// segments removed; then runs of slashes made one.
        case plain
        /// Also: an escaped slash, a backslash and an escaped one are slashes, parameters are dropped,
        /// and runs of slashes are made one before dot segments are removed.
        case generous
    }

    /// Whether both readings of `path` are the path itself: of most it is so, and nothing need be written.
    package static func isNormal(_ path: Span<UInt8>) -> Bool {
        guard path.count > 0, path[0] == slash else { return false }
        var before = UInt8(0)
        for i in 0..<path.count {
            let byte = path[i]
            switch byte {
            case UInt8(ascii: "%"), backslash, semicolon: return false
            case slash, dot: if before == slash { return false }
            default: break
            }
            before = byte
        }
        return true
    }

    /// Writes one reading of `path`, which takes no more bytes than `path` has. False: it leads above the
    /// root, or has an escape that is none, of a control character or of ill-formed UTF-8, so that
    /// there is no telling what a server makes of it. `out` may have been written to then.
    @_lifetime(out: copy out)
    package static func write(
        _ path: Span<UInt8>, as reading: Reading, to out: inout OutputSpan<UInt8>
    ) -> Bool {
        guard path.count > 0, path[0] == slash, out.freeCapacity >= path.count else { return false }
        let base = out.count
        var index = 0
        while index < path.count {
            index += separator(path, index, reading)
            let start = out.count
            out.append(slash)
            guard writeSegment(path, &index, reading, to: &out) else { return false }
            let isLast = index == path.count
            switch out.count - start - 1 {
            case 0 where !isLast && reading == .generous:
                out.removeLast(1)
            case 1 where out.span[start + 1] == dot:
                out.removeLast(isLast ? 1 : 2)
            case 2 where out.span[start + 1] == dot && out.span[start + 2] == dot:
                out.removeLast(3)
                guard out.count > base else { return false }
                while out.span[out.count - 1] != slash { out.removeLast(1) }
                if !isLast { out.removeLast(1) }
            default: break
            }
        }
        if out.count == base { out.append(slash) }
        if reading == .plain { collapse(from: base, &out) }
        return true
    }

    /// One segment up to the separator behind it, its escapes made alike.
    @_lifetime(out: copy out)
    private static func writeSegment(
        _ path: Span<UInt8>, _ index: inout Int, _ reading: Reading,
        to out: inout OutputSpan<UInt8>
    ) -> Bool {
        var isParameter = false
        var before = UInt8(0)
        while index < path.count, separator(path, index, reading) == 0 {
            let byte = path[index]
            guard byte == UInt8(ascii: "%") else {
                if byte == semicolon && reading == .generous { isParameter = true }
                if !isParameter { out.append(byte) }
                before = byte
                index += 1
                continue
            }
            guard let value = escaped(path, index), value >= 0x20, value != 0x7F,
                !isOverlong(before, value)
            else { return false }
            before = value
            if !isParameter {
                if isUnreserved(value) {
                    out.append(value)
                } else {
                    out.append(byte)
                    out.append(capital(path[index + 1]))
                    out.append(capital(path[index + 2]))
                }
            }
            index += 3
        }
        return true
    }

    /// Bytes of the separator at `index`; 0: there is none.
    private static func separator(_ path: Span<UInt8>, _ index: Int, _ reading: Reading) -> Int {
        let byte = path[index]
        if byte == slash { return 1 }
        guard reading == .generous else { return 0 }
        if byte == backslash { return 1 }
        guard byte == UInt8(ascii: "%"), let value = escaped(path, index) else { return 0 }
        return value == slash || value == backslash ? 3 : 0
    }

    /// The byte that the escape at `index` stands for; nil if it is none.
    private static func escaped(_ path: Span<UInt8>, _ index: Int) -> UInt8? {
        guard index + 2 < path.count else { return nil }
        let (high, low) = (hexValue(path[index + 1]), hexValue(path[index + 2]))
        return high < 16 && low < 16 ? high << 4 | low : nil
    }

    /// Whether these two bytes begin a character of UTF-8 that has a shorter form: `%C0%AF` was a slash
    /// to servers once.
    private static func isOverlong(_ first: UInt8, _ second: UInt8) -> Bool {
        second == 0xC0 || second == 0xC1 || first == 0xE0 && second < 0xA0
            || first == 0xF0 && second < 0x90
    }

    /// RFC 3986 section 2.3.
    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "-"), dot, UInt8(ascii: "_"), UInt8(ascii: "~"): true
        default: isDigit(byte) || (byte | 0x20) &- 0x61 < 26
        }
    }

    private static func capital(_ digit: UInt8) -> UInt8 {
        isDigit(digit) ? digit : digit & ~0x20
    }

    /// Makes runs of slashes one.
    @_lifetime(out: copy out)
    private static func collapse(from base: Int, _ out: inout OutputSpan<UInt8>) {
        var end = base
        let count = out.count
        do {
            var bytes = out.mutableSpan
            for i in base..<count {
                let byte = bytes[i]
                if byte == slash, end > base, bytes[end - 1] == slash { continue }
                bytes[end] = byte
                end += 1
            }
        }
        out.removeLast(count - end)
    }

    private static let slash = UInt8(ascii: "/")
    private static let backslash = UInt8(ascii: "\\")
    private static let semicolon = UInt8(ascii: ";")
    private static let dot = UInt8(ascii: ".")
}
