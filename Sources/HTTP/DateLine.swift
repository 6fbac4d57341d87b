// The Date field of a response (RFC 9110 section 6.6.1), as text of one second that is made once and
// copied until the second is over. There is no clock here: whoever calls brings the time.

import Base

/// A whole header line with its line end: `Date: Sun, 06 Nov 1994 08:49:37 GMT`. One thread's.
package struct DateLine: Sendable {
    private var text: [37 of UInt8] = .init(repeating: 0)
    /// Seconds since 1970; nil before the first `set`.
    private var second: UInt64?

    package init() {}

    package var span: Span<UInt8> {
        @_lifetime(borrow self)
        get { text.span }
    }

    /// Makes it the line of that second since 1970, which is cheap while it is the same.
    package mutating func set(second: UInt64) {
        guard second != self.second else { return }
        self.second = second
        let date = Timestamp.date(day: Int(second / 86_400))
        let ofDay = second % 86_400
        // 1970 began on a Thursday.
        write("Date: ", at: 0)
        write(Self.days, Int((second / 86_400 + 4) % 7), at: 6)
        write(", ", at: 9)
        write(UInt64(date.day), digits: 2, at: 11)
        write(" ", at: 13)
        write(Self.months, date.month - 1, at: 14)
        write(" ", at: 17)
        write(UInt64(date.year), digits: 4, at: 18)
        write(" ", at: 22)
        write(ofDay / 3600, digits: 2, at: 23)
        write(":", at: 25)
        write(ofDay / 60 % 60, digits: 2, at: 26)
        write(":", at: 28)
        write(ofDay % 60, digits: 2, at: 29)
        write(" GMT\r\n", at: 31)
    }

    private static let days: StaticString = "SunMonTueWedThuFriSat"
    private static let months: StaticString = "JanFebMarAprMayJunJulAugSepOctNovDec"

    /// The three letters of a name among others.
    private mutating func write(_ names: StaticString, _ index: Int, at place: Int) {
        for i in 0..<3 { text[place + i] = unsafe names.utf8Start[3 * index + i] }
    }

    private mutating func write(_ words: StaticString, at place: Int) {
        for i in 0..<words.utf8CodeUnitCount { text[place + i] = unsafe words.utf8Start[i] }
    }

    private mutating func write(_ value: UInt64, digits: Int, at place: Int) {
        var rest = value
        for i in stride(from: place + digits - 1, through: place, by: -1) {
            text[i] = 0x30 + UInt8(rest % 10)
            rest /= 10
        }
    }
}
