// Timeouts of connections. A hashed wheel (Varghese and Lauck, SOSP 1987, scheme 6) of which an entry
// is moved only when its time is to come earlier: what moves with every event is a number in the
// connection, and the wheel merely asks it again when the old time has come. One thread's.

/// Timers by number: at most one for each, `id` being the index of its owner in a slab.
package struct TimerWheel: ~Copyable {
    // 16 ms: fine enough for the shortest timeout anyone sets (100 ms), coarse enough that an idle
    // worker need not wake for each of them.
    package static let tick: UInt64 = 16_000_000
    // 4,096 ticks are 65 s; what lies beyond waits in the last slot and is put in again.
    private static let slots = 4096

    private static let none = UInt32.max
    private var heads: [UInt32]
    private var occupied: [UInt64]
    private var next: [UInt32] = []
    private var previous: [UInt32] = []
    // The tick an entry waits for; `idle` if it is not in the wheel.
    private var due: [UInt64] = []
    private static let idle = UInt64.max
    // The next tick to be looked at.
    private var current: UInt64

    /// `now`: monotonic nanoseconds.
    package init(now: UInt64) {
        heads = [UInt32](repeating: Self.none, count: Self.slots)
        occupied = [UInt64](repeating: 0, count: Self.slots / 64)
        current = now / Self.tick
    }

    /// Sees to it that timer `id` fires at `time` or a tick after it, or earlier if it was set to be:
    /// then its owner looks at its own deadline and sets it again. Allocates only for an id higher
    /// than any before.
    package mutating func set(_ id: UInt32, at time: UInt64) {
        while next.count <= Int(id) {
            next.append(Self.none)
            previous.append(Self.none)
            due.append(Self.idle)
        }
        let wanted = max(time / Self.tick + 1, current)
        if due[Int(id)] <= wanted { return }
        if due[Int(id)] != Self.idle { unlink(id) }
        link(id, min(wanted, current + UInt64(Self.slots) - 1))
    }

    /// Forgets timer `id`: its owner is going.
    package mutating func cancel(_ id: UInt32) {
        guard Int(id) < due.count, due[Int(id)] != Self.idle else { return }
        unlink(id)
    }

    /// The next timer whose time has come, or nil: call until nil, once a turn.
    package mutating func expired(now: UInt64) -> UInt32? {
        let last = now / Self.tick
        while current <= last {
            let id = heads[slot(current)]
            if id != Self.none {
                unlink(id)
                return id
            }
            current = nextOccupied(upTo: last + 1)
        }
        return nil
    }

    /// Milliseconds until the next entry may fire, for the poller; -1 if there is none.
    package func wait(now: UInt64) -> Int32 {
        let limit = current + UInt64(Self.slots)
        let at = nextOccupied(upTo: limit)
        if at == limit { return -1 }
        let time = at * Self.tick
        return time <= now ? 0 : Int32((time - now) / 1_000_000 + 1)
    }

    private func slot(_ tick: UInt64) -> Int { Int(tick % UInt64(Self.slots)) }

    /// The first tick from `current` whose slot has an entry, or `limit`.
    private func nextOccupied(upTo limit: UInt64) -> UInt64 {
        var tick = current
        while tick < limit {
            let index = slot(tick)
            let word = occupied[index / 64] >> UInt64(index % 64)
            if word != 0 {
                return min(limit, tick + UInt64(word.trailingZeroBitCount))
            }
            tick += UInt64(64 - index % 64)
        }
        return limit
    }

    private mutating func link(_ id: UInt32, _ tick: UInt64) {
        let index = slot(tick)
        let head = heads[index]
        due[Int(id)] = tick
        next[Int(id)] = head
        previous[Int(id)] = Self.none
        if head != Self.none { previous[Int(head)] = id }
        heads[index] = id
        occupied[index / 64] |= 1 << UInt64(index % 64)
    }

    private mutating func unlink(_ id: UInt32) {
        let index = slot(due[Int(id)])
        let before = previous[Int(id)]
        let after = next[Int(id)]
        if before != Self.none { next[Int(before)] = after } else { heads[index] = after }
        if after != Self.none { previous[Int(after)] = before }
        if heads[index] == Self.none { occupied[index / 64] &= ~(1 << UInt64(index % 64)) }
        due[Int(id)] = Self.idle
    }
}
