// The bundled round-robin, as an .so behind the ABI: exact turns, the right nodes, honest retries.

import CTrivet
import Testing

@Suite struct BundledRoundRobinTests {
    let library: PluginLibrary

    init() throws { library = try PluginLibrary("libtrivet-round-robin.so") }

    @Test func itOffersWhatTheConfigurationCallsRoundRobin() {
        #expect(library.offers.map(\.name) == ["round-robin"])
        #expect(library.offers.first?.options == [])
        #expect(library.version == "1.0.0")
    }

    @Test func threeThousandRequestsOnTwoWorkersLandExactlyAThousandEach() throws {
        let tickets = Tickets()
        let workers = try (0..<2).map { worker in
            try library.strategy(
                pool: FakePool(["a", "b", "c"], tickets: tickets), worker: worker, workers: 2)
        }
        var counts = [0, 0, 0]
        for request in 0..<3000 {
            // One worker gets five of seven requests: turns are the pool's, not the worker's.
            let picked = workers[request % 7 < 5 ? 0 : 1].pick()
            #expect(picked.decision == TRIVET_PICKED)
            counts[try #require(picked.node)] += 1
        }
        #expect(counts == [1000, 1000, 1000])
    }

    @Test func nodesThatAreNotReadyGetNothing() throws {
        let pool = FakePool(["a", "b", "c", "d"])
        let strategy = try library.strategy(pool: pool)
        pool.nodes[0].state = TRIVET_DOWN
        pool.nodes[2].state = TRIVET_DRAINING
        #expect(turns(strategy, 100) == [1: 50, 3: 50])
    }

    @Test func backupsWaitUntilTheBetterTierIsGone() throws {
        let pool = FakePool(["a", "b", "backup"])
        let strategy = try library.strategy(pool: pool)
        pool.nodes[2].tier = 1
        #expect(turns(strategy, 10) == [0: 5, 1: 5])
        pool.nodes[0].state = TRIVET_DOWN
        pool.nodes[1].state = TRIVET_DOWN
        #expect(turns(strategy, 10) == [2: 10])
    }

    @Test func ifAllDrainTheyServeOn() throws {
        let pool = FakePool(["a", "b"])
        let strategy = try library.strategy(pool: pool)
        pool.nodes[0].state = TRIVET_DRAINING
        pool.nodes[1].state = TRIVET_DRAINING
        #expect(turns(strategy, 10) == [0: 5, 1: 5])
    }

    @Test func withoutANodeTheFallbackDecides() throws {
        let pool = FakePool(["a"])
        let strategy = try library.strategy(pool: pool)
        pool.nodes[0].state = TRIVET_DOWN
        #expect(strategy.pick().decision == TRIVET_PASS)
    }

    @Test func aRetryGoesElsewhereAndTakesNoTurn() throws {
        let tickets = Tickets()
        let strategy = try library.strategy(pool: FakePool(["a", "b", "c"], tickets: tickets))
        var retried: Set<Int> = []
        for _ in 0..<6 {
            let retry = strategy.pick(attempt: 1, tried: [1])
            #expect(retry.decision == TRIVET_PICKED)
            retried.insert(try #require(retry.node))
        }
        #expect(retried == [0, 2], "the retries of one node are spread over all others")
        #expect(strategy.pick(attempt: 2, tried: [1, 0]).node == 2)
        #expect(tickets.next.load(ordering: .relaxed) == 0)
        #expect(turns(strategy, 9) == [0: 3, 1: 3, 2: 3])
    }

    @Test func aRetryWithNothingLeftStillGetsANode() throws {
        let strategy = try library.strategy(pool: FakePool(["a"]))
        #expect(strategy.pick(attempt: 1, tried: [0]).node == 0)
    }

    @Test func aNodeOfWeightZeroGetsNothingWhileAnotherHasMore() throws {
        let pool = FakePool(["a", "b", "c"])
        let strategy = try library.strategy(pool: pool)
        pool.nodes[1].weight = 0
        strategy.update(TRIVET_CHANGED_WEIGHT)
        #expect(turns(strategy, 10) == [0: 5, 2: 5])
        #expect(strategy.pick(attempt: 1, tried: [0]).node == 2)
        #expect(strategy.pick(attempt: 2, tried: [0, 2]).node == 1)
        pool.nodes[0].weight = 0
        pool.nodes[2].weight = 0
        strategy.update(TRIVET_CHANGED_WEIGHT)
        #expect(turns(strategy, 9) == [0: 3, 1: 3, 2: 3])
    }

    @Test func theAccessLogSaysWhy() throws {
        let strategy = try library.strategy(pool: FakePool(["a"]))
        #expect(strategy.pick().reason == "its turn")
        #expect(strategy.pick(attempt: 1, tried: [5]).reason == "not tried yet")
    }

    private func turns(_ strategy: FakeStrategy, _ count: Int) -> [Int: Int] {
        var counts: [Int: Int] = [:]
        for _ in 0..<count { counts[strategy.pick().node ?? -1, default: 0] += 1 }
        return counts
    }
}
