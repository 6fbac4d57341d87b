// Canaries in a pool: who gets which pick, what is counted to whom, and what makes the share go back.

import Base
import CTrivet
import Testing

@testable import Balance

@Suite("A canary gets its share, and loses it when it is worse")
struct CanaryTests {
    /// A view with one strategy, which picks node 0, and a canary of it.
    final class Stage {
        let ground: Ground
        let incumbent: Script
        let candidate: Script
        let watch: CanaryWatch
        private(set) var view: TestView
        private let kind: StrategyKind
        private let incumbentKind: StrategyKind

        init(
            _ candidate: Script = .always(1, token: 11), share: Double = 0.05,
            limits: CanaryPlan.Limits = .init()
        ) throws {
            ground = try Ground(tiers: [0, 0, 0])
            incumbent = .always(0, token: 10)
            self.candidate = candidate
            kind = try candidate.kind(name: "candidate", saves: true)
            incumbentKind = try incumbent.kind(name: "incumbent", saves: true)
            watch = CanaryWatch(
                CanaryPlan(
                    pool: "pool", incumbent: "incumbent", name: "candidate", share: share,
                    limits: limits),
                build: kind.build.id, workers: 1, at: (ground.board, 0))
            let place = ground.place()
            view = TestView(
                PoolView(
                    at: place,
                    strategies: [try incumbentKind.make(at: place, slot: 0, options: "{}")],
                    canaries: [
                        0: .init(watch, try kind.make(at: place, slot: 4, options: "{}"))
                    ]))
        }

        var build: Build { kind.build }

        /// One request from pick to result; the slot that picked.
        @discardableResult
        func request(_ result: (UInt8) -> AttemptResult) -> UInt8? {
            guard case .node(let node, let token, let slot) = view.pick() else { return nil }
            view.began(node)
            var attempt = result(slot)
            attempt.strategy = slot
            attempt.token = token
            attempt.generation = view.generation
            view.ended(node, attempt)
            return slot
        }

        /// The same view again, as a reload makes it where nothing differs in the pool's candidates.
        func reload() {
            let next = PoolView(
                at: ground.place(), strategies: [nil], canaries: [0: .init(watch, nil)])
            let left = next.inherit(from: view.view)
            #expect(left.isEmpty)
            view = TestView(next)
        }
    }

    private static func good(_ ms: Double = 10) -> AttemptResult {
        AttemptResult(outcome: .ok, status: 200, firstByteNs: UInt64(ms * 1_000_000))
    }

    @Test("the share is that of the worker's draws, to the pick, over a reload as well")
    func share() throws {
        let stage = try Stage(share: 0.05)
        var random = SplitMix64(seed: PoolView.drawSeed(stage.ground.place(), slot: 0))
        let threshold = UInt64(0.05 * 0x1p64)
        var drawn: UInt64 = 0
        for turn in 0..<4000 {
            if turn == 2000 { stage.reload() }
            let isCanary = random.next() < threshold
            drawn += isCanary ? 1 : 0
            #expect(stage.request { _ in Self.good() } == (isCanary ? 4 : 0))
        }
        #expect(drawn > 150 && drawn < 250)
        let status = stage.watch.status()
        #expect(status.candidate.picks == drawn && status.candidate.results == drawn)
        #expect(status.incumbent.picks == 4000 - drawn && status.withdrawal == nil)
        #expect(status.candidate.meanLatency == 10)
    }

    @Test("a retry is the incumbent's, and counts for neither")
    func retries() throws {
        let stage = try Stage(share: 0.99)
        for _ in 0..<100 {
            guard case .node(_, _, let slot) = stage.view.pick(tried: [1]) else {
                Issue.record("no node")
                return
            }
            #expect(slot == 0)
            stage.view.ended(
                0, AttemptResult(outcome: .broken, strategy: slot, attempt: 1))
        }
        let status = stage.watch.status()
        #expect(status.candidate == CanaryArm() && status.incumbent == CanaryArm())
    }

