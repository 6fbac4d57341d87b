// Shadows: they see everything and change nothing, and what they would have done is counted.

import Base
import CTrivet
import Testing

@testable import Balance

@Suite("A shadow is asked and not obeyed")
struct ShadowTests {
    /// A view of one strategy and a shadow.
    private struct Stage {
        let ground: Ground
        let watch: ShadowWatch
        let view: TestView
        let kind: StrategyKind

        init(_ real: Script, _ shadow: Script, _ pool: PoolSpec = .plain(tiers: [0, 0, 0])) throws {
            ground = try Ground([pool])
            let place = ground.place()
            kind = try shadow.kind(name: "shadow")
            watch = ShadowWatch(
                pool: ground.board.pools[0], name: "shadow", options: "{}", build: kind.build,
                workers: 1)
            view = TestView(
                PoolView(
                    at: place,
                    strategies: [try real.kind().make(at: place, slot: 0, options: "{}")],
                    shadow: .init(
                        watch, try kind.make(at: place, slot: PoolView.shadowSlot, options: "{}"))))
        }
    }

    /// Picks as scripted, one after the other; `.max` passes, `.max - 1` refuses.
    private static func turns(_ nodes: [UInt32], reason: StaticString = "") -> Script {
        let script = Script()
        var turn = 0
        unsafe script.pick = { _, _, answer in
            let node = nodes[turn % nodes.count]
            turn += 1
            if node == .max { return TRIVET_PASS }
            if node == .max - 1 { return TRIVET_REFUSE }
            unsafe answer.pointee.node = node
            unsafe answer.pointee.token = 77
            unsafe answer.pointee.flags = TRIVET_PICK_STICK
            unsafe answer.pointee.reason = text(reason)
            return TRIVET_PICKED
        }
        return script
    }

    @Test("outcomes, reasons and wishes are the same with it and without it")
    func noEffect() throws {
        let ground = try Ground(tiers: [0, 0, 0])
        let real = { Script.roundRobin() }
        let plain = try ground.view(real())
        let shadow = Self.turns([2, 99, .max, .max - 1, 0], reason: "a shadow's")
        let stage = try Stage(real(), shadow)
        for turn in 0..<100 {
            let tried: [UInt32] = turn % 5 == 0 ? [1] : []
            #expect(stage.view.pick(tried: tried) == plain.pick(tried: tried))
            #expect(stage.view.reason == "" && !stage.view.view.lastPickSticks)
        }
        #expect(stage.view.fallbackPicks == plain.fallbackPicks)
        #expect(stage.view.badAnswers(0) == plain.badAnswers(0))
    }

    @Test("it is told of every result, and gets no token of anybody")
    func results() throws {
        let shadow = Self.turns([1])
        let stage = try Stage(.always(0, token: 5), shadow)
        for _ in 0..<3 {
            guard case .node(let node, let token, let slot) = stage.view.pick() else { return }
            #expect(slot == 0)
            stage.view.ended(
                node,
                AttemptResult(
                    outcome: .ok, status: 200, strategy: slot, token: token,
                    generation: stage.view.generation))
        }
        #expect(shadow.results.map(\.node) == [0, 0, 0])
        #expect(shadow.results.map(\.token) == [0, 0, 0])
    }

    @Test("divergence and imbalance are those of a case done by hand")
    func figures() throws {
        // Real: 0 1 2 0 1 2 0 1; the shadow: 0 0 2 (pass) (bad) (refuse) 0 0.
        let shadow = Self.turns([0, 0, 2, .max, 99, .max - 1, 0, 0])
        let stage = try Stage(.roundRobin(), shadow)
        for _ in 0..<8 { _ = stage.view.pick() }
        // A retry is asked about and not counted.
        _ = stage.view.pick(tried: [0])
        let status = stage.watch.status()
        #expect(status.requests == 8)
        #expect(status.passes == 1 && status.badAnswers == 1 && status.refusals == 1)
        // Elsewhere: the second, the last, and the refusal.
        #expect(status.diverged == 3)
        #expect(status.divergence == 3.0 / 6)
        #expect(status.predicted == [4, 0, 1] && status.actual == [3, 3, 2])
        // Mean 5/3: 4 / (5/3); deviations 7/3, -5/3, -2/3.
        #expect(abs(status.predictedImbalance.maxOverMean - 2.4) < 1e-12)
        let variance = (49.0 + 25 + 4) / 9 / 3
        #expect(abs(status.predictedImbalance.variation - variance.squareRoot() / (5 / 3)) < 1e-12)
        #expect(abs(status.actualImbalance.maxOverMean - 9.0 / 8) < 1e-12)
    }

    @Test("what lies on a node is compared with its weight, and nobody's backup is empty")
    func weights() {
        let even = Imbalance(counts: [30, 10, 0], weights: [3, 1, 0])
        #expect(even.maxOverMean == 1 && even.variation == 0)
        let none = Imbalance(counts: [0, 0], weights: [1, 1])
        #expect(none == Imbalance())
    }

    @Test("a fenced one is not asked any more")
    func fence() throws {
        let shadow = Self.turns([1])
        let stage = try Stage(.roundRobin(), shadow)
        for _ in 0..<5 { _ = stage.view.pick() }
        stage.kind.build.fence(reason: "a test says so")
        for _ in 0..<5 {
            guard case .node(let node, _, _) = stage.view.pick() else { return }
            stage.view.ended(node, AttemptResult(outcome: .ok, status: 200))
        }
        let status = stage.watch.status()
        #expect(status.requests == 5 && status.isFenced)
        #expect(shadow.results.isEmpty)
    }

    @Test("it hears of nodes that change, and goes on over a reload with its counts")
    func reload() throws {
        let shadow = Self.turns([1])
        let stage = try Stage(.roundRobin(), shadow)
        _ = stage.view.pick()
        stage.ground.set(0, .down)
        stage.view.refresh(now: 1)
        #expect(shadow.updates.count == 1)
        let next = PoolView(
            at: stage.ground.place(), strategies: [nil], shadow: .init(stage.watch, nil))
        #expect(next.inherit(from: stage.view.view).isEmpty)
        let view = TestView(next)
        _ = view.pick()
        #expect(stage.watch.status().requests == 2)
        // Gone with the configuration.
        let last = PoolView(at: stage.ground.place(), strategies: [nil])
        #expect(last.inherit(from: view.view).map(\.kind.name) == ["shadow"])
    }
}
