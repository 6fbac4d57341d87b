// The bundled ring-hash: the same ring as nginx has, by nginx's own answers and by a second
// implementation; and few keys move.

import CTrivet
import Testing

@Suite struct BundledRingHashTests {
    let library: PluginLibrary

    init() throws { library = try PluginLibrary("libtrivet-ring-hash.so") }

    /// CRC-32 bit by bit, from its definition.
    static func crc32(_ bytes: [UInt8]) -> UInt32 {
        var register: UInt32 = ~0
        for byte in bytes {
            for bit in 0..<8 {
                let isSet = (register ^ UInt32(byte) >> UInt32(bit)) & 1 == 1
                register = (register >> 1) ^ (isSet ? 0xEDB8_8320 : 0)
            }
        }
        return ~register
    }

    /// A key that lies at a place on the ring.
    static func key(at place: UInt32) -> UInt64 { UInt64(place) << 32 | 1 }

    static func key(_ text: String) -> UInt64 { key(at: crc32(Array(text.utf8))) }

    @Test func theSecondImplementationKnowsTheCheckValueOfCRC32() {
        #expect(Self.crc32(Array("123456789".utf8)) == 0xCBF4_3926)
    }

    /// nginx 1.22.1 with `hash $arg_k consistent`, servers 127.0.0.1:18401 to 18405 of weights 1, 2, 1,
    /// 3, 1, was asked with k=key0 to key95: which server answered, and which with the fourth `down`.
    static let answers = """
        442011124133331003021211303214303313321303433133023333311131131133303344333103113303023140333331
        """
    static let answersWithoutTheFourth = """
        442011124112101004021211101214004111121104414121021012111141111100001444114100110400021140111401
        """

    static func nginxNodes() -> [FakePool.Node] {
        var nodes = hashed(5, weights: [1, 2, 1, 3, 1])
        for index in 0..<5 { nodes[index].address = "127.0.0.1:\(18401 + index)" }
        return nodes
    }

    @Test func whoComesFromNginxKeepsTheMapping() throws {
        let pool = hashedPool(Self.nginxNodes())
        let strategy = try library.strategy(pool: pool)
        let given = (0..<96).map { strategy.pick(hash: Self.key("key\($0)")).node ?? -1 }
        #expect(given.map(String.init).joined() == Self.answers)
        pool.nodes[3].state = TRIVET_DOWN
        let others = (0..<96).map { strategy.pick(hash: Self.key("key\($0)")).node ?? -1 }
        #expect(others.map(String.init).joined() == Self.answersWithoutTheFourth)
    }

    /// The node of a place, without a table: the point with the least way to go from the place.
    static func node(
        _ nodes: [(host: String, port: String, weight: Int)], at place: UInt32, points: Int,
        without: Set<Int> = []
    ) -> Int {
        var best = -1
        var bestWay: UInt32 = .max
        for (index, node) in nodes.enumerated() where !without.contains(index) {
            var last: [UInt8] = [0, 0, 0, 0]
            for _ in 0..<(node.weight * points) {
                let point = crc32(Array(node.host.utf8) + [0] + Array(node.port.utf8) + last)
                last = (0..<4).map { UInt8(truncatingIfNeeded: point >> (8 * $0)) }
                let way = point &- place
                if best < 0 || way < bestWay {
                    best = index
                    bestWay = way
                }
            }
        }
        return best
    }

