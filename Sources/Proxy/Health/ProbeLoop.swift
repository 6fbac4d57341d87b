// The probing thread: when each node is asked, what its verdicts do, and the one timer of each node.
// How a probe goes over a socket is ProbeLoop+Exchange.swift. Nothing here is on the path of a request,
// so it allocates where that is clearer.

import Balance
import Base
import Net
import Synchronization

/// One node and where its probing stands.
struct ProbedNode {
    /// Index of its pool in the loop's list, and of itself in that pool. Its own place in the loop is
    /// its row on the board.
    var pool: Int
    var node: Int
    /// "octopus/node1"
    let name: String
    var health: HealthMachine
    /// The row of the node whose verdict it takes; nil: it is asked itself.
    var leader: Int?
    /// No verdict has come yet, and nobody knew anything before.
    var isAwaited: Bool
    /// The second round is spread over the interval, since the first is asked of all at once.
    var isSpread = false
    /// When the present round, or the last one, began.
    var began: UInt64 = 0
    /// When the next one begins.
    var due: UInt64 = 0
    var step: UInt32 = 0
    /// What the check said at the step before, while it wants to ask once more.
    var interim: Verdict?
    /// The question that is out, if any.
    var probe: Probe?
}

/// Made on one thread and handed over to the one that runs it; from then on only that touches it.
final class ProbeLoop: @unchecked Sendable {
    // However soon a check wants to ask again: a slip of a unit must not become a flood.
    private static let leastPause: UInt64 = 50_000_000
    // A node waits so long when we had no descriptor for its probe.
    private static let shortagePause: UInt64 = 1_000_000_000
    private static let complaintPause: UInt64 = 30_000_000_000

    let board: Board
    private(set) var pools: [ProbedPool] = []
    let addresses: AddressBook
    let clock: WorkerClock
    let signals: ProbeSignals
    let onPublish: @Sendable () -> Void
    let poller: Poller
    /// By row; nil: a row of nobody's.
    private(set) var seats: [ProbedNode?] = []
    var now: UInt64
    /// Names each connection, so that a late event of a closed one is known for what it is.
    var serial: UInt32 = 0
    /// What is read lands here first.
    var landing = Buffer()
    private var buffers = BufferPool()
    /// Where probes with TLS lay what is to go out.
    private let desk = TLSDesk()
    /// For checks that want TLS where the pool has none; made when it is first wanted.
    private var standard: Result<TLSBehind, TLSRefusal>?
    private var wheel: TimerWheel
    private var random: SplitMix64
    private var awaited = 0
    private var isRunning = false
    private var hasPublished = false
    /// By pool, of those that have any.
    private var differences: [String: NodeDifferences] = [:]
    private var complainedAt: UInt64?

    private static let wakeupToken = UInt64.max

    init(
        board: Board, pools: [ProbedPool], addresses: AddressBook, clock: WorkerClock,
        entropy: UInt64, signals: ProbeSignals, onPublish: @escaping @Sendable () -> Void
    ) throws(SystemError) {
        self.board = board
        self.addresses = addresses
        self.clock = clock
        self.signals = signals
        self.onPublish = onPublish
        now = monotonicNow()
        wheel = TimerWheel(now: now)
        random = SplitMix64(seed: entropy)
        poller = try Poller()
        guard poller.addLevel(signals.wakeup.fd, token: Self.wakeupToken) else {
            throw SystemError.last("epoll_ctl")
        }
        guard buffers.lend(&landing) else { throw SystemError(call: "mmap", code: 12) }
        seat(pools)
    }

    /// The node in this row, which must be somebody's.
    subscript(row: Int) -> ProbedNode {
        get { seats[row]! }
        set { seats[row] = newValue }
    }

