// The bundled two choices: the less busy of two for its weight, drawn by weight, and how even that
// makes a pool, beside what a second implementation and the paper say.

import Base
import CTrivet
import Testing

@Suite struct BundledTwoChoicesTests {
    let library: PluginLibrary

    init() throws { library = try PluginLibrary("libtrivet-two-choices.so") }

    func strategy(_ nodes: [(weight: UInt32, running: UInt32)]) throws -> FakeStrategy {
        try library.strategy(
            pool: FakePool(
                nodes.map { FakePool.Node(name: "n", weight: $0.weight, running: $0.running) }))
    }

    @Test func ofTwoTheLessBusyForItsWeightIsTaken() throws {
        #expect(try strategy([(1, 4), (1, 3)]).tally(50).nodes == [0, 50])
        #expect(try strategy([(3, 10), (2, 6)]).tally(50).nodes == [0, 50])
        #expect(try strategy([(3, 8), (2, 6)]).tally(50).nodes == [50, 0])
        let strategy = try strategy([(2, 5), (2, 6)])
        #expect(strategy.pick(explain: true).reason == "less busy of two: 5 running")
        #expect(strategy.pick().reason == "less busy of two")
    }

    @Test func theBusiestOfAllIsNeverTaken() throws {
        let strategy = try strategy([(1, 1), (1, 2), (1, 3), (1, 9)])
        let tally = strategy.tally(6000).nodes
        // Of the six pairs the first is the less busy of three, the second of two, the third of one.
        for (node, expected) in [3000, 2000, 1000, 0].enumerated() {
            #expect(abs(tally[node] - expected) < 160)
        }
    }

    @Test func theSecondIsAnotherEvenIfTheFirstHasNearlyAllTheWeight() throws {
        let strategy = try strategy([(60_000, 700_000), (1, 1), (1, 1)])
        #expect(strategy.tally(200).nodes[0] == 0)
    }

    /// m balls into n bins: the fullest is about ln ln n above the mean with two choices, and about
    /// sqrt(2 m ln n / n) with one (Mitzenmacher 2001; Berenbrink et al. 2000).
    @Test func twoChoicesAreFarMoreEvenThanOne() throws {
        let nodes = 200
        let two = try strategy((0..<nodes).map { _ in (1, 0) })
        var running = [UInt32](repeating: 0, count: nodes)
        for _ in 0..<(nodes * 100) {
            let node = try #require(two.pick().node)
            running[node] += 1
            two.pool.run(running[node], on: node)
        }
        #expect(running.max()! <= 103 && running.min()! >= 95)
        let one = try PluginLibrary("libtrivet-random.so").strategy(
            pool: FakePool((0..<nodes).map { _ in FakePool.Node(name: "n") }))
        #expect(one.tally(nodes * 100).nodes.max()! > 115)
    }

    @Test func loadIsLevelledByWeight() throws {
        let weights: [UInt32] = [1, 2, 3, 4, 40]
        let strategy = try strategy(weights.map { ($0, 0) })
        var running = weights.map { _ in UInt32(0) }
        for _ in 0..<5000 {
            let node = try #require(strategy.pick().node)
            running[node] += 1
            strategy.pool.run(running[node], on: node)
        }
        for (node, weight) in weights.enumerated() {
            #expect(abs(Int(running[node]) - 100 * Int(weight)) <= 10 * Int(weight))
        }
    }
}
