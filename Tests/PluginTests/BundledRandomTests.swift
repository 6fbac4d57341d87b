// The bundled random strategy, and with it the SDK's lottery: exactly the probabilities that the
// weights say, by going through the dice evenly; and honest dice, by chi square at a fixed seed.

import Base
import CTrivet
import Testing

@Suite struct BundledRandomTests {
    let library: PluginLibrary

    init() throws { library = try PluginLibrary("libtrivet-random.so") }

    func strategy(_ weights: [UInt32]) throws -> FakeStrategy {
        try library.strategy(
            pool: FakePool(weights.map { FakePool.Node(name: "n", weight: $0, running: 0) }))
    }

    static let pools: [[UInt32]] = [
        [1], [1, 1], [5, 1, 1], [1, 2, 3, 4], [0, 7, 0, 3], [0, 0, 0], [1, 65_535],
        [65_535, 65_535, 1, 30_000, 2], (1...40).map { $0 * $0 }, [.max, .max, .max - 1, 1],
    ]

    /// Dice that show every face of 2^-16 once: what comes out is the table itself.
    @Test(arguments: pools)
    func theTableHoldsExactlyTheProbabilities(_ weights: [UInt32]) throws {
        let strategy = try strategy(weights)
        let faces = 1 << 16
        strategy.host.dice = (0..<faces).map { UInt64($0) << 48 | 1 << 47 }
        let tally = strategy.tally(faces).nodes
        let isIdle = weights.allSatisfy { $0 == 0 }
        let shares = weights.map { isIdle ? 1.0 : Double($0) }
        let total = shares.reduce(0, +)
        for (node, share) in shares.enumerated() {
            // A node's part of the table has two ends in each column at most, each cut by one face.
            let error = abs(Double(tally[node]) - Double(faces) * share / total)
            #expect(error <= Double(2 * weights.count), "node \(node) of \(weights)")
        }
    }

    /// Chi square with n - 1 degrees of freedom; the bounds are those of one in 100,000, so that at
    /// any seed but a strange one this holds. The seed is fixed.
    @Test(arguments: [
        ([1, 1] as [UInt32], 19.5), ([5, 1, 1], 23.0), ([1, 2, 3, 4], 25.9),
        ([10, 20, 0, 30, 40, 100, 7, 1, 1, 9], 37.3),
    ])
    func thePicksFollowTheWeights(_ weights: [UInt32], _ bound: Double) throws {
        let strategy = try strategy(weights)
        strategy.host.random = SplitMix64(seed: 2026)
        let picks = 100_000
        let tally = strategy.tally(picks).nodes
        let total = weights.reduce(0) { $0 + Double($1) }
        var chi = 0.0
        for (node, weight) in weights.enumerated() {
            let expected = Double(picks) * Double(weight) / total
            if expected == 0 {
                #expect(tally[node] == 0)
            } else {
                chi +=
                    (Double(tally[node]) - expected) * (Double(tally[node]) - expected) / expected
            }
        }
        #expect(chi < bound)
    }

    @Test func newWeightsCountFromTheUpdateOn() throws {
        let strategy = try strategy([1, 1])
        strategy.pool.nodes[0].weight = 0
        strategy.update(TRIVET_CHANGED_WEIGHT)
        #expect(strategy.tally(50).nodes == [0, 50])
        strategy.pool.nodes[0].weight = 99
        strategy.update(TRIVET_CHANGED_WEIGHT)
        #expect(strategy.tally(1000).nodes[0] > 960)
        #expect(strategy.describe() == #"{"nodes drawn from":2,"sum of weights":100}"#)
    }

    @Test func aPickTakesOneRandomNumberWhateverTheSizeOfThePool() throws {
        let strategy = try strategy((0..<1000).map { UInt32($0) })
        strategy.host.dice = [UInt64](repeating: 1 << 63, count: 10)
        _ = strategy.series(4)
        #expect(strategy.host.dice.count == 6)
    }
}
