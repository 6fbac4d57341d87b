// Counting: what is in flight, what came of it, and what the other workers have. Runs for every
// request; each worker writes only its own words of the board.

import CTrivet
import Synchronization

extension PoolView {
    /// The other workers' counters are taken in when they are older than this, in nanoseconds: what
    /// the ABI promises for `in_flight_all`.
    private static let gatherPeriod: UInt64 = 1_000_000
    /// So many words of nodes times workers at a time: 25 us at most. A large pool takes several turns, or else
    /// 10,000 nodes on eight workers would leave no time for requests.
    private static let gatherLimit = 512

    /// An attempt begins to use a node. Goes with one `ended`. [worker]
    package func began(_ node: UInt32) {
        guard node < nodeCount else { return }
        let at = Int(node)
        unsafe loads[at].in_flight &+= 1
        unsafe loads[at].in_flight_all &+= 1
        unsafe loads[at].picks &+= 1
        unsafe store(at, BoardLayout.Cell.inFlight, UInt64(loads[at].in_flight))
        add(at, BoardLayout.Cell.picks, 1)
    }

    /// The attempt is over, however it ended; every strategy of the pool that wants to know is
    /// told. [worker]
    package func ended(_ node: UInt32, _ attempt: AttemptResult) {
        guard node < nodeCount else { return }
        let at = Int(node)
        if unsafe loads[at].in_flight > 0 {
            unsafe loads[at].in_flight -= 1
            unsafe loads[at].in_flight_all &-= 1
            unsafe store(at, BoardLayout.Cell.inFlight, UInt64(loads[at].in_flight))
        }
        if attempt.holdsPlace { givePlaceBack(at) }
        if attempt.isFailure {
            unsafe loads[at].failures &+= 1
            add(at, BoardLayout.Cell.failures, 1)
        }
        if attempt.outcome == .ok {
            // Whatever the status: an application's errors are its own, and no other node's cure.
            let failures = unsafe cells[at].failuresInRow
            if unsafe failures.pointee.load(ordering: .relaxed) != 0 {
                unsafe failures.pointee.store(0, ordering: .relaxed)
            }
        } else if attempt.outcome != .abandoned {
            countFailure(at, attempt.outcome)
        }
        if attempt.outcome == .abandoned { add(at, BoardLayout.Cell.abandoned, 1) }
        if attempt.status >= 100 && attempt.status < 600 {
            add(at, BoardLayout.Cell.answers + Int(attempt.status / 100) - 1, 1)
        }
        if attempt.bytesSent > 0 { add(at, BoardLayout.Cell.bytesSent, attempt.bytesSent) }
        if attempt.bytesReceived > 0 {
            add(at, BoardLayout.Cell.bytesReceived, attempt.bytesReceived)
        }
        if attempt.firstByteNs > 0 && attempt.outcome != .abandoned {
            let average = movingAverage(
                word(at, BoardLayout.Cell.latency), adding: attempt.firstByteNs)
            store(at, BoardLayout.Cell.latency, average)
            unsafe store(at, BoardLayout.Cell.latencyAt, clock.pointee)
            // Until the next gathering, which brings the other workers in again.
            if unsafe state.pointee.workers == 1 { unsafe loads[at].latency_ns = average }
        }
        tell(node, attempt)
    }

    /// As many in a row as the pool's rule says, and the node is ejected.
    @inline(never)
    private func countFailure(_ node: Int, _ outcome: AttemptResult.Outcome) {
        guard let rule = place.spec.ejection else { return }
        let failures = unsafe cells[node].failuresInRow.pointee.wrappingAdd(1, ordering: .relaxed)
        guard failures.newValue >= UInt64(rule.failures) else { return }
        let row = unsafe Int(cells[node].row)
        unsafe place.board.eject(
            row: row, of: place.pool, cause: outcome.cause, now: clock.pointee)
    }

