// What all bundled hash strategies owe their users, as .so files behind the ABI: a client stays where
// it is, whatever happens to the nodes of others. What each of them alone promises is in its own file.

import CAllocations
import CLinux
import CTrivet
import Testing

/// A hash strategy under test.
enum Hashing: String, CaseIterable, Sendable {
    case ip = "ip-hash"
    case ring = "ring-hash"
    case maglev
    case bounded = "bounded-load"

    func load() throws -> PluginLibrary { try PluginLibrary("libtrivet-\(rawValue).so") }
}

/// Nodes with addresses and ids of their own, that nothing is running on.
func hashed(_ count: Int, weights: [UInt32] = []) -> [FakePool.Node] {
    (0..<count).map { index in
        FakePool.Node(
            name: "n\(index)", weight: index < weights.count ? weights[index] : 1,
            id: UInt64(index) &* 0x9E37_79B9_7F4A_7C15, running: 0,
            address: "10.1.0.1:\(8000 + index)")
    }
}

func hashedPool(_ nodes: [FakePool.Node]) -> FakePool { FakePool(nodes) }

@Suite struct BundledHashingTests {
    static let clients = (0..<400).map { "10.\($0 % 7).\($0 % 256).\($0 / 2)" }

    private func nodes(_ strategy: FakeStrategy) -> [Int?] {
        Self.clients.map { strategy.pick(client: $0).node }
    }

    @Test(arguments: Hashing.allCases)
    func itOffersWhatTheConfigurationCallsIt(_ hashing: Hashing) throws {
        let library = try hashing.load()
        #expect(library.offers.map(\.name) == [hashing.rawValue])
        #expect(library.version == "1.0.0")
        let option = [
            .ip: "whole_address", .ring: "points", .maglev: "table", .bounded: "factor",
        ][hashing]
        #expect(library.offers.first?.options == [try #require(option)])
    }

    @Test(arguments: Hashing.allCases)
    func withoutANodeTheFallbackDecides(_ hashing: Hashing) throws {
        let library = try hashing.load()
        let none = try library.strategy(pool: hashedPool([]))
        #expect(none.pick(client: "10.0.0.1").decision == TRIVET_PASS)
        let pool = hashedPool(hashed(3))
        let down = try library.strategy(pool: pool)
        for index in 0..<3 { pool.nodes[index].state = TRIVET_DOWN }
        #expect(down.pick(client: "10.0.0.1").decision == TRIVET_PASS)
    }

    @Test(arguments: Hashing.allCases)
    func aNodeAloneGetsEverything(_ hashing: Hashing) throws {
        let strategy = try hashing.load().strategy(pool: hashedPool(hashed(1)))
        #expect(Set(nodes(strategy)) == [0])
        #expect(strategy.pick(client: "unix:").node == 0)
        #expect(strategy.pick(attempt: 1, tried: [0], client: "10.0.0.1").node == 0)
    }

    @Test(arguments: Hashing.allCases)
    func allWorkersAndAllBuildsAgree(_ hashing: Hashing) throws {
        let first = try hashing.load().strategy(pool: hashedPool(hashed(7)))
        let second = try hashing.load().strategy(
            pool: hashedPool(hashed(7)), worker: 3, workers: 4)
        #expect(nodes(first) == nodes(second))
        #expect(Set(nodes(first)).count == 7, "400 clients reach all nodes")
    }

    @Test(arguments: Hashing.allCases)
    func onlyNodesThatAreReadyArePicked(_ hashing: Hashing) throws {
        let pool = hashedPool(hashed(12))
        let strategy = try hashing.load().strategy(pool: pool)
        let states = [TRIVET_UP, TRIVET_DOWN, TRIVET_DRAINING, TRIVET_DEGRADED, 77]
        for index in 0..<12 {
            pool.nodes[index].state = states[index % 5]
            pool.nodes[index].tier = index < 6 ? 1 : 0
        }
        // Of tier 0 nodes 8, 10 (degraded, up) are ready, and 6, 7, 9, 11 are not.
        #expect(Set(nodes(strategy)) == [8, 10])
        pool.nodes[8].state = TRIVET_DOWN
        pool.nodes[10].state = TRIVET_DRAINING
        #expect(Set(nodes(strategy)) == [0, 3, 5], "the backups")
    }

