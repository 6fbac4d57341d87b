// How many connections each client of a listener has: a table that all workers share, in parts. What
// is made of the numbers is ConnectionCount's.

import Base
import Synchronization

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
        let table = Guarded(ClientTable())
    }

    // More than there are workers, so that two seldom meet.
    private static let shardCount = 32
    private let shards: [Shard]
    private let seed: UInt64

    init(seed: UInt64) {
        self.seed = seed
        shards = (0..<Self.shardCount).map { _ in Shard() }
    }

    /// One more connection that is served; false, and nothing happens, if there are `most` already.
    func enter(_ key: Key, most: Int) -> Bool { add(key, .served, most) }
    func leave(_ key: Key) { remove(key, .served) }

    /// The same for one that is told why it is not.
    func tell(_ key: Key, most: Int) -> Bool { add(key, .told, most) }
    func leaveTold(_ key: Key) { remove(key, .told) }

    private func add(_ key: Key, _ kind: ClientTable.Kind, _ most: Int) -> Bool {
        let hash = hash(key)
        return shards[Int(hash >> 59)].table.withLock { $0.add(key, hash, kind, most) }
    }

    private func remove(_ key: Key, _ kind: ClientTable.Kind) {
        let hash = hash(key)
        shards[Int(hash >> 59)].table.withLock { $0.remove(key, hash, kind) }
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
    enum Kind { case served, told }

    private struct Connections {
        var served = 0
        var told = 0

        var isNone: Bool { served == 0 && told == 0 }

        subscript(kind: Kind) -> Int {
            get { kind == .served ? served : told }
            set { if kind == .served { served = newValue } else { told = newValue } }
        }
    }

    private struct Slot {
        var key: ClientTally.Key
        var hash: UInt64
        /// None: nobody's.
        var connections = Connections()
    }

    private var slots: [Slot] = []
    private(set) var count = 0

    /// False if there are `most` of the kind already. Allocates only when there are more clients than
    /// ever before.
    mutating func add(
        _ key: ClientTally.Key, _ hash: UInt64, _ kind: Kind, _ most: Int
    ) -> Bool {
        if count * 2 >= slots.count { grow() }
        let place = find(key, hash)
        guard slots[place].connections[kind] < most else { return false }
        if slots[place].connections.isNone {
            slots[place] = Slot(key: key, hash: hash)
            count += 1
        }
        slots[place].connections[kind] += 1
        return true
    }

    mutating func remove(_ key: ClientTally.Key, _ hash: UInt64, _ kind: Kind) {
        guard !slots.isEmpty else { return }
        let place = find(key, hash)
        guard slots[place].connections[kind] > 0 else { return }
        slots[place].connections[kind] -= 1
        if slots[place].connections.isNone { close(place) }
    }

    /// Where it is, or is to be.
    private func find(_ key: ClientTally.Key, _ hash: UInt64) -> Int {
        let mask = slots.count - 1
        var place = Int(truncatingIfNeeded: hash) & mask
        while !slots[place].connections.isNone && slots[place].key != key {
            place = (place + 1) & mask
        }
        return place
    }

    /// Those behind a gap that would not be found past it move up.
    private mutating func close(_ gap: Int) {
        count -= 1
        let mask = slots.count - 1
        var gap = gap
        var place = (gap + 1) & mask
        while !slots[place].connections.isNone {
            let home = Int(truncatingIfNeeded: slots[place].hash) & mask
            if (place - home) & mask >= (place - gap) & mask {
                slots[gap] = slots[place]
                slots[place].connections = Connections()
                gap = place
            }
            place = (place + 1) & mask
        }
    }

    private mutating func grow() {
        let old = slots
        let none = Slot(key: ClientTally.Key(.v6Any), hash: 0)
        slots = [Slot](repeating: none, count: max(16, old.count * 2))
        for slot in old where !slot.connections.isNone {
            slots[find(slot.key, slot.hash)] = slot
        }
    }
}
