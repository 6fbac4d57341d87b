// The sum that proves an upload arrived byte for byte.

import Testing

@testable import Base

@Suite struct SHA256Tests {
    // FIPS 180-4 examples and NIST CAVP.
    @Test(arguments: [
        ("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        (
            "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqr"
                + "lmnopqrsmnopqrstnopqrstu", 1,
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"
        ),
        ("a", 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    ])
    func `the vectors of the standard hold`(text: String, times: Int, expected: String) {
        let bytes = Array(repeatElement(Array(text.utf8), count: times).joined())
        #expect(SHA256.hex(SHA256.digest(bytes.span)) == expected)
    }

    @Test func `it does not matter how the bytes arrive`() {
        var random = SplitMix64(seed: 256)
        for length in [0, 1, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129, 1000] {
            let bytes = (0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            let whole = SHA256.digest(bytes.span)
            for _ in 0..<20 {
                var sum = SHA256()
                var at = 0
                while at < length {
                    let step = min(length - at, 1 + Int(random.next() % 130))
                    sum.update(bytes.span.extracting(at..<at + step))
                    at += step
                }
                #expect(sum.finalize() == whole)
            }
        }
    }
}