    @Test(arguments: Hashing.allCases)
    func ifAllDrainTheyServeOn(_ hashing: Hashing) throws {
        let pool = hashedPool(hashed(4))
        let strategy = try hashing.load().strategy(pool: pool)
        let before = nodes(strategy)
        for index in 0..<3 { pool.nodes[index].state = TRIVET_DRAINING }
        pool.nodes[3].state = TRIVET_DOWN
        let after = nodes(strategy)
        #expect(Set(after) == [0, 1, 2])
        for (old, new) in zip(before, after) where old != 3 { #expect(old == new) }
    }

    @Test(arguments: Hashing.allCases)
    func aNodeThatGoesDownMovesItsOwnClientsOnlyAndGetsThemBack(_ hashing: Hashing) throws {
        let pool = hashedPool(hashed(6))
        let strategy = try hashing.load().strategy(pool: pool)
        let before = nodes(strategy)
        pool.nodes[2].state = TRIVET_DOWN
        strategy.update(TRIVET_CHANGED_STATE)
        let during = nodes(strategy)
        var heirs: Set<Int> = []
        for (old, new) in zip(before, during) {
            if old == 2 { heirs.insert(try #require(new)) } else { #expect(old == new) }
        }
        #expect(heirs.count >= 3 && !heirs.contains(2), "its clients are spread over the others")
        pool.nodes[2].state = TRIVET_UP
        strategy.update(TRIVET_CHANGED_STATE)
        #expect(nodes(strategy) == before)
    }

    @Test(arguments: Hashing.allCases)
    func retriesGoToEveryOtherNodeBeforeOneTwice(_ hashing: Hashing) throws {
        let strategy = try hashing.load().strategy(pool: hashedPool(hashed(6)))
        for client in Self.clients.prefix(50) {
            var tried: [Int] = []
            for attempt in 0..<6 {
                let node = try #require(
                    strategy.pick(attempt: attempt, tried: tried, client: client).node)
                #expect(!tried.contains(node))
                tried.append(node)
            }
            #expect(
                strategy.pick(attempt: 6, tried: tried, client: client).decision == TRIVET_PICKED)
        }
    }

    @Test(arguments: Hashing.allCases)
    func aNodeOfWeightZeroGetsNothingWhileAnotherHasMore(_ hashing: Hashing) throws {
        let library = try hashing.load()
        let pool = hashedPool(hashed(3, weights: [1, 0, 2]))
        let strategy = try library.strategy(pool: pool)
        #expect(Set(nodes(strategy)) == [0, 2])
        #expect(strategy.pick(attempt: 2, tried: [0, 2], client: "10.0.0.1").node == 1)
        let weightless = try library.strategy(
            pool: hashedPool(hashed(3, weights: [0, 0, 0])))
        #expect(Set(nodes(weightless)) == [0, 1, 2])
    }

    @Test(arguments: Hashing.allCases)
    func tenThousandNodesServe(_ hashing: Hashing) throws {
        let pool = hashedPool(hashed(10_000))
        let strategy = try hashing.load().strategy(pool: pool)
        let before = nodes(strategy)
        // Clients with one network in common share a node of ip-hash; there are 256 of these.
        #expect(Set(before).count > (hashing == .ip ? 200 : 350))
        var few = pool.nodes
        for index in few.indices where index % 2500 != 7 { few[index].state = TRIVET_DOWN }
        pool.nodes = few
        let after = nodes(strategy)
        #expect(Set(after) == [7, 2507, 5007, 7507])
        #expect(nodes(strategy) == after)
        few[7].state = TRIVET_DOWN
        pool.nodes = few
        for (old, new) in zip(after, nodes(strategy)) where old != 7 { #expect(old == new) }
    }

    @Test(arguments: [Hashing.ring, .maglev, .bounded])
    func theConfiguredKeyCountsAndElseTheClient(_ hashing: Hashing) throws {
        let strategy = try hashing.load().strategy(pool: hashedPool(hashed(5)))
        var byKey: Set<Int?> = []
        for key in 1...100 as ClosedRange<UInt64> {
            let hash = key &* 0x9E37_79B9_7F4A_7C15
            let node = strategy.pick(hash: hash, client: "10.0.0.1").node
            #expect(strategy.pick(hash: hash, client: "10.9.9.9").node == node)
            byKey.insert(node)
        }
        #expect(byKey.count == 5)
    }

    #if DEBUG
        static let isJudged = false
    #else
        static let isJudged = allocations_are_counted()
    #endif

    @Test(arguments: Hashing.allCases)
    func aPickCostsNoAllocation(_ hashing: Hashing) throws {
        let pool = hashedPool(hashed(100))
        let strategy = try hashing.load().strategy(pool: pool)
        for index in 0..<40 { pool.nodes[index].state = TRIVET_DOWN }
        strategy.update(TRIVET_CHANGED_STATE)
        let thread = clinux_gettid()
        var count: UInt64 = 0
        strategy.pickWarm(2000) { isOn in
            if isOn {
                allocations_watch(thread)
            } else {
                count = allocations_count()
                allocations_watch(0)
            }
        }
        if Self.isJudged { #expect(count == 0) }
    }
}
