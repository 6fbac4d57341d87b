// The bundled weighted round robin against nginx's algorithm, written down a second time: the same
// sequence, over all workers together where a period fits, on each worker where it does not.

import Base
import CTrivet
import Testing

@Suite struct BundledWeightedRoundRobinTests {
    let library: PluginLibrary

    init() throws { library = try PluginLibrary("libtrivet-weighted-round-robin.so") }

    /// ngx_http_upstream_get_peer, with no peer failing.
    struct Nginx {
        let weights: [Int]
        var current: [Int]

        init(_ weights: [Int]) {
            self.weights = weights
            current = weights.map { _ in 0 }
        }

        mutating func next(without tried: Set<Int> = []) -> Int {
            var total = 0
            var best: Int?
            for peer in weights.indices where weights[peer] > 0 && !tried.contains(peer) {
                current[peer] += weights[peer]
                total += weights[peer]
                if let so = best, current[peer] <= current[so] { continue }
                best = peer
            }
            current[best!] -= total
            return best!
        }

        mutating func series(_ count: Int) -> [Int?] { (0..<count).map { _ in next() } }
    }

    func nodes(_ weights: [Int]) -> [FakePool.Node] {
        weights.enumerated().map {
            FakePool.Node(name: "n\($0)", weight: UInt32($1), id: 50 + UInt64($0))
        }
    }

    @Test func fiveOneOneIsTheSequenceOfNginx() throws {
        let strategy = try library.strategy(pool: FakePool(nodes([5, 1, 1])))
        let (a, b, c) = (0, 1, 2)
        #expect(strategy.series(14) == [a, a, b, a, c, a, a, a, a, b, a, c, a, a])
    }

    @Test func anyWeightsAreTheSequenceOfNginx() throws {
        var dice = SplitMix64(seed: 3)
        for _ in 0..<150 {
            let weights = (0..<Int.random(in: 1...9, using: &dice)).map { _ in
                Int.random(in: 0...20, using: &dice)
            }
            guard weights.contains(where: { $0 > 0 }) else { continue }
            var nginx = Nginx(weights)
            let strategy = try library.strategy(pool: FakePool(nodes(weights)))
            #expect(strategy.series(300) == nginx.series(300), "\(weights)")
        }
    }

    @Test func manyNodesOfFewWeightsAreTheSequenceOfNginx() throws {
        let weights = (0..<300).map { $0 % 7 + 1 }
        var nginx = Nginx(weights)
        let strategy = try library.strategy(pool: FakePool(nodes(weights)))
        #expect(strategy.series(2500) == nginx.series(2500))
    }

    @Test func allWorkersTogetherProduceTheSequence() throws {
        let tickets = Tickets()
        let weights = [8, 4, 2, 6]
        let workers = try (0..<3).map { worker in
            try library.strategy(
                pool: FakePool(nodes(weights), tickets: tickets), worker: worker, workers: 3)
        }
        var nginx = Nginx(weights)
        for request in 0..<500 {
            #expect(workers[request * 7 % 10 % 3].pick().node == nginx.next())
        }
    }

    @Test func onlyReadyNodesAreInTheSequence() throws {
        let strategy = try library.strategy(pool: FakePool(nodes([5, 9, 1, 3])))
        strategy.pool.nodes[1].state = TRIVET_DOWN
        strategy.update(TRIVET_CHANGED_STATE)
        var nginx = Nginx([5, 0, 1, 3])
        #expect(strategy.series(100) == nginx.series(100))
    }

    @Test func newWeightsAreANewSequence() throws {
        let strategy = try library.strategy(pool: FakePool(nodes([5, 1, 1])))
        strategy.pool.nodes[2].weight = 4
        strategy.update(TRIVET_CHANGED_WEIGHT)
        var nginx = Nginx([5, 1, 4])
        #expect(strategy.series(100) == nginx.series(100))
        strategy.update(TRIVET_CHANGED_METADATA)
        #expect(strategy.series(100) == nginx.series(100), "metadata changes nothing")
    }

    /// 65,521 + 65,519 + 65,497 turns with no divisor in common are not written down.
    static let long = [65_521, 65_519, 65_497]

    @Test func whereThePeriodIsTooLongEachWorkerFollowsNginx() throws {
        var nginx = Nginx(Self.long)
        let tickets = Tickets()
        let strategy = try library.strategy(pool: FakePool(nodes(Self.long), tickets: tickets))
        #expect(strategy.series(1000) == nginx.series(1000))
        #expect(tickets.next.load(ordering: .relaxed) == 0)
        #expect(strategy.pick(attempt: 1, tried: [1]).node == nginx.next(without: [1]))
        #expect(strategy.series(100) == nginx.series(100))
        #expect(strategy.describe()?.contains(#""shared by all workers":false"#) == true)
    }

    @Test func weightsAllDifferentAreSharedOutAllTheSame() throws {
        // 2,000 weights times 2,001,000 turns: far too much to write down.
        let weights = (1...2000).map { $0 }
        var nginx = Nginx(weights)
        let strategy = try library.strategy(pool: FakePool(nodes(weights)))
        #expect(strategy.series(400) == nginx.series(400))
    }

    @Test func currentWeightsGoToAnotherInstanceWithOtherPlaces() throws {
        let old = try library.strategy(pool: FakePool(nodes(Self.long)))
        var nginx = Nginx(Self.long)
        #expect(old.series(11) == nginx.series(11))
        let state = try #require(old.save())
        // The first node is now the last, and stands where nginx has it: nothing is equal here.
        let turned = nodes(Self.long)
        let new = try library.strategy(
            pool: FakePool([turned[1], turned[2], turned[0]]))
        #expect(new.load(state, version: 1) == true)
        let places = [2, 0, 1]
        for _ in 0..<200 { #expect(new.pick().node == places[nginx.next()]) }
    }

    @Test func aPeriodOfManyTurnsIsStillShared() throws {
        let strategy = try library.strategy(pool: FakePool(nodes([60_000, 1, 5_000])))
        #expect(strategy.tally(65_001).nodes == [60_000, 1, 5_000])
        #expect(
            strategy.describe()
                == #"{"shared by all workers":true,"turns in a period":65001,"different weights":3}"#
        )
        let halved = try library.strategy(pool: FakePool(nodes([60_000, 2, 10_000])))
        #expect(halved.describe()?.contains(#""turns in a period":35001,"#) == true)
    }
}
