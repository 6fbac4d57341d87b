// The bundled bounded-load: no node above its bound, whatever keys come; and a key that stays where it
// is as long as there is room.

import Base
import CTrivet
import Testing

@Suite struct BundledBoundedLoadTests {
    let library: PluginLibrary

    init() throws { library = try PluginLibrary("libtrivet-bounded-load.so") }

    @Test(arguments: [(1.0, false), (1.25, false), (1.25, true), (2.0, false)])
    func noNodeExceedsTheBound(_ factor: Double, _ isOneKey: Bool) throws {
        let weights: [UInt32] = [1, 2, 3, 1, 1, 4, 1, 2]
        let pool = hashedPool(hashed(8, weights: weights))
        let strategy = try library.strategy("{\"factor\": \(factor)}", pool: pool)
        var random = SplitMix64(seed: 3)
        var running: [Int] = []
        for step in 0..<3000 {
            // Up to a few hundred at once, then down again, and up.
            if step / 700 % 2 == 1, !running.isEmpty {
                let ended = running.remove(at: Int.random(in: running.indices, using: &random))
                pool.nodes[ended].running! -= 1
                if step % 3 > 0 { continue }
            }
            let key = isOneKey ? 7 << 40 : random.next() | 1
            let node = try #require(strategy.pick(hash: key).node)
            pool.nodes[node].running! += 1
            running.append(node)
            let bound = factor * Double(running.count) * Double(weights[node]) / 15
            #expect(Double(pool.nodes[node].running!) <= (bound - 1e-9).rounded(.up))
        }
    }

    @Test func aKeyStaysWhileThereIsRoomAndComesBackWhenThereIs() throws {
        let pool = hashedPool(hashed(5))
        let ring = try PluginLibrary("libtrivet-ring-hash.so").strategy(pool: hashedPool(hashed(5)))
        let strategy = try library.strategy(pool: pool)
        for index in 0..<5 { pool.nodes[index].running = 10 }
        for key in (1...200).map({ $0 * 0x9E37_79B9_7F4A }) as [UInt64] {
            #expect(strategy.pick(hash: key).node == ring.pick(hash: key).node, "the same ring")
        }
        let key: UInt64 = 0x1234_5678_0000_0001
        let own = try #require(strategy.pick(hash: key).node)
        pool.nodes[own].running = 13  // 1.25 * 54 / 5 = 13.5
        #expect(strategy.pick(hash: key).node == own)
        #expect(strategy.pick(hash: key).reason == "its place")
        pool.nodes[own].running = 14  // 1.25 * 55 / 5 = 13.75
        let other = strategy.pick(hash: key)
        #expect(other.reason == "next with room")
        #expect(other.node == ring.pick(attempt: 1, tried: [own], hash: key).node)
        pool.nodes[own].running = 10
        #expect(strategy.pick(hash: key).node == own)
    }

    @Test func nodesThatAreNotReadyDoNotCount() throws {
        let pool = hashedPool(hashed(3))
        let strategy = try library.strategy("{\"factor\": 1}", pool: pool)
        pool.nodes[0].state = TRIVET_DRAINING
        pool.nodes[0].running = 1000  // uploads that run to their end are no reason to pile up
        pool.nodes[1].running = 5
        pool.nodes[2].running = 4
        for key in 1...50 as ClosedRange<UInt64> {
            #expect(strategy.pick(hash: key << 56 | 1).node == 2)
        }
    }

    @Test func inALargePoolTheSumsAreFollowedByTheMillisecond() throws {
        let pool = hashedPool(hashed(200))
        let strategy = try library.strategy(pool: pool)
        let key: UInt64 = 0x1234_5678_0000_0001
        let own = try #require(strategy.pick(hash: key).node)
        pool.nodes[own].running = 2
        #expect(strategy.pick(hash: key).node != own, "1 each is the bound")
        var busy = pool.nodes
        for index in busy.indices { busy[index].running = 5 }
        pool.nodes = busy
        strategy.host.now += 1_000_000
        #expect(strategy.pick(hash: key).node == own)
        for index in busy.indices { busy[index].running = 0 }
        busy[own].running = 2
        pool.nodes = busy
        strategy.host.now += 1_000_000
        #expect(strategy.pick(hash: key).node != own)
    }

    @Test func oneKeyAloneIsSpreadOverALargePoolWithinTheMillisecond() throws {
        let pool = hashedPool(hashed(100))
        let strategy = try library.strategy(pool: pool)
        for running in 1...300 {
            let node = try #require(strategy.pick(hash: 1 << 40).node)
            pool.nodes[node].running! += 1
            let bound = (1.25 * Double(running) / 100).rounded(.up)
            #expect(Double(pool.nodes[node].running!) <= bound)
        }
    }

    @Test(arguments: [("0.9", "0.9"), ("101", "101"), ("\"much\"", "\"much\"")])
    func aWrongOptionIsRefusedWithASentence(_ value: String, _ shown: String) throws {
        let sentence = "option \"factor\" must be a number from 1 to 100, not \(shown)"
        #expect(throws: Refused(sentence: sentence)) {
            try library.strategy("{\"factor\": \(value)}", pool: hashedPool(hashed(1)))
        }
    }
}
