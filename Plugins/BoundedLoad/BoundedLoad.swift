// The strategy "bounded-load": consistent hashing that no popular key can overload a node with. The
// ring is in Plugins/Affinity, shared with "ring-hash"; counters in flight are the host's.

import Affinity
import TrivetPlugin

/// The same key to the same node as long as that is not much busier than the others:
/// `strategy: "bounded-load"`. For caches with popular keys, and for uneven requests.
///
/// - `factor`: how much more than its share a node may have in flight (default 1.25; at least 1):
///   small keeps nodes even, large keeps keys where they are
///
/// Mirrokni, Thorup, Zadimoghaddam: "Consistent Hashing with Bounded Loads" (SODA 2018). With the new
/// request counted in, a node has at most ceil(factor * all in flight * its weight / all weights),
/// over the nodes that are ready. A key's request goes to the first node with room, from the key's
/// place on the ring on. The key, the ring, what weight 0 means, and why there is no `update`: as
/// in "ring-hash", with 160 points per unit of weight.
///
/// Of other workers' requests the count may be 1 ms old. In pools of more than 64 ready nodes the
/// sum over all nodes is taken once a millisecond (or, if that is longer, once in as many
/// microseconds as there are nodes) and carried on by own picks in between. So a pick costs
/// O(log points) and the nodes that are passed by for lack of room, which are few: O(1/e^2) on
/// average for a factor of 1 + e. If 512 points lead to no room, the least busy node gets the
/// request, in O(ready nodes).
struct BoundedLoad: Strategy, Describing, Plugin {
    static let name = "bounded-load"
    static let version = "1.0.0"
    static let summary = "consistent hashing, but no node gets much more than its share"
    static let options = [
        Option("factor", "how much more than its share a node may have (default 1.25)")
    ]

    /// Up to here the sums are taken anew for every pick: 64 loads are some 100 ns.
    private static let fewNodes = 64
    /// Nanoseconds for which the sums over many nodes are good: at least the age of the host's own
    /// counts, and so long that summing up (some 10 ns a node) takes a hundredth of the time.
    private static func lifetime(_ nodes: Int) -> UInt64 { max(1_000_000, UInt64(nodes) * 1000) }

    private let host: Host
    private let factor: Double
    private let ring: Ring

    // Over the ready nodes, as of `summedAt`; `inFlight` counts own picks since.
    private var inFlight: UInt64 = 0
    private var weight: UInt64 = 0
    private var readyCount = -1
    private var summedAt: UInt64 = 0

    init(_ setup: Setup) throws(Refusal) {
        factor = try setup.options.number("factor", default: 1.25, in: 1...100)
        ring = Ring(setup.pool, pointsPerWeight: 160)
        host = setup.host
    }

    mutating func pick(_ pool: Pool, _ request: Request) -> Decision {
        guard let takers = Takers(pool) else { return .pass }
        sumIfDue(pool)
        let key = request.key(pool)
        var point = ring.point(of: key)
        let walk = ring.walk
        var step = 0
        while step < walk {
            if let node = takers.untried(ring.owner(point), pool, request), hasRoom(node, pool) {
                inFlight &+= 1
                return .node(node, because: step == 0 ? "its place" : "next with room")
            }
            point = ring.next(point)
            step += 1
        }
        inFlight &+= 1
        return .node(leastBusy(pool, request), because: "least busy")
    }

    func describe(_ pool: Pool, into description: inout Description) {
        description.add("points", ring.count)
        description.add("factor", factor)
    }

    private mutating func sumIfDue(_ pool: Pool) {
        let ready = pool.ready
        if ready.count > Self.fewNodes, ready.count == readyCount,
            host.now &- summedAt < Self.lifetime(ready.count)
        {
            return
        }
        inFlight = 0
        weight = 0
        var position = 0
        while position < ready.count {
            inFlight += UInt64(pool.load(ready[position]).inFlightAll)
            weight += UInt64(pool[ready[position]].weight)
            position += 1
        }
        readyCount = ready.count
        summedAt = host.now
    }

    /// A node's weight; all count alike where all have 0.
    private func share(_ node: NodeIndex, _ pool: Pool) -> UInt64 {
        weight == 0 ? 1 : UInt64(pool[node].weight)
    }

    /// One more on this node keeps to the bound: n + 1 <= ceil(x) is n < x for whole n.
    private func hasRoom(_ node: NodeIndex, _ pool: Pool) -> Bool {
        let all = Double(weight == 0 ? UInt64(readyCount) : weight)
        let bound = factor * Double(inFlight + 1) * Double(share(node, pool)) / all
        return Double(pool.load(node).inFlightAll) < bound
    }

    /// The ready node with the least in flight for its weight, untried before tried ones. While the
    /// sums are exact and it is untried, it has room: not all nodes can be above the average.
    private func leastBusy(_ pool: Pool, _ request: Request) -> NodeIndex {
        let ready = pool.ready
        var best = ready[0]
        var bestRank = -1
        var bestLoad: UInt64 = 0
        var bestShare: UInt64 = 1
        var position = 0
        while position < ready.count {
            let node = ready[position]
            let load = UInt64(pool.load(node).inFlightAll)
            let share = share(node, pool)
            let rank = request.hasTried(node) ? 0 : share == 0 ? 1 : 2
            if rank > bestRank || rank == bestRank && load * bestShare < bestLoad * share {
                best = node
                bestRank = rank
                bestLoad = load
                bestShare = max(share, 1)
            }
            position += 1
        }
        return best
    }
}

/// The entry that Trivet looks for.
@c @implementation
public func trivet_plugin_v1(_ host: HostRef, _ error: ErrorRef) -> TableRef {
    unsafe BoundedLoad.export(host, error)
}
