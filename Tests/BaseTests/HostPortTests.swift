// Addresses as configurations write them.

import Testing

@testable import Base

@Suite struct HostPortTests {
    @Test func `each of the four spellings is understood`() throws {
        #expect(HostPort("10.0.0.1:80") == .ip(IPAddress(v4: 0x0A00_0001), port: 80))
        #expect(HostPort("[::1]:8080") == .ip(IPAddress(high: 0, low: 1), port: 8080))
        #expect(HostPort("Node1.Example.com.:443") == .name("node1.example.com", port: 443))
        #expect(HostPort("my_node:1") == .name("my_node", port: 1))
        #expect(HostPort("unix:/run/a:b.sock") == .unix(path: "/run/a:b.sock"))
        #expect(HostPort("Unix:6") == .unix(path: "6"))
        #expect(HostPort("unix.:6") == .name("unix", port: 6))
        #expect(HostPort("unix.:6")?.description == "unix.:6")
        #expect(HostPort("[::]:0") == .ip(.v6Any, port: 0))
    }

    @Test(arguments: [
        "", ":", ":80", "10.0.0.1", "10.0.0.1:", "10.0.0.1:65536", "10.0.0.1:99999999999999999999",
        "10.0.0.1:+8", "10.0.0.1:-1", "10.0.0.1: 80", "10.0.0.1:8 0", "::1:80", "[::1]", "[::1]80",
        "[::1:80", "[10.0.0.1]:80", "[]:80", "[node]:80", "http://node:80", "node:http", "no de:80",
        "-node:80", "node-:80", "a..b:80", ".a:80", "10.0.0.300:80", "1:80", "a.1:80", "nöde:80",
        "unix:", "node/path:80", "*:80", "node:80/",
    ])
    func `what is no address is refused`(text: String) {
        #expect(HostPort(text) == nil)
    }

    @Test func `limits of names and socket paths are those of the system`() {
        let label = String(repeating: "a", count: 63)
        #expect(HostPort("\(label):80") != nil)
        #expect(HostPort("\(label)a:80") == nil)
        #expect(HostPort("\(label).\(label).\(label).\(label):80") == nil)
        #expect(HostPort("unix:" + String(repeating: "a", count: 107)) != nil)
        #expect(HostPort("unix:" + String(repeating: "a", count: 108)) == nil)
    }

    @Test(
        arguments: [
            ("10.0.0.1:80", 80), ("[2001:db8::1]:8080", 8080), ("node1:443", 443),
            ("unix:/run/node.sock", nil),
        ] as [(String, UInt16?)])
    func `an address is shown as it would be written`(text: String, port: UInt16?) throws {
        let address = try #require(HostPort(text))
        #expect(address.description == text)
        #expect(address.port == port)
    }
}
