// The PROXY protocol: what proxies in front send, what must not pass for it, and that what is written
// reads the same.

import Base
import Net
import Testing

@Suite("Headers of the PROXY protocol")
struct ProxyHeaderTests {
    private typealias Ends = ProxyHeader.Ends

    private static let v4 = Ends(
        source: IPAddress("192.0.2.7")!, sourcePort: 56_324, target: IPAddress("198.51.100.1")!,
        targetPort: 443)
    private static let v6 = Ends(
        source: IPAddress("2001:db8::7")!, sourcePort: 1, target: IPAddress("2001:db8::1")!,
        targetPort: 65_535)

    private func parse(_ text: String) -> ProxyHeader.Outcome {
        ProxyHeader.parse(Array(text.utf8).span)
    }

    private func written(_ ends: ProxyHeader.Ends?, _ version: ProxyHeader.Version) -> [UInt8] {
        [UInt8](capacity: ProxyHeader.room) {
            #expect(ProxyHeader.write(ends, version, to: &$0))
        }
    }

    @Test("of version 1 are read")
    func lines() {
        let line = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
        #expect(parse(line + "GET / HTTP/1.1\r\n") == .complete(Self.v4, length: line.utf8.count))
        let six = "PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n"
        #expect(parse(six) == .complete(Self.v6, length: six.utf8.count))
        #expect(parse("PROXY UNKNOWN\r\n") == .complete(nil, length: 15))
        #expect(parse("PROXY UNKNOWN ff:: 1.2.3.4 what ever\r\n") == .complete(nil, length: 38))
        for length in 0..<line.utf8.count {
            let part = Array(line.utf8.prefix(length))
            #expect(ProxyHeader.parse(part.span) == .incomplete, "\(length) bytes")
        }
    }

    @Test(
        "of version 1 that break its rules are none",
        arguments: [
            "GET / HTTP/1.1\r\n", "PROXY\r\n", "PROXY \r\n", "PROXY TCP4\r\n", "proxy TCP4 ",
            "PROXY TCP5 192.0.2.7 198.51.100.1 56324 443\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 \r\n",
            "PROXY TCP4 192.0.2.7  198.51.100.1 56324 443\r\n",
            "PROXY TCP4 192.0.2.256 198.51.100.1 56324 443\r\n",
            "PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 056 443\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 -1 443\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\rX",
            "PROXY UNKNOWN " + String(repeating: "x", count: 100),
        ])
    func brokenLines(_ text: String) {
        #expect(parse(text) == .invalid(""), "\(text)")
    }

    @Test("are read as they are written, at once and not before they are whole")
    func roundTrips() {
        for version in [ProxyHeader.Version.v1, .v2] {
            for ends in [Self.v4, Self.v6, nil] {
                let bytes = written(ends, version)
                let whole = ProxyHeader.Outcome.complete(ends, length: bytes.count)
                #expect(ProxyHeader.parse(bytes.span) == whole)
                #expect(ProxyHeader.parse((bytes + [1, 2, 3]).span) == whole)
                for length in 0..<bytes.count {
                    let part = Array(bytes[..<length])
                    #expect(ProxyHeader.parse(part.span) == .incomplete, "\(length) bytes")
                }
            }
        }
        // Both in one family: the IPv4 address in its mapped form is the same address.
        var mixed = Self.v6
        mixed.source = Self.v4.source
        for version in [ProxyHeader.Version.v1, .v2] {
            let bytes = written(mixed, version)
            #expect(ProxyHeader.parse(bytes.span) == .complete(mixed, length: bytes.count))
        }
        #expect(
            written(Self.v4, .v1) == Array("PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n".utf8))
        #expect(written(nil, .v1) == Array("PROXY UNKNOWN\r\n".utf8))
    }

    @Test("of version 2 carry more than addresses, and break no rules")
    func blocks() {
        var bytes = written(Self.v4, .v2)
        // A field of three bytes behind the addresses.
        bytes[15] += 6
        bytes += [0x04, 0, 3, 1, 2, 3]
        #expect(ProxyHeader.parse(bytes.span) == .complete(Self.v4, length: bytes.count))
        func changed(_ at: Int, _ value: UInt8) -> ProxyHeader.Outcome {
            var bytes = written(Self.v4, .v2)
            bytes[at] = value
            return ProxyHeader.parse(bytes.span)
        }
        #expect(changed(11, 0x0B) == .invalid(""), "another signature")
        #expect(changed(12, 0x11) == .invalid(""), "version 1 as version 2")
        #expect(changed(12, 0x22) == .invalid(""), "a command that is none")
        #expect(changed(12, 0x20) == .complete(nil, length: 28), "LOCAL, whatever stands there")
        #expect(changed(13, 0x31) == .complete(nil, length: 28), "a local socket")
        #expect(changed(13, 0x21) == .invalid(""), "IPv6 in the room of IPv4")
        #expect(changed(15, 11) == .invalid(""), "shorter than its addresses")
        #expect(changed(14, 0x10) == .invalid(""), "longer than is waited for")
    }

    @Test("of version 2 say how the client came by TLS, in the protocol's own numbers")
    func secure() {
        var facts = ProxyHeader.TLSFacts()
        facts.version = "TLSv1.3"
        facts.cipher = "AES"
        facts.commonName = Array("One".utf8)
        facts.hasCertificate = true
        for isResumed in [false, true] {
            facts.isResumed = isResumed
            let bytes = [UInt8](capacity: ProxyHeader.room) {
                #expect(ProxyHeader.write(Self.v4, .v2, facts: facts, to: &$0))
            }
            let tlv: [UInt8] =
                [0x20, 0, 27, isResumed ? 5 : 7, 0, 0, 0, 0] + [0x21, 0, 7] + Array("TLSv1.3".utf8)
                + [0x22, 0, 3] + Array("One".utf8) + [0x23, 0, 3] + Array("AES".utf8)
            #expect(Array(bytes[28...]) == tlv)
            #expect(Int(bytes[15]) == 12 + tlv.count)
            var ends = Self.v4
            ends.isSecure = true
            #expect(ProxyHeader.parse(bytes.span) == .complete(ends, length: bytes.count))
            // Cut within the facts, with the length put right.
            for cut in 29..<bytes.count where cut != 28 {
                var short = Array(bytes[..<cut])
                short[15] = UInt8(cut - 16)
                #expect(ProxyHeader.parse(short.span) == .invalid(""), "\(cut)")
            }
        }
        let bare = [UInt8](capacity: ProxyHeader.room) {
            #expect(ProxyHeader.write(Self.v6, .v2, facts: ProxyHeader.TLSFacts(), to: &$0))
        }
        #expect(Array(bare[52...]) == [0x20, 0, 5, 1, 0, 0, 0, 1])
        // Without TLS on the client's side.
        var clear = bare
        clear[55] = 0
        #expect(ProxyHeader.parse(clear.span) == .complete(Self.v6, length: clear.count))
        let line = [UInt8](capacity: ProxyHeader.room) {
            #expect(ProxyHeader.write(Self.v4, .v1, facts: facts, to: &$0))
        }
        #expect(line == written(Self.v4, .v1))
    }

    @Test("are written whole or not at all")
    func room() {
        let bytes = [UInt8](capacity: ProxyHeader.room - 1) {
            #expect(!ProxyHeader.write(Self.v4, .v2, to: &$0))
        }
        #expect(bytes.isEmpty)
    }
}
