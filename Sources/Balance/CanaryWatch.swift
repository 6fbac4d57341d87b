// One canary of one pool, as all workers share it: what it and the incumbent have had, and whether it
// is withdrawn. Each worker counts in lines of its own; whoever has counted enough adds them up and
// judges. Lives on through reloads for as long as the canary is the same.

import Base
import Synchronization

/// Made by the loader; counted in by workers; read by any thread.
@safe
package final class CanaryWatch: @unchecked Sendable {
    /// Samples after which a comparison begins anew: what was a week ago says nothing about now, and
    /// would hide it.
    private static let window = 10

    package let plan: CanaryPlan
    /// The build it is of; 0: fenced, and not loaded.
    package let build: UInt64

    enum Arm: Int {
        case candidate = 0
        case incumbent = 1
    }

    /// Places in the line of an arm, in words of 8 bytes.
    enum Word {
        static let picks = 0
        static let results = 1
        static let failures = 2
        static let refusals = 3
        static let badAnswers = 4
        static let passes = 5
        static let latencies = 6
        /// Of a Double, milliseconds; and of their squares.
        static let latencySum = 7
        static let latencySquares = 8
        static let count = 16
    }

    private struct Judging: Sendable {
        /// Where the present comparison began.
        var candidate = CanaryArm()
        var incumbent = CanaryArm()
        /// Requests of the candidate at which it is looked at next.
        var next: UInt64 = 0
        var reason: String?
    }

    private let lines: UnsafeMutablePointer<Atomic<UInt64>>
    private let workers: Int
    // On a line of its own: every worker reads it, and it is written once.
    private let withdrawn: UnsafeMutablePointer<Atomic<UInt64>>
    private let judging = Guarded(Judging())
    private let kept: KeptWord?

    /// Where the withdrawal is noted for the next process.
    private struct KeptWord: Sendable {
        var board: Board
        var index: Int
        var mark: UInt64
    }

    /// `build` nil: it is fenced, for `fence`. With `place`, a withdrawal is kept on the board, and one
    /// that is found there holds.
    package init(
        _ plan: CanaryPlan, build: UInt64?, fence: String? = nil, workers: Int,
        at place: (board: Board, pool: Int)? = nil
    ) {
        self.plan = plan
        self.build = build ?? 0
        self.workers = workers
        let words = workers * 2 * Word.count + Word.count
        let memory = UnsafeMutableRawPointer.allocate(byteCount: words * 8, alignment: 128)
        unsafe lines = memory.bindMemory(to: Atomic<UInt64>.self, capacity: words)
        for word in 0..<words { unsafe (lines + word).initialize(to: Atomic(0)) }
        unsafe withdrawn = lines + workers * 2 * Word.count
        kept = place.map { place in
            KeptWord(
                board: place.board, index: place.board.withdrawalWord(place.pool, plan.slot),
                mark: plan.mark(build: build ?? 0))
        }
        if build == nil {
            settle(fence.map { "its build is fenced: \($0)" } ?? "its build is fenced")
        } else if let kept, kept.board.words[kept.index] == kept.mark {
            settle("it was withdrawn before this balancer was started, whose log says why")
        }
    }

    deinit { unsafe lines.deallocate() }

    /// Any thread.
    package var isWithdrawn: Bool { unsafe withdrawn.pointee.load(ordering: .relaxed) != 0 }

    /// Read by each worker before each pick.
    var flag: UnsafePointer<Atomic<UInt64>> { unsafe UnsafePointer(withdrawn) }

    func line(_ arm: Arm, worker: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        precondition(worker >= 0 && worker < workers, "no such worker")
        return unsafe lines + (worker * 2 + arm.rawValue) * Word.count
    }

    /// How many requests of its own a worker counts between two looks.
    var stride: UInt32 { UInt32(max(1, plan.limits.sample / (8 * workers))) }

    /// Any thread.
    package func status() -> CanaryStatus {
        CanaryStatus(
            plan: plan, build: build, candidate: sum(.candidate), incumbent: sum(.incumbent),
            withdrawal: judging.withLock { $0.reason })
    }

    private func sum(_ arm: Arm) -> CanaryArm {
        var sum = CanaryArm()
        for worker in 0..<workers {
            let line = unsafe line(arm, worker: worker)
            func word(_ word: Int) -> UInt64 { unsafe line[word].load(ordering: .relaxed) }
            sum.picks += word(Word.picks)
            sum.results += word(Word.results)
            sum.failures += word(Word.failures)
            sum.refusals += word(Word.refusals)
            sum.badAnswers += word(Word.badAnswers)
            sum.passes += word(Word.passes)
            sum.latencies += word(Word.latencies)
            sum.latencySum += Double(bitPattern: word(Word.latencySum))
            sum.latencySquares += Double(bitPattern: word(Word.latencySquares))
        }
        return sum
    }

    // MARK: Judging

    /// Compares the two, if enough has come in since that was last done. By whichever worker has
    /// counted something; if another is at it, it is done. [worker]
    func look() {
        guard !isWithdrawn else { return }
        let candidate = sum(.candidate)
        let incumbent = sum(.incumbent)
        let verdict = judging.withLockIfAvailable { judging -> String? in
            let (mine, theirs) = (candidate - judging.candidate, incumbent - judging.incumbent)
            if let bad = CanaryVerdict.badAnswers(mine, theirs, plan.limits) { return bad }
            // Each look could be wrong: they come at samples that grow by an eighth.
            let least = UInt64(plan.limits.sample)
            guard mine.ended >= max(judging.next, least), theirs.ended >= least else { return nil }
            judging.next = mine.ended + max(1, mine.ended / 8)
            if let worse = CanaryVerdict.judge(mine, theirs, plan.limits) { return worse }
            if mine.ended >= least * UInt64(Self.window) {
                judging.candidate = candidate
                judging.incumbent = incumbent
                judging.next = 0
            }
            return nil
        }
        if let verdict, let reason = verdict { withdraw(reason) }
    }

    /// All picks are the incumbent's from here on; said once. [any]
    package func withdraw(_ reason: String) {
        guard settle(reason) else { return }
        if let kept { kept.board.words[kept.index] = kept.mark }
        let build = build == 0 ? "" : ", build \(Build.text(of: build)),"
        Log.error(
            "\(plan.label)\(build) is withdrawn: \(reason). All requests go where the incumbent "
                + "picks, until the canary's configuration or build changes")
    }

    @discardableResult
    private func settle(_ reason: String) -> Bool {
        judging.withLock { judging in
            guard judging.reason == nil else { return false }
            judging.reason = reason
            unsafe withdrawn.pointee.store(1, ordering: .relaxed)
            return true
        }
    }
}
