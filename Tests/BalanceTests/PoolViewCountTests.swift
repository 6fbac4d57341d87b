// Counters, and what strategies are told between picks.

import CTrivet
import Testing

@testable import Balance

@Suite("What strategies know")
struct PoolViewCountTests {
    private func load(_ view: TestView, _ node: Int) -> trivet_load {
        unsafe view.view.loads[node]
    }

    @Test("a node's load is exact on its own worker and at most a millisecond old from the others")
    func inFlightAll() throws {
        let ground = try Ground(tiers: [0, 0], workers: 2)
        let one = try ground.view(worker: 0)
        let other = try ground.view(worker: 1)
        _ = one.pick()
        other.began(1)
        other.began(1)
        one.began(1)
        #expect(load(one, 1).in_flight == 1)
        ground.clock.now += 999_999
        _ = one.pick()
        #expect(load(one, 1).in_flight_all == 1)
        ground.clock.now += 1
        _ = one.pick()
        #expect(load(one, 1).in_flight_all == 3)
        one.ended(1, AttemptResult(outcome: .ok, status: 200))
        #expect(load(one, 1).in_flight == 0 && load(one, 1).in_flight_all == 2)
        one.ended(1, AttemptResult(outcome: .ok, status: 200))
        #expect(load(one, 1).in_flight == 0 && load(one, 1).in_flight_all == 2)
    }

    @Test("loads of a large pool are taken in by and by, so that no pick waits for all of them")
    func inFlightOfMany() throws {
        let ground = try Ground(tiers: Array(repeating: 0, count: 600), workers: 2)
        let one = try ground.view(worker: 0)
        let other = try ground.view(worker: 1)
        _ = one.pick()
        for node in 0..<600 { other.began(UInt32(node)) }
        func known() -> [Int] { (0..<600).filter { load(one, $0).in_flight_all == 1 } }
        var turns: [[Int]] = []
        for _ in 0..<3 {
            ground.clock.now += 1_000_000
            _ = one.pick()
            turns.append(known())
        }
        // 256 nodes of two workers a turn.
        #expect(turns == [Array(0..<256), Array(0..<512), Array(0..<600)])
    }

    @Test("failures are what the node failed at, not what the client gave up")
    func failures() throws {
        let ground = try Ground(tiers: [0])
        let view = try ground.view()
        for (outcome, status) in [
            (.ok, 200), (.ok, 404), (.ok, 502), (.connectFailed, 0), (.timedOut, 0), (.broken, 0),
            (.abandoned, 0),
        ] as [(AttemptResult.Outcome, UInt32)] {
            view.began(0)
            view.ended(
                0, AttemptResult(outcome: outcome, status: status, bytesSent: 10, bytesReceived: 3))
        }
        let row = ground.board.snapshot()[0]
        #expect(row.failures == 4 && row.picks == 7 && row.inFlight == 0 && row.abandoned == 1)
        #expect(row.answers == [0, 1, 0, 1, 1])
        #expect(row.bytesSent == 70 && row.bytesReceived == 21)
        #expect(load(view, 0).failures == 4)
    }

    @Test("latency follows a change, and a worker that fell silent loses its say")
    func latency() throws {
        let ground = try Ground(tiers: [0], workers: 2)
        let one = try ground.view(worker: 0)
        let other = try ground.view(worker: 1)
        let attempt = { AttemptResult(outcome: .ok, status: 200, firstByteNs: $0) }
        other.ended(0, attempt(8_000_000))
        ground.clock.now += 3_000_000_000
        one.ended(0, attempt(1_000_000))
        _ = one.pick()
        // One part in eight for the silent one: (1024 * 1 + 128 * 8) / 1152 ms.
        #expect(load(one, 0).latency_ns == 1_777_777)
        #expect(movingAverage(0, adding: 500) == 500)
        #expect(movingAverage(800, adding: 1600) == 900)
    }

    @Test("every strategy hears how a pick ended; only the one that picked gets its token back")
    func results() throws {
        let ground = try Ground(tiers: [0, 0])
        let (first, second) = (Script(), Script.always(1, token: 77))
        let view = try ground.view(first, second)
        guard case .node(let node, let token, let strategy) = view.pick() else {
            Issue.record("no node")
            return
        }
        view.began(node)
        var attempt = AttemptResult(
            outcome: .timedOut, strategy: strategy, token: token, generation: view.generation)
        view.ended(node, attempt)
        attempt.generation &+= 1
        view.ended(node, attempt)
        #expect(first.results.map(\.token) == [0, 0])
        #expect(second.results.map(\.token) == [77, 0])
        #expect(second.results[0].node == 1 && second.results[0].outcome == TRIVET_TIMED_OUT)
    }

