// Requests that wait for a place while every node of their pool has as many as it may have: first come,
// first served, whichever worker they came to. Bounded in length; how long one waits is its worker's
// business. One for each pool that has limits, shared by the workers, and kept when a reload changes the
// rest.
//
// Nobody is forgotten: who found no place says so first (`announce`), looks once more, and only then joins
// the line. A place that becomes free in between finds it announced, and calls it.

import Balance
import Base
import Synchronization

/// [any]
final class PoolQueue: Sendable {
    /// One request that waits.
    struct Waiter: Equatable, Sendable {
        var worker: UInt32
        var exchange: UInt64
    }

    private struct Seat {
        var waiter: Waiter
        var since: UInt64
        /// It has been at a node already and failed there, so that not every place is one for it.
        var isRetry: Bool
        var next: Int
        var previous: Int
    }

    private struct Line {
        var seats: [Seat] = []
        var free: [Int] = []
        var first = -1
        var last = -1
        var length = 0
        /// Called or announced, and not settled.
        var called = 0
        /// A place became free while nobody was in line, but somebody announced.
        var hasMissed = false
        var limit = 0
    }

    private let line: Guarded<Line>
    /// In line, called or announced.
    private let pending = Atomic<Int>(0)
    private let joined = Atomic<UInt64>(0)
    private let refused = Atomic<UInt64>(0)
    private let expired = Atomic<UInt64>(0)

    init(limit: Int) {
        var line = Line()
        line.limit = limit
        // What it usually takes; the rest comes when it is needed.
        line.seats.reserveCapacity(min(limit, 1024))
        self.line = Guarded(line)
    }

    func limit(to limit: Int) { line.withLock { $0.limit = limit } }

    /// Somebody waits, or is about to take the place that it was called for: newcomers do not overtake.
    var isBusy: Bool { pending.load(ordering: .sequentiallyConsistent) > 0 }

    /// What a request does that found no place, before it looks once more. Goes with one `settle` or
    /// `join`.
    func announce() {
        line.withLock { line in
            line.called += 1
            pending.wrappingAdd(1, ordering: .sequentiallyConsistent)
        }
    }

    /// One who was called or announced has a place, or does not want one any more.
    func settle() {
        line.withLock { line in
            line.called -= 1
            pending.wrappingSubtract(1, ordering: .sequentiallyConsistent)
        }
    }

    /// What came of joining the line.
    enum Joined: Equatable {
        /// Its seat, for `leave`.
        case waits(Int)
        case isFull
    }

    /// Joins the line, once announced or called: by age, a retry behind all others. Who is to be called
    /// at once since a place became free meanwhile comes in `call`.
    func join(
        _ waiter: Waiter, since: UInt64, isRetry: Bool, isNew: Bool, call: inout Waiter?
    ) -> Joined {
        line.withLock { line in
            line.called -= 1
            guard !isNew || line.length < line.limit else {
                pending.wrappingSubtract(1, ordering: .sequentiallyConsistent)
                refused.wrappingAdd(1, ordering: .relaxed)
                return .isFull
            }
            if isNew { joined.wrappingAdd(1, ordering: .relaxed) }
            let seat = Self.seat(
                Seat(waiter: waiter, since: since, isRetry: isRetry, next: -1, previous: -1),
                in: &line)
            if line.hasMissed {
                line.hasMissed = false
                call = Self.pop(&line, retryToo: true)
            }
            return .waits(seat)
        }
    }

    /// A place is free: who is to have it? Whoever is called answers by `settle` or `join`.
    /// `retryToo`: also one for whom not every place is one.
    func call(retryToo: Bool = true) -> Waiter? {
        guard isBusy else { return nil }
        return line.withLock { line in
            let waiter = Self.pop(&line, retryToo: retryToo)
            if waiter == nil && line.called > 0 { line.hasMissed = true }
            return waiter
        }
    }

    /// Leaves the line, since it waits no longer. False if it has been called meanwhile: the call is on
    /// its way, and wants an answer.
    func leave(_ seat: Int, _ waiter: Waiter) -> Bool {
        line.withLock { line in
            guard line.seats.indices.contains(seat), line.seats[seat].waiter == waiter else {
                return false
            }
            Self.unlink(seat, in: &line)
            pending.wrappingSubtract(1, ordering: .sequentiallyConsistent)
            return true
        }
    }

    /// Somebody's time was over before a place was free.
    func noteExpired() { expired.wrappingAdd(1, ordering: .relaxed) }

    /// In line at this moment.
    var length: Int { line.withLock { $0.length } }

    func count(into status: inout TrafficStatus) {
        status.waiting = length
        status.queued = joined.load(ordering: .relaxed)
        status.queueRefusals = refused.load(ordering: .relaxed)
        status.queueTimeouts = expired.load(ordering: .relaxed)
    }

    // MARK: The line

    private static let nobody = Waiter(worker: .max, exchange: .max)

    private static func seat(_ seat: Seat, in line: inout Line) -> Int {
        var seat = seat
        // Behind everyone who has waited longer: nearly always at the end.
        var before = line.last
        while before >= 0, line.seats[before].since > seat.since, !seat.isRetry {
            before = line.seats[before].previous
        }
        seat.previous = before
        seat.next = before >= 0 ? line.seats[before].next : line.first
        let place: Int
        if let free = line.free.popLast() {
            line.seats[free] = seat
            place = free
        } else {
            line.seats.append(seat)
            place = line.seats.count - 1
        }
        if seat.previous >= 0 { line.seats[seat.previous].next = place } else { line.first = place }
        if seat.next >= 0 { line.seats[seat.next].previous = place } else { line.last = place }
        line.length += 1
        return place
    }

    private static func pop(_ line: inout Line, retryToo: Bool) -> Waiter? {
        var place = line.first
        while place >= 0 && line.seats[place].isRetry && !retryToo {
            place = line.seats[place].next
        }
        guard place >= 0 else { return nil }
        let waiter = line.seats[place].waiter
        unlink(place, in: &line)
        line.called += 1
        return waiter
    }

    private static func unlink(_ place: Int, in line: inout Line) {
        let seat = line.seats[place]
        if seat.previous >= 0 {
            line.seats[seat.previous].next = seat.next
        } else {
            line.first = seat.next
        }
        if seat.next >= 0 {
            line.seats[seat.next].previous = seat.previous
        } else {
            line.last = seat.previous
        }
        line.seats[place].waiter = nobody
        line.free.append(place)
        line.length -= 1
    }
}
