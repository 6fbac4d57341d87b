// Durations and sizes as people write them: a number and its unit. Turns text into numbers and
// nothing else; what is too short or too large for a purpose is judged where the purpose is known.

import Base

enum Units {
    /// `"250ms"`, `"1.5s"`, `"2m"`, `"1h"`, `"7d"`. Nil for anything else, and for more than a year.
    static func duration(_ text: String) -> Nanoseconds? {
        let units: [(String, UInt64)] = [
            ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000),
            ("h", 3_600_000_000_000), ("d", 86_400_000_000_000),
        ]
        return number(text, units, most: 365 * 86_400_000_000_000)
    }

    /// `"64KiB"`, `"10MB"`, `"1GiB"`, `"512B"`, `"512"`, in bytes. Nil for anything else, and for more
    /// than 2^53.
    static func size(_ text: String) -> UInt64? {
        let units: [(String, UInt64)] = [
            ("", 1), ("B", 1), ("KB", 1000), ("KiB", 1 << 10), ("MB", 1_000_000), ("MiB", 1 << 20),
            ("GB", 1_000_000_000), ("GiB", 1 << 30), ("TB", 1_000_000_000_000), ("TiB", 1 << 40),
        ]
        return number(text, units, most: 1 << 53)
    }

    /// A decimal number, with up to nine digits behind the point, and one of `units`.
    static func number(
        _ text: String, _ units: [(name: String, factor: UInt64)], most: UInt64
    ) -> UInt64? {
        let isDigit = { (byte: UInt8) in byte &- 48 < 10 }
        let bytes = Array(text.utf8)
        let whole = bytes.prefix(while: isDigit)
        var rest = bytes.dropFirst(whole.count)
        var fraction = ArraySlice<UInt8>()
        if rest.first == UInt8(ascii: ".") {
            fraction = rest.dropFirst().prefix(while: isDigit)
            rest = rest.dropFirst(1 + fraction.count)
            guard !fraction.isEmpty, fraction.count <= 9 else { return nil }
        }
        let name = String(decoding: rest, as: UTF8.self)
        guard !whole.isEmpty, whole.count <= 16, let unit = units.first(where: { $0.name == name })
        else { return nil }
        let (product, overflow) = value(whole).multipliedReportingOverflow(by: unit.factor)
        guard !overflow, product <= most else { return nil }
        var scale: UInt64 = 1
        for _ in fraction { scale *= 10 }
        // The factor is at most 8.64e13: take the fraction's digits apart, or it would overflow.
        let digits = value(fraction)
        let part =
            unit.factor / scale * digits + unit.factor % scale * digits / scale
        return min(product + part, most)
    }

    private static func value(_ digits: ArraySlice<UInt8>) -> UInt64 {
        digits.reduce(0) { $0 * 10 + UInt64($1 - 48) }
    }
}
