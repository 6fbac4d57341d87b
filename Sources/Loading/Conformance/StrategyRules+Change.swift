// The rules about change: nodes that come and go, state that is carried over, and that it makes no
// difference whether an instance was kept up to date or made anew.

import Balance
import Base
import CTrivet

extension StrategyRules {
    static func comingsAndGoings(_ staged: StagedKind) throws(ConformanceEnd) -> String {
        var random = SplitMix64(seed: 31)
        let pool = StagePool(3)
        let worker = try StageWorker(staged, pool)
        let ring = RequestRing(40)
        var number = 3
        var changes = 0
        let patience = Patience(milliseconds: 1500)
        while changes < 150, changes < 20 || !patience.isOver {
            let change = changes
            changes += 1
            let bits = alter(pool, &random, &number)
            doing(
                "in update (or create and load) after change \(change + 1), \(pool.nodes.count) nodes"
            )
            try worker.changed(bits)
            doing("in pick after change \(change + 1), with \(pool.nodes.count) nodes")
            for request in 0..<20 {
                let pick = worker.begin(ring[request])
                if let fault = fault(pick, nodes: pool.nodes.count) {
                    throw .failed("after change \(change + 1) it \(fault)")
                }
            }
            doing("in result after change \(change + 1), also for nodes that have left")
            // Some outlive the change after this, and with it perhaps their node and their instance.
            worker.finish(until: 12, &random)
        }
        doing("in result, for the last that were running")
        worker.finish(until: 0, &random)
        return "\(changes) changes of nodes, order, states, weights and metadata under traffic"
    }

    /// One change, as a configuration, a name service or a check may make it; TRIVET_CHANGED_*.
    private static func alter(
        _ pool: StagePool, _ random: inout SplitMix64, _ number: inout Int
    ) -> UInt32 {
        func any() -> Int { Int(random.next() % UInt64(max(pool.nodes.count, 1))) }
        let choice = pool.nodes.isEmpty ? 0 : random.next() % 10
        switch choice {
        case 0, 1:
            for _ in 0...Int(random.next() % 4) {
                number += 1
                let at = Int(random.next() % UInt64(pool.nodes.count + 1))
                pool.nodes.insert(StagePool.node(number), at: at)
            }
            return TRIVET_CHANGED_NODES
        case 2, 3:
            pool.nodes.remove(at: any())
            return TRIVET_CHANGED_NODES
        case 4:
            pool.nodes.shuffle(using: &random)
            return TRIVET_CHANGED_NODES
        case 5:
            // All but one at once, now and then all.
            pool.nodes.removeFirst(pool.nodes.count - Int(random.next() % 2))
            return TRIVET_CHANGED_NODES
        case 6:
            pool.nodes[any()].weight = [0, 1, 50, 100, 1000, .max][Int(random.next() % 6)]
            return TRIVET_CHANGED_WEIGHT
        case 7:
            pool.nodes[any()].metadata =
                random.next() % 2 == 0 ? [] : [("zone", "x\(random.next() % 3)"), ("empty", "")]
            return TRIVET_CHANGED_METADATA
        case 8:
            let at = any()
            pool.nodes[at].state = [TRIVET_UP, TRIVET_DEGRADED][Int(random.next() % 2)]
            return TRIVET_CHANGED_STATE
        default:
            let at = any()
            pool.nodes[at].tier = UInt32(random.next() % 3)
            pool.nodes[at].weight = UInt32(random.next() % 200)
            return TRIVET_CHANGED_NODES | TRIVET_CHANGED_WEIGHT | TRIVET_CHANGED_STATE
        }
    }

    // MARK: save-load

