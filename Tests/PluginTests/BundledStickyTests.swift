// The bundled sticky: a session is kept for as long as its node lives, and everyone else is passed on
// with the wish to stick.

import CTrivet
import Testing

@Suite struct BundledStickyTests {
    let library: PluginLibrary

    init() throws { library = try PluginLibrary("libtrivet-sticky.so") }

    @Test func itOffersWhatTheConfigurationCallsSticky() {
        #expect(library.offers.map(\.name) == ["sticky"])
        #expect(library.offers.first?.options == [])
    }

    @Test func aClientStaysOnItsNode() throws {
        let strategy = try library.strategy(pool: FakePool(["a", "b", "c"]))
        for node in 0..<3 {
            let picked = strategy.pick(sessionNode: node)
            #expect(picked.decision == TRIVET_PICKED)
            #expect(picked.node == node)
            #expect(picked.reason == "its session")
            #expect(picked.sticks, "the host renews what it has")
        }
    }

    @Test func aClientStaysWhileItsNodeDrainsOrIsABackupOrWeighsNothing() throws {
        let pool = FakePool(["a", "b", "c"])
        let strategy = try library.strategy(pool: pool)
        pool.nodes[1].state = TRIVET_DRAINING
        #expect(strategy.pick(sessionNode: 1).node == 1)
        pool.nodes[1].state = TRIVET_DEGRADED
        pool.nodes[1].tier = 2
        pool.nodes[1].weight = 0
        strategy.update(TRIVET_CHANGED_STATE | TRIVET_CHANGED_WEIGHT)
        #expect(strategy.pick(sessionNode: 1).node == 1)
    }

    @Test func aNewClientIsPassedOnAndSticks() throws {
        let picked = try library.strategy(pool: FakePool(["a", "b"])).pick()
        #expect(picked.decision == TRIVET_PASS)
        #expect(picked.node == nil)
        #expect(picked.sticks)
    }

    @Test(arguments: [TRIVET_DOWN, 77])
    func aClientWhoseNodeIsDownSticksToAnother(state: UInt32) throws {
        let pool = FakePool(["a", "b"])
        let strategy = try library.strategy(pool: pool)
        pool.nodes[0].state = state
        let picked = strategy.pick(sessionNode: 0)
        #expect(picked.decision == TRIVET_PASS)
        #expect(picked.sticks)
        pool.nodes[0].state = TRIVET_UP
        #expect(strategy.pick(sessionNode: 0).node == 0)
    }

    @Test func aClientWhoseNodeHasJustFailedSticksToAnother() throws {
        let strategy = try library.strategy(pool: FakePool(["a", "b"]))
        let picked = strategy.pick(attempt: 1, tried: [0], sessionNode: 0)
        #expect(picked.decision == TRIVET_PASS)
        #expect(picked.sticks)
        #expect(strategy.pick(attempt: 1, tried: [1], sessionNode: 0).node == 0)
    }

    @Test func nodesComeAndGo() throws {
        let pool = FakePool([String]())
        let strategy = try library.strategy(pool: pool)
        #expect(strategy.pick().decision == TRIVET_PASS)
        pool.nodes = (0..<10_000).map { FakePool.Node(name: "n\($0)") }
        strategy.update(TRIVET_CHANGED_NODES)
        #expect(strategy.pick(sessionNode: 9_999).node == 9_999)
        pool.nodes.removeLast()
        strategy.update(TRIVET_CHANGED_NODES)
        #expect(strategy.pick(sessionNode: 9_999).decision == TRIVET_PASS)
    }
}
