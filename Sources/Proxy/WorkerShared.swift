// What the workers are given when they start, and what is published to them while they run. Nothing
// in it changes but through the board, the address book and the orders, each with its own rules.

import Balance
import Base
import HTTP
import Net
import Synchronization

/// What the workers are to do. Set by the balancer's main thread, read by each worker once a turn. [any]
final class Orders: Sendable {
    enum Order: UInt8 {
        case serve = 0
        /// Take no new connections, finish what is in flight, leave.
        case drain = 1
        /// Leave now.
        case stop = 2
    }
    private let value = Atomic<UInt8>(0)

    var current: Order { Order(rawValue: value.load(ordering: .relaxed)) ?? .stop }

    /// Orders only get stronger.
    func give(_ order: Order) {
        let before = value.load(ordering: .relaxed)
        if order.rawValue > before { value.store(order.rawValue, ordering: .relaxed) }
    }
}

/// How many connections a listener has on all workers, of how many it may have. [any]
final class ConnectionCount: Sendable {
    private let open = Atomic<Int>(0)
    private let limit: Int

    /// `limit` nil: as many as there are descriptors.
    init(limit: Int?) { self.limit = limit ?? .max }

    /// Counts one in; false if that is one too many. It counts all the same, until `leave`.
    func enter() -> Bool { open.wrappingAdd(1, ordering: .relaxed).newValue <= limit }

    func leave() { open.wrappingSubtract(1, ordering: .relaxed) }
}

/// Names of a pool for the access log.
struct PoolNames: Sendable {
    let pool: String
    let nodes: [String]
    let strategies: [String]

    func node(_ index: UInt32) -> String { index < nodes.count ? nodes[Int(index)] : "" }

    func strategy(_ slot: UInt8) -> String {
        slot < strategies.count ? strategies[Int(slot)] : "fallback"
    }
}

/// Made by `Balancer`; its `let`s are read by all workers.
final class WorkerShared: @unchecked Sendable {
    let board: Board
    let addresses: AddressBook
    let metrics: Metrics
    let orders = Orders()
    let settings: [PoolSettings]
    let nodeTotal: Int
    let names: [PoolNames]
    let accessLog: Int32
    let entropy: UInt64
    let clocks: [WorkerClock]
    let wakeups: [Wakeup]
    /// By listener.
    let connections: [ConnectionCount]
    /// By worker.
    let listening: [[Listening]]
    /// By worker, pool and place in the pool's list. Made on the loading thread, then the worker's.
    let strategies: [[[StrategyInstance]]]

    init(
        board: Board, addresses: AddressBook, metrics: Metrics, settings: [PoolSettings],
        nodeTotal: Int, names: [PoolNames], accessLog: Int32, entropy: UInt64,
        clocks: [WorkerClock], wakeups: [Wakeup],
        connections: [ConnectionCount], listening: [[Listening]],
        strategies: [[[StrategyInstance]]]
    ) {
        self.board = board
        self.addresses = addresses
        self.metrics = metrics
        self.settings = settings
        self.nodeTotal = nodeTotal
        self.names = names
        self.accessLog = accessLog
        self.entropy = entropy
        self.clocks = clocks
        self.wakeups = wakeups
        self.connections = connections
        self.listening = listening
        self.strategies = strategies
    }
}