    /// These are the pools from now on. A node that stays in its row keeps its health and its turn;
    /// if its pool's check is another now, it is asked by that one at once.
    private func seat(_ pools: [ProbedPool]) {
        let before = self.pools
        for row in seats.indices where seats[row]?.probe != nil {
            hangUp(row)
            // Its round is asked anew.
            self[row].due = 0
        }
        let former = seats
        self.pools = pools
        let names = Set(pools.map(\.rows.spec.name))
        differences = differences.filter { names.contains($0.key) }
        let count = pools.flatMap(\.rows.rows).max().map { $0 + 1 } ?? 0
        seats = Array(repeating: nil, count: max(count, former.count))
        for (pool, probed) in pools.enumerated() {
            for (node, row) in probed.rows.rows.enumerated() {
                let kept = row < former.count ? former[row] : nil
                seats[row] = known(pool, node, row, kept)
            }
        }
        for row in seats.indices {
            guard let leader = seats[row]?.leader, !self[leader].isAwaited else { continue }
            follow(row, leader)
        }
        awaited = seats.count { $0?.isAwaited ?? false }
        for pool in pools.indices where differences[pools[pool].rows.spec.name] != nil {
            compareNodes(of: pool)
        }
        guard isRunning else { return }
        if awaited == 0 { firstRoundIsOver() }
        for row in seats.indices {
            guard let seat = seats[row] else {
                wheel.cancel(UInt32(row))
                continue
            }
            let check = pools[seat.pool].check
            let kept = row < former.count ? former[row] : nil
            if check == nil || seat.leader != nil {
                wheel.cancel(UInt32(row))
                publish(row)
            } else if let kept, kept.due > 0, before[kept.pool].check === check {
                arm(row)
            } else {
                beginRound(row)
            }
        }
    }

    /// A node as it stands before it is asked for the first time, or for the first time again.
    private func known(_ pool: Int, _ node: Int, _ row: Int, _ kept: ProbedNode?) -> ProbedNode {
        let spec = pools[pool].rows.spec
        let leaders = pools[pool].leaders
        let leader = node < leaders.count ? leaders[node] : nil
        let hasCheck = pools[pool].check != nil || leader != nil
        if var kept, hasCheck, kept.health.counts(rise: spec.rise, fall: spec.fall) {
            kept.pool = pool
            kept.node = node
            kept.leader = leader
            return kept
        }
        let adopted = hasCheck ? board.health(row: row) : nil
        return ProbedNode(
            pool: pool, node: node, name: "\(spec.name)/\(spec.nodes[node].name)",
            health: HealthMachine(
                rise: spec.rise, fall: spec.fall, hasCheck: hasCheck, adopted: adopted, now: now),
            leader: leader, isAwaited: hasCheck && adopted == nil)
    }

    // MARK: Turns

    func run() {
        begin()
        while !signals.isStopped.load(ordering: .acquiring) {
            if hasPublished {
                hasPublished = false
                onPublish()
            }
            let count = poller.wait(milliseconds: wheel.wait(now: monotonicNow()))
            now = monotonicNow()
            clock.now = now
            for index in 0..<count { handle(poller[index]) }
            while let index = wheel.expired(now: now) { timeHasCome(Int(index)) }
        }
        for row in seats.indices where seats[row] != nil { hangUp(row) }
    }

    private func begin() {
        now = monotonicNow()
        clock.now = now
        isRunning = true
        if awaited == 0 { firstRoundIsOver() }
        for row in seats.indices where seats[row] != nil {
            if pools[self[row].pool].check == nil || self[row].leader != nil {
                // An earlier process may have had a check, and found it down.
                publish(row)
            } else {
                beginRound(row)
            }
        }
    }

    private func handle(_ event: Event) {
        if event.token == Self.wakeupToken {
            signals.wakeup.clear()
            if let pools = signals.takePools() { seat(pools) }
            for row in seats.indices where seats[row]?.probe?.stage == .resolving {
                resolve(row)
            }
        } else {
            let index = Int(truncatingIfNeeded: event.token & 0xFFFF_FFFF)
            let serial = UInt32(truncatingIfNeeded: event.token >> 32)
            guard index < seats.count, let probe = seats[index]?.probe, probe.fd >= 0,
                probe.serial == serial
            else {
                return
            }
            go(on: index, event)
        }
    }

