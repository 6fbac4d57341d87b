// "Did you mean": helpful for slips, silent where it would only confuse.

import Testing

@testable import Base

@Suite struct NearestTests {
    private static let names = [
        "round-robin", "least-conn", "maglev", "sticky", "peak-ewma", "http", "tcp",
    ]

    @Test(arguments: [
        ("round-robbin", "round-robin"), ("roundrobin", "round-robin"),
        ("round_robin", "round-robin"),
        ("Round-Robin", "round-robin"), ("maglve", "maglev"), ("stiky", "sticky"), ("htpp", "http"),
        ("tpc", "tcp"), ("least-con", "least-conn"), ("peek-ewma", "peak-ewma"), ("https", "http"),
    ])
    func `a slip finds the name that was meant`(word: String, meant: String) {
        #expect(nearest(word, in: Self.names) == meant)
    }

    @Test(arguments: ["", "x", "random", "octopus", "rr", "robin-hood", "ssh"])
    func `what is far from everything gets no advice`(word: String) {
        #expect(nearest(word, in: Self.names) == nil)
    }

    @Test func `nothing known, nothing near`() {
        #expect(nearest("http", in: []) == nil)
        #expect(nearest("http", in: ["", "a"]) == nil)
        #expect(nearest("a", in: ["b"]) == nil)
        #expect(nearest(String(repeating: "a", count: 100_000), in: ["aaa"]) == nil)
    }

    @Test func `the first of equals wins`() {
        #expect(nearest("node", in: ["nodes", "mode"]) == "nodes")
    }
}
