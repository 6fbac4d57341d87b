// SHA-1 (FIPS 180-4), which the WebSocket handshake asks for (RFC 6455, section 4.2.2). It proves
// nothing there and must not be used to prove anything. Of short texts that are all there.

enum SHA1 {
    /// The 20 bytes of the sum.
    static func digest(_ text: [UInt8]) -> [UInt8] {
        var message = text
        message.append(0x80)
        while message.count % 64 != 56 { message.append(0) }
        let bits = UInt64(text.count) * 8
        for shift in stride(from: 56, through: 0, by: -8) {
            message.append(UInt8(truncatingIfNeeded: bits >> UInt64(shift)))
        }
        var state: [UInt32] = [
            0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0,
        ]
        for block in stride(from: 0, to: message.count, by: 64) {
            digest(message[block..<(block + 64)], into: &state)
        }
        return state.flatMap { word in
            stride(from: 24, through: 0, by: -8).map { UInt8(truncatingIfNeeded: word >> $0) }
        }
    }

    /// Section 6.1.2.
    private static func digest(_ block: ArraySlice<UInt8>, into state: inout [UInt32]) {
        var w: [UInt32] = []
        for t in 0..<16 {
            let at = block.startIndex + t * 4
            w.append(block[at..<(at + 4)].reduce(0) { $0 << 8 | UInt32($1) })
        }
        for t in 16..<80 { w.append(turn(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1)) }
        var (a, b, c, d, e) = (state[0], state[1], state[2], state[3], state[4])
        for t in 0..<80 {
            let (f, k): (UInt32, UInt32) =
                switch t {
                case 0..<20: ((b & c) | (~b & d), 0x5a82_7999)
                case 20..<40: (b ^ c ^ d, 0x6ed9_eba1)
                case 40..<60: ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc)
                default: (b ^ c ^ d, 0xca62_c1d6)
                }
            let next = turn(a, 5) &+ f &+ e &+ k &+ w[t]
            (a, b, c, d, e) = (next, a, turn(b, 30), c, d)
        }
        for (i, word) in [a, b, c, d, e].enumerated() { state[i] &+= word }
    }

    private static func turn(_ x: UInt32, _ by: UInt32) -> UInt32 { x << by | x >> (32 - by) }

    /// Base64 (RFC 4648, section 4).
    static func base64(_ bytes: [UInt8]) -> String {
        let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
        var text = ""
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            var value = group.reduce(0) { $0 << 8 | Int($1) }
            value <<= 8 * (3 - group.count)
            for i in 0..<4 {
                text.append(i <= group.count ? letters[(value >> (18 - 6 * i)) & 63] : "=")
            }
        }
        return text
    }
}
