// Tests of paths as routing reads them.

import Base
import Testing

@testable import HTTP

@Suite("Paths for routing")
struct RoutePathTests {
    private func read(_ path: String, _ reading: RoutePath.Reading) -> String? {
        written { RoutePath.write(Array(path.utf8).span, as: reading, to: &$0) }.map(text)
    }

    @Test("dot segments are removed as RFC 3986 has it, and the rest is made alike")
    func plain() {
        let cases = [
            ("/", "/"), ("/a", "/a"), ("/a/", "/a/"), ("/a/./b", "/a/b"), ("/a/.", "/a/"),
            ("/a/b/..", "/a/"), ("/a/b/../", "/a/"), ("/a/..", "/"), ("/a/../", "/"),
            ("/a/b/c/./../../g", "/a/g"), ("/mid/content=5/../6", "/mid/6"), ("/.", "/"),
            ("//", "/"), ("//a", "/a"), ("/a//b///", "/a/b/"), ("/a//../b", "/a/b"),
            ("/%41%7a%2D%2e%5f%7E", "/Az-._~"), ("/%2f%c3%bc%3b", "/%2F%C3%BC%3B"),
            ("/...", "/..."), ("/..a", "/..a"), ("/.a/..b", "/.a/..b"), ("/%2e", "/"),
            ("/a/%2e%2e/b", "/b"), ("/a;x/..;y", "/a;x/..;y"), ("/a\\..\\b", "/a\\..\\b"),
            ("/%25%32%65", "/%252e"),
        ]
        for (path, expected) in cases { #expect(read(path, .plain) == expected, "\(path)") }
    }

    @Test("whatever any server may take for a slash is one to the generous reading")
    func generous() {
        let cases = [
            ("/a%2fb", "/a/b"), ("/a%5Cb", "/a/b"), ("/a\\b", "/a/b"), ("/a/..%2fb", "/b"),
            ("/a/..;x=y/b", "/b"), ("/a;x/b;y", "/a/b"), ("/a//../b", "/b"), ("/a%2f%2f../b", "/b"),
            ("/a;%2f../b", "/b"), ("/;x/", "/"), ("/a/;", "/a/"),
        ]
        for (path, expected) in cases { #expect(read(path, .generous) == expected, "\(path)") }
    }

    @Test("what leads above the root or cannot be read is said to be so")
    func unsound() {
        for reading in [RoutePath.Reading.plain, .generous] {
            for path in [
                "", "*", "a", "/..", "/../", "/a/../..", "/%2e%2e/a", "/%", "/%2", "/%2g", "/a%",
                "/%00", "/%1f", "/%7F", "/%c0%af", "/%C1%9c", "/%e0%9f%bf", "/%f0%8f%bf%bf",
            ] { #expect(read(path, reading) == nil, "\(path)") }
        }
        #expect(read("/..%2f", .generous) == nil)
        #expect(read("/..\\", .generous) == nil)
        #expect(read("/..;", .generous) == nil)
    }

    @Test("a path called normal is what both readings say it is, and reading twice changes nothing")
    func agreement() {
        let pieces = ["/", ".", "..", "a", "%2e", "%2f", "%41", "\\", ";", "%c3%bc", "b", "%5c"]
        var random = SplitMix64(seed: 7)
        var normal = 0
        for _ in 0..<20_000 {
            var path = "/"
            for _ in 0..<random.next() % 9 {
                path += pieces[Int(random.next() % UInt64(pieces.count))]
            }
            let bytes = Array(path.utf8)
            for reading in [RoutePath.Reading.plain, .generous] {
                guard let once = read(path, reading) else { continue }
                #expect(once.utf8.count <= bytes.count, "\(path)")
                #expect(read(once, reading) == once, "\(path)")
                if RoutePath.isNormal(bytes.span) { #expect(once == path) }
            }
            if RoutePath.isNormal(bytes.span) { normal += 1 }
        }
        #expect(normal > 100)
    }
}
