// What outlives a process, and what another process may read while it is written.

import Glibc
import Synchronization
import Testing

@testable import Balance

@Suite("What outlives the balancer")
struct BoardTests {
    private func reader(_ ground: Ground) throws -> BoardReader {
        unsafe try #require(BoardReader(memory: UnsafeRawBufferPointer(ground.memory)))
    }

    @Test("a restart forgets no state, reason, weight or ticket")
    func adoption() throws {
        let pools = [PoolSpec.plain(tiers: [0, 0, 1], hasCheck: true)]
        let ground = try Ground(pools, workers: 2)
        ground.board.publish(
            pool: 0, node: 1, state: .draining, weightPercent: 50, reason: "in maintenance",
            since: 42)
        let view = try ground.view(Script.roundRobin())
        ground.set(0, .up)
        view.refresh(now: 1)
        for _ in 0..<5 { _ = view.pick() }
        let second = unsafe try Board(memory: ground.memory, pools: pools, workers: 2, adopt: true)
        let row = second.snapshot()[1]
        #expect(row.state == .draining && row.reason == "in maintenance" && row.since == 42)
        #expect(row.weightPercent == 50 && row.weight == 5)
        #expect(second.words[second.ticketWord(0, 0)] == 5)
        #expect(
            second.health(row: 1)
                == AdoptedHealth(
                    state: .draining, weightPercent: 50, reason: "in maintenance", since: 42))
    }

    @Test("a restart with other nodes keeps those that stay, wherever they are now")
    func adoptionAcrossConfigurations() throws {
        let before = [PoolSpec.plain(tiers: [0, 0, 0], hasCheck: true)]
        let ground = try Ground(before, workers: 2)
        ground.set(2, .up)
        var pool = before[0]
        pool.nodes.remove(at: 0)
        pool.nodes.swapAt(0, 1)
        let after = [PoolSpec(name: "new", nodes: []), pool]
        let second = unsafe try Board(memory: ground.memory, pools: after, workers: 1, adopt: true)
        let rows = second.snapshot()
        #expect(rows.map(\.name) == ["node3", "node2"])
        #expect(rows.map(\.state) == [.up, .down])
        #expect(rows[1].reason == "not asked yet")
    }

    @Test("after a crash nothing is in flight, but counts go on")
    func resetWorkers() throws {
        let ground = try Ground(tiers: [0], workers: 2)
        let view = try ground.view(worker: 1)
        view.began(0)
        view.began(0)
        #expect(ground.board.snapshot()[0].inFlight == 2)
        ground.board.resetWorkers()
        let row = ground.board.snapshot()[0]
        #expect(row.inFlight == 0 && row.picks == 2)
        #expect(row.workerPicks == [0, 2])
    }

    @Test("memory of another make, or damaged, is laid out anew instead of believed")
    func damage() throws {
        let ground = try Ground(tiers: [0, 0])
        ground.set(1, .down)
        for (word, value) in [
            (BoardLayout.Header.magic, 1), (BoardLayout.Header.version, 99),
            (BoardLayout.Header.rows, 1 << 40), (BoardLayout.Header.workers, 0),
            (BoardLayout.Header.total, 3), (BoardLayout.Header.laidOut, 7),
        ] as [(Int, UInt64)] {
            let kept = ground.board.words[word]
            ground.board.words[word] = value
            unsafe #expect(BoardReader(memory: UnsafeRawBufferPointer(ground.memory)) == nil)
            ground.board.words[word] = kept
        }
        ground.board.words[0] = 0
        let fresh = unsafe try Board(
            memory: ground.memory, pools: ground.board.pools.map(\.spec), workers: 1, adopt: true)
        #expect(fresh.snapshot().map(\.state) == [.up, .up])
    }

    @Test("too little memory is refused with how much is needed")
    func tooSmall() throws {
        let ground = try Ground(tiers: [0])
        let pools = [PoolSpec.plain(tiers: [0, 0, 0])]
        #expect(throws: Refusal.self) {
            unsafe try Board(memory: ground.memory, pools: pools, workers: 1, adopt: false)
        }
    }

    @Test("a row that a crash left half written is left out, and mended by the next board")
    func halfWritten() throws {
        let ground = try Ground(tiers: [0, 0])
        let at =
            BoardLayout.Header.words + BoardLayout.Pool.words + BoardLayout.Row.words
            + BoardLayout.Row.sequence
        ground.board.words[at] |= 1
        #expect(try reader(ground).rows().map(\.name) == ["node1"])
        let second = unsafe try Board(
            memory: ground.memory, pools: ground.board.pools.map(\.spec), workers: 1, adopt: true)
        #expect(second.snapshot().map(\.name) == ["node1", "node2"])
    }

    @Test("a pool shows its own nodes, without those that have left their places")
    func snapshotOfAPool() throws {
        let ground = try Ground(tiers: [0, 0])
        let pool = ground.board.pools[0]
        #expect(ground.board.snapshot(of: pool).map(\.name) == ["node1", "node2"])
        var spec = pool.spec
        spec.nodes.removeFirst()
        ground.board.commit(try ground.board.seat([spec], now: 0))
        #expect(ground.board.snapshot(of: pool).count == 2, "until it is swept")
        ground.board.sweep()
        #expect(ground.board.snapshot(of: pool).map(\.name) == ["node2"])
        #expect(ground.board.snapshot(of: ground.board.pools[0]).map(\.name) == ["node2"])
    }

    @Test("a reader never sees half of an old row and half of a new one")
    func seqlock() throws {
        let ground = try Ground(tiers: [0])
        let board = ground.board
        let done = Atomic(false)
        var torn = 0
        var seen: Set<NodeState> = []
        let reader = try reader(ground)
        try withoutActuallyEscaping({
            for turn in 0..<20_000 {
                let state: NodeState = turn % 2 == 0 ? .down : .up
                board.publish(
                    pool: 0, node: 0, state: state, weightPercent: turn % 2 == 0 ? 200 : 100,
                    reason: String(repeating: state.name, count: 20), since: UInt64(state.rawValue))
            }
            done.store(true, ordering: .releasing)
        }) { body in
            let writer = unsafe try Thread(unsafeBitCast(body, to: (@Sendable () -> Void).self))
            while !done.load(ordering: .acquiring) {
                guard let row = reader.rows().first, row.since != 0 || row.reason != "" else {
                    continue
                }
                seen.insert(row.state)
                let isWhole =
                    row.reason == String(String(repeating: row.state.name, count: 20).prefix(127))
                    && row.since == UInt64(row.state.rawValue)
                    && row.weight == (row.state == .down ? 20 : 10)
                if !isWhole { torn += 1 }
            }
            writer.join()
        }
        #expect(torn == 0)
        #expect(!seen.isEmpty)
    }

    @Test("a weight is never rounded down to nothing, and 0 stays 0")
    func effectiveWeight() {
        #expect(Board.effectiveWeight(10, percent: 50) == 5)
        #expect(Board.effectiveWeight(1, percent: 10) == 1)
        #expect(Board.effectiveWeight(0, percent: 500) == 0)
        #expect(Board.effectiveWeight(10, percent: 0) == 0)
        #expect(Board.effectiveWeight(65_535, percent: 1000) == 655_350)
    }

    @Test("what the operator wrote about a node is not overwritten by a check")
    func metadata() {
        let merged = Board.merge(
            configured: [("zone", "a")], found: [("zone", "b"), ("version", "2"), ("node", "x")])
        #expect(merged.map(\.0) == ["node", "version", "zone"])
        #expect(merged.map(\.1) == ["x", "2", "a"])
    }

    @Test("workers are not woken for what changed nothing")
    func versions() throws {
        let ground = try Ground(tiers: [0])
        let before = ground.board.version
        #expect(
            ground.board.publish(pool: 0, node: 0, state: .up, reason: "200", since: 1) == false)
        #expect(ground.board.version == before)
        #expect(ground.board.snapshot()[0].reason == "200")
        #expect(ground.board.publish(pool: 0, node: 0, state: .down, since: 2))
        #expect(ground.board.version != before)
    }
}

/// A thread that runs one body.
private struct Thread {
    private let handle: pthread_t
    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    init(_ run: @escaping @Sendable () -> Void) throws {
        var handle = pthread_t()
        let body = unsafe Unmanaged.passRetained(Body(run)).toOpaque()
        let code = unsafe pthread_create(
            &handle, nil,
            { argument in
                unsafe Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue().run()
                return nil
            }, body)
        try #require(code == 0)
        self.handle = handle
    }

    func join() { pthread_join(handle, nil) }
}
