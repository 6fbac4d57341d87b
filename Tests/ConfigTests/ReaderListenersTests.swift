// Listeners and routes: nothing leads nowhere, nothing is there twice.

import Base
import Testing

@testable import Config

@Suite struct ReaderListenersTests {
    private func file(_ listeners: String) -> String {
        "{ pools: { p: { nodes: [{ name: 'n', address: '10.0.0.1:80' }] } }, listeners: [\n\(listeners)\n]}"
    }

    @Test func `names and addresses of listeners are unique`() {
        #expect(
            complaints(
                file(
                    """
                    { name: "a", address: "0.0.0.0:80", pool: "p" },
                    { name: "a", address: "0.0.0.0:81", pool: "p" },
                    { name: "b", address: "0.0.0.0:80", pool: "p" },
                    { address: "127.0.0.1:0", name: "c", pool: "p" },
                    { address: "127.0.0.1:0", name: "d", pool: "p" },
                    """)) == [
                    #"t:3:9: the listener "a" is there twice; names are unique"#,
                    #"t:4:23: the listeners "a" and "b" have the same address 0.0.0.0:80"#,
                ])
    }

    @Test func `a listener leads somewhere`() {
        #expect(
            complaints(
                file(
                    """
                    { address: "0.0.0.0:80" },
                    { address: "0.0.0.0:81", routes: [] },
                    { address: "0.0.0.0:82", pool: "q" },
                    { address: "0.0.0.0:83", routes: [{ path: "/", pool: "P" }] },
                    { address: "0.0.0.0:84", routes: [{ path: "/" }, { pool: "p" }] },
                    { pool: "p" },
                    7,
                    """)) == [
                    #"t:2:1: the listener "0.0.0.0:80" leads nowhere; expected "pool", "routes" or both"#,
                    #"t:3:34: the listener "0.0.0.0:81" has neither a pool nor a route"#,
                    #"t:4:32: unknown pool "q"; there are: p"#,
                    #"t:5:54: unknown pool "P"; did you mean "p"? there are: p"#,
                    #"t:6:35: a route of the listener "0.0.0.0:84" has no "pool""#,
                    #"t:6:50: a route of the listener "0.0.0.0:84" has neither "host" nor "path""#,
                    #"t:7:1: a listener has no "address""#,
                    "t:8:1: a listener is a number; expected an object",
                ])
    }

    @Test func `a route that another one hides is noticed`() {
        #expect(
            complaints(
                withListenerKeys(
                    "routes: [{ host: 'a.b', path: '/x', pool: 'p' }, { host: 'A.b', path: '/x', pool: 'p' }]"
                ))
                == [
                    #"t:2:50: a route of the listener "0.0.0.0:80" is never taken: the one at 2:10 has the same host and path"#
                ])
    }

    @Test(arguments: ["session: {}", "profile: 'x'"])
    func `what comes later says so`(key: String) {
        let name = key.prefix { $0 != ":" }
        #expect(
            complaints(withListenerKeys(key))
                == [
                    "t:2:1: \"\(name)\" in the listener \"0.0.0.0:80\" is not supported by this version"
                ])
    }

    @Test func `HTTP is spoken or TCP passed on, which has no requests to say anything of`() throws
    {
        #expect(complaints(withListenerKeys("protocol: 'http'")) == [])
        #expect(
            complaints(withListenerKeys("protocol: 'htp'")) == [
                #"t:2:11: "protocol" in the listener "0.0.0.0:80" is "htp"; did you mean "http"? expected: http, tcp"#
            ])
        #expect(try onlyListener(withListenerKeys("protocol: 'tcp'")).protocolKind == .tcp)
        let keys =
            "protocol: 'tcp', trusted_proxies: ['10.0.0.0/8'], limits: { head: '4KiB' }, "
            + "timeouts: { header: '1s', idle: '2s' }"
        #expect(
            complaints(withListenerKeys(keys)) == [
                #"t:2:35: "trusted_proxies" in the listener "0.0.0.0:80" is about requests, and its protocol "tcp" has none; leave it out"#,
                #"t:2:59: "limits" in the listener "0.0.0.0:80" is about requests, and its protocol "tcp" has none; leave it out"#,
                #"t:2:109: "idle" in the timeouts of the listener "0.0.0.0:80" is about requests, and its protocol "tcp" has none; expected "tunnel" in the timeouts of its pool"#,
            ])
        // For these it is about connections.
        let proxies = "protocol: 'tcp', trusted_proxies: ['10.0.0.0/8'], proxy_protocol: true"
        #expect(try onlyListener(withListenerKeys(proxies)).readsProxyHeader)
        #expect(
            complaints(withListenerKeys("proxy_protocol: true")) == [
                #"t:2:17: "proxy_protocol" in the listener "0.0.0.0:80" needs "trusted_proxies": nobody else is believed"#
            ])
        #expect(
            complaints(
                withListenerKeys(
                    "protocol: 'tcp', routes: [{ host: 'a.b', path: '/c', pool: 'p' }]"))
                == [
                    #"t:2:48: "path" in a route of the listener "0.0.0.0:80" is about requests, and its protocol "tcp" has none; expected "host" alone: the name that a TLS client asks for"#
                ])
    }

    @Test func `limits agree with each other`() throws {
        #expect(
            complaints(withListenerKeys("limits: { target: '8KiB', head: '4KiB' }")) == [
                #"t:2:19: "target" in the limits of the listener "0.0.0.0:80" is larger than "head" (4096 bytes), which it is a part of"#
            ])
        #expect(
            try onlyListener(withListenerKeys("limits: { head: '4KiB' }")).limits
                == .init(targetBytes: 4096, headBytes: 4096, fields: 200))
        #expect(
            complaints(withListenerKeys("limits: { body: '1MiB' }")) == [
                #"t:2:11: unknown key "body" in the limits of the listener "0.0.0.0:80"; known: target, head, fields"#
            ])
        #expect(
            complaints(withListenerKeys("timeouts: { headers: '1s' }")) == [
                #"t:2:13: unknown key "headers" in the timeouts of the listener "0.0.0.0:80"; did you mean "header"? known: header, idle"#
            ])
        #expect(
            complaints(withListenerKeys("max_connections: 0")) == [
                #"t:2:18: "max_connections" in the listener "0.0.0.0:80" is 0; expected a whole number from 1 to 10000000"#
            ])
        #expect(
            complaints(withListenerKeys("max_connections_per_client: 0.5")) == [
                #"t:2:29: "max_connections_per_client" in the listener "0.0.0.0:80" is 0.5; expected a whole number from 1 to 10000000"#
            ])
    }

    @Test func `names fit everywhere`() {
        for name in ["a/b", "a\\u0007", String(repeating: "x", count: 65)] {
            let found = complaints(file("{ name: '\(name)', address: '0.0.0.0:80', pool: 'p' }"))
            #expect(found.count == 1)
        }
        #expect(
            complaints(file("{ name: 'a/b', address: '0.0.0.0:80', pool: 'p' }")) == [
                #"t:2:9: "a/b" is no name for a listener: expected 1 to 64 bytes without slashes and control characters"#
            ])
    }
}
