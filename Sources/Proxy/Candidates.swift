// Canaries and shadows between reloads: which of them go on with their counts and their verdict, and
// which begin anew. What they do to a pick is Balance's.

import Balance
import Base
import Config
import Loading
import Synchronization

/// Those of what serves now. [any]
final class Candidates: Sendable {
    private struct Watches: Sendable {
        var canaries: [CanaryWatch] = []
        var shadows: [ShadowWatch] = []
    }

    private let watches = Guarded(Watches())

    func show(_ canaries: [CanaryWatch], _ shadows: [ShadowWatch]) {
        watches.withLock { $0 = Watches(canaries: canaries, shadows: shadows) }
    }

    var canaries: [CanaryStatus] { watches.withLock { $0.canaries }.map { $0.status() } }
    var shadows: [ShadowStatus] { watches.withLock { $0.shadows }.map { $0.status() } }
}

extension Assembly.PoolState {
    /// Whether the workers' views count where this one's would.
    func hasSameWatches(as other: Self?) -> Bool {
        guard let other else { return false }
        return shadow === other.shadow
            && canaries.allSatisfy { slot, watch in other.canaries[slot] === watch }
            && canaries.count == other.canaries.count
    }
}

extension Assembly {
    /// The canaries and the shadow of a pool, beside its strategies, which `state` has already. A
    /// canary that is as before goes on as it is, withdrawn or not; one that still serves counts anew
    /// if what it is compared with is another.
    func addCandidates(
        _ pool: Pool, _ state: inout PoolState, _ before: PoolState?, _ catalogue: Catalogue,
        _ shared: WorkerShared
    ) throws(Refusal) {
        for (slot, strategy) in pool.strategies.enumerated() {
            guard let canary = strategy.canary else { continue }
            let file = canary.file
            let chosen = try choose(canary, file: file, of: pool.name, catalogue)
            let plan = CanaryPlan(
                pool: pool.name, slot: slot, incumbent: strategy.name, name: canary.choice.name,
                file: file, options: chosen.options, share: Double(canary.share) / 1_000_000,
                limits: CanaryPlan.Limits(canary.limits))
            state.slots[PoolView.canarySlot(of: slot)] = chosen
            let fence =
                file.map { catalogue.fence(ofCandidate: $0) }
                ?? catalogue.fence(.strategy, canary.choice.name)
            let present = before?.canaries[slot]
            let sameIncumbent =
                before?.slots[slot]?.kind === state.slots[slot]?.kind
                && before?.slots[slot]?.options == state.slots[slot]?.options
            let sameBuild = chosen.kind.map { $0.build.id == present?.build } ?? true
            if let present, present.plan == plan, sameBuild,
                sameIncumbent || present.isWithdrawn
            {
                state.canaries[slot] = present
                if chosen.kind == nil {
                    present.withdraw("its build is fenced: \(fence?.reason ?? "")")
                }
            } else {
                state.canaries[slot] = CanaryWatch(
                    plan, build: chosen.kind?.build.id, fence: fence?.reason,
                    workers: shared.clocks.count, at: (shared.board, state.rows.pool))
            }
        }
        guard let shadow = pool.shadow else { return }
        let chosen = try choose(shadow, of: pool.name, catalogue)
        state.slots[PoolView.shadowSlot] = chosen
        if let present = before?.shadow, present.pool === state.rows, present.name == shadow.name,
            present.options == chosen.options, present.build === chosen.kind?.build
        {
            state.shadow = present
        } else {
            state.shadow = ShadowWatch(
                pool: state.rows, name: shadow.name, options: chosen.options,
                build: chosen.kind?.build, workers: shared.clocks.count)
        }
    }

    private func choose(
        _ canary: Canary, file: String?, of pool: String, _ catalogue: Catalogue
    ) throws(Refusal) -> Chosen {
        guard let file else { return try choose(canary.choice, of: pool, catalogue) }
        let kind = catalogue.strategy(canary.choice.name, ofCandidate: file)
        guard kind != nil || catalogue.fence(ofCandidate: file) != nil else {
            throw Refusal(
                "pool \(pool) wants a canary of strategy \(canary.choice.name), which \(file) does "
                    + "not offer")
        }
        return Chosen(kind: kind, options: canary.choice.options.encoded())
    }

    /// What serves now is known to everyone from here on; verdicts on canaries that are gone are
    /// forgotten. [loader]
    func show(in shared: WorkerShared) {
        let states = pools.values.sorted { $0.rows.pool < $1.rows.pool }
        shared.candidates.show(
            states.flatMap { state in state.canaries.sorted { $0.key < $1.key }.map(\.value) },
            states.compactMap(\.shadow))
        for state in states {
            for slot in 0..<PoolView.strategyLimit where state.canaries[slot] == nil {
                shared.board.forgetWithdrawal(state.rows, slot)
            }
        }
    }
}

extension CanaryPlan.Limits {
    init(_ limits: Canary.Limits) {
        func share(_ millionths: Int?) -> Double? { millionths.map { Double($0) / 1_000_000 } }
        self.init()
        sample = limits.sample
        failures = share(limits.failures)
        latency = share(limits.latency)
        badAnswers = share(limits.badAnswers)
    }
}
