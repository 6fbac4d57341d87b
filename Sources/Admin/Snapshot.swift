// What the pages are made from: everything that is to be shown, copied at one moment. Who collects it
// (the balancer's process) is asked anew for each answer, on the admin thread.

import Balance
import Proxy

/// All that is shown.
package struct Snapshot: Sendable {
    package var version: String
    package var process: ProcessFacts
    package var supervision: Supervision
    package var balancer: BalancerStatus
    /// Monotonic nanoseconds, as the board's moments are.
    package var now: UInt64

    package init(
        version: String, process: ProcessFacts, supervision: Supervision,
        balancer: BalancerStatus, now: UInt64
    ) {
        self.version = version
        self.process = process
        self.supervision = supervision
        self.balancer = balancer
        self.now = now
    }
}

/// What the supervisor has counted since it started, over all balancers that it had.
package struct Supervision: Equatable, Sendable {
    /// Its process id.
    package var pid: Int32
    /// Reloads that were taken over, and those that were not.
    package var reloads: UInt64
    package var refusals: UInt64
    /// When the last one was taken over: nanoseconds since 1970; 0: none was.
    package var lastReload: UInt64
    /// Balancers that were started because the one before had died.
    package var restarts: UInt64

    package init(
        pid: Int32, reloads: UInt64 = 0, refusals: UInt64 = 0, lastReload: UInt64 = 0,
        restarts: UInt64 = 0
    ) {
        self.pid = pid
        self.reloads = reloads
        self.refusals = refusals
        self.lastReload = lastReload
        self.restarts = restarts
    }
}