    @Test("a strategy with update is told what changed, once")
    func updates() throws {
        let ground = try Ground(tiers: [0, 0])
        let script = Script.roundRobin()
        let view = try ground.view(script)
        ground.set(0, .down)
        view.refresh(now: 1)
        view.refresh(now: 2)
        ground.board.publish(
            pool: 0, node: 0, state: .down, weightPercent: 50, metadata: [("v", "1")], since: 1)
        view.refresh(now: 3)
        #expect(
            script.updates == [
                TRIVET_CHANGED_STATE, TRIVET_CHANGED_WEIGHT | TRIVET_CHANGED_METADATA,
            ])
        unsafe #expect(foreignText(view.view.nodes[0].metadata[0].value, limit: 9) == "1")
        unsafe #expect(view.view.nodes[0].weight == 5)
    }

    @Test("a strategy without update asks to be made anew when weights change, once a second")
    func stale() throws {
        let ground = try Ground(tiers: [0, 0])
        let kind = try Script.always(0).kind(hasUpdate: false)
        let instance = try kind.make(at: ground.place(), slot: 0, options: "{}")
        let view = TestView(PoolView(at: ground.place(), strategies: [instance]))
        let second: UInt64 = 1_000_000_000
        let change = { (percent: UInt32) in
            ground.board.publish(
                pool: 0, node: 0, state: .up, weightPercent: percent, since: 1)
        }
        func stale(at now: UInt64) -> UInt16 {
            view.refresh(now: now)
            return view.view.takeStale(now: now)
        }
        ground.set(1, .down)
        #expect(stale(at: 10 * second) == 0)
        _ = change(50)
        #expect(stale(at: 11 * second) == 1)
        #expect(stale(at: 11 * second) == 0)
        _ = change(60)
        #expect(stale(at: 11 * second + second / 2) == 0)
        #expect(stale(at: 12 * second) == 1)
    }

    @Test("a successor starts with what its predecessor has learnt, and later results reach it")
    func replacement() throws {
        let ground = try Ground(tiers: [0, 0])
        let (old, new) = (Script.always(0, token: 7), Script.always(1, token: 8))
        old.saved = "learnt"
        let first = try old.kind(saves: true).make(at: ground.place(), slot: 0, options: "{}")
        let second = try new.kind(saves: true).make(at: ground.place(), slot: 0, options: "{}")
        let view = TestView(PoolView(at: ground.place(), strategies: [first]))
        guard case .node(0, 7, let strategy) = view.pick() else { return #expect(Bool(false)) }
        let attempt = AttemptResult(
            outcome: .ok, status: 200, strategy: strategy, token: 7, generation: view.generation)
        view.began(0)
        #expect(view.view.replace(0, with: second) === first)
        #expect(new.loaded == ["learnt"])
        view.ended(0, attempt)
        // The token was the old one's: the new one hears of the result, without it.
        #expect(new.results.map(\.token) == [0])
        #expect(view.pick() == .node(index: 1, token: 8, strategy: 0))
    }

    @Test("other nodes: counters stay with theirs, and who can be told is told")
    func inheritance() throws {
        let before = PoolSpec.plain(tiers: [0, 0, 0])
        let memory = BoardCapacity(pools: 2, nodes: 8)
        let ground = try Ground([before], capacity: memory)
        let script = Script.always(2)
        let view = try ground.view(script)
        view.began(2)
        view.began(1)
        var after = before
        after.nodes.remove(at: 0)
        after.nodes.append(
            NodeSpec(id: 9, name: "node9", address: "192.0.2.9:80", weight: 10))
        let rows = try ground.board.seat([after], now: 5)
        #expect(rows[0].rows == [1, 2, 3])
        let next = TestView(
            PoolView(
                at: InstancePlace(
                    board: ground.board, pool: rows[0], worker: 0, clock: ground.clock,
                    metrics: ground.metrics), strategies: [nil]))
        #expect(next.view.inherit(from: view.view).isEmpty)
        ground.board.commit(rows)
        #expect(ground.board.sweep() == [0])
        #expect(script.updates.last.map { $0 & TRIVET_CHANGED_NODES } == TRIVET_CHANGED_NODES)
        #expect((0..<3).map { next.view.inFlight($0) } == [1, 1, 0])
        #expect(next.view.node(row: 0) == .max && next.view.node(row: 3) == 2)
        let shown = ground.board.snapshot()
        #expect(shown.map(\.name) == ["node2", "node3", "node9"])
        #expect(shown.map(\.inFlight) == [1, 1, 0])
        // A slot that is given away again starts from nothing.
        after.nodes.append(
            NodeSpec(id: 10, name: "node10", address: "192.0.2.10:80", weight: 10))
        #expect(try ground.board.seat([after], now: 6)[0].rows == [1, 2, 3, 0])
    }

    @Test("an operator can see what a strategy has learnt")
    func describe() throws {
        let ground = try Ground(tiers: [0])
        let script = Script.always(0)
        script.saved = "a lot"
        let talkative = try script.kind(saves: true)
        let silent = try Script().kind()
        let view = PoolView(
            at: ground.place(),
            strategies: [
                try silent.make(at: ground.place(), slot: 0, options: "{}"),
                try talkative.make(at: ground.place(), slot: 1, options: "{}"),
            ])
        let shown = [view.describe(0), view.describe(1), view.describe(2)]
        #expect(shown == [nil, "{\"learnt\":\"a lot\"}", nil])
    }

    @Test("instances are destroyed once each, when their view is gone")
    func destruction() throws {
        let ground = try Ground(tiers: [0])
        let script = Script.always(0)
        do {
            let view = try ground.view(script)
            _ = view.pick()
            #expect(script.destroyed == 0)
        }
        #expect(script.created == 1 && script.destroyed == 1)
    }
}