    @Test("each gets back its own tokens, and both are told of every result")
    func tokens() throws {
        let stage = try Stage(share: 0.5)
        for _ in 0..<200 { stage.request { _ in Self.good() } }
        #expect(stage.candidate.results.count == 200 && stage.incumbent.results.count == 200)
        for index in 0..<200 {
            let (mine, theirs) = (stage.candidate.results[index], stage.incumbent.results[index])
            #expect(mine.node == theirs.node)
            #expect(mine.token == (mine.node == 1 ? 11 : 0))
            #expect(theirs.token == (theirs.node == 0 ? 10 : 0))
        }
        let picks = stage.watch.status().candidate.picks
        #expect(stage.candidate.results.count(where: { $0.token == 11 }) == Int(picks))
    }

    @Test("a token of a canary that has been replaced does not come to the next one")
    func foreignTokens() throws {
        let stage = try Stage(share: 0.99)
        var slot: UInt8 = 0
        while slot != 4 {
            if case .node(_, _, let picked) = stage.view.pick() { slot = picked }
        }
        let before = stage.view.generation
        let next = Script.always(2)
        let place = stage.ground.place()
        let kind = try next.kind(name: "next")
        let plan = CanaryPlan(pool: "pool", incumbent: "incumbent", name: "next", share: 0.5)
        let watch = CanaryWatch(plan, build: kind.build.id, workers: 1)
        let fresh = PoolView(
            at: place, strategies: [nil],
            canaries: [0: .init(watch, try kind.make(at: place, slot: 4, options: "{}"))])
        let left = fresh.inherit(from: stage.view.view)
        #expect(left.map(\.kind.name) == ["candidate"])
        fresh.ended(
            1, AttemptResult(outcome: .broken, strategy: 4, token: 11, generation: before))
        #expect(next.results.map(\.token) == [0])
        #expect(watch.status().candidate.results == 0)
    }

    @Test("failures beyond the margin take the share back, at the first sample")
    func failures() throws {
        let stage = try Stage()
        var requests = 0
        while !stage.watch.isWithdrawn && requests < 10_000 {
            stage.request { slot in
                slot == 4 ? AttemptResult(outcome: .connectFailed) : Self.good()
            }
            requests += 1
        }
        let status = stage.watch.status()
        let reason = try #require(status.withdrawal)
        #expect(status.candidate.results >= 100 && status.candidate.results <= 112)
        #expect(reason.hasPrefix("100 % of its requests failed"), "\(reason)")
        #expect(reason.contains("where 5 % more are allowed"))
        // From here on it is not asked, over a reload neither.
        for turn in 0..<500 {
            if turn == 250 { stage.reload() }
            #expect(stage.request { _ in Self.good() } == 0)
        }
        #expect(stage.watch.status().candidate.picks == status.candidate.picks)
    }

    @Test("what a client is refused is a failure, and an abandoned request is none")
    func refusals() throws {
        let script = Script()
        unsafe script.pick = { _, _, _ in TRIVET_REFUSE }
        let stage = try Stage(script, share: 0.5)
        for _ in 0..<400 { stage.request { _ in Self.good() } }
        let status = stage.watch.status()
        #expect(status.candidate.refusals > 100 && status.withdrawal != nil)
        let other = try Stage(share: 0.5)
        for _ in 0..<400 { other.request { _ in AttemptResult(outcome: .abandoned) } }
        #expect(other.watch.status().candidate.results == 0)
    }

    @Test("four failures more in a hundred are within the margin; so are failures of both")
    func margin() throws {
        var limits = CanaryPlan.Limits()
        limits.latency = nil
        let stage = try Stage(share: 0.5, limits: limits)
        var mine = 0
        for _ in 0..<10_000 {
            stage.request { slot in
                mine += slot == 4 ? 1 : 0
                let fails = slot == 4 && mine % 25 == 0
                return AttemptResult(outcome: fails ? .broken : .ok, status: 200)
            }
        }
        #expect(stage.watch.status().withdrawal == nil)
        let both = try Stage(share: 0.5)
        for _ in 0..<2000 { both.request { _ in AttemptResult(outcome: .timedOut) } }
        #expect(both.watch.status().withdrawal == nil)
    }

