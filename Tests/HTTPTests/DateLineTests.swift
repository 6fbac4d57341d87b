// Tests of the Date line.

import Testing

@testable import HTTP

@Suite("The Date of a response")
struct DateLineTests {
    private func line(_ second: UInt64) -> String {
        var line = DateLine()
        line.set(second: second)
        return text((0..<line.span.count).map { line.span[$0] })
    }

    @Test("a moment is written as every client can read it")
    func moments() {
        // RFC 9110 section 5.6.7 has this one.
        #expect(line(784_111_777) == "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n")
        #expect(line(0) == "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n")
        #expect(line(951_782_399) == "Date: Mon, 28 Feb 2000 23:59:59 GMT\r\n")
        #expect(line(951_782_400) == "Date: Tue, 29 Feb 2000 00:00:00 GMT\r\n")
        #expect(line(4_102_444_799) == "Date: Thu, 31 Dec 2099 23:59:59 GMT\r\n")
    }

    @Test("it moves on with the second")
    func movesOn() {
        var line = DateLine()
        line.set(second: 59)
        line.set(second: 59)
        line.set(second: 60)
        #expect(text((0..<line.span.count).map { line.span[$0] }).hasSuffix("00:01:00 GMT\r\n"))
    }
}
