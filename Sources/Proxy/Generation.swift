// What a configuration and its plugins come to for the workers: made by the loader, immutable, taken
// over by each worker between two of its events. A reload makes the next one; nothing of it is in the
// middle of a request.

import Balance
import Base
import HTTP
import Net
import Synchronization

/// What a worker needs of a pool's settings.
struct PoolSettings: Sendable {
    var connectTimeout: UInt64
    var responseTimeout: UInt64
    /// 0: never.
    var idleTimeout: UInt64
    var tunnelTimeout: UInt64
    /// How long tunnels and streams of a node that drains are left alone; 0: for ever.
    var drainTimeout: UInt64 = 0
    var retries: UInt32
    /// Requests that nodes may get again, in millionths of all.
    var retryShare: UInt64 = 200_000
    /// How long a request waits for a place, nanoseconds.
    var queueTimeout: UInt64 = 5_000_000_000
    var reusesAlways: Bool
    /// How nodes are told whom a connection is for.
    var proxyHeader: ProxyHeader.Version?
    /// Nil: nodes are spoken to in plain.
    var behind: TLSBehind?
}

/// Names of a pool for the access log.
struct PoolNames: Sendable {
    var pool: String
    var strategies: [String]
    /// By strategy.
    var canaries: [String] = []

    func strategy(_ slot: UInt8) -> String {
        let (slot, canary) = (Int(slot), Int(slot) - PoolView.strategyLimit)
        if canaries.indices.contains(canary) { return canaries[canary] }
        return slot < strategies.count ? strategies[slot] : "fallback"
    }
}

/// One pool, whose number with the workers is its place on the board.
struct PoolPlan: Sendable {
    var rows: PoolRows
    var settings: PoolSettings
    var names: PoolNames
    var affinity: Affinity
    /// By node; empty: they are spoken to in plain.
    var peers: [TLSBehind.Peer] = []
    var traffic = PoolTraffic.none
}

/// What one listener serves, on every worker. Its number is the same for as long as its address is
/// configured.
struct ListenerPlan: Sendable {
    /// For the log.
    var name: String
    /// `protocol: "tcp"`.
    var isStream = false
    /// Those of `trusted` say first whom they are for.
    var readsProxyHeader = false
    var routes: RouteTable
    var trusted: [AddressRange]
    var limits: HeadLimits
    var headerTimeout: UInt64
    var idleTimeout: UInt64
    var connections: ConnectionCount
    /// Nil: plain.
    var front: TLSFront?
    var handshakeTimeout: UInt64 = 0
    /// How many may be in progress, on each worker.
    var handshakes = 0
    /// Where requests go over https that no route takes.
    var redirectPort: UInt16?
    var strictTransport: StrictTransportLine?
    /// No longer configured: who is connected is served to the end of its request.
    var isLeaving = false
}

/// What all workers take over at once. [any]
final class Generation: Sendable {
    let number: UInt64
    let pools: [PoolPlan]
    /// By number; nil: nobody's.
    let listeners: [ListenerPlan?]
    let accessLog: Int32
    /// By worker.
    let parts: [WorkerPart]

    init(
        number: UInt64, pools: [PoolPlan], listeners: [ListenerPlan?], accessLog: Int32,
        parts: [WorkerPart]
    ) {
        self.number = number
        self.pools = pools
        self.listeners = listeners
        self.accessLog = accessLog
        self.parts = parts
    }
}

/// What one worker gets of a generation for itself. Made by the loader, then that worker's alone.
final class WorkerPart: @unchecked Sendable {
    /// Views of the pools that changed, to be put at their places.
    var views: [PreparedView]
    /// Places of pools that are gone.
    let gone: [Int]
    /// Rows of nodes that are gone.
    let goneRows: [Int]
    /// Listening sockets that are new, by number of the listener.
    let sockets: [(listener: Int, fd: Int32)]

    init(
        views: [PreparedView], gone: [Int] = [], goneRows: [Int] = [],
        sockets: [(listener: Int, fd: Int32)]
    ) {
        self.views = views
        self.gone = gone
        self.goneRows = goneRows
        self.sockets = sockets
    }
}

/// Carries a view from the loader to its worker.
final class PreparedView {
    let place: Int
    private var view: PoolView?

    init(_ view: consuming PoolView, place: Int) {
        self.view = consume view
        self.place = place
    }

    /// Once.
    func take() -> PoolView { view.take()! }
}

/// What a worker finds between two events. [any]
enum Delivery: Sendable {
    case generation(Generation)
    /// A new instance for a strategy of a pool, if `old` still serves there.
    case instance(StrategyInstance, place: Int, slot: Int, old: StrategyInstance)
    /// An exchange that waited in this queue may have a place.
    case place(PoolQueue, exchange: UInt64)
}

/// Where the loader leaves things for one worker.
final class Mailbox: Sendable {
    private let count = Atomic<Int>(0)
    private let letters = Guarded<[Delivery]>([])

    func put(_ letter: Delivery) {
        letters.withLock { $0.append(letter) }
        count.wrappingAdd(1, ordering: .releasing)
    }

    var isEmpty: Bool { count.load(ordering: .acquiring) == 0 }

    func take() -> [Delivery] {
        letters.withLock { letters in
            count.store(0, ordering: .relaxed)
            defer { letters = [] }
            return letters
        }
    }
}
