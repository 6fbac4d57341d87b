// The strategy "maglev": consistent hashing by a table that all nodes fill in turns. How the table is
// filled is in MaglevTable.swift; this is the lookup, and what happens if the node cannot take it.

import Affinity
import TrivetPlugin

/// The same key to the same node, spread very evenly, with the fastest of lookups:
/// `strategy: "maglev"`. For many clients, and where nodes should be equally busy.
///
/// - `table`: entries of the table, a prime number (default 65537): at least 100 for each node (for a
///   node of the least weight) keeps the shares of equal nodes within 1 percent of each other.
///   4 bytes each on every worker
///
/// Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016), section
/// 3.4. The key is what the pool's `hash` setting names; if nothing is set, or a request has none
/// of it, the client's address, hashed with the pool's seed. When a node comes or goes, a few
/// other keys move besides its own; "ring-hash" moves none of these but is less even.
///
/// A node that is down or drains keeps its entries: its keys, and nobody else's, are looked up
/// again with other hashes of the key, up to 32 times, and so are retries. If that leads to no node
/// that is ready, as when nearly all are down, the key decides among the ready ones by highest
/// random weight: O(ready nodes). Otherwise a pick is O(1).
///
/// There is no `update`: filling takes 5 ms for 3 nodes and 30 ms for 10,000, so Trivet makes a new
/// instance when nodes or weights change, and the old one serves meanwhile. The table depends on the nodes' ids and
/// weights only, so two balancers with one configuration agree.
struct Maglev: Strategy, Describing, Plugin {
    static let name = "maglev"
    static let version = "1.0.0"
    static let summary = "consistent hashing by Maglev's table: very even, O(1)"
    static let options = [
        Option("table", "entries of the table, a prime of 100 for each node (default 65537)")
    ]

    /// Lookups before it is given up: with half the nodes ready, all of them fail in one of 2^32.
    private static let lookups = 32

    private let table: [UInt32]

    init(_ setup: Setup) throws(Refusal) {
        let size = try setup.options.integer("table", default: 65_537, in: 7...5_000_011)
        guard Self.isPrime(size) else {
            var next = size + 1
            while !Self.isPrime(next) { next += 1 }
            throw Refusal(
                "option \"table\" must be a prime number, not \(size); the next is \(next)")
        }
        table = maglevTable(setup.pool, size: size)
    }

    mutating func pick(_ pool: Pool, _ request: Request) -> Decision {
        guard let takers = Takers(pool) else { return .pass }
        let key = request.key(pool)
        if !table.isEmpty {
            var hash = key
            var lookup = 0
            while lookup < Self.lookups {
                let entry = Int(hash % UInt64(table.count))
                if let node = takers.untried(Int(table[entry]), pool, request) {
                    return .node(node, because: lookup == 0 ? "its entry" : "looked up again")
                }
                hash = mix(hash &+ 0x9E37_79B9_7F4A_7C15)
                lookup += 1
            }
        }
        return .node(takers.bestSuited(key, pool, request), because: "best of the ready ones")
    }

    func describe(_ pool: Pool, into description: inout Description) {
        description.add("table", table.count)
    }

    private static func isPrime(_ number: Int) -> Bool {
        var divisor = 2
        while divisor * divisor <= number {
            if number % divisor == 0 { return false }
            divisor += 1
        }
        return number > 1
    }
}

/// The entry that Trivet looks for.
@c @implementation
public func trivet_plugin_v1(_ host: HostRef, _ error: ErrorRef) -> TableRef {
    unsafe Maglev.export(host, error)
}
