// IP addresses and ranges of them, as numbers: parsed from text, compared, written as text. Nothing
// here asks the system or a name server.

/// An IPv4 or IPv6 address, without a zone. 16 bytes.
///
/// An IPv4 address is kept in its IPv4-mapped form (RFC 4291 section 2.5.5.2), so `::ffff:10.0.0.1`,
/// as a socket bound to `::` reports its clients, and `10.0.0.1` are one and the same.
package struct IPAddress: Hashable, Sendable, CustomStringConvertible {
    /// The first eight bytes on the wire, as one big-endian number.
    package let high: UInt64
    /// The last eight.
    package let low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// `bits`: 10.0.0.1 is 0x0A000001.
    package init(v4 bits: UInt32) {
        high = 0
        low = 0xFFFF_0000_0000 | UInt64(bits)
    }

    package static let v6Any = IPAddress(high: 0, low: 0)
    package static let v4Any = IPAddress(v4: 0)
    package static let v4Loopback = IPAddress(v4: 0x7F00_0001)

    package var isV4: Bool { high == 0 && low >> 32 == 0xFFFF }
    /// The four bytes of an IPv4 address. Means nothing for IPv6.
    package var v4Bits: UInt32 { UInt32(truncatingIfNeeded: low) }

    /// This machine, as itself: 127.0.0.0/8 (RFC 1122 section 3.2.1.3) or ::1.
    package var isLoopback: Bool {
        isV4 ? v4Bits >> 24 == 127 : high == 0 && low == 1
    }

    /// To a socket that listens: every address of this machine.
    package var isUnspecified: Bool { self == .v4Any || self == .v6Any }

    /// Reads dotted decimal (four numbers without leading zeros) or the forms of RFC 4291 section
    /// 2.2. Brackets, zones and ports are not part of an address: nil.
    package init?(_ text: String) {
        let bytes = Array(text.utf8)
        self.init(bytes.span)
    }

    package init?(_ text: Span<UInt8>) {
        // Longest: eight groups, the last two dotted: 45 bytes.
        guard text.count >= 2, text.count <= 45 else { return nil }
        for i in 0..<text.count where text[i] == UInt8(ascii: ":") {
            self.init(v6: text)
            return
        }
        guard let bits = Self.dotted(text, from: 0) else { return nil }
        self.init(v4: bits)
    }

    private init?(v6 text: Span<UInt8>) {
        var groups: [8 of UInt64] = .init(repeating: 0)
        var filled = 0
        var gap: Int?  // how many groups stand before "::"
        var at = 0
        let end = text.count
        if text[0] == UInt8(ascii: ":") {
            guard text[1] == UInt8(ascii: ":") else { return nil }
            gap = 0
            at = 2
        }
        while at < end {
            guard filled < 8 else { return nil }
            var value: UInt64 = 0
            var next = at
            while next < end, next - at < 4, let digit = Self.hexDigit(text[next]) {
                value = value << 4 | digit
                next += 1
            }
            if next < end, text[next] == UInt8(ascii: ".") {
                guard filled <= 6, let bits = Self.dotted(text, from: at) else { return nil }
                groups[filled] = UInt64(bits >> 16)
                groups[filled + 1] = UInt64(bits & 0xFFFF)
                filled += 2
                break
            }
            guard next > at else { return nil }
            groups[filled] = value
            filled += 1
            at = next
            if at == end { break }
            guard text[at] == UInt8(ascii: ":") else { return nil }
            at += 1
            guard at < end else { return nil }  // a single colon at the end
            if text[at] == UInt8(ascii: ":") {
                guard gap == nil else { return nil }
                gap = filled
                at += 1
            }
        }
        if let gap {
            guard filled < 8 else { return nil }  // "::" stands for at least one group
            let tail = filled - gap
            for i in 0..<tail {  // from the back, so that nothing is overwritten before it moved
                groups[7 - i] = groups[filled - 1 - i]
                groups[filled - 1 - i] = 0
            }
        } else {
            guard filled == 8 else { return nil }
        }
        high = groups[0] << 48 | groups[1] << 32 | groups[2] << 16 | groups[3]
        low = groups[4] << 48 | groups[5] << 32 | groups[6] << 16 | groups[7]
    }

    /// Exactly four decimal numbers up to the end of the text. Leading zeros are refused: half of the
    /// world reads them as octal.
    private static func dotted(_ text: Span<UInt8>, from start: Int) -> UInt32? {
        var at = start
        var bits: UInt32 = 0
        for part in 0..<4 {
            if part > 0 {
                guard at < text.count, text[at] == UInt8(ascii: ".") else { return nil }
                at += 1
            }
            let first = at
            var value: UInt32 = 0
            while at < text.count, at - first < 3, text[at] &- 48 < 10 {
                value = value * 10 + UInt32(text[at] - 48)
                at += 1
            }
            guard at > first, value <= 255, at - first == 1 || text[first] != UInt8(ascii: "0")
            else { return nil }
            bits = bits << 8 | value
        }
        return at == text.count ? bits : nil
    }

    private static func hexDigit(_ byte: UInt8) -> UInt64? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt64(byte - 48)
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt64(byte - 87)
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt64(byte - 55)
        default: nil
        }
    }

    /// The most bytes that `write` takes.
    package static let maxTextLength = 39

    /// Writes dotted decimal, or IPv6 as RFC 5952 wants it: lower case, no leading zeros, the longest
    /// run of zero groups (the first of equals, never a single one) as "::". No allocation. `out` must
    /// have room for `maxTextLength` bytes.
    package func write(to out: inout OutputSpan<UInt8>) {
        if isV4 {
            Self.writeDecimal(v4Bits >> 24, to: &out)
            out.append(UInt8(ascii: "."))
            Self.writeDecimal(v4Bits >> 16 & 0xFF, to: &out)
            out.append(UInt8(ascii: "."))
            Self.writeDecimal(v4Bits >> 8 & 0xFF, to: &out)
            out.append(UInt8(ascii: "."))
            Self.writeDecimal(v4Bits & 0xFF, to: &out)
            return
        }
        var gapStart = 8
        var gapLength = 1  // a run must be longer than this
        var run = 0
        for i in 0..<8 {
            run = group(i) == 0 ? run + 1 : 0
            if run > gapLength {
                gapLength = run
                gapStart = i + 1 - run
            }
        }
        var i = 0
        while i < 8 {
            if i == gapStart {
                out.append(UInt8(ascii: ":"))
                out.append(UInt8(ascii: ":"))
                i += gapLength
                continue
            }
            if i > 0 && i != gapStart + gapLength { out.append(UInt8(ascii: ":")) }
            Self.writeHex(group(i), to: &out)
            i += 1
        }
    }

    private func group(_ index: Int) -> UInt32 {
        let half = index < 4 ? high : low
        return UInt32(truncatingIfNeeded: half >> UInt64(48 - 16 * (index & 3))) & 0xFFFF
    }

    private static func writeDecimal(_ value: UInt32, to out: inout OutputSpan<UInt8>) {
        if value >= 100 { out.append(48 + UInt8(value / 100)) }
        if value >= 10 { out.append(48 + UInt8(value / 10 % 10)) }
        out.append(48 + UInt8(value % 10))
    }

    private static func writeHex(_ value: UInt32, to out: inout OutputSpan<UInt8>) {
        var shift: UInt32 = value > 0xFFF ? 12 : value > 0xFF ? 8 : value > 0xF ? 4 : 0
        while true {
            let digit = UInt8(value >> shift & 0xF)
            out.append(digit < 10 ? 48 + digit : 87 + digit)
            if shift == 0 { return }
            shift -= 4
        }
    }

    package var description: String {
        let bytes = [UInt8](capacity: Self.maxTextLength) { write(to: &$0) }
        return String(decoding: bytes, as: UTF8.self)
    }
}
