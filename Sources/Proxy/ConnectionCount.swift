// Who may have how many connections on a listener: as many in all as it may have, and as many of one
// client as one may have. Asked once for each connection, never for a request.

import Base
import Synchronization

/// The connections of one listener on all workers. [any]
final class ConnectionCount: Sendable {
    /// What becomes of a connection that was just accepted.
    enum Verdict: Equatable {
        case welcome
        /// One too many: it is told so, and counts until it has gone.
        case refused(Reason)
        /// One too many even for that: it is closed without a word, and does not count.
        case dropped(Reason)
    }

    enum Reason: Equatable {
        /// The listener has as many as it may have.
        case full
        /// The client has as many as one may have.
        case crowded
    }

    struct Entry: Equatable {
        var verdict: Verdict
        /// It counts for its client, until `leave`.
        var isTallied: Bool
    }

    // Who is told why it is refused keeps a descriptor until it has read that. So many may do so at
    // one time, beyond the limits; a flood is not answered.
    static let courtesy = 64
    static let courtesyPerClient = 8

    private let count = Atomic<Int>(0)
    private let limit: Atomic<Int>
    private let limitPerClient: Atomic<Int>
    private let tally: ClientTally
    private let full = Atomic<UInt64>(0)
    private let crowded = Atomic<UInt64>(0)
    private let throttle = Throttle()
    private let throttlePerClient = Throttle()

    /// A limit of nil: as many as there are descriptors. `seed`: nobody outside should know it.
    init(limit: Int?, perClient: Int? = nil, seed: UInt64 = 0) {
        self.limit = Atomic(limit ?? .max)
        limitPerClient = Atomic(perClient ?? .max)
        tally = ClientTally(seed: seed)
    }

    /// From here on. Who is connected stays.
    func limit(to limit: Int?, perClient: Int?) {
        self.limit.store(limit ?? .max, ordering: .relaxed)
        limitPerClient.store(perClient ?? .max, ordering: .relaxed)
    }

    /// Counts one in, unless it is `dropped`. `isExempt`: its address stands for many clients.
    func enter(_ address: IPAddress, isExempt: Bool = false) -> Entry {
        let most = limitPerClient.load(ordering: .relaxed)
        // While there is no such limit nobody is counted for it: who came before one did not.
        let isTallied = most != .max && !isExempt
        let own = isTallied ? tally.enter(ClientTally.Key(address)) : 0
        let all = count.wrappingAdd(1, ordering: .relaxed).newValue
        let verdict = verdict(own: own, of: most, all: all)
        if case .dropped = verdict {
            leave(address, isTallied: isTallied)
            return Entry(verdict: verdict, isTallied: false)
        }
        return Entry(verdict: verdict, isTallied: isTallied)
    }

    private func verdict(own: Int, of most: Int, all: Int) -> Verdict {
        if own > most {
            crowded.wrappingAdd(1, ordering: .relaxed)
            return own - most > Self.courtesyPerClient ? .dropped(.crowded) : .refused(.crowded)
        }
        let limit = limit.load(ordering: .relaxed)
        guard all > limit else { return .welcome }
        full.wrappingAdd(1, ordering: .relaxed)
        return all - limit > Self.courtesy ? .dropped(.full) : .refused(.full)
    }

    /// With what `enter` said of it.
    func leave(_ address: IPAddress, isTallied: Bool) {
        count.wrappingSubtract(1, ordering: .relaxed)
        if isTallied { tally.leave(ClientTally.Key(address)) }
    }

    /// Those that are told why they are refused count until they have gone.
    var open: Int { count.load(ordering: .relaxed) }

    var isNone: Bool { open == 0 }

    /// Connections that were refused, for either reason.
    var refused: (full: UInt64, crowded: UInt64) {
        (full.load(ordering: .relaxed), crowded.load(ordering: .relaxed))
    }

