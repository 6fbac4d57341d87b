// Which pool a request goes to: a wrong answer sends it to somebody else's servers.

import Testing

@testable import Proxy

@Suite struct RouteTableTests {
    private func pool(_ table: RouteTable, _ host: String, _ path: String) -> Int? {
        table.pool(host: Array(host.utf8).span, path: Array(path.utf8).span)
    }

    @Test("The first route that fits wins, else the listener's own pool")
    func order() {
        var table = RouteTable(otherwise: 9)
        table.add(host: "a.example", path: "/v2/*", pool: 1)
        table.add(host: "A.example", path: nil, pool: 2)
        table.add(host: nil, path: "/exact", pool: 3)
        #expect(pool(table, "a.example", "/v2/x") == 1)
        #expect(pool(table, "a.example", "/v2/") == 1)
        #expect(pool(table, "a.example", "/v2") == 2)
        #expect(pool(table, "b.example", "/exact") == 3)
        #expect(pool(table, "b.example", "/exact/") == 9)
        #expect(pool(table, "", "/") == 9)
        #expect(pool(RouteTable(otherwise: nil), "a", "/") == nil)
    }

    @Test(
        "Ports and capitals in the host do not count",
        arguments: [
            "www.example", "WWW.Example", "www.example:80", "www.example:", "wWw.eXample:65535",
        ])
    func spelling(_ host: String) {
        var table = RouteTable(otherwise: nil)
        table.add(host: "www.example", path: nil, pool: 1)
        #expect(pool(table, host, "/") == 1)
    }

    @Test("A star stands for labels, never for none and never for a part of one")
    func star() {
        var table = RouteTable(otherwise: nil)
        table.add(host: "*.example.com", path: nil, pool: 1)
        #expect(pool(table, "a.example.com", "/") == 1)
        #expect(pool(table, "example.com", "/") == nil)
        #expect(pool(table, "badexample.com", "/") == nil)
        #expect(pool(table, ".example.com", "/") == nil)
    }

    @Test("Addresses are hosts too", arguments: ["[::1]", "[::1]:8080"])
    func literal(_ host: String) {
        var table = RouteTable(otherwise: nil)
        table.add(host: "[::1]", path: nil, pool: 1)
        #expect(pool(table, host, "/") == 1)
        #expect(pool(table, "[::2]", "/") == nil)
    }

    @Test("A target without a path asks for the root")
    func noPath() {
        var table = RouteTable(otherwise: nil)
        table.add(host: nil, path: "/", pool: 1)
        table.add(host: nil, path: "/x*", pool: 2)
        #expect(pool(table, "a", "") == 1)
        var prefix = RouteTable(otherwise: nil)
        prefix.add(host: nil, path: "/*", pool: 3)
        #expect(pool(prefix, "a", "") == 3)
    }
}
