// How many requests a pool's nodes may get again: a share of those that came lately. While most
// attempts fail, retries would else double the load on the nodes that still stand.
//
// After Finagle's RetryBudget: a share of the requests of ten seconds, and ten retries a second whatever
// the traffic. One for each pool and worker; an attempt that found no connection does not count, since
// no node had anything to do for it.

import Base

struct RetryBudget {
    private static let seconds = 10
    /// Retries that are free in the ten seconds.
    static let free: UInt64 = 100

    private struct Second {
        var requests: UInt64 = 0
        var retries: UInt64 = 0
    }

    private var ring: [10 of Second] = .init(repeating: Second())
    private var second: UInt64 = 0
    /// Sums of the ring.
    private var requests: UInt64 = 0
    private var retries: UInt64 = 0

    /// A request comes for the first time. `now`: monotonic nanoseconds.
    mutating func noteRequest(now: UInt64) {
        turn(to: now / 1_000_000_000)
        ring[Int(second % UInt64(Self.seconds))].requests &+= 1
        requests &+= 1
    }

    /// Whether one more may go out again; it is counted then. `share`: in millionths of the requests.
    mutating func spend(share: UInt64, now: UInt64) -> Bool {
        turn(to: now / 1_000_000_000)
        // 0 is meant: no retries at all.
        guard share > 0, retries < requests &* share / 1_000_000 &+ Self.free else { return false }
        ring[Int(second % UInt64(Self.seconds))].retries &+= 1
        retries &+= 1
        return true
    }

    private var toldAt: UInt64 = 0

    /// Whether it is time to say (again) that it is spent.
    mutating func isToBeTold(now: UInt64) -> Bool {
        guard toldAt == 0 || now &- toldAt >= 30_000_000_000 else { return false }
        toldAt = now
        return true
    }

    private mutating func turn(to now: UInt64) {
        guard now != second else { return }
        let passed = min(now &- second, UInt64(Self.seconds))
        for step in 1...passed {
            let place = Int((second &+ step) % UInt64(Self.seconds))
            requests &-= ring[place].requests
            retries &-= ring[place].retries
            ring[place] = Second()
        }
        // After a longer pause every second is empty, whichever place is whose.
        second = now
    }
}