    @Test("what began well and turned bad is noticed: an old record hides nothing")
    func turnsBad() throws {
        let stage = try Stage(share: 0.5)
        for _ in 0..<20_000 { stage.request { _ in Self.good() } }
        let before = stage.watch.status()
        #expect(before.withdrawal == nil)
        while !stage.watch.isWithdrawn {
            stage.request { slot in
                slot == 4 ? AttemptResult(outcome: .ok, status: 500) : Self.good()
            }
            guard stage.watch.status().candidate.failures < 1000 else { break }
        }
        #expect(stage.watch.isWithdrawn)
        #expect(stage.watch.status().candidate.failures < 300)
    }

    @Test("first bytes that come later by more than half take the share back")
    func latency() throws {
        for (ms, isWorse) in [(14.0, false), (16.0, true)] {
            let stage = try Stage(share: 0.2)
            var random = SplitMix64(seed: 7)
            for _ in 0..<5000 {
                stage.request { slot in
                    let noise = Double(random.next() % 1000) / 1000 - 0.5
                    return Self.good((slot == 4 ? ms : 10) + noise)
                }
            }
            let reason = stage.watch.status().withdrawal
            #expect((reason != nil) == isWorse)
            if let reason { #expect(reason.contains("where 50 % more is allowed"), "\(reason)") }
        }
    }

    @Test("one very slow answer is no reason")
    func outlier() throws {
        let stage = try Stage(share: 0.2)
        var isFirst = true
        for _ in 0..<1000 {
            stage.request { slot in
                defer { if slot == 4 { isFirst = false } }
                return Self.good(slot == 4 && isFirst ? 60_000 : 10)
            }
        }
        #expect(stage.watch.status().candidate.meanLatency > 100)
        #expect(stage.watch.status().withdrawal == nil)
    }

    @Test("equals are not told apart by chance", arguments: [0.0, 0.01, 0.2])
    func equals(failing: Double) throws {
        for seed in 0..<3 as Range<UInt64> {
            let stage = try Stage(share: 0.2)
            var random = SplitMix64(seed: seed)
            let threshold = UInt64(failing * 0x1p63) * 2
            for _ in 0..<10_000 {
                stage.request { _ in
                    if random.next() < threshold { return AttemptResult(outcome: .broken) }
                    // A long tail, as latencies have.
                    let draw = Double(random.next() >> 11) * 0x1p-53
                    return Self.good(5 + 2 / (draw + 0.001))
                }
            }
            #expect(stage.watch.status().withdrawal == nil)
        }
    }

    @Test("the second node of its invention takes the share back at once, and loses no request")
    func badAnswers() throws {
        let stage = try Stage(.always(99), share: 0.5)
        for _ in 0..<100 { #expect(stage.request { _ in Self.good() } == 0) }
        let status = stage.watch.status()
        #expect(status.candidate.badAnswers == 2)
        #expect(stage.view.badAnswers(4) == 2)
        #expect(stage.view.fallbackPicks == 0, "the incumbent is asked in its place")
        #expect(status.withdrawal?.contains("no legal node") == true)
    }

    @Test("a canary that is fenced is out at once, and the incumbent has its picks")
    func fence() throws {
        let stage = try Stage(share: 0.5)
        stage.build.fence(reason: "a test says so")
        for _ in 0..<100 { #expect(stage.request { _ in Self.good() } == 0) }
        let status = stage.watch.status()
        #expect(status.withdrawal == "its build is fenced: a test says so")
        #expect(status.candidate.picks == 0)
        let vacant = CanaryWatch(stage.watch.plan, build: nil, fence: "a crash", workers: 1)
        #expect(vacant.status().withdrawal == "its build is fenced: a crash")
    }

    @Test("a withdrawal outlives the process, and not a change of the canary")
    func survives() throws {
        let stage = try Stage()
        stage.watch.withdraw("a test says so")
        let board = try unsafe Board(
            memory: stage.ground.memory, pools: [.plain(tiers: [0, 0, 0])], workers: 1, adopt: true)
        let same = CanaryWatch(
            stage.watch.plan, build: stage.watch.build, workers: 1, at: (board, 0))
        #expect(same.isWithdrawn)
        var plan = stage.watch.plan
        plan.share = 0.1
        #expect(
            !CanaryWatch(plan, build: stage.watch.build, workers: 1, at: (board, 0)).isWithdrawn)
        #expect(!CanaryWatch(stage.watch.plan, build: 7, workers: 1, at: (board, 0)).isWithdrawn)
        board.forgetWithdrawal(board.pools[0], 0)
        let later = CanaryWatch(
            stage.watch.plan, build: stage.watch.build, workers: 1, at: (board, 0))
        #expect(!later.isWithdrawn)
    }

    @Test("the logarithm is one")
    func logarithm() {
        for (x, expected) in [
            (1, 0), (2, 0.693_147_180_559_945), (10, 2.302_585_092_994_046),
            (0.001, -6.907_755_278_982_137), (1.999_999, 0.693_146_680_559_82),
        ] as [(Double, Double)] {
            #expect(abs(CanaryVerdict.logarithm(x) - expected) < 1e-11)
        }
    }

    @Test("all workers count together")
    func workers() throws {
        let ground = try Ground(tiers: [0, 0], workers: 4)
        let kind = try Script.always(1).kind(name: "candidate")
        let watch = CanaryWatch(
            CanaryPlan(pool: "pool", incumbent: "incumbent", name: "candidate", share: 0.5),
            build: kind.build.id, workers: 4)
        let incumbent = try Script.always(0).kind(name: "incumbent")
        let views = try (0..<4).map { worker in
            let place = ground.place(worker: worker)
            return TestView(
                PoolView(
                    at: place, strategies: [try incumbent.make(at: place, slot: 0, options: "{}")],
                    canaries: [
                        0: .init(watch, try kind.make(at: place, slot: 4, options: "{}"))
                    ]))
        }
        for turn in 0..<400 {
            let view = views[turn % 4]
            guard case .node(let node, _, let slot) = view.pick() else { continue }
            view.ended(
                node,
                AttemptResult(
                    outcome: slot == 4 ? .broken : .ok, status: slot == 4 ? 0 : 200, strategy: slot,
                    generation: view.generation))
        }
        let status = watch.status()
        #expect(status.withdrawal != nil)
        #expect(status.candidate.results >= 100 && status.candidate.results < 120)
        #expect(views.allSatisfy { $0.pick() == .node(index: 0, token: 0, strategy: 0) })
    }

    @Test("a new canary begins with what the incumbent of its name has learnt")
    func learns() throws {
        let ground = try Ground(tiers: [0, 0])
        let place = ground.place()
        let script = Script.always(0)
        script.saved = "all of it"
        let kind = try script.kind(name: "same", saves: true)
        let old = TestView(
            PoolView(
                at: place, strategies: [try kind.make(at: place, slot: 0, options: "{}")]))
        let next = Script.always(1)
        let nextKind = try next.kind(name: "same", saves: true)
        let watch = CanaryWatch(
            CanaryPlan(pool: "pool", incumbent: "same", name: "same", share: 0.5),
            build: nextKind.build.id, workers: 1)
        let view = PoolView(
            at: place, strategies: [nil],
            canaries: [0: .init(watch, try nextKind.make(at: place, slot: 4, options: "{}"))])
        #expect(view.inherit(from: old.view).isEmpty)
        #expect(next.loaded == ["all of it"])
        #expect(view.strategyName(4) == "same (canary)")
        // And when it has taken the incumbent's place, both go on as they are.
        let last = PoolView(
            at: place, strategies: [try nextKind.make(at: place, slot: 0, options: "{}")])
        #expect(last.inherit(from: view).count == 2)
        #expect(script.destroyed == 0 || script.created >= script.destroyed)
    }
}
