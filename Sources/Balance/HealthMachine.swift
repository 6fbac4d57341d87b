// The health of one node as verdicts come in: rise and fall counts, draining at once, and the first
// verdict, which decides by itself. Pure: no clock, no board, no log. One per node, control thread.

/// A change of state, for one log line: node, from, to, reason.
package struct Transition: Equatable, Sendable {
    package var from: NodeState
    package var to: NodeState
    /// In the check's own words.
    package var reason: String

    package init(from: NodeState, to: NodeState, reason: String) {
        self.from = from
        self.to = to
        self.reason = reason
    }
}

/// What an earlier process knew of a node's health.
package struct AdoptedHealth: Equatable, Sendable {
    package var state: NodeState
    package var weightPercent: UInt32
    package var reason: String
    package var since: UInt64

    package init(state: NodeState, weightPercent: UInt32, reason: String, since: UInt64) {
        self.state = state
        self.weightPercent = weightPercent
        self.reason = reason
        self.since = since
    }
}

/// Turns verdicts into a state.
///
/// Takes traffic (up, degraded), draining and down are three levels. Verdicts of the present level
/// apply at once. A better level is reached after `rise` verdicts in a row that were all better
/// than the present one, a worse one after `fall` that were all worse; the last of them says which.
package struct HealthMachine: Sendable {
    package private(set) var state: NodeState
    /// Of the configured weight; 100 until a verdict says otherwise.
    package private(set) var weightPercent: UInt32 = 100
    /// What the check last said about the node.
    package private(set) var metadata: [(String, String)] = []
    /// Of the verdict behind the present state.
    package private(set) var reason: String
    /// When the present state began, monotonic nanoseconds.
    package private(set) var since: UInt64

    private let rise: Int
    private let fall: Int
    private var isSettled: Bool
    private var better = 0
    private var worse = 0

    /// `adopted` is what an earlier process found: it stands, and counts go on from it. Without it
    /// the state begins `now`.
    package init(
        rise: Int, fall: Int, hasCheck: Bool, adopted: AdoptedHealth? = nil, now: UInt64 = 0
    ) {
        self.rise = max(rise, 1)
        self.fall = max(fall, 1)
        if let adopted {
            state = adopted.state
            weightPercent = adopted.weightPercent
            reason = adopted.reason
            since = adopted.since
            isSettled = true
        } else {
            state = hasCheck ? .down : .up
            reason = hasCheck ? Board.notAskedYet : ""
            since = now
            isSettled = !hasCheck
        }
    }

    /// Whether it counts to these numbers.
    package func counts(rise: Int, fall: Int) -> Bool {
        self.rise == max(rise, 1) && self.fall == max(fall, 1)
    }

    /// Takes in one verdict; a transition if the state changed by it. Weight, metadata and reason
    /// may have changed without one.
    package mutating func apply(_ verdict: Verdict, now: UInt64) -> Transition? {
        metadata = verdict.metadata
        let (from, to) = (level(state), level(verdict.state))
        if to < from {
            better += 1
            worse = 0
        } else if to > from {
            worse += 1
            better = 0
        } else {
            better = 0
            worse = 0
        }
        let counts = to == from || better >= rise || worse >= fall
        guard counts || verdict.atOnce || !isSettled else { return nil }
        isSettled = true
        better = 0
        worse = 0
        if let percent = verdict.weightPercent { weightPercent = min(percent, 1000) }
        reason = cut(verdict.reason, Board.reasonLimit)
        guard verdict.state != state else { return nil }
        let transition = Transition(from: state, to: verdict.state, reason: reason)
        state = verdict.state
        since = now
        return transition
    }

    /// Takes no new traffic, whatever the verdict is, for as long as this is its health.
    package mutating func drain(because reason: String) {
        guard level(state) == 0 else { return }
        state = .draining
        self.reason = cut(reason, Board.reasonLimit)
    }

    private func level(_ state: NodeState) -> Int {
        switch state {
        case .up, .degraded: 0
        case .draining: 1
        case .down: 2
        }
    }
}
