// What every bundled strategy owes, whichever it is: the right nodes, honest retries, pools of any
// size, nodes that come and go, and a reload that changes nothing. Each algorithm's own tests are in a
// file of its name.

import Base
import CTrivet
import Testing

@Suite struct BundledStrategiesTests {
    static let names = [
        "weighted-round-robin", "least-connections", "two-choices", "random", "peak-ewma",
    ]
    static let everything =
        TRIVET_CHANGED_NODES | TRIVET_CHANGED_STATE | TRIVET_CHANGED_WEIGHT
        | TRIVET_CHANGED_METADATA

    func library(_ name: String) throws -> PluginLibrary {
        try PluginLibrary("libtrivet-\(name).so")
    }

    @Test(arguments: names)
    func theFileOffersWhatItsNameSays(_ name: String) throws {
        let library = try library(name)
        #expect(library.offers.map(\.name) == [name])
        #expect(library.version == "1.0.0" && library.name == name)
    }

    @Test(arguments: names)
    func whatTheHostSaysDownGetsNothingEvenBeforeAnUpdate(_ name: String) throws {
        let pool = FakePool((0..<7).map { FakePool.Node(name: "n\($0)", running: 1) })
        let strategy = try library(name).strategy(pool: pool)
        var dice = SplitMix64(seed: 7)
        for round in 0..<200 {
            for node in pool.nodes.indices {
                pool.nodes[node].state = UInt32(dice.next() % 4)
                pool.nodes[node].tier = UInt32(dice.next() % 2)
            }
            if round % 2 == 0 { strategy.update(TRIVET_CHANGED_STATE) }
            let (tally, none) = strategy.tally(20)
            let ready = Set(pool.ready)
            #expect(none == (ready.isEmpty ? 20 : 0))
            for node in pool.nodes.indices where !ready.contains(node) { #expect(tally[node] == 0) }
        }
    }

    @Test(arguments: names)
    func whatComesBackGetsItsShareAgain(_ name: String) throws {
        let pool = FakePool((0..<3).map { FakePool.Node(name: "n\($0)", running: 1) })
        let strategy = try library(name).strategy(pool: pool)
        pool.nodes[1].state = TRIVET_DOWN
        strategy.update(TRIVET_CHANGED_STATE)
        #expect(strategy.tally(300).nodes[1] == 0)
        pool.nodes[1].state = TRIVET_UP
        strategy.update(TRIVET_CHANGED_STATE)
        #expect(strategy.tally(300).nodes.allSatisfy { $0 > 60 })
    }

    @Test(arguments: names)
    func backupsWaitAndDrainingNodesServeOnIfTheyAreAllThereIs(_ name: String) throws {
        let pool = FakePool(["a", "b", "backup"].map { FakePool.Node(name: $0, running: 1) })
        let strategy = try library(name).strategy(pool: pool)
        pool.nodes[2].tier = 1
        strategy.update(TRIVET_CHANGED_STATE)
        #expect(strategy.tally(50).nodes[2] == 0)
        pool.nodes[0].state = TRIVET_DOWN
        pool.nodes[1].state = TRIVET_DRAINING
        strategy.update(TRIVET_CHANGED_STATE)
        #expect(strategy.tally(50).nodes == [0, 0, 50])
        pool.nodes[2].state = TRIVET_DOWN
        strategy.update(TRIVET_CHANGED_STATE)
        #expect(strategy.tally(50).nodes == [0, 50, 0])
    }

    @Test(arguments: names)
    func aRetryGoesToANodeThatWasNotTried(_ name: String) throws {
        let tickets = Tickets()
        let pool = FakePool(
            ["a", "b", "c", "d"].map { FakePool.Node(name: $0, running: 1) }, tickets: tickets)
        pool.nodes[0].weight = 60_000
        let strategy = try library(name).strategy(pool: pool)
        var retried: Set<Int> = []
        for _ in 0..<200 {
            let retry = strategy.pick(attempt: 1, tried: [0])
            #expect(retry.decision == TRIVET_PICKED && retry.node != 0)
            retried.insert(retry.node ?? -1)
        }
        for _ in 0..<20 {
            #expect([1, 3].contains(strategy.pick(attempt: 2, tried: [0, 2]).node))
            #expect(strategy.pick(attempt: 3, tried: [2, 0, 3]).node == 1)
        }
        #expect(retried == [1, 2, 3], "the retries of one node are spread over all others")
        #expect(tickets.next.load(ordering: .relaxed) == 0, "a retry takes no turn")
        let last = strategy.pick(attempt: 4, tried: [0, 1, 2, 3])
        #expect(last.decision == TRIVET_PICKED && last.reason == "all were tried")
    }

    @Test(arguments: names)
    func weightZeroGetsNothingWhileAnotherHasMore(_ name: String) throws {
        let pool = FakePool((0..<4).map { FakePool.Node(name: "n\($0)", running: 0) })
        pool.nodes[1].weight = 0
        pool.nodes[3].weight = 0
        let strategy = try library(name).strategy(pool: pool)
        let tally = strategy.tally(400).nodes
        #expect(tally[1] == 0 && tally[3] == 0 && tally[0] > 100 && tally[2] > 100)
        #expect(strategy.pick(attempt: 1, tried: [0]).node == 2)
        #expect([1, 3].contains(strategy.pick(attempt: 2, tried: [0, 2]).node))
        for _ in 0..<20 {
            let again = strategy.pick(attempt: 4, tried: [0, 1, 2, 3])
            #expect([0, 2].contains(again.node))
        }
        // The last of those with weight goes: the others are all there is.
        pool.nodes[0].state = TRIVET_DOWN
        pool.nodes[2].state = TRIVET_DOWN
        strategy.update(TRIVET_CHANGED_STATE)
        let rest = strategy.tally(400).nodes
        #expect(rest[1] > 100 && rest[3] > 100 && rest[1] + rest[3] == 400)
    }

    @Test(arguments: names)
    func anIdlePoolIsSharedByWeight(_ name: String) throws {
        let weights: [UInt32] = [1, 7, 2, 0, 10]
        let pool = FakePool(weights.map { FakePool.Node(name: "n", weight: $0, running: 0) })
        let strategy = try library(name).strategy(pool: pool)
        let tally = strategy.tally(20_000).nodes
        for (node, weight) in weights.enumerated() {
            // Dice are allowed four standard deviations; turns need none.
            #expect(abs(tally[node] - Int(weight) * 1000) <= 4 * 71)
        }
    }

    @Test(arguments: names)
    func poolsOfNoneOneAndTenThousand(_ name: String) throws {
        let library = try library(name)
        #expect(try library.strategy(pool: FakePool([String]())).series(3) == [nil, nil, nil])
        let one = try library.strategy(pool: FakePool(["a"]))
        #expect(one.tally(100).nodes == [100])
        #expect(one.pick(attempt: 1, tried: [0]).node == 0)
        one.pool.nodes[0].state = TRIVET_DOWN
        one.update(TRIVET_CHANGED_STATE)
        #expect(one.series(2) == [nil, nil])
        let many = FakePool(
            (0..<10_000).map {
                FakePool.Node(name: "n\($0)", weight: UInt32($0 % 10) + 1, running: 0)
            })
        let strategy = try library.strategy(pool: many)
        let tally = strategy.tally(2000)
        #expect(tally.none == 0)
        #expect(tally.nodes.filter { $0 > 0 }.count > 1000, "they are spread")
        let state = strategy.save() ?? []
        #expect(state.count <= 64 * 1024 + 64 * 10_000)
        many.nodes.removeLast(9_990)
        strategy.update(Self.everything)
        #expect(strategy.tally(1000).nodes.allSatisfy { $0 > 0 })
    }

    @Test(arguments: names)
    func afterNodesCameAndWentEachNodeHasItsOwnWeight(_ name: String) throws {
        let pool = FakePool(
            (0..<5).map { FakePool.Node(name: "n\($0)", id: 100 + UInt64($0), running: 0) })
        let strategy = try library(name).strategy(pool: pool)
        _ = strategy.tally(17)
        // Another order, one gone, two new: all indices are new.
        let others: [(id: UInt64, weight: UInt32)] = [(104, 6), (200, 1), (101, 2), (201, 3)]
        pool.nodes = others.map {
            FakePool.Node(name: "n\($0.id)", weight: $0.weight, id: $0.id, running: 0)
        }
        strategy.update(Self.everything)
        let tally = strategy.tally(12_000).nodes
        for (node, expected) in [6000, 1000, 2000, 3000].enumerated() {
            #expect(abs(tally[node] - expected) < 250)
        }
        pool.nodes = []
        strategy.update(Self.everything)
        #expect(strategy.series(2) == [nil, nil])
        pool.nodes = [FakePool.Node(name: "back", id: 104)]
        strategy.update(Self.everything)
        #expect(strategy.series(2) == [0, 0])
    }

    /// Updated in place, or made anew with what was saved: nobody can tell.
    @Test(arguments: names)
    func anUpdateAndANewInstanceAgree(_ name: String) throws {
        let library = try library(name)
        let weights: [[UInt32]] = [[5, 1, 1], [65_521, 65_519, 65_497]]
        for weights in weights {
            let nodes = weights.enumerated().map { at, weight in
                FakePool.Node(name: "n\(at)", weight: weight, id: 7 + UInt64(at), running: 0)
            }
            let old = try library.strategy(pool: FakePool(nodes))
            _ = old.tally(10)
            for node in 0..<3 { old.result(node: node, firstByte: 1_000_000 + UInt64(node)) }
            let mixed = [nodes[2], FakePool.Node(name: "new", id: 99, running: 0), nodes[0]]
            let new = try library.strategy(pool: FakePool(mixed, tickets: old.pool.tickets))
            let version = unsafe old.table.pointee.state_version
            if let state = old.save() { #expect(new.load(state, version: version) == true) }
            old.pool.nodes = mixed
            old.update(Self.everything)
            old.host.random = SplitMix64(seed: 5)
            new.host.random = SplitMix64(seed: 5)
            old.pool.tickets.next.store(0, ordering: .relaxed)
            let expected = old.series(500)
            old.pool.tickets.next.store(0, ordering: .relaxed)
            #expect(new.series(500) == expected)
        }
    }

    @Test(arguments: names)
    func damagedStateIsRefusedAndHarmsNothing(_ name: String) throws {
        let library = try library(name)
        let nodes = [65_521, 65_519, 65_497].map {
            FakePool.Node(name: "n", weight: $0, running: 0)
        }
        let old = try library.strategy(pool: FakePool(nodes))
        _ = old.tally(10)
        for node in 0..<3 { old.result(node: node, firstByte: 1_000_000) }
        guard let state = old.save() else {
            #expect(["two-choices", "random"].contains(name), "these learn nothing")
            return
        }
        let new = try library.strategy(pool: FakePool(nodes))
        let version = unsafe old.table.pointee.state_version
        for length in 0..<state.count {
            #expect(new.load(Array(state.prefix(length)), version: version) == false)
        }
        #expect(new.load(state + [0], version: version) == false)
        #expect(new.load(state, version: version + 1) == false)
        #expect(new.load(Array(repeating: 0xFF, count: state.count), version: version) == false)
        #expect(new.tally(300).none == 0)
        #expect(new.load(state, version: version) == true)
        #expect(new.tally(300).none == 0)
    }
}
