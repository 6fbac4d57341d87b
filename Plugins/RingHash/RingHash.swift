// The strategy "ring-hash": consistent hashing. The ring itself is in Plugins/Affinity, shared with
// "bounded-load", which also looks at how busy a node is; this one does not.

import Affinity
import TrivetPlugin

/// The same key to the same node, and few keys to another when nodes come or go:
/// `strategy: "ring-hash"`. For caches, and for pools whose nodes change.
///
/// - `points`: points on the ring for each unit of a node's weight (default 160): more spread the
///   keys more evenly and cost 8 bytes each on every worker
///
/// The key is what the pool's `hash` setting names; if nothing is set, or a request has none of it,
/// the client's address, hashed with the pool's seed. Karger et al., "Consistent Hashing and Random
/// Trees" (STOC 1997), on the ring of nginx's `hash ... consistent`: CRC-32 points of "host:port" as
/// configured. With 160 points, shares of equal nodes differ by about 8 percent (one standard
/// deviation); "maglev" is more even and moves a few keys more.
///
/// A node that is down or drains keeps its points: its keys go to the next node on the ring until
/// it is back, and so do retries. If 512 points lead to no node that is ready, as when nearly all
/// are down, the key decides among the ready ones by highest random weight: O(ready nodes).
/// Otherwise a pick is O(log points).
///
/// Nodes of weight 0 have no points. More than 2 million points in all are scaled down in
/// proportion. There is no `update`: a ring for 10,000 nodes takes 80 ms to make, so Trivet makes
/// a new instance when nodes or weights change, and the old one serves meanwhile.
struct RingHash: Strategy, Describing, Plugin {
    static let name = "ring-hash"
    static let version = "1.0.0"
    static let summary = "consistent hashing on nginx's ring: few keys move when nodes change"
    static let options = [
        Option("points", "points on the ring per unit of weight (default 160)")
    ]

    private let ring: Ring

    init(_ setup: Setup) throws(Refusal) {
        let points = try setup.options.integer("points", default: 160, in: 1...10_000)
        ring = Ring(setup.pool, pointsPerWeight: points)
    }

    mutating func pick(_ pool: Pool, _ request: Request) -> Decision {
        guard let takers = Takers(pool) else { return .pass }
        let key = request.key(pool)
        var point = ring.point(of: key)
        let walk = ring.walk
        var step = 0
        while step < walk {
            if let node = takers.untried(ring.owner(point), pool, request) {
                return .node(node, because: step == 0 ? "its place" : "next on the ring")
            }
            point = ring.next(point)
            step += 1
        }
        return .node(takers.bestSuited(key, pool, request), because: "best of the ready ones")
    }

    func describe(_ pool: Pool, into description: inout Description) {
        description.add("points", ring.count)
    }
}

/// The entry that Trivet looks for.
@c @implementation
public func trivet_plugin_v1(_ host: HostRef, _ error: ErrorRef) -> TableRef {
    unsafe RingHash.export(host, error)
}
