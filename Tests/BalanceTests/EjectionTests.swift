// Passive health: nodes whose requests fail one after the other get none for a while, within bounds.

import Testing

@testable import Balance

@Suite("A node that fails its requests is left alone for a while")
struct EjectionTests {
    private static let second: UInt64 = 1_000_000_000
    private static let rule = EjectionRule(
        failures: 3, time: 10 * second, maxTime: 60 * second)

    private func ground(
        tiers: [UInt32], workers: Int = 1, rule: EjectionRule? = rule
    ) throws -> Ground {
        var spec = PoolSpec.plain(tiers: tiers)
        spec.ejection = rule
        return try Ground([spec], workers: workers)
    }

    private func fail(_ view: TestView, _ node: UInt32, times: Int = 1) {
        for _ in 0..<times {
            view.began(node)
            view.ended(node, AttemptResult(outcome: .broken))
        }
    }

    private func pickable(_ ground: Ground, _ view: TestView) -> Set<UInt32> {
        view.refresh(now: ground.clock.now)
        return Set((0..<12).compactMap { _ in view.node() })
    }

    @Test("failures in a row eject it; one answer in between makes them begin anew")
    func inARow() throws {
        let ground = try ground(tiers: [0, 0, 0])
        let view = try ground.view()
        fail(view, 1, times: 2)
        view.began(1)
        view.ended(1, AttemptResult(outcome: .ok, status: 500))
        fail(view, 1, times: 2)
        #expect(pickable(ground, view) == [0, 1, 2])
        fail(view, 1)
        #expect(pickable(ground, view) == [0, 2])
        let row = ground.board.snapshot()[1]
        #expect(row.state == .up && row.ejections == 1)
        #expect(row.ejectedUntil == ground.clock.now + 10 * Self.second)
    }

    @Test("what clients give up says nothing about the node")
    func abandoned() throws {
        let ground = try ground(tiers: [0, 0])
        let view = try ground.view()
        for _ in 0..<9 {
            view.began(1)
            view.ended(1, AttemptResult(outcome: .abandoned))
        }
        #expect(pickable(ground, view) == [0, 1])
    }

    @Test("failures on several workers count together, and all of them leave the node alone")
    func together() throws {
        let ground = try ground(tiers: [0, 0], workers: 2)
        let (one, other) = (try ground.view(worker: 0), try ground.view(worker: 1))
        fail(one, 0, times: 2)
        fail(other, 0)
        #expect(pickable(ground, one) == [1] && pickable(ground, other) == [1])
    }

    @Test(
        "it comes back when its time is over, and is away twice as long the next time, to a limit")
    func growing() throws {
        let ground = try ground(tiers: [0, 0])
        let view = try ground.view()
        for seconds: UInt64 in [10, 20, 40, 60, 60] {
            fail(view, 0, times: 3)
            #expect(pickable(ground, view) == [1])
            ground.clock.now += seconds * Self.second - 1
            #expect(pickable(ground, view) == [1])
            ground.clock.now += 1
            #expect(pickable(ground, view) == [0, 1])
        }
        // Two minutes without a failure, twice as long as it was away: that counts for half of it,
        // and half of that.
        ground.clock.now += 120 * Self.second
        fail(view, 0, times: 3)
        #expect(ground.board.snapshot()[0].ejectedUntil - ground.clock.now == 30 * Self.second)
    }

    @Test("never more than half of a pool is away, and never the last node that takes requests")
    func bounds() throws {
        let three = try ground(tiers: [0, 0, 0])
        let view = try three.view()
        for node: UInt32 in 0..<3 { fail(view, node, times: 9) }
        #expect(pickable(three, view) == [1, 2])

        let alone = try ground(tiers: [0])
        let lone = try alone.view()
        fail(lone, 0, times: 9)
        #expect(pickable(alone, lone) == [0])

        // Its check has taken the other one out already.
        let pair = try ground(tiers: [0, 0])
        let rest = try pair.view()
        pair.set(1, .down)
        fail(rest, 0, times: 9)
        #expect(pickable(pair, rest) == [0])
    }

    @Test("if all others go down while it is away, it serves rather than nobody")
    func lastResort() throws {
        let ground = try ground(tiers: [0, 0])
        let view = try ground.view()
        fail(view, 0, times: 3)
        #expect(pickable(ground, view) == [1])
        ground.set(1, .down)
        #expect(pickable(ground, view) == [0])
        ground.set(1, .up)
        #expect(pickable(ground, view) == [1])
    }

    @Test("backups serve while the preferred nodes are away")
    func backups() throws {
        let ground = try ground(tiers: [0, 0, 1, 1])
        let view = try ground.view()
        fail(view, 0, times: 3)
        #expect(pickable(ground, view) == [1])
        fail(view, 1, times: 3)
        #expect(pickable(ground, view) == [2, 3])
        ground.clock.now += 10 * Self.second
        #expect(pickable(ground, view) == [0, 1])
    }

    @Test("a node that was down and comes up again starts with a clean record")
    func forgiven() throws {
        let ground = try ground(tiers: [0, 0])
        let view = try ground.view()
        fail(view, 0, times: 3)
        ground.set(0, .down)
        #expect(pickable(ground, view) == [1])
        ground.set(0, .up)
        #expect(pickable(ground, view) == [0, 1])
    }

    @Test("without the rule, or against a draining node, failures change nothing")
    func off() throws {
        let ground = try ground(tiers: [0, 0], rule: nil)
        let view = try ground.view()
        fail(view, 0, times: 99)
        #expect(pickable(ground, view) == [0, 1])
        let other = try self.ground(tiers: [0, 0])
        other.set(0, .draining)
        #expect(!other.board.eject(row: 0, of: other.board.pools[0], cause: "", now: 1))
    }

    @Test("a balancer that starts anew goes on leaving it alone")
    func adopted() throws {
        let ground = try ground(tiers: [0, 0])
        let view = try ground.view()
        fail(view, 0, times: 3)
        let next = try unsafe Board(
            memory: ground.memory, pools: [ground.board.pools[0].spec], workers: 1, adopt: true)
        #expect(next.snapshot()[0].ejectedUntil == ground.clock.now + 10 * Self.second)
        #expect(next.snapshot()[0].ejections == 1)
    }
}
