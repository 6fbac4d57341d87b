// A hash that changes moves every session to another node: these vectors must hold for ever.

import Testing

@testable import Base

@Suite struct HashingTests {
    /// The buffer of xxHash's own self-test (cli/xsum_sanity_check.c).
    private static let sanity: [UInt8] = {
        var generator: UInt64 = 2_654_435_761
        return (0..<222).map { _ in
            defer { generator &*= 11_400_714_785_074_694_797 }
            return UInt8(truncatingIfNeeded: generator >> 56)
        }
    }()

    @Test(
        arguments: [
            (0, 0, 0xEF46_DB37_51D8_E999), (0, 2_654_435_761, 0xAC75_FDA2_929B_17EF),
            (1, 0, 0xE934_A84A_DB05_2768), (1, 2_654_435_761, 0x5014_6076_43A9_B4C3),
            (4, 0, 0x9136_A0DC_A574_57EE), (4, 2_654_435_761, 0xCAAB_286B_D8E9_FDB5),
            (14, 0, 0x8282_DCC4_994E_35C8), (14, 2_654_435_761, 0xC3BD_6BF6_3DEB_6DF0),
            (222, 0, 0xB641_AE8C_B691_C174), (222, 2_654_435_761, 0x20CB_8AB7_AE10_C14A),
        ] as [(Int, UInt64, UInt64)])
    func `the vectors of XXH64 hold`(length: Int, seed: UInt64, expected: UInt64) {
        #expect(hash64(Self.sanity.span.extracting(0..<length), seed: seed) == expected)
    }

    @Test(
        arguments: [
            ("a", 0xD24E_C4F1_A98C_6E5B), ("abc", 0x44BC_2CF5_AD77_0999),
            ("Nobody inspects the spammish repetition", 0xFBCE_A83C_8A37_8BF1),
            ("octopus\0node1", 0xBDD4_8016_43DC_2735),
        ] as [(String, UInt64)])
    func `text hashes as its UTF-8`(text: String, expected: UInt64) {
        #expect(hash64(text) == expected)
    }

    @Test func `simulations repeat from their seed`() {
        // The published outputs of SplitMix64 for this seed.
        var random = SplitMix64(seed: 1_234_567)
        let expected: [UInt64] = [
            6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
            4_593_380_528_125_082_431, 16_408_922_859_458_223_821,
        ]
        for value in expected { #expect(random.next() == value) }
    }
}
