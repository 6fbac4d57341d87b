// Which pool a request goes to: a wrong answer sends it to somebody else's servers.

import Net
import Testing

@testable import Proxy

@Suite struct RouteTableTests {
    private func pool(_ table: RouteTable, _ host: String, _ path: String) -> Int? {
        var buffers = BufferPool()
        var first = Buffer()
        var second = Buffer()
        _ = buffers.lend(&first)
        _ = buffers.lend(&second)
        defer {
            #expect(first.isEmpty && second.isEmpty)
            buffers.reclaim(&first)
            buffers.reclaim(&second)
        }
        return table.pool(
            host: Array(host.utf8).span, path: Array(path.utf8).span, &first, &second)
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
            "www.example.", "www.example.:80",
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

    @Test(
        "However a path is spelled, it leads where it lies",
        arguments: [
            "/v2/x", "/v%32/x", "/%76%32/x", "//v2///x", "/./v2/./x", "/a/../v2/x",
            "/a/%2e%2E/v2/x",
            "/a/.%2e/v2/x", "/v2/a/../x", "/v2/x;a=b", "/v2/a%2Fb", "/v2/a\\b", "/v2/%c3%bc",
            "/v2/..x",
            "/v2/...", "/v2/.x", "/v2/a%2fb/../c", "/v2/", "/v2/a/..", "/v2/.", "/v2/%25",
        ])
    func spelledOddly(_ path: String) {
        var table = RouteTable(otherwise: 9)
        table.add(host: nil, path: "/v2/*", pool: 1)
        #expect(pool(table, "a", path) == 1)
    }

    @Test(
        "A path that may lie elsewhere for its node does not take a route",
        arguments: [
            "/v2/../x", "/v2/%2e%2e/x", "/v2/..%2fx", "/v2/..%2Fx", "/v2/%2e%2e%2fx", "/v2/..\\x",
            "/v2/..%5cx", "/v2/..;/x", "/v2/..;a=b/x", "/v2/a/../../x", "/v2//../x",
            "/v2/a//../../x",
            "/x/..%2fv2/y", "/x%2f..%2fv2/y", "/x;/../v2/..;/y", "/../v2/x", "/v2/../../v2/x",
            "/v2/%00", "/v2/x%00/../y", "/v2/%0a", "/v2/%7f", "/v2/%zz", "/v2/%", "/v2/%2",
            "/v2/%u002e",
            "/v2/%c0%ae%c0%ae/x", "/v2/..%c0%afx", "/v2/%e0%80%af", "/v2/%f0%80%80%af", "/v2%2fx",
            "/v2\\x", "/v2;/x", "/V2/x", "/v2", "/%2fv2/../x", "*",
        ])
    func spelledToDeceive(_ path: String) {
        var table = RouteTable(otherwise: 9)
        table.add(host: nil, path: "/v2/*", pool: 1)
        #expect(pool(table, "a", path) == 9)
        // A route that asks for no path has nothing to be deceived about.
        table.add(host: "a", path: nil, pool: 2)
        #expect(pool(table, "a", path) == 2)
    }

    @Test("A route's own path may be spelled oddly too")
    func oddRoutes() {
        var table = RouteTable(otherwise: 9)
        table.add(host: nil, path: "/%7euser/*", pool: 1)
        table.add(host: nil, path: "/.well-known/*", pool: 2)
        table.add(host: nil, path: "/a/.*", pool: 3)
        table.add(host: nil, path: "/b%2fc", pool: 4)
        table.add(host: nil, path: "/%c3%bc*", pool: 5)
        #expect(pool(table, "a", "/~user/x") == 1)
        #expect(pool(table, "a", "/.well-known/x") == 2)
        #expect(pool(table, "a", "/a/.b") == 3)
        #expect(pool(table, "a", "/a/b") == 9)
        #expect(pool(table, "a", "/b%2Fc") == 4)
        #expect(pool(table, "a", "/b/c") == 9)
        #expect(pool(table, "a", "/%C3%BCx") == 5)
    }
}
