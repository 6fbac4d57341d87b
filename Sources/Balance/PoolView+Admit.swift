// Whether a node takes the request it was picked for: one with a limit may have no place left, one that
// came back a moment ago takes a part of its share only. What strategies decide is not changed by it;
// a request that is not admitted goes to another node in turn, or waits. Runs for every request of a pool
// that has either, by the rules of PoolView+Pick.

import CTrivet
import Synchronization

extension PoolView {
    /// The least part of its share that a node gets at the beginning of its slow start, of `whole`.
    private static let leastShare: UInt64 = 102
    private static let whole: UInt64 = 1024

    /// Anything in this pool needs a look beyond the pick.
    var isGuarded: Bool {
        unsafe state.pointee.hasLimits || clock.pointee < state.pointee.slowUntil
    }

    /// A request that was given a place has to give it back: AttemptResult.holdsPlace.
    package func hasLimit(_ node: UInt32) -> Bool {
        node < nodeCount ? unsafe cells[Int(node)].limit > 0 : false
    }

    /// Some node of this pool has a limit.
    package var hasLimits: Bool { unsafe state.pointee.hasLimits }

    /// Free places at the nodes of the ready list; `Int.max` if one of them has no limit.
    package var freePlaces: Int {
        var free: UInt64 = 0
        for at in unsafe 0..<Int(pool.pointee.ready_count) {
            let cell = unsafe cells + Int(ready[at])
            let limit = unsafe cell.pointee.limit
            if limit == 0 { return .max }
            let places = unsafe cell.pointee.places.pointee.load(ordering: .sequentiallyConsistent)
            if places < limit { free += limit - places }
        }
        return Int(free)
    }

    /// The pick, if its node takes it; else another node's; else `full`.
    func admit(_ outcome: PickOutcome, _ facts: borrowing PickFacts) -> PickOutcome {
        guard case .node(let node, _, _) = outcome else { return outcome }
        // A client whose session is there belongs there, and a retry has lost time enough.
        let waits =
            facts.attempt == 0 && facts.sessionNode != node && isStarting(node) && !hasTurn(node)
        if !waits && takePlace(node) { return outcome }
        if waits {
            if let other = another(than: node, facts, startingToo: false) { return divert(other) }
            if takePlace(node) { return outcome }
        }
        if let other = another(than: node, facts, startingToo: true) { return divert(other) }
        return .full
    }

    /// The last pick went to another node than its strategy named.
    package var lastPickWasDiverted: Bool { unsafe state.pointee.wasDiverted }

    private func divert(_ node: UInt32) -> PickOutcome {
        unsafe state.pointee.wasDiverted = true
        return .node(index: node, token: 0, strategy: Self.fallback)
    }

    /// The next ready node in turn that was not tried and takes the request: it has its place then.
    private func another(
        than node: UInt32, _ facts: borrowing PickFacts, startingToo: Bool
    ) -> UInt32? {
        let count = unsafe pool.pointee.ready_count
        guard count > 0 else { return nil }
        let start = unsafe state.pointee.cursor % count
        for step in 0..<count {
            let at = (start + step) % count
            let other = unsafe ready[Int(at)]
            guard other != node, unsafe nodes[Int(other)].weight > 0,
                !Self.contains(facts.tried, other), startingToo || !isStarting(other),
                takePlace(other)
            else { continue }
            unsafe state.pointee.cursor = at &+ 1
            return other
        }
        return nil
    }

    // MARK: Places

    private func takePlace(_ node: UInt32) -> Bool {
        let cell = unsafe cells + Int(node)
        guard unsafe cell.pointee.limit > 0 else { return true }
        let places = unsafe cell.pointee.places
        let taken = unsafe places.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        if unsafe taken.newValue <= cell.pointee.limit { return true }
        unsafe places.pointee.wrappingSubtract(1, ordering: .sequentiallyConsistent)
        return false
    }

    /// A place that came with a pick which came to nothing. [worker]
    package func givePlaceBack(_ node: UInt32) {
        if hasLimit(node) { givePlaceBack(Int(node)) }
    }

    func givePlaceBack(_ node: Int) {
        unsafe cells[node].places.pointee.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    }

    // MARK: Slow start

    private func isStarting(_ node: UInt32) -> Bool {
        let returned = unsafe cells[Int(node)].returned
        return unsafe returned > 0 && clock.pointee < returned &+ place.spec.slowStart
    }

    /// Whether the request is one of the part that the node takes already: evenly spread, and growing
    /// with the time that it is back.
    private func hasTurn(_ node: UInt32) -> Bool {
        let cell = unsafe cells + Int(node)
        let slowStart = place.spec.slowStart
        let elapsed = unsafe min(
            clock.pointee &- min(cell.pointee.returned, clock.pointee), slowStart)
        // A year in nanoseconds, times 1024, is less than 2^65: shift instead.
        let share = (elapsed >> 10) * Self.whole / max(slowStart >> 10, 1)
        unsafe cell.pointee.credit += max(share, Self.leastShare)
        guard unsafe cell.pointee.credit >= Self.whole else { return false }
        unsafe cell.pointee.credit -= Self.whole
        return true
    }
}
