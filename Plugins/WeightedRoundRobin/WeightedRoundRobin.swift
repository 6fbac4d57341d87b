// The strategy "weighted-round-robin": smooth weighted round robin as nginx does it
// (ngx_http_upstream_get_peer, by Maxim Dounin, 2012), but for all workers together. What follows
// from failures there is the host's to do here: it takes nodes out of `ready`, and weight away.

import TrivetPlugin

/// Each ready node in its turn, and as often as its weight says: `strategy: "weighted-round-robin"`.
/// No options. Of weights 5, 1 and 1 the turns are a a b a c a a: no node gets its share at a stretch.
///
/// The algorithm: every node's current weight grows by its weight, the largest (of equals the first)
/// is picked, and the sum of all weights is taken from it. That repeats after (sum / greatest common
/// divisor) turns, so `update` writes one period down, and a pick reads the entry that the pool's
/// ticket says. O(1); all workers together produce the sequence, exactly; nothing has to be saved,
/// since tickets survive reloads.
///
/// Where a period is too long to be written down (about 65,000 turns, or weights very many and all
/// different: see `Schedule`), each worker runs the algorithm on current weights of its own, which
/// takes O(ready) a pick. The shares are the same, the order over all workers is not.
///
/// Nodes of weight 0 get no turn while another has more. A retry goes to an untried node and takes no
/// turn. Right where nodes differ in size and requests cost about the same.
struct WeightedRoundRobin: Strategy, Updating, Lasting, Describing, Plugin {
    static let name = "weighted-round-robin"
    static let version = "1.0.0"
    static let summary = "each ready node in its turn, as often as its weight says"
    static let stateVersion: UInt32 = 1

    private var schedule = Schedule()
    /// Walks the schedule for retries, so that these too go by weight.
    private var retries: Int
    /// By node, for when there is no schedule; all zero while there is one.
    private var currents: [Int64]
    private var ids: [UInt64]

    init(_ setup: Setup) {
        retries = setup.worker
        ids = setup.pool.ids
        currents = Array(repeating: 0, count: ids.count)
        schedule.write(setup.pool)
    }

    mutating func update(_ pool: Pool, _ changes: Changes) {
        if changes.contains(.nodes) {
            currents = pool.places(among: ids).map { $0.map { currents[$0] } ?? 0 }
            ids = pool.ids
        }
        guard !changes.isDisjoint(with: [.nodes, .states, .weights]) else { return }
        schedule.write(pool)
        if schedule.turns.isEmpty { bound(pool) } else { forget() }
    }

    mutating func pick(_ pool: Pool, _ request: Request) -> Decision {
        guard !pool.ready.isEmpty else { return .pass }
        if schedule.turns.isEmpty {
            if let node = largest(pool, request) { return .node(node, because: "its turn here") }
        } else if request.attempt == 0 {
            let turn = Int(pool.ticket() % UInt64(schedule.turns.count))
            let node = pool.index(Int(schedule.turns[turn]))
            if pool.isReady(node) { return .node(node, because: "its turn") }
        }
        if let node = turnAgain(pool, request) { return .node(node, because: "not tried yet") }
        if let node = pool.untried(request, from: retries) {
            return .node(node, because: "not tried yet")
        }
        return .node(anyReady(pool), because: "all were tried")
    }

    /// One step of the algorithm as nginx has it, among the nodes that were not tried.
    private mutating func largest(_ pool: Pool, _ request: Request) -> NodeIndex? {
        let ready = pool.ready
        var total: Int64 = 0
        var best: NodeIndex?
        var most = Int64.min
        var position = 0
        while position < ready.count {
            let node = ready[position]
            let weight = Int64(pool[node].weight)
            if weight > 0 && !request.hasTried(node) {
                let current = currents[node.offset] + weight
                currents[node.offset] = current
                total += weight
                if current > most {
                    most = current
                    best = node
                }
            }
            position += 1
        }
        if let best { currents[best.offset] -= total }
        return best
    }

    /// Whose turn it would be among the nodes that `request` did not try, if 16 turns find one.
    private mutating func turnAgain(_ pool: Pool, _ request: Request) -> NodeIndex? {
        var step = 0
        while step < min(schedule.turns.count, 16) {
            retries &+= 1
            let turn = Int(UInt(bitPattern: retries) % UInt(schedule.turns.count))
            let node = pool.index(Int(schedule.turns[turn]))
            if pool.isReady(node) && !request.hasTried(node) { return node }
            step += 1
        }
        retries &+= 1
        return nil
    }

    /// A ready node, one of weight 0 only if there is no other.
    private func anyReady(_ pool: Pool) -> NodeIndex {
        let ready = pool.ready
        var position = Int(UInt(bitPattern: retries) % UInt(ready.count))
        var steps = 0
        while steps < ready.count && pool[ready[position]].weight == 0 {
            position = position + 1 == ready.count ? 0 : position + 1
            steps += 1
        }
        return ready[position]
    }

