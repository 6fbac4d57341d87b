// The pick: strategies are asked in order, every answer is checked, and the built-in round robin
// stands behind the last. Runs for every request: no allocation, no lock, no retain, no String.

import Base
import CTrivet

/// How an answer of a strategy looks to the host.
enum Judgement {
    case good
    /// Legal for the strategy to say, but a backup that was not tried yet is better.
    case passedOver
    case noSuchNode
    case down
    case draining
    case tried
}

extension PoolView {
    /// Chooses a node. [worker]
    package func pick(_ facts: borrowing PickFacts) -> PickOutcome {
        unsafe state.pointee.reasonLength = 0
        unsafe state.pointee.sticks = false
        unsafe state.pointee.wasDiverted = false
        unsafe state.pointee.sessionLength = 0
        guard unsafe pool.pointee.ready_count > 0 else { return .noneAlive }
        gatherIfDue()
        fillRequest(facts)
        let outcome = decide(facts)
        if unsafe state.pointee.present & Self.shadowBit != 0 { consultShadow(facts, outcome) }
        return isGuarded ? admit(outcome, facts) : outcome
    }

    private func decide(_ facts: borrowing PickFacts) -> PickOutcome {
        let hasCanaries = unsafe state.pointee.present & Self.canaryBits != 0
        var slot = 0
        while unsafe slot < state.pointee.slotCount {
            var seat = slot
            if hasCanaries { seat = route(slot, attempt: facts.attempt) }
            slot += 1
            // Once more if a canary has named a node that is none: its strategy is asked then.
            while true {
                let decision = ask(seat)
                if decision == TRIVET_PICKED {
                    let node = unsafe answer.pointee.node
                    let judgement = judge(node, facts)
                    if judgement == .good {
                        keepReason()
                        let token = unsafe answer.pointee.token
                        return .node(index: node, token: token, strategy: UInt8(seat))
                    }
                    if judgement == .passedOver { break }
                    noteBadAnswer(seat, node, judgement)
                    guard hasCanaries else { break }
                    countAnswer(seat, CanaryWatch.Word.badAnswers, attempt: facts.attempt)
                    guard seat >= Self.canaryOffset else { break }
                    seat -= Self.canaryOffset
                    unsafe state.pointee.sessionLength = 0
                    continue
                }
                if decision == TRIVET_REFUSE {
                    keepReason()
                    if hasCanaries {
                        countAnswer(seat, CanaryWatch.Word.refusals, attempt: facts.attempt)
                    }
                    return .refused
                }
                if hasCanaries {
                    countAnswer(seat, CanaryWatch.Word.passes, attempt: facts.attempt)
                }
                break
            }
        }
        return fallBack(facts)
    }

    /// A strategy wished that the client sticks to the node which serves it (TRIVET_PICK_STICK).
    package var lastPickSticks: Bool { unsafe state.pointee.sticks }

    private func ask(_ slot: Int) -> trivet_decision {
        let decision = call(slot)
        if unsafe answer.pointee.flags & TRIVET_PICK_STICK != 0 {
            unsafe state.pointee.sticks = true
        }
        keepSession(slot)
        return decision
    }

    /// The call itself: what comes of it is in `answer`.
    func call(_ slot: Int) -> trivet_decision {
        unsafe answer.pointee = trivet_pick()
        unsafe answer.pointee.node = TRIVET_NO_NODE
        guard let pick = unsafe slots[slot].pick, let tally = unsafe slots[slot].tally,
            !tally.isFenced
        else { return TRIVET_PASS }
        unsafe pool.pointee.ctx = slots[slot].ticket
        let mark = unsafe gauge.begin(tally, .pick, pool: state.pointee.number)
        let decision = unsafe pick(
            slots[slot].instance, UnsafePointer(pool), UnsafePointer(request), answer)
        gauge.end(mark)
        unsafe pool.pointee.ctx = nil
        return decision
    }

    private func fillRequest(_ facts: borrowing PickFacts) {
        unsafe request.pointee.flags = facts.flags
        unsafe request.pointee.hash = facts.hash
        unsafe request.pointee.method = Self.lent(facts.method)
        unsafe request.pointee.target = Self.lent(facts.target)
        unsafe request.pointee.authority = Self.lent(facts.authority)
        unsafe request.pointee.client = Self.lent(facts.client)
        unsafe request.pointee.session = Self.lent(facts.session)
        unsafe request.pointee.session_node = facts.sessionNode
        unsafe request.pointee.attempt = facts.attempt
        unsafe request.pointee.tried_count = UInt32(truncatingIfNeeded: facts.tried.count)
        // The views outlive the pick, and with it every use of these addresses.
        unsafe request.pointee.tried = facts.tried.withUnsafeBufferPointer { $0.baseAddress }
        unsafe headers.pointee.bytes = facts.bytes.withUnsafeBufferPointer { $0.baseAddress }
        unsafe headers.pointee.byteCount = facts.bytes.count
        unsafe headers.pointee.fields = facts.fields.withUnsafeBufferPointer { $0.baseAddress }
        unsafe headers.pointee.fieldCount = facts.fields.count
    }

    private static func lent(_ bytes: Span<UInt8>) -> trivet_str {
        unsafe bytes.withUnsafeBufferPointer { buffer in
            let start = unsafe UnsafeRawPointer(buffer.baseAddress)
            return unsafe trivet_str(
                data: start?.assumingMemoryBound(to: CChar.self), len: buffer.count)
        }
    }

