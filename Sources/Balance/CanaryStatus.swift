// What a canary is and how it does, as values: its plan, the figures of both arms, the verdict. Who
// counts is the CanaryWatch; who asks is the PoolView.

import Base

/// A canary as configured: what must be the same for its counts and its withdrawal to last.
package struct CanaryPlan: Equatable, Sendable {
    /// By how much more than the incumbent it may do badly; nil: however much.
    package struct Limits: Equatable, Sendable {
        /// Requests that each of the two must have had before they are compared.
        package var sample = 100
        /// Share of the requests.
        package var failures: Double? = 0.05
        /// Share of the incumbent's mean.
        package var latency: Double? = 0.5
        /// Share of the picks.
        package var badAnswers: Double? = 0.01

        package init() {}
    }

    package var pool: String
    /// Of the strategy whose picks it gets a share of: 0..<PoolView.strategyLimit.
    package var slot: Int
    package var incumbent: String
    package var name: String
    /// The file that serves as a canary alone; nil: its strategy is one of the plugins'.
    package var file: String?
    /// As JSON.
    package var options: String
    /// Of the picks: 0...1.
    package var share: Double
    package var limits: Limits

    package init(
        pool: String, slot: Int = 0, incumbent: String, name: String, file: String? = nil,
        options: String = "{}", share: Double, limits: Limits = Limits()
    ) {
        self.pool = pool
        self.slot = slot
        self.incumbent = incumbent
        self.name = name
        self.file = file
        self.options = options
        self.share = share
        self.limits = limits
    }

    /// "pool octopus: the canary "peak-ewma" of strategy "round-robin""
    var label: String {
        let origin = file.map { " (\($0))" } ?? ""
        return "pool \(pool): the canary \"\(name)\"\(origin) of strategy \"\(incumbent)\""
    }

    /// What is kept of a withdrawal on the board: of this plan and this build. Never 0.
    func mark(build: UInt64) -> UInt64 {
        let text = [
            pool, "\(slot)", incumbent, name, file ?? "", options, "\(share)",
            "\(limits)", "\(build)",
        ].joined(separator: "\0")
        return max(hash64(text), 1)
    }
}

/// What one of the two has had. Requests are counted by their first pick, retries are not.
package struct CanaryArm: Equatable, Sendable {
    package var picks: UInt64 = 0
    /// Requests whose first attempt has ended, but for those that the client gave up.
    package var results: UInt64 = 0
    /// Of these: no answer, or a 5xx.
    package var failures: UInt64 = 0
    /// Picks of no node by intent: each is a 503 for its client.
    package var refusals: UInt64 = 0
    /// Picks of no legal node.
    package var badAnswers: UInt64 = 0
    /// Picks that were left to the next strategy.
    package var passes: UInt64 = 0
    /// Time from pick to first byte, of those that had one.
    var latencies: UInt64 = 0
    var latencySum = 0.0
    var latencySquares = 0.0

    package init() {}

    var ended: UInt64 { results + refusals }
    var bad: UInt64 { failures + refusals }
    /// 0...1
    package var failureRate: Double { ended == 0 ? 0 : Double(bad) / Double(ended) }
    /// 0...1
    package var badAnswerRate: Double { picks == 0 ? 0 : Double(badAnswers) / Double(picks) }
    /// Milliseconds; 0: none yet.
    package var meanLatency: Double { latencies == 0 ? 0 : latencySum / Double(latencies) }

    static func - (a: Self, b: Self) -> Self {
        var rest = Self()
        rest.picks = a.picks &- b.picks
        rest.results = a.results &- b.results
        rest.failures = a.failures &- b.failures
        rest.refusals = a.refusals &- b.refusals
        rest.badAnswers = a.badAnswers &- b.badAnswers
        rest.passes = a.passes &- b.passes
        rest.latencies = a.latencies &- b.latencies
        rest.latencySum = a.latencySum - b.latencySum
        rest.latencySquares = a.latencySquares - b.latencySquares
        return rest
    }
}

/// A canary at one moment.
package struct CanaryStatus: Equatable, Sendable {
    package var plan: CanaryPlan
    /// 0: it is fenced, and nothing is loaded.
    package var build: UInt64
    /// Since it was configured, or since what it is compared with was.
    package var candidate: CanaryArm
    package var incumbent: CanaryArm
    /// Why it gets no picks any more; nil: it gets its share.
    package var withdrawal: String?
}
