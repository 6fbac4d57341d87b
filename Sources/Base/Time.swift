// Durations and moments as numbers, and a moment as text. There is no clock here: whoever calls
// brings the time.

/// A duration, or a moment of the monotonic clock. 64 bits reach 584 years.
package typealias Nanoseconds = UInt64

/// A moment of the wall clock, in UTC.
package struct Timestamp: Equatable, Sendable, CustomStringConvertible {
    /// Since 1970-01-01T00:00:00Z, without leap seconds, as `clock_gettime(CLOCK_REALTIME)` tells.
    package var nanoseconds: UInt64

    package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// Bytes that `write` takes: 64 bits of nanoseconds end in the year 2554, so four digits do.
    package static let textLength = 24

    /// Writes `2026-11-24T20:18:38.123Z` (RFC 3339, milliseconds, cut and not rounded). No
    /// allocation. `out` must have room for `textLength` bytes.
    package func write(to out: inout OutputSpan<UInt8>) {
        let seconds = nanoseconds / 1_000_000_000
        let date = Self.date(day: Int(seconds / 86_400))
        let ofDay = Int(seconds % 86_400)
        Self.write(date.year, digits: 4, to: &out)
        out.append(UInt8(ascii: "-"))
        Self.write(date.month, digits: 2, to: &out)
        out.append(UInt8(ascii: "-"))
        Self.write(date.day, digits: 2, to: &out)
        out.append(UInt8(ascii: "T"))
        Self.write(ofDay / 3600, digits: 2, to: &out)
        out.append(UInt8(ascii: ":"))
        Self.write(ofDay / 60 % 60, digits: 2, to: &out)
        out.append(UInt8(ascii: ":"))
        Self.write(ofDay % 60, digits: 2, to: &out)
        out.append(UInt8(ascii: "."))
        Self.write(Int(nanoseconds / 1_000_000 % 1000), digits: 3, to: &out)
        out.append(UInt8(ascii: "Z"))
    }

    package var description: String {
        let bytes = [UInt8](capacity: Self.textLength) { write(to: &$0) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The Gregorian date of a day counted from 1970-01-01: Howard Hinnant, "chrono-Compatible
    /// Low-Level Date Algorithms", `civil_from_days`. Years there begin in March, so that the leap
    /// day is the last one.
    package static func date(day: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = day + 719_468  // days from 0000-03-01 to 1970-01-01
        let era = shifted / 146_097  // 400 years
        let ofEra = shifted % 146_097
        let yearOfEra = (ofEra - ofEra / 1460 + ofEra / 36_524 - ofEra / 146_096) / 365
        let ofYear = ofEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let fromMarch = (5 * ofYear + 2) / 153
        let month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9
        return (
            yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month,
            ofYear - (153 * fromMarch + 2) / 5 + 1
        )
    }

    private static func write(_ value: Int, digits: Int, to out: inout OutputSpan<UInt8>) {
        var unit = 1
        for _ in 1..<digits { unit *= 10 }
        while unit > 0 {
            out.append(UInt8(ascii: "0") + UInt8(value / unit % 10))
            unit /= 10
        }
    }
}