    /// Keeps current weights within the sum of the weights that are ready now, where they would be if
    /// the pool had always been as it is: else nodes that had their turn in a larger pool would wait
    /// for as long as a round there took.
    private mutating func bound(_ pool: Pool) {
        let ready = pool.ready
        var total: Int64 = 0
        var position = 0
        while position < ready.count {
            total += Int64(max(pool[ready[position]].weight, 1))
            position += 1
        }
        for node in currents.indices { currents[node] = min(max(currents[node], -total), total) }
    }

    private mutating func forget() {
        for node in currents.indices { currents[node] = 0 }
    }

    func save(to state: inout StateWriter) {
        let count = schedule.turns.isEmpty ? ids.count : 0
        state.write(UInt32(count))
        for node in 0..<count {
            state.write(ids[node])
            state.write(currents[node])
        }
    }

    mutating func load(from state: inout StateReader, version: UInt32, _ pool: Pool) -> Bool {
        guard version == Self.stateVersion, let count = state.read(UInt32.self) else {
            return false
        }
        var saved: [UInt64] = []
        var values: [Int64] = []
        for _ in 0..<count {
            guard let id = state.read(UInt64.self), let value = state.read(Int64.self)
            else { return false }
            saved.append(id)
            values.append(value)
        }
        guard state.isAtEnd else { return false }
        if schedule.turns.isEmpty {
            currents = pool.places(among: saved).map { $0.map { values[$0] } ?? 0 }
            bound(pool)
        }
        return true
    }

    func describe(_ pool: Pool, into description: inout Description) {
        description.add("shared by all workers", !schedule.turns.isEmpty)
        description.add("turns in a period", schedule.period)
        description.add("different weights", schedule.weights)
    }
}

/// One period of the sequence, starting from current weights of zero; empty if it is too long.
private struct Schedule {
    /// Entries: 256 KiB of memory for each worker.
    static let turnLimit: UInt64 = 65_536
    /// Entries times different weights, which is what writing takes: about 2 ms.
    static let workLimit: UInt64 = 1 << 20

    /// Nodes that have the same weight. Of these the first in order has the next turn, and it stays
    /// behind the others until all have had theirs: so one current weight stands for all.
    private struct Rank {
        var weight: Int64
        var members: [UInt32] = []
        var next = 0

        /// Gives the present member its turn; true if all have had theirs.
        mutating func takeTurn() -> Bool {
            next = next + 1 == members.count ? 0 : next + 1
            return next == 0
        }
    }

    private(set) var turns: [UInt32] = []
    /// Length of the period, written down or not.
    private(set) var period: UInt64 = 0
    /// How many different weights there are.
    private(set) var weights = 0

    mutating func write(_ pool: Pool) {
        turns.removeAll(keepingCapacity: true)
        var ranks = Self.ranks(pool, idle: false)
        if ranks.isEmpty { ranks = Self.ranks(pool, idle: true) }
        let unit = ranks.reduce(0) { Self.divisor($0, $1.weight) }
        let total = ranks.reduce(0) { $0 + $1.weight * Int64($1.members.count) }
        weights = ranks.count
        period = unit == 0 ? 0 : UInt64(total / unit)
        guard period <= Self.turnLimit, period * UInt64(weights) <= Self.workLimit else { return }
        turns.reserveCapacity(Int(period))
        // Apart from the ranks, since this is gone through for every turn.
        let steps = ranks.map(\.weight)
        var currents = steps.map { _ in Int64(0) }
        var fronts = ranks.map { $0.members[0] }
        while turns.count < period {
            var best = 0
            for rank in steps.indices {
                currents[rank] += steps[rank]
                let isMore = currents[rank] > currents[best]
                if isMore || (currents[rank] == currents[best] && fronts[rank] < fronts[best]) {
                    best = rank
                }
            }
            turns.append(fronts[best])
            // Once all of a rank have had their turn, each has given `total` away.
            if ranks[best].takeTurn() { currents[best] -= total }
            fronts[best] = ranks[best].members[ranks[best].next]
        }
    }

    private static func ranks(_ pool: Pool, idle: Bool) -> [Rank] {
        var ranks: [Rank] = []
        var places: [UInt32: Int] = [:]
        let ready = pool.ready
        var position = 0
        while position < ready.count {
            let node = ready[position]
            let weight = idle ? 1 : pool[node].weight
            if weight > 0 {
                let place = places[weight] ?? ranks.count
                if place == ranks.count {
                    places[weight] = place
                    ranks.append(Rank(weight: Int64(weight)))
                }
                ranks[place].members.append(UInt32(node.offset))
            }
            position += 1
        }
        return ranks
    }

    private static func divisor(_ a: Int64, _ b: Int64) -> Int64 {
        var (a, b) = (a, b)
        while b != 0 { (a, b) = (b, a % b) }
        return a
    }
}

/// The entry that Trivet looks for.
@c @implementation
public func trivet_plugin_v1(_ host: HostRef, _ error: ErrorRef) -> TableRef {
    unsafe WeightedRoundRobin.export(host, error)
}
