// Taking values apart: what is asked for, what is found, in words.

import Base
import Testing

@testable import Config

@Suite struct ReaderTests {
    @Test func `advice names the nearest and everything known`() {
        #expect(
            advice("conect", ["connect", "idle"], "known")
                == "; did you mean \"connect\"? known: connect, idle")
        #expect(advice("zzz", ["connect", "idle"], "known") == "; known: connect, idle")
        #expect(advice("zzz", [], "loaded") == "; loaded: none")
    }

    @Test func `a name from the file can neither flood nor paint the terminal`() {
        #expect(quoted("a\u{1B}[31m\nb") == #""a\u{1b}[31m\u{a}b""#)
        #expect(
            quoted(String(repeating: "x", count: 100)) == "\"" + String(repeating: "x", count: 80)
                + "...\"")
    }

    @Test(arguments: [
        (
            "'3'",
            #"t:2:26: "connect" in the timeouts of the pool "p" is "3"; expected a duration such as "250ms", "3s", "2m" or "1h", of a year at most"#
        ),
        (
            "3",
            #"t:2:26: "connect" in the timeouts of the pool "p" has no unit; expected a duration such as "3s", in quotes"#
        ),
        (
            "'0s'",
            #"t:2:26: "connect" in the timeouts of the pool "p" is "0s"; expected at least "1ms""#
        ),
        (
            "'off'",
            #"t:2:26: "connect" in the timeouts of the pool "p" cannot be "off"; expected a duration such as "250ms", "3s", "2m" or "1h""#
        ),
        (
            "true",
            #"t:2:26: "connect" in the timeouts of the pool "p" is a boolean; expected a duration such as "250ms", "3s", "2m" or "1h""#
        ),
    ])
    func `a wrong duration is answered with a right one`(written: String, sentence: String) {
        #expect(complaints(withPoolKeys("timeouts: { connect: \(written) }")) == [sentence])
    }

    @Test func `only a tunnel can be told to last for ever`() throws {
        #expect(try onlyPool(withPoolKeys("timeouts: { tunnel: 'off' }")).timeouts.tunnel == nil)
        #expect(
            try onlyPool(withPoolKeys("timeouts: { tunnel: '1m' }")).timeouts.tunnel
                == 60_000_000_000)
        #expect(
            complaints(withPoolKeys("timeouts: { tunnel: 'of' }")) == [
                #"t:2:25: "tunnel" in the timeouts of the pool "p" is "of"; expected a duration such as "250ms", "3s", "2m" or "1h", or "off", of a year at most"#
            ])
    }

    @Test(arguments: [
        ("'64K'", #""64K"; expected a size such as "64KiB" or "1MB", or a number of bytes"#),
        ("-1", #"-1; expected a size such as "64KiB" or "1MB", or a number of bytes"#),
        ("1.5", #"1.5; expected a size such as "64KiB" or "1MB", or a number of bytes"#),
        ("10", "10; expected 1024 to 65536 bytes"),
        ("'1GiB'", "\"1GiB\"; expected 1024 to 65536 bytes"),
        ("[]", #"a list; expected a size such as "64KiB" or "1MB", or a number of bytes"#),
    ])
    func `a wrong size is answered with a right one`(written: String, rest: String) {
        #expect(
            complaints(withListenerKeys("limits: { head: \(written) }")) == [
                #"t:2:17: "head" in the limits of the listener "0.0.0.0:80" is "# + rest
            ])
    }
}
