// base64url without padding (RFC 4648 section 5): bytes as text that needs no escape in a cookie, a
// path or a header. Strict and without allocation: a value has one spelling only.

package enum Base64URL {
    /// Characters that `count` bytes take.
    package static func encodedCount(_ count: Int) -> Int { (count * 4 + 2) / 3 }

    /// Writes the text of `bytes` to the front of `out` and says how long it is. `out` must have room
    /// for `encodedCount`.
    package static func encode(_ bytes: Span<UInt8>, into out: inout MutableSpan<UInt8>) -> Int {
        var length = 0
        var bits: UInt32 = 0
        var have: UInt32 = 0
        for index in 0..<bytes.count {
            bits = bits << 8 | UInt32(bytes[index])
            have += 8
            while have >= 6 {
                have -= 6
                out[length] = character(bits >> have & 63)
                length += 1
            }
        }
        if have > 0 {
            out[length] = character(bits << (6 - have) & 63)
            length += 1
        }
        return length
    }

    /// Writes the bytes of `text` to the front of `out` and says how many they are. Nil if a character
    /// is not of the alphabet, if the length is impossible, if the last character has bits that no byte
    /// takes (section 3.5), or if `out` has no room.
    package static func decode(_ text: Span<UInt8>, into out: inout MutableSpan<UInt8>) -> Int? {
        guard text.count % 4 != 1, text.count * 3 / 4 <= out.count else { return nil }
        var length = 0
        var bits: UInt32 = 0
        var have: UInt32 = 0
        for index in 0..<text.count {
            let value = value(text[index])
            guard value < 64 else { return nil }
            bits = bits << 6 | value
            have += 6
            if have >= 8 {
                have -= 8
                out[length] = UInt8(truncatingIfNeeded: bits >> have)
                length += 1
            }
        }
        return bits & (1 << have - 1) == 0 ? length : nil
    }

    private static func character(_ value: UInt32) -> UInt8 {
        let value = UInt8(truncatingIfNeeded: value)
        switch value {
        case 0..<26: return UInt8(ascii: "A") + value
        case 26..<52: return UInt8(ascii: "a") + value - 26
        case 52..<62: return UInt8(ascii: "0") + value - 52
        case 62: return UInt8(ascii: "-")
        default: return UInt8(ascii: "_")
        }
    }

    /// 64 for what is not of the alphabet.
    private static func value(_ character: UInt8) -> UInt32 {
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(character - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(character - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(character - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "-"): 62
        case UInt8(ascii: "_"): 63
        default: 64
        }
    }
}
