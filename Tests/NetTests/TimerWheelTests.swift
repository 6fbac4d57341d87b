// Timeouts: never early, never lost, at most a tick late; moved earlier at once and later when asked.

import Base
import Net
import Testing

@Suite struct TimerWheelTests {
    private let tick = TimerWheel.tick
    private let second: UInt64 = 1_000_000_000

    @Test func aTimeoutComesNeitherEarlyNorMoreThanATickLate() {
        for offset in [0, 1, tick - 1, tick, 5 * second, 65 * second] as [UInt64] {
            let start = 1000 * second + offset / 3
            var wheel = TimerWheel(now: start)
            wheel.set(7, at: start + offset)
            var now = start
            var firedAt: UInt64?
            while firedAt == nil, now <= start + offset + 2 * tick {
                if let id = wheel.expired(now: now) {
                    holds(id == 7)
                    firedAt = now
                }
                now += 1_000_000
            }
            let at = firedAt ?? .max
            holds(at >= start + offset, "early by \(start + offset &- at) ns")
            holds(at <= start + offset + tick + 1_000_000, "late, or never")
            holds(wheel.expired(now: now + 100 * second) == nil, "twice")
        }
    }

    @Test func everyTimerOfManyFiresOnceInOneLateTurn() {
        var wheel = TimerWheel(now: 0)
        var random = SplitMix64(seed: 11)
        for id in 0..<2000 as Range<UInt32> {
            wheel.set(id, at: UInt64.random(in: 0..<60 * second, using: &random))
        }
        var fired = Set<UInt32>()
        while let id = wheel.expired(now: 61 * second) { holds(fired.insert(id).inserted) }
        holds(fired.count == 2000)
        holds(wheel.wait(now: 61 * second) == -1)
    }

    @Test func anEarlierTimeCountsAtOnceAndALaterOneLeavesTheFirst() {
        var wheel = TimerWheel(now: 0)
        wheel.set(1, at: 10 * second)
        wheel.set(1, at: 2 * second)
        wheel.set(1, at: 20 * second)
        holds(wheel.expired(now: 2 * second - 1) == nil)
        holds(wheel.expired(now: 2 * second + tick) == 1)
        holds(wheel.expired(now: 30 * second) == nil)
    }

    @Test func whatLiesBeyondTheWheelIsAskedForAgainNotFiredLate() {
        var wheel = TimerWheel(now: 0)
        wheel.set(3, at: 600 * second)
        // It fires before its time: its owner sets it again. What matters is that it does fire.
        holds(wheel.expired(now: 66 * second) == 3)
        wheel.set(3, at: 600 * second)
        holds(wheel.expired(now: 67 * second) == nil)
        holds(wheel.expired(now: 133 * second) == 3)
    }

    @Test func aCancelledTimerIsGoneAndItsNeighboursStay() {
        var wheel = TimerWheel(now: 0)
        for id in 0..<3 as Range<UInt32> { wheel.set(id, at: second) }
        wheel.cancel(1)
        wheel.cancel(1)
        wheel.cancel(99)
        var fired = Set<UInt32>()
        while let id = wheel.expired(now: 2 * second) { fired.insert(id) }
        holds(fired == [0, 2])
    }

    @Test func theWaitEndsWhenTheNextTimerIsDueNotBefore() {
        var wheel = TimerWheel(now: 0)
        holds(wheel.wait(now: 0) == -1)
        wheel.set(0, at: second)
        let wait = UInt64(wheel.wait(now: 0)) * 1_000_000
        holds(wait >= second && wait <= second + 2 * tick)
        holds(wheel.expired(now: wait) == 0)
        wheel.set(0, at: second)
        holds(wheel.wait(now: 100 * second) == 0)
    }

    @Test func aTimerSetInThePastDoesNotFireAgainInTheSameTurnForEver() {
        var wheel = TimerWheel(now: 10 * second)
        wheel.set(0, at: second)
        var turns = 0
        while let id = wheel.expired(now: 11 * second), turns < 10_000 {
            turns += 1
            wheel.set(id, at: 11 * second)
        }
        holds(turns == 1)
    }
}