    static func saveLoad(_ staged: StagedKind) throws(ConformanceEnd) -> String {
        guard unsafe staged.kind.save != nil else { throw .skipped("it has no save and load") }
        var random = SplitMix64(seed: 77)
        let worker = try StageWorker(staged, StagePool(6))
        let ring = RequestRing(60)
        for number in 0..<600 {
            _ = worker.begin(ring[number])
            worker.finish(until: 4, &random)
        }
        doing("in save")
        let state = worker.instance.save()
        let most = 64 * 1024 + 64 * 6
        if state.count > most {
            throw .failed(
                "save writes \(state.count) bytes for 6 nodes, where \(most) are the most")
        }
        doing("in load of its own state")
        let heir = try staged.make(StagePool(6), seed: 2)
        if !heir.load(state) { throw .failed("load has no use for what save has just written") }
        try picksGoOn(heir, ring, "after it loaded its own state")
        doing("in load of its own state, with other nodes")
        let others = StagePool(9)
        others.nodes = [others.nodes[7], others.nodes[2], others.nodes[8], others.nodes[0]]
        others.publish()
        let moved = try staged.make(others, seed: 3)
        _ = moved.load(state)
        try picksGoOn(moved, ring, "after it loaded a state of other nodes")
        doing("in load of its own state, with no nodes")
        _ = try staged.make(StagePool(0), seed: 4).load(state)
        let tried = try damagedStates(staged, state, ring, &random)
        return "\(state.count) bytes are taken back; \(tried) damaged states do no harm"
    }

