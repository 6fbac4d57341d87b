// The shadow of a pool: asked after each pick what it would have picked, with the same request and the
// real loads, and not obeyed. Runs for every request of a pool with a shadow, and for no other.

import CTrivet
import Synchronization

extension PoolView {
    package static let shadowSlot = 8
    /// Its slot as a bit of `State.present`.
    static let shadowBit: UInt16 = 1 << 8

    /// A shadow as configured; `instance` nil: as with the strategies.
    package struct ShadowPart {
        package var watch: ShadowWatch
        package var instance: StrategyInstance?

        package init(_ watch: ShadowWatch, _ instance: StrategyInstance?) {
            self.watch = watch
            self.instance = instance
        }
    }

    /// Asks the shadow about the request whose pick has come to `outcome`. Reason, token and session
    /// of that pick have been taken out of `answer` already. Its own tokens come back to nobody.
    func consultShadow(_ facts: borrowing PickFacts, _ outcome: PickOutcome) {
        let slot = Self.shadowSlot
        guard let line = unsafe shadowLine, let tally = unsafe slots[slot].tally, !tally.isFenced
        else { return }
        let decision = call(slot)
        let node = unsafe answer.pointee.node
        var judgement = Judgement.passedOver
        if decision == TRIVET_PICKED {
            judgement = judge(node, facts)
            if judgement != .good && judgement != .passedOver {
                noteBadAnswer(slot, node, judgement)
            }
        }
        // A retry is asked about, so that it sees what a strategy sees; a request counts once.
        guard facts.attempt == 0 else { return }
        typealias Word = ShadowWatch.Word
        unsafe count(line, Word.requests)
        var real = TRIVET_NO_NODE
        if case .node(let index, _, _) = outcome {
            real = index
            unsafe count(line, Word.nodes + 2 * Int(index) + 1)
        }
        switch decision {
        case TRIVET_PICKED where judgement == .good:
            unsafe count(line, Word.nodes + 2 * Int(node))
            if node != real { unsafe count(line, Word.diverged) }
        case TRIVET_PICKED where judgement != .passedOver:
            unsafe count(line, Word.badAnswers)
        case TRIVET_REFUSE:
            unsafe count(line, Word.refusals)
            if real != TRIVET_NO_NODE { unsafe count(line, Word.diverged) }
        default:
            unsafe count(line, Word.passes)
        }
    }

    // This worker alone writes its line.
    private func count(_ line: UnsafeMutablePointer<Atomic<UInt64>>, _ word: Int) {
        let next = unsafe line[word].load(ordering: .relaxed) &+ 1
        unsafe line[word].store(next, ordering: .relaxed)
    }
}
