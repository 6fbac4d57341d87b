// Addresses that are not possible, and what was probably meant.

import Base
import Testing

@testable import Config

@Suite struct ReaderAddressesTests {
    @Test(arguments: [
        (
            "node1",
            #""node1" is no address for the node "n" of the pool "p"; the port is missing: write "node1:80""#
        ),
        (
            "::1",
            #""::1" is no address for the node "n" of the pool "p"; the port is missing: write "[::1]:80""#
        ),
        (
            "http://node1:80",
            #""http://node1:80" is no address for the node "n" of the pool "p"; an address has no scheme: write the host and the port alone"#
        ),
        (
            "https://node1",
            #""https://node1" is no address for the node "n" of the pool "p"; an address has no scheme: write the host and the port alone, and "tls: true" in the pool"#
        ),
        (
            ":80",
            #"":80" is no address for the node "n" of the pool "p"; write "0.0.0.0:80" or "[::]:80""#
        ),
        (
            "10.0.0.300:80",
            #""10.0.0.300:80" is no address for the node "n" of the pool "p"; expected "10.0.0.1:80", "[::1]:80", "node1.example.com:80" or "unix:/run/node.sock""#
        ),
        (
            "node1:0",
            #"the address of the node "n" of the pool "p" has port 0; expected 1 to 65535"#
        ),
        (
            "10.0.0.1:0",
            #"the address of the node "n" of the pool "p" has port 0; expected 1 to 65535"#
        ),
        (
            "unix:run/n.sock",
            #"the socket of the node "n" of the pool "p" is "run/n.sock"; expected an absolute path"#
        ),
    ])
    func `an impossible node address says what to write`(address: String, sentence: String) {
        let text = withPool("{ nodes: [{ name: 'n', address: '\(address)' }] }")
        #expect(complaints(text) == ["t:2:36: " + sentence])
    }

    @Test func `a listener needs an IP address, and may leave the port to the kernel`() throws {
        func listener(_ address: String) -> String {
            "{ listeners: [{ address: '\(address)', pool: 'p' }], "
                + "pools: { p: { nodes: [{ name: 'n', address: '10.0.0.1:80' }] } } }"
        }
        #expect(try onlyListener(listener("127.0.0.1:0")).address == .ip(.v4Loopback, port: 0))
        #expect(
            complaints(listener("localhost:80")) == [
                #"t:1:26: the address of the listener "localhost:80" is the name "localhost"; expected an IP address and a port, such as "0.0.0.0:80""#
            ])
        #expect(
            complaints(listener("unix:/run/t.sock")) == [
                #"t:1:26: the address of the listener "unix:/run/t.sock" is a unix socket, which is not supported by this version; expected an IP address and a port"#
            ])
    }

    @Test func `who is trusted is a range or an address, nothing vague`() {
        #expect(
            complaints(
                withListenerKeys("trusted_proxies: ['10.0.0.0/8', 'proxy', '10.0.0.0/33', 8]")) == [
                    #"t:2:33: "proxy" is no range of addresses; expected "10.0.0.0/8", "fd00::/8" or a single address"#,
                    #"t:2:42: "10.0.0.0/33" is no range of addresses; expected "10.0.0.0/8", "fd00::/8" or a single address"#,
                    "t:2:57: a trusted proxy is a number; expected a string",
                ])
    }

    @Test(arguments: [
        "example.com", "*.example.com", "EXAMPLE.com", "10.0.0.1", "[::1]", "localhost", "*.com",
    ])
    func `hosts of routes are names, patterns or addresses`(host: String) throws {
        let listener = try onlyListener(
            withListenerKeys("routes: [{ host: '\(host)', pool: 'p' }]"))
        #expect(listener.routes[0].host == host.lowercased())
    }

    @Test(arguments: [
        ("example.com:80", "; ports do not count here, write the host alone"),
        ("[::1]:80", "; ports do not count here, write the host alone"),
        ("*", #"; expected a name such as "example.com" or "*.example.com""#),
        ("a*.example.com", #"; expected a name such as "example.com" or "*.example.com""#),
        ("*.*.com", #"; expected a name such as "example.com" or "*.example.com""#),
        ("::1", #"; expected a name such as "example.com" or "*.example.com""#),
        ("http://example.com", #"; expected a name such as "example.com" or "*.example.com""#),
    ])
    func `other hosts are refused`(host: String, hint: String) {
        #expect(
            complaints(withListenerKeys("routes: [{ host: '\(host)', pool: 'p' }]"))
                == ["t:2:18: \"\(host)\" is no host for a route" + hint])
    }

    @Test(arguments: ["/", "/*", "*", "/v2/*", "/a%20b", "/exact"])
    func `paths of routes are exact or prefixes`(path: String) throws {
        let listener = try onlyListener(
            withListenerKeys("routes: [{ path: '\(path)', pool: 'p' }]"))
        #expect(listener.routes[0].path == path)
    }

    @Test(arguments: ["v2", "v2/*", "/a*b", "/*/b", "/a b", "/é", "/a?b=c", "/a#b", "**", "/**"])
    func `other paths are refused`(path: String) {
        #expect(
            complaints(withListenerKeys("routes: [{ path: '\(path)', pool: 'p' }]")) == [
                "t:2:18: \"\(path)\" is no path for a route; expected \"/exact\" or \"/prefix/*\", "
                    + "percent-encoded and without a query"
            ])
    }
}
