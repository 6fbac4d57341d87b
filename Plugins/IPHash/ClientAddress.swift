// A client's address, read from its text into the octets that are hashed. Lenient: the text is the
// host's own, so what is no address is none, without a word.

import TrivetPlugin

/// The octets of an address that count: 3 or 4 of an IPv4 address, 16 of an IPv6 address; three
/// zeros (as nginx has it) for a client that has none, such as one on a Unix socket. An IPv4-mapped
/// IPv6 address counts as IPv4. Made on every pick, without an allocation.
struct ClientAddress {
    private var bytes = InlineArray<16, UInt8>(repeating: 0)
    private var count = 3

    init(_ text: Span<UInt8>, whole: Bool) {
        if !readIPv4(text, from: 0, to: 12) {
            guard readIPv6(text) else {
                bytes = InlineArray(repeating: 0)
                return
            }
            guard isMapped else {
                count = 16
                return
            }
        }
        for index in 0..<4 { bytes[index] = bytes[12 + index] }
        count = whole ? 4 : 3
    }

    /// The octets.
    var octets: Span<UInt8> {
        @_lifetime(borrow self) get { bytes.span.extracting(0..<count) }
    }

    /// One round of nginx's hash, below `range`.
    func hash(_ start: UInt64, _ range: UInt64) -> UInt64 {
        var hash = start
        var index = 0
        while index < count {
            hash = (hash * 113 + UInt64(bytes[index])) % range
            index += 1
        }
        return hash
    }

    private var isMapped: Bool {
        for index in 0..<10 where bytes[index] != 0 { return false }
        return bytes[10] == 0xFF && bytes[11] == 0xFF
    }

    /// "10.0.0.7" from `start` to the end of the text, into four bytes at `place`.
    private mutating func readIPv4(_ text: Span<UInt8>, from start: Int, to place: Int) -> Bool {
        var octet = 0
        var number = -1
        var at = start
        while at <= text.count {
            if at == text.count || text[at] == UInt8(ascii: ".") {
                guard number >= 0, octet < 4 else { return false }
                bytes[place + octet] = UInt8(number)
                octet += 1
                number = -1
            } else {
                guard let digit = Self.digit(text[at]), digit < 10 else { return false }
                number = max(number, 0) * 10 + digit
                guard number <= 255 else { return false }
            }
            at += 1
        }
        return octet == 4
    }

    /// RFC 4291, section 2.2; a zone ("%eth0") is left out.
    private mutating func readIPv6(_ text: Span<UInt8>) -> Bool {
        var place = 0  // of the next group
        var gap = -1  // where "::" stands
        var at = 0
        if text.count >= 2, text[0] == UInt8(ascii: ":"), text[1] == UInt8(ascii: ":") {
            gap = 0
            at = 2
        }
        while at < text.count, text[at] != UInt8(ascii: "%") {
            let start = at
            var group = 0
            while at < text.count, let digit = Self.digit(text[at]) {
                group = group << 4 | digit
                guard group <= 0xFFFF else { return false }
                at += 1
            }
            if at < text.count, text[at] == UInt8(ascii: ".") {
                guard place <= 12, readIPv4(text, from: start, to: place) else { return false }
                place += 4
                break
            }
            guard at > start, place < 16 else { return false }
            bytes[place] = UInt8(group >> 8)
            bytes[place + 1] = UInt8(group & 0xFF)
            place += 2
            if at < text.count, text[at] == UInt8(ascii: ":") {
                at += 1
                if at < text.count, text[at] == UInt8(ascii: ":") {
                    guard gap < 0 else { return false }
                    gap = place
                    at += 1
                }
            } else if at < text.count, text[at] != UInt8(ascii: "%") {
                return false
            }
        }
        guard gap >= 0 else { return place == 16 }
        // What follows the gap moves to the end.
        let tail = place - gap
        for index in 0..<tail {
            bytes[15 - index] = bytes[place - 1 - index]
        }
        for index in gap..<(16 - tail) { bytes[index] = 0 }
        return place <= 16
    }

    private static func digit(_ byte: UInt8) -> Int? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): Int(byte) - 0x30
        case UInt8(ascii: "a")...UInt8(ascii: "f"): Int(byte) - 0x61 + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): Int(byte) - 0x41 + 10
        default: nil
        }
    }
}
