// The balancer: workers, health and names put together from a configuration, started, drained and
// ended. One per process; it knows nothing of signals, files or the supervisor.

import Balance
import Base
import Config
import HTTP
import Loading
import Net

/// What the board and the strategies need to know of the configured pools, in the file's order.
package func poolSpecs(of configuration: Configuration) -> [PoolSpec] {
    configuration.pools.map { pool in
        PoolSpec(
            name: pool.name,
            nodes: pool.nodes.map { node in
                NodeSpec(
                    id: node.id, name: node.name, address: node.address.description,
                    weight: UInt32(node.weight), tier: UInt32(node.tier), metadata: node.metadata)
            },
            rise: pool.health?.rise ?? 1, fall: pool.health?.fall ?? 1,
            hasCheck: pool.health != nil)
    }
}

/// Started and waited for by one thread; told to drain or stop by any.
package final class Balancer: @unchecked Sendable {
    private let shared: WorkerShared
    private let prober: Prober
    private let nodeNames: NodeNames
    private var threads: [Thread] = []
    /// Nanoseconds that the first probes may take before traffic is let in without them.
    private let firstRoundLimit: UInt64

    /// Makes every instance of every plugin in use, and nothing that runs yet.
    ///
    /// - Parameters:
    ///   - sockets: listening sockets, by listener and worker; the balancer owns them from here on.
    ///   - accessLog: a descriptor to append to, or -1.
    package init(
        configuration: Configuration, catalogue: Catalogue, sockets: [[Int32]], board: Board,
        accessLog: Int32
    ) throws(Refusal) {
        let workers = board.workers
        let pools = configuration.pools
        let names = pools.map { pool in
            PoolNames(
                pool: pool.name, nodes: pool.nodes.map(\.name),
                strategies: pool.strategies.map(\.name))
        }
        let addresses = AddressBook(nodes: pools.reduce(0) { $0 + $1.nodes.count })
        let clocks = (0..<workers).map { _ in WorkerClock(monotonicNow()) }
        let entropy = wallNow()
        var wakeups: [Wakeup] = []
        do throws(SystemError) {
            for _ in 0..<workers { wakeups.append(try Wakeup()) }
        } catch {
            throw Refusal("the workers cannot be made: \(error)")
        }
        let metrics = Metrics()
        let strategies = try Self.strategies(
            of: pools, from: catalogue, board: board, clocks: clocks, metrics: metrics,
            entropy: entropy)
        shared = WorkerShared(
            board: board, addresses: addresses, metrics: metrics,
            settings: Self.settings(of: pools),
            nodeTotal: pools.reduce(0) { $0 + $1.nodes.count }, names: names,
            accessLog: accessLog, entropy: entropy, clocks: clocks, wakeups: wakeups,
            connections: configuration.listeners.map { ConnectionCount(limit: $0.maxConnections) },
            listening: Self.listening(configuration, sockets, workers), strategies: strategies)
        firstRoundLimit = (pools.compactMap { $0.health?.timeout }.max() ?? 0) + 100_000_000
        prober = try Self.prober(of: pools, from: catalogue, shared)
        do throws(SystemError) {
            nodeNames = try NodeNames(
                nodes: pools.flatMap { $0.nodes.map(\.address) }, book: addresses
            ) { [prober] in prober.addressesChanged() }
        } catch {
            throw Refusal("names cannot be resolved: \(error)")
        }
    }

    /// Starts to probe, waits for the first verdicts (at most the longest probe timeout), then lets
    /// the workers accept.
    package func start() throws(Refusal) {
        do throws(SystemError) {
            try nodeNames.start()
            try prober.start()
        } catch {
            throw Refusal("health probing cannot start: \(error)")
        }
        prober.awaitFirstRound(timeout: firstRoundLimit)
        for index in 0..<shared.wakeups.count {
            let means = try Worker.Means(worker: index)
            try start(index, means)
        }
    }

    private func start(_ index: Int, _ means: consuming Worker.Means) throws(Refusal) {
        let shared = self.shared
        let handover = Handover(means)
        do throws(SystemError) {
            threads.append(
                try Thread("worker \(index)") {
                    var worker = Worker(shared, index: index, handover.take())
                    if worker.watch() {
                        worker.run()
                    } else {
                        Log.error("worker \(index) cannot watch its sockets")
                    }
                })
        } catch {
            throw Refusal("worker \(index) cannot start: \(error)")
        }
    }

    /// Carries a move-only value into a thread, once.
    private final class Handover: @unchecked Sendable {
        private var means: Worker.Means?
        init(_ means: consuming Worker.Means) { self.means = consume means }
        func take() -> Worker.Means { means.take()! }
    }

    /// No new connections; what is in flight is finished. [any]
    package func drain() { give(.drain) }

    /// Ends everything that is in flight. [any]
    package func stop() { give(.stop) }

    private func give(_ order: Orders.Order) {
        shared.orders.give(order)
        for wakeup in shared.wakeups { wakeup.signal() }
    }

    /// Waits until every worker has left, then ends probing.
    package func wait() {
        for thread in threads { thread.join() }
        threads = []
        nodeNames.stop()
        prober.stop()
    }

    // MARK: From the configuration

    private static func settings(of pools: [Pool]) -> [PoolSettings] {
        var first = 0
        return pools.map { pool in
            defer { first += pool.nodes.count }
            return PoolSettings(
                firstNode: first, nodeCount: pool.nodes.count,
                connectTimeout: pool.timeouts.connect, responseTimeout: pool.timeouts.response,
                idleTimeout: pool.timeouts.idle, tunnelTimeout: pool.timeouts.tunnel ?? 0,
                retries: UInt32(pool.retries), reusesAlways: pool.reuse == .always)
        }
    }

    private static func listening(
        _ configuration: Configuration, _ sockets: [[Int32]], _ workers: Int
    ) -> [[Listening]] {
        (0..<workers).map { worker in
            configuration.listeners.enumerated().map { index, listener in
                var routes = RouteTable(otherwise: listener.pool)
                for route in listener.routes {
                    routes.add(host: route.host, path: route.path, pool: route.pool)
                }
                return Listening(
                    fd: sockets[index][worker], routes: routes, trusted: listener.trustedProxies,
                    limits: HeadLimits(
                        target: listener.limits.targetBytes, head: listener.limits.headBytes,
                        fields: listener.limits.fields),
                    headerTimeout: listener.timeouts.header, idleTimeout: listener.timeouts.idle)
            }
        }
    }

    private static func strategies(
        of pools: [Pool], from catalogue: Catalogue, board: Board, clocks: [WorkerClock],
        metrics: Metrics, entropy: UInt64
    ) throws(Refusal) -> [[[StrategyInstance]]] {
        var all: [[[StrategyInstance]]] = []
        for (worker, clock) in clocks.enumerated() {
            var ofWorker: [[StrategyInstance]] = []
            for (index, pool) in pools.enumerated() {
                let place = InstancePlace(
                    board: board, pool: index, worker: worker, clock: clock, metrics: metrics,
                    entropy: entropy)
                var instances: [StrategyInstance] = []
                for (slot, choice) in pool.strategies.enumerated() {
                    guard let kind = catalogue.strategies[choice.name] else {
                        throw Refusal(
                            "pool \(pool.name) wants strategy \(choice.name), which no plugin offers"
                        )
                    }
                    instances.append(
                        try kind.make(at: place, slot: slot, options: choice.options.encoded()))
                }
                ofWorker.append(instances)
            }
            all.append(ofWorker)
        }
        return all
    }

    private static func prober(
        of pools: [Pool], from catalogue: Catalogue, _ shared: WorkerShared
    ) throws(Refusal) -> Prober {
        let clock = WorkerClock(monotonicNow())
        var probed: [ProbedPool] = []
        for (index, pool) in pools.enumerated() {
            guard let health = pool.health else {
                probed.append(ProbedPool(check: nil))
                continue
            }
            guard let kind = catalogue.checks[health.check.name] else {
                throw Refusal(
                    "pool \(pool.name) wants check \(health.check.name), which no plugin offers")
            }
            let place = InstancePlace(
                board: shared.board, pool: index, worker: 0, clock: clock, metrics: shared.metrics,
                entropy: shared.entropy)
            probed.append(
                ProbedPool(
                    check: try kind.make(at: place, options: health.check.options.encoded()),
                    interval: health.interval, timeoutMs: UInt32(health.timeout / 1_000_000)))
        }
        do throws(SystemError) {
            return try Prober(
                board: shared.board, pools: probed, addresses: shared.addresses, clock: clock
            ) { [wakeups = shared.wakeups] in
                for wakeup in wakeups { wakeup.signal() }
            }
        } catch {
            throw Refusal("health probing cannot be set up: \(error)")
        }
    }
}
