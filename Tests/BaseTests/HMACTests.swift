// The code that keeps a client from writing its own session.

import Testing

@testable import Base

@Suite struct HMACTests {
    private func code(key: [UInt8], _ message: [UInt8]) -> String {
        let code = HMAC(key: key.span).code(message.span)
        return SHA256.hex(code.indices.map { code[$0] })
    }

    // RFC 4231 section 4: test cases 1 to 4, 6 and 7; of case 5 the standard gives the first half.
    @Test func `the vectors of the standard hold`() {
        let cases: [(key: [UInt8], message: [UInt8], expected: String)] = [
            (
                Array(repeating: 0x0B, count: 20), Array("Hi There".utf8),
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
            ),
            (
                Array("Jefe".utf8), Array("what do ya want for nothing?".utf8),
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
            ),
            (
                Array(repeating: 0xAA, count: 20), Array(repeating: 0xDD, count: 50),
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
            ),
            (
                Array(1...25), Array(repeating: 0xCD, count: 50),
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"
            ),
            (
                Array(repeating: 0xAA, count: 131),
                Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8),
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
            ),
            (
                Array(repeating: 0xAA, count: 131),
                Array(
                    ("This is a test using a larger than block-size key and a larger than "
                        + "block-size data. The key needs to be hashed before being used by the "
                        + "HMAC algorithm.").utf8),
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"
            ),
        ]
        for (key, message, expected) in cases {
            #expect(code(key: key, message) == expected)
        }
        let truncated = code(
            key: Array(repeating: 0x0C, count: 20), Array("Test With Truncation".utf8))
        #expect(truncated.hasPrefix("a3b6167473100ee06e0c796c2955552b"))
    }

    @Test func `every length of message and key agrees with the definition`() {
        var random = SplitMix64(seed: 2104)
        for length in [0, 1, 54, 55, 56, 57, 63, 64, 65, 118, 119, 120, 127, 128, 129, 300] {
            for keyLength in [0, 1, 63, 64, 65] {
                let message = (0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) }
                let key = (0..<keyLength).map { _ in UInt8(truncatingIfNeeded: random.next()) }
                #expect(code(key: key, message) == defined(key: key, message))
            }
        }
    }

    /// RFC 2104 section 2, word by word.
    private func defined(key: [UInt8], _ message: [UInt8]) -> String {
        var key = key.count > 64 ? SHA256.digest(key.span) : key
        key += Array(repeating: 0, count: 64 - key.count)
        let inner = SHA256.digest((key.map { $0 ^ 0x36 } + message).span)
        return SHA256.hex(SHA256.digest((key.map { $0 ^ 0x5C } + inner).span))
    }

    @Test func `codes that differ in one bit or in length are not the same`() {
        func same(_ a: [UInt8], _ b: [UInt8]) -> Bool { isSameInConstantTime(a.span, b.span) }
        let code = Array(UInt8(0)..<16)
        #expect(same(code, code))
        #expect(!same(code, code.dropLast()))
        for bit in 0..<128 {
            var other = code
            other[bit / 8] ^= 1 << (bit % 8)
            #expect(!same(code, other))
        }
    }
}
