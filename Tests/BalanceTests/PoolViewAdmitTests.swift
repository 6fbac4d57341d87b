// Limits of nodes and slow start: what a pick comes to when its node does not take the request.

import Testing

@testable import Balance

@Suite("A node takes no more than it may have, and little after it was away")
struct PoolViewAdmitTests {
    private func ground(
        limits: [UInt32], workers: Int = 1, slowStart: UInt64 = 0
    ) throws -> Ground {
        var spec = PoolSpec.plain(tiers: limits.map { _ in 0 })
        for (node, limit) in limits.enumerated() { spec.nodes[node].maxInFlight = limit }
        spec.slowStart = slowStart
        return try Ground([spec], workers: workers)
    }

    private func release(_ view: TestView, _ node: UInt32) {
        view.began(node)
        view.ended(node, AttemptResult(outcome: .ok, status: 200, holdsPlace: true))
    }

    // MARK: Limits

    @Test("a full node is passed over, and a full pool is said to be so")
    func full() throws {
        let ground = try ground(limits: [2, 1])
        let view = try ground.view(.always(0, token: 7))
        #expect(view.pick() == .node(index: 0, token: 7, strategy: 0))
        #expect(view.pick() == .node(index: 0, token: 7, strategy: 0))
        #expect(view.pick() == .node(index: 1, token: 0, strategy: PoolView.fallback))
        #expect(view.lastPickWasDiverted)
        #expect(view.pick() == .full && view.freePlaces == 0)
        release(view, 1)
        #expect(view.freePlaces == 1)
        #expect(view.node() == 1)
    }

    @Test("places are counted over all workers")
    func overWorkers() throws {
        let ground = try ground(limits: [3], workers: 2)
        let (one, other) = (try ground.view(worker: 0), try ground.view(worker: 1))
        #expect(one.node() == 0 && other.node() == 0 && one.node() == 0)
        #expect(one.pick() == .full && other.pick() == .full)
        release(other, 0)
        #expect(one.node() == 0 && other.pick() == .full)
    }

    @Test("a node without a limit has always room, and so has its pool")
    func unlimited() throws {
        let ground = try ground(limits: [1, 0])
        let view = try ground.view(.always(0))
        #expect(view.node() == 0)
        for _ in 0..<100 { #expect(view.node() == 1) }
        #expect(view.freePlaces == .max && view.hasLimits)
        #expect(view.hasLimit(0) && !view.hasLimit(1))
    }

    @Test("a retry does not go back to where it failed, however much room there is")
    func retry() throws {
        let ground = try ground(limits: [9, 1])
        let view = try ground.view(.always(1))
        #expect(view.node() == 1)
        #expect(view.pick(tried: [0]) == .full)
    }

    @Test("a pick that comes to nothing gives its place back")
    func givenBack() throws {
        let ground = try ground(limits: [1])
        let view = try ground.view()
        for _ in 0..<5 {
            #expect(view.node() == 0)
            view.givePlaceBack(0)
        }
        #expect(view.freePlaces == 1)
    }

    // MARK: Slow start

    private static let second: UInt64 = 1_000_000_000

    /// Of 3,000 requests that round robin spreads over three nodes, those of the third.
    private func share(_ view: TestView) -> Int {
        (0..<3000).count { _ in view.node() == 2 }
    }

    @Test(
        "a node that comes back begins with a tenth of its share, and has half of it at half time")
    func slowStart() throws {
        let ground = try ground(limits: [0, 0, 0], slowStart: 60 * Self.second)
        let view = try ground.view(.roundRobin())
        #expect(share(view) == 1000)
        ground.set(2, .down)
        view.refresh(now: ground.clock.now)
        let back = ground.clock.now + Self.second
        ground.clock.now = back
        ground.board.publish(pool: 0, node: 2, state: .up, since: back)
        view.refresh(now: back)
        #expect((90...110).contains(share(view)))
        ground.clock.now = back + 30 * Self.second
        #expect((490...510).contains(share(view)))
        ground.clock.now = back + 60 * Self.second
        #expect(share(view) == 1000)
    }

    @Test("it keeps the clients whose session is there, and serves where nobody else does")
    func exceptions() throws {
        let ground = try ground(limits: [0, 0], slowStart: 60 * Self.second)
        let view = try ground.view(.always(1))
        ground.set(1, .down)
        ground.board.publish(pool: 0, node: 1, state: .up, since: ground.clock.now)
        view.refresh(now: ground.clock.now)
        for _ in 0..<50 {
            #expect(
                view.pick(sessionNode: 1) == .node(index: 1, token: 0, strategy: 0))
        }
        ground.set(0, .down)
        view.refresh(now: ground.clock.now)
        for _ in 0..<50 { #expect(view.node() == 1) }
    }

    @Test("the first verdict after a start is no recovery")
    func start() throws {
        var spec = PoolSpec.plain(tiers: [0, 0, 0], hasCheck: true)
        spec.slowStart = 60 * Self.second
        let ground = try Ground([spec])
        let view = try ground.view(.roundRobin())
        for node in 0..<3 { ground.set(node, .up) }
        view.refresh(now: ground.clock.now)
        #expect(share(view) == 1000)
    }

    @Test("an ejection's end begins a slow start")
    func afterEjection() throws {
        var spec = PoolSpec.plain(tiers: [0, 0, 0])
        spec.slowStart = 60 * Self.second
        spec.ejection = EjectionRule(failures: 1, time: Self.second, maxTime: Self.second)
        let ground = try Ground([spec])
        let view = try ground.view(.roundRobin())
        view.began(2)
        view.ended(2, AttemptResult(outcome: .connectFailed))
        view.refresh(now: ground.clock.now)
        #expect(share(view) == 0)
        ground.clock.now += Self.second
        view.refresh(now: ground.clock.now)
        #expect((90...110).contains(share(view)))
    }
}
