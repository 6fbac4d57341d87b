// A worker of the real kind on a thread of its own, with the built-in strategy and given nodes: what
// tests of the data path stand on. No plugins, no supervisor, no configuration file.

import Balance
import Base
import CLinux
import Glibc
import HTTP
import Net
import Synchronization
import Testing

@testable import Proxy

/// Runs one worker until it is let go.
@safe final class WorkerFixture {
    let port: UInt16
    let board: Board
    let shared: WorkerShared
    private let thread: Thread
    private let started: Started
    private let memory: UnsafeMutableRawBufferPointer

    struct Times {
        var header: UInt64 = 10_000_000_000
        var idle: UInt64 = 75_000_000_000
        var connect: UInt64 = 3_000_000_000
        var response: UInt64 = 600_000_000_000
        var exchangeIdle: UInt64 = 600_000_000_000
    }

    init(
        nodes: [UInt16], times: Times = Times(), trusted: [AddressRange] = [],
        accessLog: Int32 = -1, affinity: Affinity = .none, strategy: StrategyKind? = nil,
        candidate: StrategyKind? = nil, connections: ConnectionCount = ConnectionCount(limit: nil),
        room: SocketRoom = .ofThisProcess(), stream: Bool = false, routes: RouteTable? = nil,
        readsProxyHeader: Bool = false, proxyHeader: ProxyHeader.Version? = nil
    ) throws {
        let spec = PoolSpec(
            name: "pool",
            nodes: nodes.enumerated().map { index, port in
                NodeSpec(
                    id: UInt64(index + 1), name: "node\(index + 1)", address: "127.0.0.1:\(port)",
                    weight: 1, tier: 0, metadata: [])
            }, rise: 1, fall: 1, hasCheck: false)
        let bytes = Board.bytesNeeded(pools: [spec], workers: 1)
        unsafe memory = .allocate(byteCount: bytes, alignment: 64)
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0)
        board = try unsafe Board(memory: memory, pools: [spec], workers: 1, adopt: false)
        for index in nodes.indices { board.publish(pool: 0, node: index, state: .up, since: 1) }
        let listener = try Socket.listen(SocketAddress(.v4Loopback, port: 0), shared: false)
        port = Socket.localAddress(listener)!.port
        let addresses = AddressBook()
        for (index, port) in nodes.enumerated() {
            addresses.publish([SocketAddress(.v4Loopback, port: port)], node: index)
        }
        shared = WorkerShared(
            board: board, addresses: addresses, metrics: Metrics(), entropy: 1,
            clocks: [WorkerClock(monotonicNow())], wakeups: [try Wakeup()],
            inbox: try LoaderInbox(), gauges: CallGauges(workers: 1), room: room)
        let shared = self.shared
        let rows = board.pools[0]
        let place = InstancePlace(
            board: board, pool: rows, worker: 0, clock: shared.clocks[0], metrics: shared.metrics)
        let strategies = try strategy.map { [try $0.make(at: place, slot: 0, options: "{}")] } ?? []
        let view = try Self.view(at: place, strategies, candidate)
        let generation = Generation(
            number: 1,
            pools: [
                PoolPlan(
                    rows: rows,
                    settings: PoolSettings(
                        connectTimeout: times.connect, responseTimeout: times.response,
                        idleTimeout: times.exchangeIdle, tunnelTimeout: 0, retries: 2,
                        reusesAlways: false, proxyHeader: proxyHeader),
                    names: PoolNames(pool: "pool", strategies: []), affinity: affinity)
            ],
            listeners: [
                ListenerPlan(
                    name: "web", isStream: stream, readsProxyHeader: readsProxyHeader,
                    routes: routes ?? RouteTable(otherwise: 0),
                    trusted: trusted,
                    limits: HeadLimits(),
                    headerTimeout: times.header, idleTimeout: times.idle,
                    connections: connections)
            ], accessLog: accessLog,
            parts: [
                WorkerPart(
                    views: [PreparedView(view, place: 0)],
                    sockets: [(listener: 0, fd: listener)])
            ])
        let started = Started()
        self.started = started
        thread = try Thread("worker") {
            started.identifier.store(clinux_gettid(), ordering: .releasing)
            guard let means = try? Worker.Means(worker: 0) else { return }
            var worker = Worker(shared, index: 0, generation, means)
            if worker.watch() { worker.run() }
            // Two buffers are the worker's own.
            started.left.store(
                worker.clients.count + worker.exchanges.count + worker.upstreams.count
                    + worker.carrieds.count + worker.kit.buffers.lent - 2 + worker.kit.pipes.lent
                    + shared.room.count + connections.open,
                ordering: .releasing)
        }
    }

    /// `candidate`: as the canary of the strategy, for half of its picks, and as the shadow.
    private static func view(
        at place: InstancePlace, _ strategies: [StrategyInstance], _ candidate: StrategyKind?
    ) throws -> PoolView {
        guard let candidate else { return PoolView(at: place, strategies: strategies) }
        let plan = CanaryPlan(
            pool: "pool", incumbent: "incumbent", name: candidate.name, share: 0.5)
        let watch = CanaryWatch(
            plan, build: candidate.build.id, workers: 1, at: (place.board, place.pool.pool))
        let shadow = ShadowWatch(
            pool: place.pool, name: candidate.name, options: "{}", build: candidate.build,
            workers: 1)
        let slot = PoolView.shadowSlot
        return PoolView(
            at: place, strategies: strategies,
            canaries: [0: .init(watch, try candidate.make(at: place, slot: 4, options: "{}"))],
            shadow: .init(shadow, try candidate.make(at: place, slot: slot, options: "{}")))
    }

    /// Requests that nodes are counted to have, once nothing is under way any more: 0, or a leak.
    func inFlight() -> UInt64 {
        let deadline = monotonicNow() + 10_000_000_000
        while true {
            let count = board.snapshot().reduce(0) { $0 + $1.inFlight }
            if count == 0 || monotonicNow() > deadline { return count }
            _ = poll(nil, 0, 5)
        }
    }

    /// Of the worker's thread, once it serves.
    func threadIdentifier() throws -> Int32 {
        let identifier = started.identifier.load(ordering: .acquiring)
        guard identifier != 0 else { throw Broken("the worker has not started") }
        return identifier
    }

    private final class Started: Sendable {
        let identifier = Atomic<Int32>(0)
        /// What the worker still held when it had left: connections, exchanges, buffers, pipes.
        let left = Atomic<Int>(-1)
    }

    func order(_ order: Orders.Order) {
        shared.orders.give(order)
        shared.wakeups[0].signal()
    }

    /// Drains, or ends at once, and waits for the thread. What it says should be 0: how many
    /// connections, exchanges, buffers and pipes the worker did not give back.
    @discardableResult
    func leave(now: Bool = true) -> Int {
        order(now ? .stop : .drain)
        thread.join()
        unsafe memory.deallocate()
        return started.left.load(ordering: .acquiring)
    }
}

/// A worker before one node for as long as `body` takes; nothing may be left of what it did.
func with(
    _ node: TestNode, times: WorkerFixture.Times = .init(), _ body: (WorkerFixture) throws -> Void
) throws {
    let worker = try WorkerFixture(nodes: [node.port], times: times)
    try body(worker)
    #expect(worker.inFlight() == 0)
    #expect(worker.leave() == 0)
}
