// The bundled peak EWMA: the average against values computed by hand and with the C library's exp, the
// choice it leads to, and what happens to nodes that are new, fail, or have been slow.

import Base
import CTrivet
import Glibc
import Testing

@Suite struct BundledPeakEWMATests {
    let library: PluginLibrary

    init() throws { library = try PluginLibrary("libtrivet-peak-ewma.so") }

    static let second: UInt64 = 1_000_000_000
    static let millisecond: UInt64 = 1_000_000

    func strategy(
        _ options: String = "{}", running: [UInt32], weights: [UInt32]? = nil
    ) throws -> FakeStrategy {
        try library.strategy(
            options,
            pool: FakePool(
                running.enumerated().map { at, running in
                    FakePool.Node(
                        name: "n\(at)", weight: weights?[at] ?? 1, id: 30 + UInt64(at),
                        running: running)
                }))
    }

    /// A node's average in nanoseconds, as the instance would hand it on: by id.
    func averages(_ strategy: FakeStrategy) throws -> [UInt64: Double] {
        let state = try #require(strategy.save())
        func number(_ at: Int, _ size: Int) -> UInt64 {
            state[at..<(at + size)].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        var averages: [UInt64: Double] = [:]
        for row in 0..<Int(number(8, 4)) {
            let at = 12 + row * 16
            averages[number(at, 8)] = Double(bitPattern: number(at + 8, 8))
        }
        return averages
    }

    @Test func theAverageGoesUpAtOnceAndComesDownSlowly() throws {
        let strategy = try strategy(running: [0, 0])
        func average() throws -> Double { try averages(strategy)[30] ?? 0 }
        strategy.result(node: 0, firstByte: 100 * Self.millisecond)
        #expect(try average() == 100e6)
        // After 10 s, the window, with a sample of 20 ms: 100 / e + 20 * (1 - 1 / e) = 49.430355 ms.
        strategy.host.now += 10 * Self.second
        strategy.result(node: 0, firstByte: 20 * Self.millisecond)
        #expect(abs(try average() - 49_430_355.29) < 0.01)
        strategy.result(node: 0, firstByte: 300 * Self.millisecond)
        #expect(try average() == 300e6, "a peak counts at once")
        strategy.result(node: 0, firstByte: 1)
        #expect(try average() == 300e6, "no time has gone by")
        // Half of it is left after decay * ln 2 without a request.
        strategy.host.now += 6_931_471_806
        #expect(abs(try average() - 150e6) < 0.1)
    }

    @Test func aLongSeriesIsTheSameAsWithTheLibrarysExponential() throws {
        let strategy = try strategy(#"{"decay": "250ms"}"#, running: [0, 0])
        var dice = SplitMix64(seed: 4)
        var expected = 0.0
        var before = strategy.host.now
        for _ in 0..<2000 {
            let pause = dice.next() % (1 << (dice.next() % 40))
            let sample = Double(1 + dice.next() % (100 * Self.millisecond))
            strategy.host.now += pause
            strategy.result(node: 1, firstByte: UInt64(sample))
            let kept = exp(-Double(strategy.host.now - before) / 250e6)
            expected = sample > expected ? sample : expected * kept + sample * (1 - kept)
            before = strategy.host.now
            let average = try #require(averages(strategy)[31])
            #expect(abs(average - expected) <= 1e-13 * expected)
        }
    }

    @Test func theCheaperOfTwoIsTaken() throws {
        let strategy = try strategy(running: [2, 0])
        strategy.result(node: 0, firstByte: 10 * Self.millisecond)
        strategy.result(node: 1, firstByte: 31 * Self.millisecond)
        #expect(strategy.tally(30).nodes == [30, 0], "10 * (2 + 1) < 31 * (0 + 1)")
        strategy.pool.run(3, on: 0)
        #expect(strategy.tally(30).nodes == [0, 30])
        #expect(strategy.pick(explain: true).reason == "quicker of two: 31000 µs, 0 running")
        #expect(strategy.pick().reason == "quicker of two")
    }

    @Test func weightsSayHowMuchANodeCanHaveRunning() throws {
        for scale: UInt32 in [1, 1000] {
            // Mean weight 5: 1 + 8 * 5 / 8 = 6 against 1 + 2 * 5 / 2 = 6; of equals the first drawn.
            let strategy = try strategy(running: [8, 2], weights: [8 * scale, 2 * scale])
            strategy.result(node: 0, firstByte: Self.millisecond)
            strategy.result(node: 1, firstByte: Self.millisecond)
            let tally = strategy.tally(1000).nodes
            #expect(abs(tally[0] - 800) < 60)
            strategy.pool.run(9, on: 0)
            #expect(strategy.tally(30).nodes == [0, 30])
            strategy.pool.run(7, on: 0)
            #expect(strategy.tally(30).nodes == [30, 0])
        }
    }

    @Test func aNodeThatWasSlowIsTriedAgainInTime() throws {
        let strategy = try strategy(running: [0, 0])
        strategy.result(node: 0, firstByte: Self.second)
        strategy.result(node: 1, firstByte: 10 * Self.millisecond)
        var waited = 0
        while strategy.pick().node == 1 {
            strategy.result(node: 1, firstByte: 10 * Self.millisecond)
            strategy.host.now += Self.second
            waited += 1
            try #require(waited < 1000)
        }
        // 1 s * e^-(t / 10 s) < 10 ms * e^(-1 s / 10 s) from t = 10 s * ln 100 + 1 s on: 47.05 s.
        #expect(waited == 48)
    }

    @Test func aNewNodeIsNeitherFloodedNorLeftAlone() throws {
        let strategy = try strategy(running: [0, 0])
        for _ in 0..<1000 { strategy.result(node: 0, firstByte: 10 * Self.millisecond) }
        // Unknown to all: it counts as typical.
        strategy.pool.run(1, on: 1)
        #expect(strategy.tally(30).nodes == [30, 0])
        strategy.pool.run(2, on: 0)
        #expect(strategy.tally(30).nodes == [0, 30])
        // Known to other workers: that counts.
        strategy.pool.nodes[1].latency = 16 * Self.millisecond
        strategy.pool.nodes[1].running = 1
        strategy.pool.nodes[0].running = 2
        #expect(strategy.tally(30).nodes == [30, 0], "10 * 3 < 16 * 2")
        strategy.pool.nodes[1].latency = 14 * Self.millisecond
        #expect(strategy.tally(30).nodes == [0, 30])
    }

    @Test func whileNothingIsKnownTheLessBusyIsTaken() throws {
        let strategy = try strategy(running: [3, 1])
        #expect(strategy.tally(30).nodes == [0, 30])
    }

    @Test(
        arguments: [
            (TRIVET_CONNECT_FAILED, 0), (TRIVET_TIMED_OUT, 0), (TRIVET_BROKEN, 0), (TRIVET_OK, 502),
            (TRIVET_OK, 503), (TRIVET_OK, 504), (77, 0),
        ] as [(UInt32, UInt32)])
    func failingFastIsNotBeingFast(_ outcome: UInt32, _ status: UInt32) throws {
        let strategy = try strategy(#"{"penalty": "3s"}"#, running: [0, 0])
        strategy.result(node: 0, outcome: outcome, status: status, firstByte: 50)
        strategy.result(node: 1, firstByte: 900 * Self.millisecond)
        #expect(try averages(strategy) == [30: 3e9, 31: 9e8])
        #expect(strategy.tally(30).nodes == [0, 30])
    }

    @Test func whatSaysNothingAboutTheNodeIsNoSample() throws {
        let strategy = try strategy(running: [0, 0])
        strategy.result(node: 0, outcome: TRIVET_ABANDONED, total: Self.second)
        strategy.result(node: 0, firstByte: Self.second, sent: 1 << 20)
        strategy.result(node: nil, firstByte: Self.second)
        #expect(try averages(strategy) == [:])
        strategy.result(node: 0, outcome: TRIVET_OK, status: 500, firstByte: 7)
        strategy.result(node: 1, outcome: TRIVET_ABANDONED, firstByte: 9, total: Self.second)
        #expect(try averages(strategy) == [30: 7, 31: 9])
    }

    @Test func whatWasLearntFollowsTheNodes() throws {
        let old = try strategy(running: [0, 0, 0])
        for node in 0..<3 {
            old.result(node: node, firstByte: UInt64(node + 1) * Self.millisecond)
        }
        old.host.now += 10 * Self.second
        let state = try #require(old.save())
        let faded = [1e6, 2e6, 3e6].map { $0 * exp(-1) }
        let turned = [old.pool.nodes[2], FakePool.Node(name: "new", id: 77), old.pool.nodes[0]]
        // Another instance, whose clock stands elsewhere.
        let new = try library.strategy(pool: FakePool(turned))
        new.host.now = 5
        #expect(new.load(state, version: 1) == true)
        let taken = try averages(new)
        #expect(taken.keys.sorted() == [30, 32])
        #expect(abs(taken[30]! - faded[0]) < 1e-3 && abs(taken[32]! - faded[2]) < 1e-3)
        // In place, the same.
        old.pool.nodes = turned
        old.update(TRIVET_CHANGED_NODES)
        let kept = try averages(old)
        #expect(kept.keys.sorted() == [30, 32])
        #expect(abs(kept[30]! - faded[0]) < 1e-3 && abs(kept[32]! - faded[2]) < 1e-3)
    }

    @Test func anOperatorSeesTheLatencies() throws {
        let strategy = try strategy(running: [0, 0])
        strategy.result(node: 1, firstByte: 1_234_567)
        #expect(
            strategy.describe()
                == #"{"typical latency in µs":1235.0,"nodes with samples":1,"#
                + #""latency in µs of n1":1235.0}"#)
    }

    @Test(arguments: [
        (
            #"{"decay": "0s"}"#,
            "option \"decay\" must be a duration of at least \"1ms\", not \"0s\""
        ),
        (
            #"{"decay": 10}"#,
            "option \"decay\" must be a duration such as \"250ms\", \"3s\" or \"2m\", not 10"
        ),
        (
            #"{"penalty": "much"}"#,
            "option \"penalty\" must be a duration such as \"250ms\", \"3s\" or \"2m\", not \"much\""
        ),
    ])
    func aWrongOptionIsRefusedByName(_ options: String, _ sentence: String) {
        #expect(throws: Refused(sentence: sentence)) {
            _ = try strategy(options, running: [0])
        }
    }
}
