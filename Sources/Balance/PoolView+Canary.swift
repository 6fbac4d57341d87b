// Which of a pool's picks a canary gets, and what comes of them: a draw before the pick, a count after
// it and one after its result. Runs for every request of a pool with a canary, and for no other.

import Base
import CTrivet
import Synchronization

extension PoolView {
    /// Where the canary of a strategy sits, seen from the strategy.
    static let canaryOffset = 4
    /// Where the canary of the strategy in `slot` sits.
    package static func canarySlot(of slot: Int) -> Int { slot + canaryOffset }
    /// The slots of canaries, as bits of `State.present`.
    static let canaryBits: UInt16 = 0b1111_0000

    /// A canary as configured; `instance` nil: as with the strategies.
    package struct CanaryPart {
        package var watch: CanaryWatch
        package var instance: StrategyInstance?

        package init(_ watch: CanaryWatch, _ instance: StrategyInstance?) {
            self.watch = watch
            self.instance = instance
        }
    }

    /// What a pick and a result touch of one canary.
    @unsafe struct CanaryFront {
        var random: SplitMix64
        /// A draw below it is the canary's.
        var threshold: UInt64
        var withdrawn: UnsafePointer<Atomic<UInt64>>
        var candidate: UnsafeMutablePointer<Atomic<UInt64>>
        var incumbent: UnsafeMutablePointer<Atomic<UInt64>>
        /// The watch's; and how far this worker is.
        var stride: UInt32
        var counted: UInt32 = 0

        init(_ watch: CanaryWatch, worker: Int, seed: UInt64) {
            unsafe random = SplitMix64(seed: seed)
            let scaled = watch.plan.share * 0x1p64
            unsafe threshold = scaled >= 0x1p64 ? .max : UInt64(max(scaled, 0))
            unsafe withdrawn = watch.flag
            unsafe candidate = watch.line(.candidate, worker: worker)
            unsafe incumbent = watch.line(.incumbent, worker: worker)
            unsafe stride = watch.stride
        }
    }

    /// Seed of the draws: another for each worker and strategy, the same in each simulation.
    static func drawSeed(_ place: InstancePlace, slot: Int) -> UInt64 {
        let mixed = place.spec.seed ^ place.entropy ^ 0x6361_6E61_7279
        return mixed &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(place.worker) << 8 &+ UInt64(slot)
    }

    func hasCanary(_ slot: Int) -> Bool {
        unsafe state.pointee.present & 1 << UInt16(slot + Self.canaryOffset) != 0
    }

    /// Whose turn it is for a request that comes to the strategy in `slot`: that, or its canary. One
    /// draw for each request that a canary could get; retries, and all requests once it is withdrawn,
    /// are the incumbent's.
    func route(_ slot: Int, attempt: UInt32) -> Int {
        guard attempt == 0, hasCanary(slot),
            unsafe canaries[slot].withdrawn.pointee.load(ordering: .relaxed) == 0
        else { return slot }
        let seat = slot + Self.canaryOffset
        guard unsafe canaries[slot].random.next() < canaries[slot].threshold else {
            unsafe count(canaries[slot].incumbent, CanaryWatch.Word.picks)
            return slot
        }
        guard let tally = unsafe slots[seat].tally, !tally.isFenced else {
            withdraw(slot)
            return slot
        }
        unsafe count(canaries[slot].candidate, CanaryWatch.Word.picks)
        return seat
    }

    @inline(never)
    private func withdraw(_ slot: Int) {
        let build = instance(slot + Self.canaryOffset)?.kind.build
        watches[slot]?.withdraw("its build is fenced: \(build?.fenceReason ?? "no reason given")")
    }

    /// A strategy has answered with no node; `word` says how. Not of retries.
    func countAnswer(_ seat: Int, _ word: Int, attempt: UInt32) {
        let slot = seat & (Self.canaryOffset - 1)
        guard attempt == 0, seat < 2 * Self.canaryOffset, hasCanary(slot) else { return }
        if seat == slot {
            unsafe count(canaries[slot].incumbent, word)
            return
        }
        unsafe count(canaries[slot].candidate, word)
        if word == CanaryWatch.Word.badAnswers { look(slot) }
        if word == CanaryWatch.Word.refusals { candidateEnded(slot) }
    }

    /// An attempt has ended that one of the two has picked.
    func countResult(_ attempt: AttemptResult) {
        let seat = Int(attempt.strategy)
        let slot = seat & (Self.canaryOffset - 1)
        guard attempt.attempt == 0, attempt.outcome != .abandoned,
            seat < 2 * Self.canaryOffset, hasCanary(slot), isOwnPick(seat, attempt)
        else { return }
        typealias Word = CanaryWatch.Word
        let line = unsafe seat == slot ? canaries[slot].incumbent : canaries[slot].candidate
        unsafe count(line, Word.results)
        if attempt.isFailure { unsafe count(line, Word.failures) }
        if attempt.firstByteNs > 0 {
            let ms = Double(attempt.firstByteNs) / 1_000_000
            unsafe count(line, Word.latencies)
            unsafe add(line, Word.latencySum, ms)
            unsafe add(line, Word.latencySquares, ms * ms)
        }
        if seat != slot { candidateEnded(slot) }
    }

    private func candidateEnded(_ slot: Int) {
        unsafe canaries[slot].counted += 1
        guard unsafe canaries[slot].counted >= canaries[slot].stride else { return }
        unsafe canaries[slot].counted = 0
        look(slot)
    }

    @inline(never)
    private func look(_ slot: Int) { watches[slot]?.look() }

    // This worker alone writes its lines.

    private func count(_ line: UnsafeMutablePointer<Atomic<UInt64>>, _ word: Int) {
        let next = unsafe line[word].load(ordering: .relaxed) &+ 1
        unsafe line[word].store(next, ordering: .relaxed)
    }

    private func add(
        _ line: UnsafeMutablePointer<Atomic<UInt64>>, _ word: Int, _ amount: Double
    ) {
        let sum = unsafe Double(bitPattern: line[word].load(ordering: .relaxed)) + amount
        unsafe line[word].store(sum.bitPattern, ordering: .relaxed)
    }
}
