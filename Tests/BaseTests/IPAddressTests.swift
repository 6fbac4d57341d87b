// Addresses: what is one, what is not, and how it reads in a log or in X-Forwarded-For.

import Testing

@testable import Base

@Suite struct IPAddressTests {
    @Test(arguments: [
        ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"), ("10.0.0.1", "10.0.0.1"),
        ("::", "::"), ("::1", "::1"), ("1::", "1::"), ("fe80::1", "fe80::1"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        // RFC 5952 sections 4.1, 4.2.2, 4.2.3.
        ("2001:0db8::0001", "2001:db8::1"),
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"), ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
        ("0:0:1::", "0:0:1::"), ("1:0:0:2:3:0:0:0", "1:0:0:2:3::"),
        ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"), ("::1.2.3.4", "::102:304"),
        ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
        ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("::ffff:10.0.0.1", "10.0.0.1"), ("::ffff:0a00:0001", "10.0.0.1"),
    ])
    func `an address is written in its one canonical form`(text: String, canonical: String) throws {
        let address = try #require(IPAddress(text))
        #expect(address.description == canonical)
        #expect(IPAddress(canonical) == address)
    }

    @Test(arguments: [
        "", ":", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "256.0.0.1", "01.2.3.4",
        "1.2.3.04", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4:80", "0x1.2.3.4", "1.2.3.-4", "١.2.3.4",
        ":::", "1:::2", "1::2::3", ":1", "1:", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7:8::",
        "::1:2:3:4:5:6:7:8", "12345::", "g::", "[::1]", "fe80::1%eth0", "::1.2.3", "::1.2.3.4.5",
        "1:2:3:4:5:6:7:1.2.3.4", "1.2.3.4::", "::1.2.3.4:5", "::ffff:1.2.3.256", "::/0",
    ])
    func `what is no address is refused`(text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test func `every address survives being written and read`() {
        var random = SplitMix64(seed: 20_241)
        for _ in 0..<5000 {
            // Zero groups are what the shortening is about: make many.
            var groups: [UInt64] = []
            for _ in 0..<8 { groups.append(random.next() % 3 == 0 ? random.next() & 0xFFFF : 0) }
            let address = IPAddress(
                high: groups[0] << 48 | groups[1] << 32 | groups[2] << 16 | groups[3],
                low: groups[4] << 48 | groups[5] << 32 | groups[6] << 16 | groups[7])
            #expect(IPAddress(address.description) == address)
            #expect(address.description.utf8.count <= IPAddress.maxTextLength)
        }
    }

    @Test func `what only this machine can reach is told from what others can`() throws {
        for text in ["127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"] {
            #expect(try #require(IPAddress(text)).isLoopback, "\(text)")
        }
        for text in ["128.0.0.1", "0.0.0.0", "::", "::2", "10.0.0.1", "fe80::1"] {
            #expect(try !#require(IPAddress(text)).isLoopback, "\(text)")
        }
        #expect(IPAddress.v4Any.isUnspecified && IPAddress.v6Any.isUnspecified)
        #expect(!IPAddress.v4Loopback.isUnspecified)
    }

    @Test func `mutated text never crashes the parser`() {
        var random = SplitMix64(seed: 7)
        let alphabet = Array(":.0123456789abcdefF%[]/ x".utf8)
        var read = 0
        for _ in 0..<50_000 {
            var text: [UInt8] = []
            for _ in 0..<Int(random.next() % 20) {
                text.append(alphabet[Int(random.next() % UInt64(alphabet.count))])
            }
            if let address = IPAddress(text.span) {
                read += 1
                #expect(IPAddress(address.description) == address)
            }
        }
        #expect(read > 0)
    }

    @Test func `a client through a v6 socket is the v4 client it is`() throws {
        let mapped = try #require(IPAddress("::ffff:192.0.2.1"))
        #expect(mapped == IPAddress(v4: 0xC000_0201))
        #expect(mapped.isV4)
        #expect(mapped.v4Bits == 0xC000_0201)
        #expect(!IPAddress.v6Any.isV4)
        #expect(IPAddress.v4Any.isV4)
    }
}