    func judge(_ node: UInt32, _ facts: borrowing PickFacts) -> Judgement {
        guard node < UInt32(nodeCount) else { return .noSuchNode }
        switch unsafe NodeState(abi: nodes[Int(node)].state) {
        case .up, .degraded: break
        case .down: return .down
        case .draining:
            // Legal where its session names it, and where draining nodes are all there is.
            let isAllThereIs = unsafe nodes[Int(ready[0])].state == TRIVET_DRAINING
            guard isAllThereIs || facts.sessionNode == node else { return .draining }
        }
        guard Self.contains(facts.tried, node) else { return .good }
        for index in unsafe 0..<Int(pool.pointee.ready_count) {
            if unsafe !Self.contains(facts.tried, ready[index]) { return .tried }
        }
        return untriedBackup(facts) == TRIVET_NO_NODE ? .good : .passedOver
    }

    /// Round robin over the ready nodes that were not tried; then over the backups; then over the
    /// ready ones again. Nodes of weight 0 come last.
    private func fallBack(_ facts: borrowing PickFacts) -> PickOutcome {
        unsafe state.pointee.fallbackPicks &+= 1
        fallbackCount.add()
        let count = unsafe pool.pointee.ready_count
        let start = unsafe state.pointee.cursor % count
        var choice = TRIVET_NO_NODE
        for step in 0..<count {
            let at = (start + step) % count
            let node = unsafe ready[Int(at)]
            guard !Self.contains(facts.tried, node) else { continue }
            if unsafe nodes[Int(node)].weight > 0 {
                unsafe state.pointee.cursor = at &+ 1
                return .node(index: node, token: 0, strategy: Self.fallback)
            }
            if choice == TRIVET_NO_NODE { choice = node }
        }
        if choice == TRIVET_NO_NODE { choice = untriedBackup(facts) }
        if choice == TRIVET_NO_NODE { choice = unsafe ready[Int(start)] }
        unsafe state.pointee.cursor = start &+ 1
        return .node(index: choice, token: 0, strategy: Self.fallback)
    }

    /// The first node of the best tier that takes traffic and was not tried, or TRIVET_NO_NODE.
    /// Only for retries that have used up the ready list.
    private func untriedBackup(_ facts: borrowing PickFacts) -> UInt32 {
        var best = TRIVET_NO_NODE
        for node in 0..<UInt32(nodeCount) {
            guard unsafe NodeState(abi: nodes[Int(node)].state).takesTraffic,
                !Self.contains(facts.tried, node)
            else { continue }
            if unsafe best == TRIVET_NO_NODE || nodes[Int(node)].tier < nodes[Int(best)].tier {
                best = node
            }
        }
        return best
    }

    static func contains(_ tried: Span<UInt32>, _ node: UInt32) -> Bool {
        for index in tried.indices where tried[index] == node { return true }
        return false
    }

    private func keepReason() {
        let reason = unsafe answer.pointee.reason
        // A length beyond Int.max looks negative here: nothing is behind such a pointer.
        guard let data = unsafe reason.data, unsafe reason.len > 0 else { return }
        let length = unsafe min(reason.len, Self.reasonLimit)
        for index in 0..<length {
            unsafe reasonBytes[index] = UInt8(bitPattern: data[index])
        }
        unsafe state.pointee.reasonLength = length
    }

    /// Counts a wrong answer; whether it is to be told, and then how many there were since that was
    /// last done: the first time at once, then at most every ten seconds.
    private func countBadAnswer(_ slot: Int) -> UInt64? {
        unsafe slots[slot].badAnswers &+= 1
        unsafe slots[slot].tally?.countBadAnswer()
        let now = unsafe clock.pointee
        let total = unsafe slots[slot].badAnswers
        guard unsafe total == 1 || now &- slots[slot].badAnswersToldAt >= 10_000_000_000
        else { return nil }
        let since = unsafe total - slots[slot].badAnswersTold
        unsafe slots[slot].badAnswersToldAt = now
        unsafe slots[slot].badAnswersTold = total
        return since
    }

    /// More to carry than a client is given.
    @inline(never)
    func noteLongSession(_ slot: Int, _ length: Int) {
        guard let since = countBadAnswer(slot) else { return }
        Log.warning(
            "pool \(poolName): strategy \"\(strategyName(UInt8(slot)))\" has a client carry \(length) "
                + "bytes, of which at most \(Self.sessionLimit) are possible; such sessions are not "
                + "given out (\(since) bad answers since the last time one was told)")
    }

    @inline(never)
    func noteBadAnswer(_ slot: Int, _ node: UInt32, _ judgement: Judgement) {
        guard let since = countBadAnswer(slot) else { return }
        let what =
            switch judgement {
            case .noSuchNode: "node \(node), which does not exist"
            case .down: "node \(node), which is down"
            case .draining: "node \(node), which is draining"
            default: "node \(node), which was tried already while others were left"
            }
        let strategy = strategyName(UInt8(slot))
        Log.warning(
            "pool \(poolName): strategy \"\(strategy)\" picked \(what); such picks are passed over "
                + "(\(since) since the last time this was said)")
    }
}
