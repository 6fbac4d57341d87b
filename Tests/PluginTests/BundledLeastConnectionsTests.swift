// The bundled least connections against the obvious: the least of all quotients, and turns among equals
// as nginx gives them.

import Base
import CTrivet
import Testing

@Suite struct BundledLeastConnectionsTests {
    let library: PluginLibrary

    init() throws { library = try PluginLibrary("libtrivet-least-connections.so") }

    func pool(_ nodes: [(weight: UInt32, running: UInt32)]) -> FakePool {
        FakePool(
            nodes.enumerated().map {
                FakePool.Node(
                    name: "n\($0)", weight: $1.weight, id: 9 + UInt64($0), running: $1.running)
            })
    }

    @Test func theLeastBusyForItsWeightIsTaken() throws {
        // 4/2 < 3/1, 10/4 and 21/10.
        let strategy = try library.strategy(pool: pool([(1, 3), (4, 10), (2, 4), (10, 21)]))
        #expect(strategy.pick().node == 2)
        #expect(strategy.pick(attempt: 1, tried: [2]).node == 3)
        #expect(strategy.pick(attempt: 1, tried: [2, 3]).node == 1)
        #expect(strategy.pick(explain: true).reason == "least busy: 4 running")
        #expect(strategy.pick().reason == "least busy")
    }

    @Test func noProductOverflows() throws {
        let strategy = try library.strategy(
            pool: pool([(.max, .max), (.max - 1, .max), (.max, .max - 1)]))
        #expect(strategy.pick().node == 2)
    }

    /// ngx_http_upstream_get_least_conn_peer, without failures and limits.
    struct Nginx {
        var current: [Int]

        mutating func next(_ peers: [(weight: UInt32, running: UInt32)]) -> Int {
            let usable = peers.indices.filter { peers[$0].weight > 0 }
            func quotient(_ peer: Int) -> (Int, Int) {
                (Int(peers[peer].running), Int(peers[peer].weight))
            }
            let least = usable.min {
                quotient($0).0 * quotient($1).1 < quotient($1).0 * quotient($0).1
            }!
            let equals = usable.filter {
                quotient($0).0 * quotient(least).1 == quotient(least).0 * quotient($0).1
            }
            guard equals.count > 1 else { return least }
            for peer in equals { current[peer] += quotient(peer).1 }
            let best = equals.max { current[$0] < current[$1] }!
            let first = equals.first { current[$0] == current[best] }!
            current[first] -= equals.reduce(0) { $0 + quotient($1).1 }
            return first
        }
    }

    @Test func aLongDayIsTheSameAsWithNginx() throws {
        var dice = SplitMix64(seed: 11)
        for _ in 0..<20 {
            var peers = (0..<Int.random(in: 1...8, using: &dice)).map { _ in
                (weight: UInt32.random(in: 1...5, using: &dice), running: UInt32(0))
            }
            var nginx = Nginx(current: peers.map { _ in 0 })
            let pool = pool(peers)
            let strategy = try library.strategy(pool: pool)
            var open: [Int] = []
            for _ in 0..<400 {
                let expected = nginx.next(peers)
                #expect(strategy.pick().node == expected)
                peers[expected].running += 1
                open.append(expected)
                // Ends in any order; few or many are open.
                while open.count > 30 || (!open.isEmpty && dice.next() % 5 < 2) {
                    let done = open.remove(at: Int(dice.next() % UInt64(open.count)))
                    peers[done].running -= 1
                    pool.run(peers[done].running, on: done)
                }
                pool.run(peers[expected].running, on: expected)
            }
        }
    }

    @Test func anIdlePoolTakesTurnsByWeight() throws {
        let strategy = try library.strategy(pool: pool([(5, 0), (1, 0), (1, 0)]))
        #expect(strategy.series(7) == [0, 0, 1, 0, 2, 0, 0])
    }

    @Test func workersBeginAtDifferentNodes() throws {
        let first = try (0..<4).map { worker in
            try library.strategy(
                pool: pool([(1, 0), (1, 0), (1, 0), (1, 0)]), worker: worker, workers: 4
            ).pick().node
        }
        #expect(first == [0, 1, 2, 3])
    }

    @Test func turnsGoOnInAnotherInstanceWithOtherPlaces() throws {
        let old = try library.strategy(pool: pool([(1, 0), (1, 0), (1, 0)]))
        #expect(old.series(2) == [0, 1])
        let state = try #require(old.save())
        let turned = [2, 0, 1].map { old.pool.nodes[$0] }
        let new = try library.strategy(pool: FakePool(turned))
        #expect(new.load(state, version: 1) == true)
        #expect(new.pick().node == 0, "the third node, whose turn it is, is first now")
    }

    @Test func whatIsLeftOfALargePoolDoesNotWaitForTurnsOfTheRest() throws {
        let strategy = try library.strategy(pool: pool((0..<500).map { _ in (10, 0) }))
        _ = strategy.series(3)
        strategy.pool.nodes.removeLast(496)
        strategy.update(TRIVET_CHANGED_NODES)
        // Three had their turn just now, in the large pool: 500 turns would be the fourth's.
        #expect(strategy.tally(40).nodes.allSatisfy { $0 > 5 })
    }
}
