// Moments as the logs show them.

import Testing

@testable import Base

@Suite struct TimeTests {
    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (951_782_400_000_000_000, "2000-02-29T00:00:00.000Z"),
            (951_868_799_999_999_999, "2000-02-29T23:59:59.999Z"),
            (951_868_800_000_000_000, "2000-03-01T00:00:00.000Z"),
            (1_795_551_518_123_999_999, "2026-11-24T20:18:38.123Z"),
            (4_107_542_399_000_000_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000Z"),
            (UInt64.max, "2554-07-21T23:34:33.709Z"),
        ] as [(UInt64, String)])
    func `a moment is written in RFC 3339`(nanoseconds: UInt64, text: String) {
        #expect(Timestamp(nanoseconds: nanoseconds).description == text)
        #expect(text.utf8.count == Timestamp.textLength)
    }
}
