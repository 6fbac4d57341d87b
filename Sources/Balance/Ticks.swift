// The cheap counter with which calls into plugins are timed, in terms of the monotonic clock.
// Reading the counter costs a few nanoseconds; reading that clock costs several times as much.

import Base
import CLinux

/// Conversions between the counter and nanoseconds; exact to about a thousandth.
enum Ticks {
    /// Measured once, on first use: that takes two milliseconds.
    static let perNanosecond: Double = {
        let (from, start) = reading()
        var (to, end) = reading()
        // Longer than any uncertainty of a reading, times a thousand.
        while end &- start < 2_000_000 { (to, end) = reading() }
        let rate = Double(to &- from) / Double(end &- start)
        // A counter that stands still would divide by nothing.
        return rate > 0 ? rate : 1
    }()

    static func nanoseconds(_ ticks: UInt64) -> Nanoseconds {
        UInt64(min(Double(ticks) / perNanosecond, 9.2e18))
    }

    static func count(_ nanoseconds: Nanoseconds) -> UInt64 {
        UInt64(min(Double(nanoseconds) * perNanosecond, 9.2e18))
    }

    /// The counter and the clock at the same moment: of some pairs the one that was read fastest,
    /// since an interrupt may come between the two.
    private static func reading() -> (ticks: UInt64, clock: Nanoseconds) {
        var best = (ticks: UInt64(0), clock: Nanoseconds(0))
        var width = UInt64.max
        for _ in 0..<8 {
            let before = clinux_monotonic_ns()
            let ticks = clinux_ticks()
            let after = clinux_monotonic_ns()
            if after &- before < width {
                width = after &- before
                best = (ticks, before &+ width / 2)
            }
        }
        return best
    }
}
