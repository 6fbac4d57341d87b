// Durations and sizes: a unit misread by a thousand cuts every upload short.

import Testing

@testable import Config

@Suite struct UnitsTests {
    @Test(
        arguments: [
            ("250ms", 250_000_000), ("3s", 3_000_000_000), ("2m", 120_000_000_000),
            ("1h", 3_600_000_000_000), ("7d", 604_800_000_000_000), ("1.5s", 1_500_000_000),
            ("0.25ms", 250_000),
            ("0s", 0), ("365d", 31_536_000_000_000_000), ("0.000000001s", 1),
            ("1.999999999d", 172_799_999_913_600),
            ("007s", 7_000_000_000),
        ] as [(String, UInt64)])
    func `a duration is a number and a unit`(text: String, nanoseconds: UInt64) {
        #expect(Units.duration(text) == nanoseconds)
    }

    @Test(arguments: [
        "", "s", "3", "3 s", " 3s", "-3s", "+3s", "3S", "3sec", "3s1ms", ".5s", "1.s", "1e3s",
        "366d", "off",
        "9999999999999999999999s", "99999999999999d", "1.0000000001s", "٣s", "3s\n",
    ])
    func `what is no duration is refused`(text: String) {
        #expect(Units.duration(text) == nil)
    }

    @Test(
        arguments: [
            ("0", 0), ("512", 512), ("512B", 512), ("1KB", 1000), ("64KiB", 65_536),
            ("1MB", 1_000_000),
            ("1MiB", 1_048_576), ("1.5GiB", 1_610_612_736), ("2GB", 2_000_000_000),
            ("1TiB", 1_099_511_627_776),
            ("1TB", 1_000_000_000_000),
        ] as [(String, UInt64)])
    func `a size is a number and perhaps a unit`(text: String, bytes: UInt64) {
        #expect(Units.size(text) == bytes)
    }

    @Test(arguments: ["", "B", "1K", "1kb", "1 KiB", "-1", "1PB", "99999999999TB", "0x10", "1,5KB"])
    func `what is no size is refused`(text: String) {
        #expect(Units.size(text) == nil)
    }
}
