// What is said now and then instead of every time: for lines of the log that an attack would multiply.

import Synchronization

/// Lets a thing be said every ten seconds, and counts how often it was not. [any]
final class Throttle: Sendable {
    private static let pause: UInt64 = 10_000_000_000
    private let next = Atomic<UInt64>(0)
    private let kept = Atomic<Int>(0)

    /// Nil: not now. Otherwise how often it was nil since the last time. Monotonic nanoseconds.
    func pass(now: UInt64) -> Int? {
        let due = next.load(ordering: .relaxed)
        let isMine =
            now >= due
            && next.compareExchange(
                expected: due, desired: now &+ Self.pause, ordering: .relaxed
            ).exchanged
        guard isMine else {
            kept.wrappingAdd(1, ordering: .relaxed)
            return nil
        }
        return kept.exchange(0, ordering: .relaxed)
    }
}