    /// Says who was refused, but not every time. Monotonic nanoseconds.
    func complain(_ reason: Reason, listener: String, of client: IPAddress, now: UInt64) {
        let throttle = reason == .full ? throttle : throttlePerClient
        guard let kept = throttle.pass(now: now) else { return }
        let others = kept == 0 ? "" : " (and \(kept) since the last such line)"
        switch reason {
        case .full:
            Log.warning(
                "listener \(listener) refuses a connection of \(client): it has "
                    + "\(limit.load(ordering: .relaxed)), as many as it may have\(others)")
        case .crowded:
            Log.warning(
                "listener \(listener) refuses a connection of \(client), which has "
                    + "\(limitPerClient.load(ordering: .relaxed)), as many as one client may "
                    + "have\(others)")
        }
    }
}

/// How many connections each client has. As large as there are clients connected at one time, at the
/// most; a lock is held for a look into a table, by one of many. [any]
final class ClientTally: Sendable {
    /// An IPv4 address, or the first half of an IPv6 one: who has one address of a /64 has them all
    /// (RFC 6177 section 2).
    struct Key: Hashable {
        let high: UInt64
        let low: UInt64

        init(_ address: IPAddress) {
            high = address.high
            low = address.isV4 ? address.low : 0
        }
    }

    private final class Shard: Sendable {
        let table = Mutex(ClientTable())
    }

    // More than there are workers, so that two seldom meet.
    private static let shardCount = 32
    private let shards: [Shard]
    private let seed: UInt64

    init(seed: UInt64) {
        self.seed = seed
        shards = (0..<Self.shardCount).map { _ in Shard() }
    }

    /// How many it has with this one.
    func enter(_ key: Key) -> Int {
        let hash = hash(key)
        return shards[Int(hash >> 59)].table.withLock { $0.enter(key, hash) }
    }

    func leave(_ key: Key) {
        let hash = hash(key)
        shards[Int(hash >> 59)].table.withLock { $0.leave(key, hash) }
    }

    /// Clients that have connections.
    var count: Int { shards.reduce(0) { $0 + $1.table.withLock { $0.count } } }

    // Clients choose their addresses, but do not know the seed.
    private func hash(_ key: Key) -> UInt64 {
        var mix = SplitMix64(seed: key.high ^ seed)
        mix = SplitMix64(seed: mix.next() ^ key.low)
        return mix.next()
    }
}

/// One part of a tally: open addressing, linear probing, nothing left behind by who goes.
struct ClientTable {
    private struct Slot {
        var key: ClientTally.Key
        var hash: UInt64
        /// 0: nobody's.
        var connections: Int
    }

    private var slots: [Slot] = []
    private(set) var count = 0

    /// Allocates only when there are more clients than ever before.
    mutating func enter(_ key: ClientTally.Key, _ hash: UInt64) -> Int {
        if count * 2 >= slots.count { grow() }
        let place = find(key, hash)
        if slots[place].connections == 0 {
            slots[place] = Slot(key: key, hash: hash, connections: 0)
            count += 1
        }
        slots[place].connections += 1
        return slots[place].connections
    }

    mutating func leave(_ key: ClientTally.Key, _ hash: UInt64) {
        guard !slots.isEmpty else { return }
        let place = find(key, hash)
        guard slots[place].connections > 0 else { return }
        slots[place].connections -= 1
        if slots[place].connections == 0 { close(place) }
    }

    /// Where it is, or is to be.
    private func find(_ key: ClientTally.Key, _ hash: UInt64) -> Int {
        let mask = slots.count - 1
        var place = Int(truncatingIfNeeded: hash) & mask
        while slots[place].connections > 0 && slots[place].key != key { place = (place + 1) & mask }
        return place
    }

    /// Those behind a gap that would not be found past it move up.
    private mutating func close(_ gap: Int) {
        count -= 1
        let mask = slots.count - 1
        var gap = gap
        var place = (gap + 1) & mask
        while slots[place].connections > 0 {
            let home = Int(truncatingIfNeeded: slots[place].hash) & mask
            if (place - home) & mask >= (place - gap) & mask {
                slots[gap] = slots[place]
                slots[place].connections = 0
                gap = place
            }
            place = (place + 1) & mask
        }
    }

    private mutating func grow() {
        let old = slots
        let none = Slot(key: ClientTally.Key(.v6Any), hash: 0, connections: 0)
        slots = [Slot](repeating: none, count: max(16, old.count * 2))
        for slot in old where slot.connections > 0 { slots[find(slot.key, slot.hash)] = slot }
    }
}

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