    private func timeHasCome(_ index: Int) {
        guard index < seats.count, seats[index] != nil else { return }
        if let probe = self[index].probe {
            if probe.patience <= now { patienceIsOver(index) } else { arm(index) }
        } else if self[index].due <= now {
            beginRound(index)
        } else {
            arm(index)
        }
    }

    /// Sets the node's timer to whatever it waits for now.
    func arm(_ index: Int) {
        let node = self[index]
        wheel.set(UInt32(index), at: node.probe?.patience ?? node.due)
    }

    // MARK: Rounds

    private func beginRound(_ index: Int) {
        self[index].began = now
        self[index].step = 0
        self[index].interim = nil
        ask(index)
    }

    /// Puts the check's next question to a node, or ends the round if it has none.
    private func ask(_ index: Int) {
        let (at, pool) = (self[index], pools[self[index].pool])
        guard let check = pool.check else { return }
        guard let plan = check.probe(node: at.node, step: at.step, timeoutMs: pool.timeoutMs)
        else {
            // It wanted to ask once more and does not: what it said last stands.
            conclude(index, at.interim)
            return
        }
        self[index].probe = Probe(plan, greeting: pool.proxyHeader, now: now)
        resolve(index)
    }

    /// TLS for the connection of the probe that is out. Nil: it is plain.
    func session(_ index: Int) throws(TLSRefusal) -> TLSSession? {
        let (at, pool) = (self[index], pools[self[index].pool])
        guard let probe = at.probe else { return nil }
        let behind: TLSBehind
        switch (probe.plan.security, pool.behind) {
        case (.clear, _), (.asPool, nil): return nil
        case (_, let own?): behind = own
        case (.tls, nil):
            let made =
                standard
                ?? Result { () throws(TLSRefusal) in
                    try TLSBehind(trust: .system, certificate: nil, key: nil)
                }
            standard = made
            behind = try made.get()
        }
        let peer: TLSBehind.Peer
        if at.node < pool.peers.count {
            peer = pool.peers[at.node]
        } else {
            // By the host that the check asks for, which is the node's own unless it says otherwise.
            peer = TLSBehind.Peer(authority: probe.plan.authority)
        }
        guard let session = behind.session(fd: probe.fd, peer: peer, former: nil, desk: desk) else {
            throw TLSRefusal("there is no memory for TLS")
        }
        return session
    }

    /// The probe that is out has ended: the check judges.
    func finish(_ index: Int, _ outcome: AttemptResult.Outcome, _ detail: String = "") {
        let at = self[index]
        guard let probe = at.probe, let check = pools[at.pool].check else { return }
        hangUp(index)
        let reply = ProbeReply(
            outcome: outcome, status: probe.reader.status, step: at.step,
            connectNs: probe.connectNs, totalNs: now &- probe.began, body: probe.reader.body,
            headers: probe.reader.headers, detail: detail)
        let (isDone, verdict) = check.judge(node: at.node, reply: reply)
        if isDone {
            conclude(index, verdict)
        } else {
            self[index].interim = verdict
            self[index].step += 1
            ask(index)
        }
    }

    /// The round is over, with a verdict or, if there was nothing to ask, without.
    private func conclude(_ index: Int, _ verdict: Verdict?) {
        let isFirst = self[index].isAwaited
        if let verdict {
            let known = self[index].health.metadata
            let transition = self[index].health.apply(verdict, now: now)
            publish(index)
            log(index, transition, isFirst: isFirst)
            if !known.elementsEqual(self[index].health.metadata, by: ==) {
                compareNodes(of: self[index].pool)
            }
        }
        if verdict != nil || isFirst {
            for row in seats.indices where seats[row]?.leader == index { follow(row, index) }
        }
        if isFirst {
            self[index].isAwaited = false
            awaited -= 1
            if awaited == 0 { firstRoundIsOver() }
        }
        if let pause = verdict?.nextMs, pause > 0 {
            self[index].due = now &+ max(UInt64(pause) * 1_000_000, Self.leastPause)
        } else {
            self[index].due = max(self[index].began &+ interval(index), now &+ 1_000_000)
        }
        self[index].isSpread = true
        arm(index)
    }

