// The strategy "ip-hash": nginx's ip_hash. Reading an address is in ClientAddress.swift.

import Affinity
import TrivetPlugin

/// The same client address to the same node: `strategy: "ip-hash"`. For keeping clients on a node
/// without cookies, and for moving from nginx's `ip_hash`, whose mapping it has.
///
/// - `whole_address`: also the last octet of an IPv4 address counts (default false: as in nginx, the
///   256 addresses of a network that begin alike share a node)
///
/// As nginx does it (ngx_http_upstream_ip_hash_module): the first three octets of an IPv4 address, or
/// an IPv6 address as a whole, are hashed onto all nodes by their weights, in the order of the
/// configuration, whether they take requests or not. If the node does not (down, draining, a backup, or
/// already tried), the hash is hashed again, up to 20 times. So a node that goes down moves its
/// own clients only, and they spread over all others. The pool's `hash` setting makes no difference.
///
/// Where it differs: after 20 vain attempts the address decides among the ready nodes by highest
/// random weight, in O(ready nodes), and so the client still stays where it is, instead of round
/// robin. And nginx's hash has 6271 values; where weights add up to more, a wider hash takes its
/// place, since nginx would leave the nodes beyond without a client.
///
/// Adding or removing a node, or changing a weight (a health check can), moves most clients: use
/// "ring-hash" or "maglev" where that happens. A pick is O(log nodes).
struct IPHash: Strategy, Updating, Plugin {
    static let name = "ip-hash"
    static let version = "1.0.0"
    static let summary = "the client's address, as nginx's ip_hash"
    static let options = [
        Option("whole_address", "all four octets of an IPv4 address count (default false)")
    ]

    /// Values of nginx's hash.
    private static let range: UInt64 = 6271
    /// nginx gives up when more than 20 attempts of a request were in vain.
    private static let attempts = 21

    private let wholeAddress: Bool
    /// Sum of the weights of the nodes up to and including the one at this offset.
    private var ends: [UInt64] = []

    init(_ setup: Setup) throws(Refusal) {
        wholeAddress = try setup.options.flag("whole_address", default: false)
        sumWeights(setup.pool)
    }

    mutating func update(_ pool: Pool, _ changes: Changes) {
        // O(nodes), and cheap: 10,000 are some 100 µs. States are looked at when picking.
        if !changes.isDisjoint(with: [.nodes, .weights]) { sumWeights(pool) }
    }

    mutating func pick(_ pool: Pool, _ request: Request) -> Decision {
        guard let takers = Takers(pool) else { return .pass }
        let address = ClientAddress(request.client, whole: wholeAddress)
        let total = ends.last ?? 0
        if total > 0 {
            // An attempt before this one that used a node was not in vain then, but is now.
            let limit = Self.attempts + request.tried.count
            var hash: UInt64 = 89
            var attempt = 0
            while attempt < limit {
                hash = address.hash(hash, Self.range)
                let place = total <= Self.range ? hash % total : wide(address, attempt, total)
                if let node = takers.untried(owner(place), pool, request) {
                    return .node(node, because: attempt == 0 ? "its address" : "hashed again")
                }
                attempt += 1
            }
        }
        let key = fingerprint(address.octets, seed: pool.seed)
        return .node(takers.bestSuited(key, pool, request), because: "best of the ready ones")
    }

    private func wide(_ address: ClientAddress, _ attempt: Int, _ total: UInt64) -> UInt64 {
        fingerprint(address.octets, seed: UInt64(attempt)).multipliedFullWidth(by: total).high
    }

    /// Offset of the node whose share of the weights a place lies in. O(log nodes).
    private func owner(_ place: UInt64) -> Int {
        var low = 0
        var high = ends.count
        while low < high {
            let middle = (low + high) / 2
            if ends[middle] <= place { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// In place; allocates only when the pool has grown. All count alike where all weigh nothing.
    private mutating func sumWeights(_ pool: Pool) {
        var sum: UInt64 = 0
        var offset = 0
        while offset < pool.count {
            sum += UInt64(pool[pool.index(offset)].weight)
            offset += 1
        }
        let isWeightless = sum == 0
        ends.removeAll(keepingCapacity: true)
        sum = 0
        offset = 0
        while offset < pool.count {
            sum += isWeightless ? 1 : UInt64(pool[pool.index(offset)].weight)
            ends.append(sum)
            offset += 1
        }
    }
}

/// The entry that Trivet looks for.
@c @implementation
public func trivet_plugin_v1(_ host: HostRef, _ error: ErrorRef) -> TableRef {
    unsafe IPHash.export(host, error)
}
