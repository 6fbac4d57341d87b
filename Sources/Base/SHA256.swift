// SHA-256 (FIPS 180-4), for the sums of uploads in the demo and of plugin files, and below HMAC. Plain
// Swift, no hardware instructions. No branch and no address depends on the bytes, though nothing more
// is done against those who measure.

/// A running sum: `update` as bytes arrive, `finalize` once.
package struct SHA256: Sendable {
    private var state = Self.start
    // The begun block, and how much of it is there.
    private var block: [64 of UInt8] = .init(repeating: 0)
    private var filled = 0
    private var total: UInt64 = 0

    package init() {}

    /// Section 5.3.3.
    static var start: [8 of UInt32] {
        [
            0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a,
            0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
        ]
    }

    package mutating func update(_ bytes: Span<UInt8>) {
        total &+= UInt64(bytes.count)
        var at = 0
        if filled > 0 {
            while filled < 64, at < bytes.count {
                block[filled] = bytes[at]
                filled += 1
                at += 1
            }
            guard filled == 64 else { return }
            digestBlock()
        }
        let whole = (bytes.count - at) / 64
        // `bytes` is marked unsafe only because not every element type has no padding.
        if whole > 0 { Self.digest(unsafe bytes.bytes, from: at, blocks: whole, into: &state) }
        at += whole * 64
        while at < bytes.count {
            block[filled] = bytes[at]
            filled += 1
            at += 1
        }
    }

    /// The 32 bytes of the sum. The value is used up: start anew for another sum.
    package mutating func finalize() -> [UInt8] {
        let bits = total &* 8
        block[filled] = 0x80
        filled += 1
        if filled > 56 {
            for i in filled..<64 { block[i] = 0 }
            digestBlock()
        }
        for i in filled..<56 { block[i] = 0 }
        for i in 0..<8 { block[56 + i] = UInt8(truncatingIfNeeded: bits >> UInt64(56 - 8 * i)) }
        digestBlock()
        var sum: [UInt8] = []
        for i in 0..<8 {
            for shift in 0..<4 {
                sum.append(UInt8(truncatingIfNeeded: state[i] >> UInt32(24 - 8 * shift)))
            }
        }
        return sum
    }

    /// The sum of bytes that are all there.
    package static func digest(_ bytes: Span<UInt8>) -> [UInt8] {
        var sum = SHA256()
        sum.update(bytes)
        return sum.finalize()
    }

    /// Lower-case hexadecimal digits, two a byte.
    package static func hex(_ bytes: [UInt8]) -> String {
        var text = ""
        for byte in bytes {
            if byte < 16 { text += "0" }
            text += String(byte, radix: 16)
        }
        return text
    }

    /// The other way round, in either case. Nil for anything but two digits a byte.
    package static func bytes(ofHex text: String) -> [UInt8]? {
        var bytes: [UInt8] = []
        var high: UInt8?
        for character in text.utf8 {
            let digit: UInt8
            switch character {
            case 48...57: digit = character - 48
            case 65...70: digit = character - 55
            case 97...102: digit = character - 87
            default: return nil
            }
            if let whole = high {
                bytes.append(whole << 4 | digit)
                high = nil
            } else {
                high = digit
            }
        }
        return high == nil ? bytes : nil
    }

    private mutating func digestBlock() {
        let bytes = block
        Self.digest(unsafe bytes.span.bytes, from: 0, blocks: 1, into: &state)
        filled = 0
    }

    /// Section 6.2.2, sixteen rounds at a time with the schedule as a ring of sixteen words. Written
    /// out, so that the working variables stay in registers: a round writes two of the eight, and the
    /// next one is called with their names turned by one place. A fifth faster than loops.
    static func digest(
        _ bytes: RawSpan, from start: Int, blocks: Int, into state: inout [8 of UInt32]
    ) {
        let k = constants
        var w: [16 of UInt32] = .init(repeating: 0)
        for index in 0..<blocks {
            let from = start + index * 64
            for t in 0..<16 {
                // In bounds, or it traps; `unsafe` since not every type may be loaded so.
                w[t] = UInt32(
                    bigEndian: unsafe bytes.unsafeLoadUnaligned(
                        fromByteOffset: from + t * 4, as: UInt32.self))
            }
            var (a, b, c, d) = (state[0], state[1], state[2], state[3])
            var (e, f, g, h) = (state[4], state[5], state[6], state[7])
            var t = 0
            while true {
                round(a, b, c, &d, e, f, g, &h, w[0] &+ k[t + 0])
                round(h, a, b, &c, d, e, f, &g, w[1] &+ k[t + 1])
                round(g, h, a, &b, c, d, e, &f, w[2] &+ k[t + 2])
                round(f, g, h, &a, b, c, d, &e, w[3] &+ k[t + 3])
                round(e, f, g, &h, a, b, c, &d, w[4] &+ k[t + 4])
                round(d, e, f, &g, h, a, b, &c, w[5] &+ k[t + 5])
                round(c, d, e, &f, g, h, a, &b, w[6] &+ k[t + 6])
                round(b, c, d, &e, f, g, h, &a, w[7] &+ k[t + 7])
                round(a, b, c, &d, e, f, g, &h, w[8] &+ k[t + 8])
                round(h, a, b, &c, d, e, f, &g, w[9] &+ k[t + 9])
                round(g, h, a, &b, c, d, e, &f, w[10] &+ k[t + 10])
                round(f, g, h, &a, b, c, d, &e, w[11] &+ k[t + 11])
                round(e, f, g, &h, a, b, c, &d, w[12] &+ k[t + 12])
                round(d, e, f, &g, h, a, b, &c, w[13] &+ k[t + 13])
                round(c, d, e, &f, g, h, a, &b, w[14] &+ k[t + 14])
                round(b, c, d, &e, f, g, h, &a, w[15] &+ k[t + 15])
                t += 16
                if t == 64 { break }
                w[0] = w[0] &+ small0(w[1]) &+ w[9] &+ small1(w[14])
                w[1] = w[1] &+ small0(w[2]) &+ w[10] &+ small1(w[15])
                w[2] = w[2] &+ small0(w[3]) &+ w[11] &+ small1(w[0])
                w[3] = w[3] &+ small0(w[4]) &+ w[12] &+ small1(w[1])
                w[4] = w[4] &+ small0(w[5]) &+ w[13] &+ small1(w[2])
                w[5] = w[5] &+ small0(w[6]) &+ w[14] &+ small1(w[3])
                w[6] = w[6] &+ small0(w[7]) &+ w[15] &+ small1(w[4])
                w[7] = w[7] &+ small0(w[8]) &+ w[0] &+ small1(w[5])
                w[8] = w[8] &+ small0(w[9]) &+ w[1] &+ small1(w[6])
                w[9] = w[9] &+ small0(w[10]) &+ w[2] &+ small1(w[7])
                w[10] = w[10] &+ small0(w[11]) &+ w[3] &+ small1(w[8])
                w[11] = w[11] &+ small0(w[12]) &+ w[4] &+ small1(w[9])
                w[12] = w[12] &+ small0(w[13]) &+ w[5] &+ small1(w[10])
                w[13] = w[13] &+ small0(w[14]) &+ w[6] &+ small1(w[11])
                w[14] = w[14] &+ small0(w[15]) &+ w[7] &+ small1(w[12])
                w[15] = w[15] &+ small0(w[0]) &+ w[8] &+ small1(w[13])
            }
            state[0] &+= a
            state[1] &+= b
            state[2] &+= c
            state[3] &+= d
            state[4] &+= e
            state[5] &+= f
            state[6] &+= g
            state[7] &+= h
        }
    }

    @inline(__always)
    private static func small0(_ x: UInt32) -> UInt32 { turn(x, 7) ^ turn(x, 18) ^ (x &>> 3) }

    @inline(__always)
    private static func small1(_ x: UInt32) -> UInt32 { turn(x, 17) ^ turn(x, 19) ^ (x &>> 10) }

    @inline(__always)
    private static func turn(_ x: UInt32, _ by: UInt32) -> UInt32 {
        (x &>> by) | (x &<< (32 &- by))
    }

    @inline(__always)
    private static func round(
        _ a: UInt32, _ b: UInt32, _ c: UInt32, _ d: inout UInt32,
        _ e: UInt32, _ f: UInt32, _ g: UInt32, _ h: inout UInt32, _ input: UInt32
    ) {
        let s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)
        let choice = g ^ (e & (f ^ g))
        let t1 = h &+ s1 &+ choice &+ input
        let s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)
        let majority = (a & b) | (c & (a | b))
        d = d &+ t1
        h = t1 &+ s0 &+ majority
    }

    /// Section 4.2.2: the fractions of the cube roots of the first 64 primes.
    private static let constants: [64 of UInt32] = [
        0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4,
        0xab1c_5ed5, 0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe,
        0x9bdc_06a7, 0xc19b_f174, 0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f,
        0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da, 0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7,
        0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967, 0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc,
        0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85, 0xa2bf_e8a1, 0xa81a_664b,
        0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070, 0x19a4_c116,
        0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
        0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7,
        0xc671_78f2,
    ]
}
