// Passive health: what the failures of a node's own requests lead to. A node whose attempts fail one
// after the other gets none for a while, for longer each time it fails again. The rule and one node's
// record are here, pure; who counts is PoolView+Count, whom it strikes Board+Ejection.swift.
//
// After Envoy's outlier detection and nginx's max_fails, with bounds of our own: never more than half of
// a pool, never the last node that takes traffic.

/// When a node is ejected, and for how long.
package struct EjectionRule: Equatable, Sendable {
    /// Attempts in a row, on all workers together; at least 1.
    package var failures: UInt32
    /// Nanoseconds, the first time.
    package var time: UInt64
    /// And at most.
    package var maxTime: UInt64

    package init(failures: UInt32, time: UInt64, maxTime: UInt64) {
        self.failures = max(failures, 1)
        self.time = max(time, 1)
        self.maxTime = max(maxTime, self.time)
    }
}

/// What is known of one node's ejections.
package struct Ejection: Equatable, Sendable {
    /// Monotonic nanoseconds; 0: it is not ejected.
    package private(set) var until: UInt64
    /// Since the node was configured.
    package private(set) var count: UInt64
    /// How long the last one was, and when it ended.
    private var length: UInt64 = 0
    private var ended: UInt64 = 0

    package init(until: UInt64 = 0, count: UInt64 = 0) {
        self.until = until
        self.count = count
    }

    package var isEjected: Bool { until > 0 }

    /// Begins one; how long it is, in nanoseconds. Twice as long as the one before, which counts for
    /// half as much with each stretch of its own length that the node has served since.
    package mutating func begin(_ rule: EjectionRule, now: UInt64) -> UInt64 {
        var next = rule.time
        if length > 0 {
            var last = length
            let served = now &- ended
            for _ in 0..<min(served / length, 63) { last /= 2 }
            next = max(
                rule.time, min(last.multipliedReportingOverflow(by: 2).partialValue, rule.maxTime))
        }
        length = next
        until = now &+ next
        count += 1
        return next
    }

    /// The time is over.
    package mutating func end(now: UInt64) {
        until = 0
        ended = now
    }

    /// Forgiven altogether.
    package mutating func lift() {
        until = 0
        length = 0
    }
}
