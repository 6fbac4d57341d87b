// A plugin that never comes back: found from outside by whoever looks at the page of crumbs now and
// then. What follows (the process is ended, the build fenced) is the supervisor's.

import Base

/// Finds threads that do not come back from a call, from what was observed now and then. Pure: the
/// observer brings the time.
package struct StuckWatch {
    /// A thread inside one call for as long is stuck. Far above any budget, and far below what a
    /// client waits: a call that takes longer has no end that is worth waiting for.
    package static let limit: Nanoseconds = 3_000_000_000
    /// How often to observe at least: what lies between two observations counts as this much at
    /// most. If the observer itself did not get to run (a stopped process group, a laptop that
    /// slept), the observed had no chance either.
    package static let gap: Nanoseconds = 500_000_000

    private struct Call {
        var thread: UInt64
        var sequence: UInt64
        var inside: Nanoseconds
    }

    private var calls: [ThreadRole: Call] = [:]
    private var last: Nanoseconds = 0

    package init() {}

    /// Those that are stuck as of now. `now`: monotonic.
    package mutating func observe(_ standings: [Standing], at now: Nanoseconds) -> [Standing] {
        let passed = now > last && last > 0 ? min(now - last, Self.gap) : 0
        last = now
        var next: [ThreadRole: Call] = [:]
        var stuck: [Standing] = []
        for standing in standings where standing.build != nil {
            var call = Call(thread: standing.thread, sequence: standing.sequence, inside: 0)
            if let before = calls[standing.role], before.thread == call.thread,
                before.sequence == call.sequence
            {
                call.inside = before.inside + passed
            }
            if call.inside >= Self.limit { stuck.append(standing) }
            next[standing.role] = call
        }
        calls = next
        return stuck
    }
}
