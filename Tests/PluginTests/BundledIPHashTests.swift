// The bundled ip-hash: where nginx's ip_hash sends a client, by nginx's own answers and by a second
// implementation.

import Base
import CTrivet
import Testing

@Suite struct BundledIPHashTests {
    let library: PluginLibrary

    init() throws { library = try PluginLibrary("libtrivet-ip-hash.so") }

    static let v4 = (0..<64).map { "10.\($0 * 7 % 256).\($0 * 31 % 256).\($0)" }
    static let v6 = (0..<32).map { i in
        i == 0
            ? "2001:db8::"
            : "2001:db8:"
                + [i, i, i, 2 * i, 3 * i, 5 * i].map { String($0, radix: 16) }
                .joined(separator: ":")
    }

    // nginx 1.22.1 with `ip_hash`, five servers of weights 1, 2, 1, 3, 1, and the addresses above as
    // X-Real-IP: which server answered, and which with the second and fourth `down`.
    static let answers4 = "3214331033103321432143310331043214321214331033103321432143310331"
    static let answers4Down = "2204224040204224422040020022040204424224440004204224422044420002"
    static let answers6 = "41313413034130341303413034130341"
    static let answers6Down = "42224420004220244404404024000044"

    @Test func whoComesFromNginxKeepsTheMapping() throws {
        let pool = hashedPool(hashed(5, weights: [1, 2, 1, 3, 1]))
        let strategy = try library.strategy(pool: pool)
        func answers(_ clients: [String]) -> String {
            clients.map { String(strategy.pick(client: $0).node ?? -1) }.joined()
        }
        #expect(answers(Self.v4) == Self.answers4)
        #expect(answers(Self.v6) == Self.answers6)
        pool.nodes[1].state = TRIVET_DOWN
        pool.nodes[3].state = TRIVET_DOWN
        strategy.update(TRIVET_CHANGED_STATE)
        #expect(answers(Self.v4) == Self.answers4Down)
        #expect(answers(Self.v6) == Self.answers6Down)
    }

    /// All nodes that nginx's scheme leads to, one after the other, until it gives up; from its
    /// description, with every unit of weight written out.
    static func order(_ octets: [UInt8], weights: [Int], down: Set<Int>) -> [Int] {
        let slots = weights.enumerated().flatMap { index, weight in
            Array(repeating: index, count: weight)
        }
        var used = down
        var order: [Int] = []
        var hash = 89
        var vain = 0
        while vain <= 20 {
            for octet in octets { hash = (hash * 113 + Int(octet)) % 6271 }
            let node = slots[hash % slots.count]
            if used.insert(node).inserted { order.append(node) } else { vain += 1 }
        }
        return order
    }

    @Test func everyAttemptGoesWhereTheSecondImplementationSays() throws {
        var random = SplitMix64(seed: 7)
        for _ in 0..<300 {
            let count = Int.random(in: 1...9, using: &random)
            let weights = (0..<count).map { _ in UInt32.random(in: 1...20, using: &random) }
            let pool = hashedPool(hashed(count, weights: weights))
            let strategy = try library.strategy(pool: pool)
            let down = Set((0..<count).filter { _ in Int.random(in: 0..<4, using: &random) == 0 })
            if down.count == count { continue }
            for index in down { pool.nodes[index].state = TRIVET_DOWN }
            strategy.update(TRIVET_CHANGED_STATE)
            let octets = (0..<4).map { _ in UInt8.random(in: 0...255, using: &random) }
            let client = octets.map(String.init).joined(separator: ".")
            let order = Self.order(
                Array(octets.prefix(3)), weights: weights.map { Int($0) }, down: down)
            for attempt in order.indices {
                let picked = strategy.pick(
                    attempt: attempt, tried: Array(order.prefix(attempt)), client: client)
                #expect(picked.node == order[attempt])
            }
        }
    }

    @Test func aNetworkSharesANodeUnlessTheWholeAddressCounts() throws {
        let clients = (0..<256).map { "192.0.2.\($0)" }
        let network = try library.strategy(pool: hashedPool(hashed(4)))
        #expect(Set(clients.map { network.pick(client: $0).node }).count == 1)
        let whole = try library.strategy(
            "{\"whole_address\": true}", pool: hashedPool(hashed(4)))
        #expect(Set(clients.map { whole.pick(client: $0).node }).count == 4)
        let expected = Self.order([192, 0, 2, 9], weights: [1, 1, 1, 1], down: [])[0]
        #expect(whole.pick(client: "192.0.2.9").node == expected)
    }

    @Test(arguments: [
        ("2001:db8::1", "2001:0DB8:0:0:0:0:0:1"), ("::1", "0:0:0:0:0:0:0:1"),
        ("fe80::1%eth0", "fe80::1"), ("::ffff:10.20.30.40", "10.20.30.40"),
        ("::ffff:a14:1e28", "10.20.30.40"), ("64:ff9b::10.20.30.40", "64:ff9b::a14:1e28"),
        ("", "not an address"), ("1::2::3", "12345::"), ("10.0.0.256", "10.0.0"),
    ])
    func oneAddressIsOneClientHoweverItIsWritten(_ one: String, _ other: String) throws {
        let pool = hashedPool(hashed(6000))
        let strategy = try library.strategy("{\"whole_address\": true}", pool: pool)
        #expect(strategy.pick(client: one).node == strategy.pick(client: other).node)
    }

    @Test func everyClientOfALargePoolHasANode() throws {
        // Beyond 6271 nginx's hash reaches no node.
        let strategy = try library.strategy(pool: hashedPool(hashed(8000)))
        var beyond = 0
        for index in 0..<2000 {
            let node = try #require(
                strategy.pick(client: "10.\(index / 256).\(index % 256).1").node)
            if node >= 6271 { beyond += 1 }
        }
        #expect((300...570).contains(beyond), "a fifth of the nodes get a fifth of the clients")
    }

    @Test func newWeightsAndNewNodesCountAtOnce() throws {
        let pool = hashedPool(hashed(3))
        let strategy = try library.strategy(pool: pool)
        pool.nodes = hashed(5, weights: [1, 2, 1, 3, 1])
        strategy.update(TRIVET_CHANGED_NODES | TRIVET_CHANGED_STATE)
        #expect(
            Self.v4.map { String(strategy.pick(client: $0).node ?? -1) }.joined() == Self.answers4)
        pool.nodes[0].weight = 0
        strategy.update(TRIVET_CHANGED_WEIGHT)
        #expect(!Self.v4.contains { strategy.pick(client: $0).node == 0 })
        pool.nodes = hashed(1)
        strategy.update(TRIVET_CHANGED_NODES)
        #expect(strategy.pick(client: "10.0.0.1").node == 0)
    }

    @Test func theConfiguredKeyMakesNoDifference() throws {
        let strategy = try library.strategy(pool: hashedPool(hashed(5)))
        let nodes = (1...50).map { strategy.pick(hash: $0 << 40, client: "10.0.0.1").node }
        #expect(Set(nodes).count == 1)
    }

    @Test func aWrongOptionIsRefusedWithASentence() throws {
        let sentence = "option \"whole_address\" must be true or false, not \"yes\""
        #expect(throws: Refused(sentence: sentence)) {
            try library.strategy("{\"whole_address\": \"yes\"}", pool: hashedPool(hashed(1)))
        }
    }
}