    private func tell(_ node: UInt32, _ attempt: AttemptResult) {
        unsafe result.pointee.outcome = attempt.outcome.rawValue
        unsafe result.pointee.node = node
        unsafe result.pointee.node_id = nodes[Int(node)].id
        unsafe result.pointee.status = attempt.status
        unsafe result.pointee.connect_ns = attempt.connectNs
        unsafe result.pointee.first_byte_ns = attempt.firstByteNs
        unsafe result.pointee.total_ns = attempt.totalNs
        unsafe result.pointee.bytes_sent = attempt.bytesSent
        unsafe result.pointee.bytes_received = attempt.bytesReceived
        for slot in unsafe 0..<state.pointee.slotCount { tell(slot, attempt) }
        let others = unsafe state.pointee.present >> UInt16(Self.canaryOffset)
        guard others != 0 else { return }
        for slot in Self.canaryOffset..<Self.slotLimit where isPresent(slot) {
            tell(slot, attempt)
        }
        if unsafe state.pointee.present & Self.canaryBits != 0 { countResult(attempt) }
    }

    /// Whether the instance that is in `slot` now is the one that made the attempt's pick.
    func isOwnPick(_ slot: Int, _ attempt: AttemptResult) -> Bool {
        unsafe slot == Int(attempt.strategy)
            && attempt.generation &- slots[slot].since
                <= state.pointee.generation &- slots[slot].since
    }

    private func tell(_ slot: Int, _ attempt: AttemptResult) {
        guard let call = unsafe slots[slot].result, let tally = unsafe slots[slot].tally,
            !tally.isFenced
        else { return }
        unsafe result.pointee.token = isOwnPick(slot, attempt) ? attempt.token : 0
        unsafe pool.pointee.ctx = slots[slot].ticket
        let mark = unsafe gauge.begin(tally, .result, pool: state.pointee.number)
        unsafe call(slots[slot].instance, UnsafePointer(pool), UnsafePointer(result))
        gauge.end(mark)
        unsafe pool.pointee.ctx = nil
    }

    /// Takes in what the other workers have in flight, and the latency of all. Due before a pick
    /// when the last time was a millisecond ago; a pool without traffic costs nothing.
    func gatherIfDue() {
        let now = unsafe clock.pointee
        if unsafe state.pointee.hasGathered && now &- state.pointee.gatheredAt < Self.gatherPeriod {
            return
        }
        let workers = unsafe state.pointee.workers
        if unsafe workers == 1 && state.pointee.hasGathered { return }
        let count = unsafe state.pointee.hasGathered ? Self.gatherLimit / workers : nodeCount
        unsafe state.pointee.hasGathered = true
        unsafe state.pointee.gatheredAt = now
        var node = unsafe state.pointee.gatherFrom
        for _ in 0..<min(max(count, 1), nodeCount) {
            gather(node, workers, now)
            node = node + 1 < nodeCount ? node + 1 : 0
        }
        unsafe state.pointee.gatherFrom = node
    }

    private func gather(_ node: Int, _ workers: Int, _ now: UInt64) {
        var inFlight: UInt64 = 0
        var latency = LatencyMean(now: now)
        for worker in 0..<workers {
            let cell = unsafe cells[node].first + worker * BoardLayout.Cell.words
            if unsafe cell != cells[node].own {
                inFlight &+= unsafe cell[BoardLayout.Cell.inFlight].load(ordering: .relaxed)
            }
            unsafe latency.add(
                cell[BoardLayout.Cell.latency].load(ordering: .relaxed),
                at: cell[BoardLayout.Cell.latencyAt].load(ordering: .relaxed))
        }
        unsafe cells[node].others = UInt32(clamping: inFlight)
        unsafe loads[node].in_flight_all = cells[node].others &+ loads[node].in_flight
        unsafe loads[node].latency_ns = latency.value
    }

    // This worker alone writes its words, so a load and a store are enough.

    private func word(_ node: Int, _ word: Int) -> UInt64 {
        unsafe cells[node].own[word].load(ordering: .relaxed)
    }
    private func store(_ node: Int, _ word: Int, _ value: UInt64) {
        unsafe cells[node].own[word].store(value, ordering: .relaxed)
    }
    private func add(_ node: Int, _ word: Int, _ amount: UInt64) {
        let at = unsafe cells[node].own + word
        unsafe at.pointee.store(at.pointee.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }
}