    @Test(arguments: [160, 40])
    func theRingIsTheOneThatIsWrittenDown(points: Int) throws {
        let nodes = [
            (host: "10.0.0.7", port: "80", weight: 1), (host: "[::1]", port: "8080", weight: 2),
            (host: "/run/app.sock", port: "", weight: 1),
            (host: "node.example", port: "", weight: 1),
        ]
        let pool = hashedPool(hashed(4, weights: [1, 2, 1, 1]))
        for (index, address) in ["10.0.0.7:80", "[::1]:8080", "unix:/run/app.sock", "node.example"]
            .enumerated()
        {
            pool.nodes[index].address = address
        }
        let strategy = try library.strategy("{\"points\": \(points)}", pool: pool)
        #expect(strategy.describe() == "{\"points\":\(5 * points)}")
        let places = (0..<40).map { UInt32($0) &* 0x9E37_79B9 } + [0, .max]
        for place in places {
            let first = Self.node(nodes, at: place, points: points)
            let second = Self.node(nodes, at: place, points: points, without: [first])
            let key = Self.key(at: place)
            #expect(strategy.pick(hash: key).node == first)
            #expect(strategy.pick(attempt: 1, tried: [first], hash: key).node == second)
        }
    }

    @Test func aNodeThatLeavesMovesItsOwnKeysOnlyAndOneThatComesTakesItsShareOnly() throws {
        let nodes = hashed(10)
        let whole = try library.strategy(pool: hashedPool(nodes))
        let less = try library.strategy(pool: hashedPool(nodes.filter { $0.name != "n4" }))
        var moved = 0
        for index in 0..<2000 {
            let key = Self.key("key\(index)")
            let before = try #require(whole.pick(hash: key).node)
            let after = try #require(less.pick(hash: key).node)
            if before == 4 {
                moved += 1
            } else {
                #expect(after == (before > 4 ? before - 1 : before))
            }
        }
        #expect((100...320).contains(moved), "about a tenth")
    }

    @Test func keysAreSpreadByWeight() throws {
        let strategy = try library.strategy(pool: hashedPool(hashed(3, weights: [1, 2, 5])))
        var counts = [0, 0, 0]
        for index in 0..<8000 {
            counts[try #require(strategy.pick(hash: Self.key("key\(index)")).node)] += 1
        }
        for (count, weight) in zip(counts, [1, 2, 5]) {
            #expect(abs(count - 1000 * weight) < 250 * weight)
        }
    }

    @Test func nodesWithOneAddressShareItsKeys() throws {
        let pool = hashedPool(hashed(2))
        pool.nodes[1].address = pool.nodes[0].address
        let strategy = try library.strategy(pool: pool)
        let counts = (0..<1000).count { strategy.pick(hash: Self.key("key\($0)")).node == 1 }
        #expect((300...700).contains(counts))
    }

    @Test func weightsThatAskForTooMuchAreScaledDown() throws {
        let strategy = try library.strategy(
            "{\"points\": 10000}", pool: hashedPool(hashed(4, weights: [1, 1000, 1000, 1000])))
        let shown = try #require(strategy.describe())
        let points = try #require(Int(shown.dropFirst(10).dropLast()))
        #expect((2_000_000...2_097_156).contains(points))
        let nodes = (0..<1000).map { strategy.pick(hash: Self.key("key\($0)")).node }
        #expect(Set(nodes).isSuperset(of: [1, 2, 3]))
    }

    @Test(arguments: [
        ("0", "a whole number from 1 to 10000, not 0"),
        ("10001", "a whole number from 1 to 10000, not 10001"),
        ("\"many\"", "a whole number from 1 to 10000, not \"many\""),
    ])
    func aWrongOptionIsRefusedWithASentence(_ value: String, _ said: String) throws {
        #expect(throws: Refused(sentence: "option \"points\" must be \(said)")) {
            try library.strategy("{\"points\": \(value)}", pool: hashedPool(hashed(1)))
        }
    }

    @Test func theAccessLogSaysWhy() throws {
        let pool = hashedPool(hashed(2))
        let strategy = try library.strategy(pool: pool)
        #expect(strategy.pick(client: "10.0.0.1").reason == "its place")
        let node = try #require(strategy.pick(client: "10.0.0.1").node)
        let retry = strategy.pick(attempt: 1, tried: [node], client: "10.0.0.1")
        #expect(retry.reason == "next on the ring")
    }
}