    /// Looks whether what nodes of a pool say of themselves goes together. Those that follow say nothing.
    private func compareNodes(of pool: Int) {
        let name = pools[pool].rows.spec.name
        let found = pools[pool].rows.rows.compactMap { row -> NodeDifferences.Found? in
            guard let seat = seats[row], seat.leader == nil else { return nil }
            return (seat.name, seat.health.metadata)
        }
        for warning in differences[name, default: NodeDifferences()].update(found) {
            Log.warning("pool \(name): \(warning)")
        }
        let all = differences.mapValues(\.warnings)
        signals.warnings.withLock { $0 = all }
    }

    /// A node takes over what is known of its leader: state, weight and metadata, at once.
    private func follow(_ row: Int, _ leader: Int) {
        let isFirst = self[row].isAwaited
        let before = self[row].health.state
        self[row].health = self[leader].health
        drainIfItMust(row)
        if isFirst, isRunning { awaited -= 1 }
        self[row].isAwaited = false
        publish(row)
        let health = self[row].health
        if isFirst ? health.state == .down : health.state != before {
            let change = isFirst ? health.state.name : "\(before.name) -> \(health.state.name)"
            Log.write(
                health.state == .down ? .warning : .info,
                "node \(self[row].name): \(change), as \(self[leader].name): \(health.reason)")
        }
    }

    /// What is known of its leader may be a reason for it to take nothing new.
    private func drainIfItMust(_ row: Int) {
        let (at, pool) = (self[row], pools[self[row].pool])
        guard at.node < pool.drainsIf.count else { return }
        for (key, value) in pool.drainsIf[at.node]
        where at.health.metadata.contains(where: { $0 == (key, value) }) {
            self[row].health.drain(because: "\(key) is \(value), and it is to drain then")
        }
    }

    /// From the beginning of this round to the next: the pool's interval less up to a tenth of it,
    /// or after the first round any part of it from a tenth on.
    private func interval(_ index: Int) -> UInt64 {
        let whole = max(pools[self[index].pool].interval, Self.leastPause)
        let least = self[index].isSpread ? whole / 10 * 9 : whole / 10
        return UInt64.random(in: least...whole, using: &random)
    }

    private func firstRoundIsOver() {
        signals.isFirstRoundOver.store(true, ordering: .releasing)
        signals.firstRound.signal()
    }

    private func publish(_ index: Int) {
        let node = self[index]
        if board.publish(row: index, node.health) { hasPublished = true }
    }

    private func log(_ index: Int, _ transition: Transition?, isFirst: Bool) {
        let node = self[index]
        if let transition {
            Log.write(
                transition.to == .down ? .warning : .info,
                "node \(node.name): \(transition.from.name) -> \(transition.to.name): "
                    + transition.reason)
        } else if isFirst, node.health.state == .down {
            // No change, since it counts as down until it is asked; but news to the operator.
            Log.warning("node \(node.name): down: \(node.health.reason)")
        }
    }

    /// We lack what a probe needs, which says nothing about the node: asked again a little later.
    func postpone(_ index: Int, _ why: String) {
        hangUp(index)
        if complainedAt.map({ now &- $0 >= Self.complaintPause }) ?? true {
            complainedAt = now
            Log.error("nodes cannot be probed and stay in the state they are in: \(why)")
        }
        self[index].due = now &+ Self.shortagePause
        arm(index)
    }
}