    private static func damagedStates(
        _ staged: StagedKind, _ state: [UInt8], _ ring: RequestRing, _ random: inout SplitMix64
    ) throws(ConformanceEnd) -> Int {
        var damaged: [(what: String, state: [UInt8])] = [("empty", [])]
        for step in 0..<120 where step < state.count {
            let length = state.count <= 120 ? step : state.count * step / 120
            damaged.append(("cut after \(length) bytes", Array(state.prefix(length))))
        }
        for _ in 0..<120 where !state.isEmpty {
            var copy = state
            for _ in 0...Int(random.next() % 4) {
                let at = Int(random.next() % UInt64(copy.count))
                copy[at] = random.next() % 3 == 0 ? 0xFF : UInt8(truncatingIfNeeded: random.next())
            }
            damaged.append(("changed", copy))
        }
        damaged.append(("twice as long", state + state))
        for length in [1, 8, 64, 4096, 60_000] {
            damaged.append(
                (
                    "of random bytes",
                    (0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) }
                ))
            damaged.append(("of FF bytes", Array(repeating: 0xFF, count: length)))
        }
        for (number, one) in damaged.enumerated() {
            doing("in load of a state that is \(one.what)")
            let instance = try staged.make(StagePool(6), seed: 5)
            let version: UInt32? =
                number % 9 == 0 ? staged.kind.stateVersion &+ 1 : number % 9 == 1 ? 0 : nil
            _ = instance.load(one.state, version: version)
            try picksGoOn(instance, ring, "after a load of a state that is \(one.what)", picks: 12)
        }
        return damaged.count
    }

    private static func picksGoOn(
        _ instance: StageStrategy, _ ring: RequestRing, _ when: String, picks: Int = 100
    ) throws(ConformanceEnd) {
        doing("in pick \(when)")
        for number in 0..<picks {
            let pick = instance.pick(ring[number])
            if let fault = fault(pick, nodes: instance.pool.nodes.count) {
                throw .failed("\(when) it \(fault)")
            }
        }
        doing("in save or destroy \(when)")
        _ = instance.save()
    }

    // MARK: update-equals-rebuild

    /// See README.md beside this for what exactly is demanded, and of which strategies.
    static func updateEqualsRebuild(_ staged: StagedKind) throws(ConformanceEnd) -> String {
        guard unsafe staged.kind.update != nil else {
            throw .skipped("it has no update: Trivet makes it anew")
        }
        var exact = 0
        for (name, bits, change) in Self.changes {
            doing("in update after a change: \(name)")
            let updated = try StageWorker(staged, StagePool(6), seed: 1)
            let before = RequestRing(24, from: 9000)
            // It is in the middle of its turns then. Not if it learns: what it learnt would tell.
            if unsafe staged.kind.result == nil {
                for number in 0..<24 { _ = updated.instance.pick(before[number]) }
            }
            change(updated.pool)
            try updated.changed(bits)
            updated.tick(hour)
            doing("in pick after a change: \(name)")
            // As after a reload: made for the pool as it is now, with the state of the other.
            let state = updated.instance.canSave ? updated.instance.save() : nil
            func made(_ number: Int) throws(ConformanceEnd) -> StageStrategy {
                let pool = StagePool(0, firstTicket: UInt64(100 + number))
                pool.nodes = updated.pool.nodes
                pool.publish()
                let instance = try staged.make(
                    pool, seed: UInt64(number), worker: number, workers: 2)
                instance.host.now = updated.instance.host.now
                if let state { _ = instance.load(state) }
                instance.host.now += hour
                // Whoever takes turns is at another turn than its twin.
                for request in 0..<number { instance.ask(before[request]) }
                return instance
            }
            updated.tick(hour)
            let twins = [try made(0), try made(1)]
            try agree(updated.instance, twins, after: name, &exact)
        }
        return exact > 0
            ? "\(Self.changes.count) changes, after \(exact) of which every single pick is the same"
            : "\(Self.changes.count) changes, after which every node gets its share as before"
    }

    /// Nanoseconds: whatever ramps up slowly has done so after this.
    private static let hour: UInt64 = 3_600_000_000_000

    private static var changes: [(String, UInt32, (StagePool) -> Void)] {
        [
            ("a node's state", TRIVET_CHANGED_STATE, { $0.nodes[2].state = TRIVET_DOWN }),
            (
                "weights", TRIVET_CHANGED_WEIGHT,
                { pool in
                    pool.nodes[1].weight = 300
                    pool.nodes[4].weight = 50
                }
            ),
            ("a weight of 0", TRIVET_CHANGED_WEIGHT, { $0.nodes[3].weight = 0 }),
            (
                "metadata", TRIVET_CHANGED_METADATA,
                { $0.nodes[0].metadata = [("rack", "r9"), ("zone", "z")] }
            ),
            ("a new node", TRIVET_CHANGED_NODES, { $0.nodes.append(StagePool.node(40)) }),
            (
                "nodes that left", TRIVET_CHANGED_NODES,
                { pool in
                    pool.nodes.remove(at: 4)
                    pool.nodes.remove(at: 0)
                }
            ),
            ("another order", TRIVET_CHANGED_NODES, { $0.nodes.reverse() }),
            (
                "everything at once", 0xF,
                { pool in
                    pool.nodes.swapAt(0, 3)
                    pool.nodes[1].weight = 250
                    pool.nodes[2].state = TRIVET_DEGRADED
                    pool.nodes[4].metadata = []
                    pool.nodes[5].tier = 1
                }
            ),
        ]
    }

    /// Twins differ in randomness, tickets, worker and turn only. Where they agree on every pick, a pick depends on
    /// pool and request alone, and the updated one has to agree as well; else shares are compared.
    private static func agree(
        _ updated: StageStrategy, _ twins: [StageStrategy], after change: String, _ exact: inout Int
    ) throws(ConformanceEnd) {
        let nodes = updated.pool.nodes
        let ring = RequestRing(500)
        let total = 4000
        var counts = Array(repeating: Array(repeating: 0, count: nodes.count + 1), count: 3)
        var isExact = true
        var firstDifference: String?
        for number in 0..<total {
            let all = [updated] + twins
            var chosen: [Int] = []
            for (which, instance) in all.enumerated() {
                instance.host.now += 1_000_000
                let pick = instance.pick(ring[number])
                if let fault = fault(pick, nodes: nodes.count) {
                    throw .failed("after a change (\(change)) it \(fault)")
                }
                let node = pick.decision == TRIVET_PICKED ? Int(pick.node) : nodes.count
                counts[which][node] += 1
                chosen.append(node)
            }
            if chosen[1] != chosen[2] { isExact = false }
            if chosen[0] != chosen[1], firstDifference == nil {
                let names = chosen.map { $0 < nodes.count ? nodes[$0].name : "nothing" }
                firstDifference = "\(names[0]) where a new one picks \(names[1])"
            }
        }
        if isExact {
            exact += 1
            guard let firstDifference else { return }
            throw .failed(
                "after a change (\(change)) and update it picks \(firstDifference), though new ones agree "
                    + "on every request")
        }
        for node in 0...nodes.count {
            let (kept, made) = (counts[0][node], (counts[1][node] + counts[2][node]) / 2)
            // Six standard deviations of the difference of two such counts, if each pick were a throw
            // of dice; a part of a cycle for those who take turns.
            let slack = 6 * Double(kept + made).squareRoot() + Double(2 * nodes.count)
            guard Double(abs(kept - made)) > slack else { continue }
            let name = node < nodes.count ? nodes[node].name : "no node"
            throw .failed(
                "after a change (\(change)) and update, \(name) gets \(kept) of \(total) picks, and "
                    + "\(made) from one made anew")
        }
    }
}
