// The probing thread: when each node is asked, what its verdicts do, and the one timer of each node.
// How a probe goes over a socket is ProbeLoop+Exchange.swift. Nothing here is on the path of a request,
// so it allocates where that is clearer.

import Balance
import Base
import Net
import Synchronization

/// One node and where its probing stands.
struct ProbedNode {
    /// Index of its pool, and of itself in that pool. Its own place in the loop is that in the book.
    let pool: Int
    let node: Int
    /// "octopus/node1"
    let name: String
    var health: HealthMachine
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
    let pools: [ProbedPool]
    let addresses: AddressBook
    let clock: WorkerClock
    let signals: ProbeSignals
    let onPublish: @Sendable () -> Void
    let poller: Poller
    var nodes: [ProbedNode] = []
    var now: UInt64
    /// Names each connection, so that a late event of a closed one is known for what it is.
    var serial: UInt32 = 0
    /// What is read lands here first.
    var landing = [UInt8](repeating: 0, count: 65_536)
    private var wheel: TimerWheel
    private var random: SplitMix64
    private var awaited = 0
    private var hasPublished = false
    private var complainedAt: UInt64?

    private static let wakeupToken = UInt64.max

    init(
        board: Board, pools: [ProbedPool], addresses: AddressBook, clock: WorkerClock,
        entropy: UInt64, signals: ProbeSignals, onPublish: @escaping @Sendable () -> Void
    ) throws(SystemError) {
        self.board = board
        self.pools = pools
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
        for (pool, spec) in board.pools.enumerated() {
            for node in spec.nodes.indices { nodes.append(known(pool, node)) }
        }
    }

    /// A node as it stands before this process has asked anything.
    private func known(_ pool: Int, _ node: Int) -> ProbedNode {
        let spec = board.pools[pool]
        let hasCheck = pools[pool].check != nil
        var adopted = hasCheck ? board.adoptedHealth(pool: pool, node: node) : nil
        // It was down only because nobody had asked: its first verdict is still to count at once.
        if adopted?.state == .down, adopted?.reason == "not asked yet" { adopted = nil }
        return ProbedNode(
            pool: pool, node: node, name: "\(spec.name)/\(spec.nodes[node].name)",
            health: HealthMachine(
                rise: spec.rise, fall: spec.fall, hasCheck: hasCheck, adopted: adopted, now: now),
            isAwaited: hasCheck && adopted == nil)
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
        for index in nodes.indices { hangUp(index) }
    }

    private func begin() {
        now = monotonicNow()
        clock.now = now
        awaited = nodes.count { $0.isAwaited }
        if awaited == 0 { firstRoundIsOver() }
        for index in nodes.indices {
            if pools[nodes[index].pool].check == nil {
                // An earlier process may have had a check, and found it down.
                publish(index)
            } else {
                beginRound(index)
            }
        }
    }

    private func handle(_ event: Event) {
        if event.token == Self.wakeupToken {
            signals.wakeup.clear()
            for index in nodes.indices where nodes[index].probe?.stage == .resolving {
                resolve(index)
            }
        } else {
            let index = Int(truncatingIfNeeded: event.token & 0xFFFF_FFFF)
            let serial = UInt32(truncatingIfNeeded: event.token >> 32)
            guard let probe = nodes[index].probe, probe.fd >= 0, probe.serial == serial else {
                return
            }
            go(on: index, event)
        }
    }

    private func timeHasCome(_ index: Int) {
        if let probe = nodes[index].probe {
            if probe.patience <= now { patienceIsOver(index) } else { arm(index) }
        } else if nodes[index].due <= now {
            beginRound(index)
        } else {
            arm(index)
        }
    }

    /// Sets the node's timer to whatever it waits for now.
    func arm(_ index: Int) {
        let node = nodes[index]
        wheel.set(UInt32(index), at: node.probe?.patience ?? node.due)
    }

    // MARK: Rounds

    private func beginRound(_ index: Int) {
        nodes[index].began = now
        nodes[index].step = 0
        nodes[index].interim = nil
        ask(index)
    }

    /// Puts the check's next question to a node, or ends the round if it has none.
    private func ask(_ index: Int) {
        let (at, pool) = (nodes[index], pools[nodes[index].pool])
        guard let check = pool.check else { return }
        guard let plan = check.probe(node: at.node, step: at.step, timeoutMs: pool.timeoutMs)
        else {
            // It wanted to ask once more and does not: what it said last stands.
            conclude(index, at.interim)
            return
        }
        nodes[index].probe = Probe(plan, now: now)
        if plan.security == .tls {
            finish(index, .connectFailed, "probes over TLS are not supported by this version")
        } else {
            resolve(index)
        }
    }

    /// The probe that is out has ended: the check judges.
    func finish(_ index: Int, _ outcome: AttemptResult.Outcome, _ detail: String = "") {
        let at = nodes[index]
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
            nodes[index].interim = verdict
            nodes[index].step += 1
            ask(index)
        }
    }

    /// The round is over, with a verdict or, if there was nothing to ask, without.
    private func conclude(_ index: Int, _ verdict: Verdict?) {
        let isFirst = nodes[index].isAwaited
        if let verdict {
            let transition = nodes[index].health.apply(verdict, now: now)
            publish(index)
            log(index, transition, isFirst: isFirst)
        }
        if isFirst {
            nodes[index].isAwaited = false
            awaited -= 1
            if awaited == 0 { firstRoundIsOver() }
        }
        if let pause = verdict?.nextMs, pause > 0 {
            nodes[index].due = now &+ max(UInt64(pause) * 1_000_000, Self.leastPause)
        } else {
            nodes[index].due = max(nodes[index].began &+ interval(index), now &+ 1_000_000)
        }
        nodes[index].isSpread = true
        arm(index)
    }

    /// From the beginning of this round to the next: the pool's interval less up to a tenth of it,
    /// or after the first round any part of it from a tenth on.
    private func interval(_ index: Int) -> UInt64 {
        let whole = max(pools[nodes[index].pool].interval, Self.leastPause)
        let least = nodes[index].isSpread ? whole / 10 * 9 : whole / 10
        return UInt64.random(in: least...whole, using: &random)
    }

    private func firstRoundIsOver() {
        signals.isFirstRoundOver.store(true, ordering: .releasing)
        signals.firstRound.signal()
    }

    private func publish(_ index: Int) {
        let node = nodes[index]
        if board.publish(pool: node.pool, node: node.node, node.health) { hasPublished = true }
    }

    private func log(_ index: Int, _ transition: Transition?, isFirst: Bool) {
        let node = nodes[index]
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
        nodes[index].due = now &+ Self.shortagePause
        arm(index)
    }
}
