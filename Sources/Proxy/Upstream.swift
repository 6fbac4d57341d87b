// A connection to a node: being made, in use by one exchange, or idle in the worker's pool of it.

import Base
import Net

/// Owned by the worker that opened it.
struct Upstream: ~Copyable {
    var link: Link
    let pool: UInt16
    /// Of its node on the board; `UInt32.max`: the node is no longer configured.
    var row: UInt32
    /// False while the connect, or a handshake, is under way.
    var isConnected: Bool
    /// The client whose exchange uses it; `UInt32.max`: idle.
    var client: UInt32
    /// The node was told whom it is for: it is nobody else's.
    var isBound = false
    /// What it gave to take up its session was kept.
    var hasLeftFormer = false
    /// It has carried a request before: the node may be closing it at this moment.
    var wasIdle = false
    /// Since when it is idle, monotonic nanoseconds.
    var idleSince: UInt64 = 0
    // Neighbours among the idle ones of its node, `UInt32.max` at the ends.
    var newer: UInt32 = .max
    var older: UInt32 = .max

    init(fd: Int32, pool: UInt16, row: UInt32, isConnected: Bool, client: UInt32) {
        link = Link(fd: fd)
        self.pool = pool
        self.row = row
        self.isConnected = isConnected
        self.client = client
        link.canWrite = isConnected
    }
}

/// The idle connections of one node: the one last used is the next to be taken, the first to be
/// closed is the one longest unused. Links lie in the upstreams themselves.
struct IdleList {
    private(set) var newest: UInt32 = .max
    private(set) var oldest: UInt32 = .max
    private(set) var count = 0
    /// The most requests that were at the node at one time, of late: as many connections have a use.
    private(set) var peak = 1

    /// A request goes to the node, and this many are there with it.
    mutating func noteUse(_ inFlight: Int) { peak = max(peak, inFlight) }

    /// Once a second: yesterday's peak keeps no connections open.
    mutating func decay(inFlight: Int) { peak = max(inFlight, peak - max(1, peak / 16), 1) }

    mutating func push(_ index: UInt32, in upstreams: borrowing Slab<Upstream>) {
        let upstream = upstreams.at(index)
        upstream.it.older = newest
        upstream.it.newer = .max
        if newest != .max { upstreams.at(newest).it.newer = index } else { oldest = index }
        newest = index
        count += 1
    }

    mutating func remove(_ index: UInt32, in upstreams: borrowing Slab<Upstream>) {
        let upstream = upstreams.at(index)
        let (newer, older) = (upstream.it.newer, upstream.it.older)
        if newer != .max { upstreams.at(newer).it.older = older } else { newest = older }
        if older != .max { upstreams.at(older).it.newer = newer } else { oldest = newer }
        upstream.it.newer = .max
        upstream.it.older = .max
        count -= 1
    }
}
