// HMAC-SHA256 (RFC 2104), for what is handed to strangers and comes back: session cookies. Made for
// the path of a request: the key's two blocks are digested once, and a code costs two compressions
// for a short message and no allocation.

/// A key, ready for use: the states of SHA-256 after the key's inner and outer block. 64 bytes,
/// nothing behind pointers.
package struct HMAC: Sendable {
    package typealias Code = [32 of UInt8]

    private var inner = SHA256.start
    private var outer = SHA256.start

    /// A key of any length; one of more than 64 bytes is replaced by its sum (section 2). Allocates
    /// for such a key only.
    package init(key: Span<UInt8>) {
        if key.count > 64 {
            let sum = SHA256.digest(key)
            self.init(short: sum.span)
        } else {
            self.init(short: key)
        }
    }

    private init(short key: Span<UInt8>) {
        var block: [64 of UInt8] = .init(repeating: 0x36)
        for index in 0..<key.count { block[index] ^= key[index] }
        Self.digest(block, into: &inner)
        for index in 0..<64 { block[index] ^= 0x36 ^ 0x5C }
        Self.digest(block, into: &outer)
    }

    /// The code of a message. Two compressions up to 55 bytes, one more for each 64 bytes beyond.
    package func code(_ message: Span<UInt8>) -> Code {
        var state = inner
        let whole = message.count / 64
        if whole > 0 {
            // Marked unsafe only since not every element type has no padding.
            SHA256.digest(unsafe message.bytes, from: 0, blocks: whole, into: &state)
        }
        var block: [64 of UInt8] = .init(repeating: 0)
        var filled = 0
        for index in whole * 64..<message.count {
            block[filled] = message[index]
            filled += 1
        }
        block[filled] = 0x80
        if filled >= 56 {
            Self.digest(block, into: &state)
            block = .init(repeating: 0)
        }
        Self.finish(&block, bytes: 64 + message.count)
        Self.digest(block, into: &state)

        block = .init(repeating: 0)
        for index in 0..<32 { block[index] = Self.byte(state, index) }
        block[32] = 0x80
        Self.finish(&block, bytes: 64 + 32)
        state = outer
        Self.digest(block, into: &state)
        var code: Code = .init(repeating: 0)
        for index in 0..<32 { code[index] = Self.byte(state, index) }
        return code
    }

    /// The length of all that was digested, in bits, at the end of the last block.
    private static func finish(_ block: inout [64 of UInt8], bytes: Int) {
        let bits = UInt64(bytes) &* 8
        for index in 0..<8 {
            block[56 + index] = UInt8(truncatingIfNeeded: bits >> UInt64(56 - 8 * index))
        }
    }

    private static func byte(_ state: [8 of UInt32], _ index: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: state[index / 4] >> UInt32(24 - 8 * (index & 3)))
    }

    private static func digest(_ block: [64 of UInt8], into state: inout [8 of UInt32]) {
        SHA256.digest(unsafe block.span.bytes, from: 0, blocks: 1, into: &state)
    }
}

/// Whether two runs of bytes are equal, in a time that depends on their lengths alone: how long it
/// takes tells a stranger nothing about how much of a code was right.
package func isSameInConstantTime(_ a: Span<UInt8>, _ b: Span<UInt8>) -> Bool {
    guard a.count == b.count else { return false }
    var difference: UInt8 = 0
    for index in 0..<a.count { difference |= a[index] ^ b[index] }
    return difference == 0
}
