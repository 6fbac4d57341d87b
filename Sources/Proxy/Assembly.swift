// From a configuration and its plugins to a generation: which pools, instances and listeners stay as
// they are, which are made anew. The loader's alone; nothing here touches a worker.

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
                    weight: UInt32(node.weight), tier: UInt32(node.tier),
                    maxInFlight: UInt32(node.maxInFlight ?? pool.maxInFlight ?? 0),
                    metadata: node.metadata)
            },
            rise: pool.health?.rise ?? 1, fall: pool.health?.fall ?? 1,
            hasCheck: pool.health != nil || pool.nodes.contains { $0.healthOf != nil },
            ejection: pool.ejection.map {
                EjectionRule(
                    failures: UInt32($0.failures), time: $0.time, maxTime: $0.maxTime)
            }, slowStart: pool.slowStart ?? 0)
    }
}

/// The listening sockets of one listener, one for each worker; nil: those it has already.
package struct ListenerSockets: Sendable {
    /// Names the address: a listener is the same for as long as this is.
    package var key: String
    package var fds: [Int32]?

    package init(key: String, fds: [Int32]?) {
        self.key = key
        self.fds = fds
    }
}

/// What serves now, as the loader remembers it, and the next of it.
struct Assembly {
    /// A strategy in one place of a pool's list.
    struct Chosen {
        /// Nil: every build that offers it is fenced, and the next one decides.
        var kind: StrategyKind?
        var options: String
    }

    struct PoolState {
        var rows: PoolRows
        /// By slot: strategies, their canaries, the shadow.
        var slots: [Int: Chosen] = [:]
        var canaries: [Int: CanaryWatch] = [:]
        var shadow: ShadowWatch?
        var check: CheckInstance?
        var checkOptions = ""
        var traffic = PoolTraffic.none
        var behind: Keyring.Behind?
    }

    struct ListenerState {
        var key: String
        var plan: ListenerPlan
        var front: Keyring.Front?
    }

    var number: UInt64 = 0
    /// By the pool's name.
    var pools: [String: PoolState] = [:]
    /// By number.
    var listeners: [ListenerState?] = []
    var accessLog: Int32 = -1
    var keyring = Keyring()

    /// What the next generation needs, and what becomes of this memory when it serves.
    struct Next {
        var assembly: Assembly
        var generation: Generation
        var rows: [PoolRows]
        var probed: [ProbedPool]
        var changes: Changes
    }

    /// For the log: what a reload did.
    struct Changes: Equatable {
        var pools = 0
        var instances = 0
        var listeners = 0
        /// Listeners whose certificates are others.
        var certificates = 0
        var nodesAdded = 0
        var nodesGone = 0
        /// Something is written otherwise.
        var settings = false
    }
}

extension Assembly {
    /// Makes every instance that the next generation needs anew. All or nothing: a refusal leaves
    /// everything as it is, but for places on the board, which `Board.sweep` frees.
    ///
    /// - Parameters:
    ///   - sockets: of each configured listener, in the file's order.
    ///   - keyring: what the files hold that TLS needs.
    ///   - shared: the workers' clocks, board and metrics.
    ///   - checkClock: of the thread that probes.
    func next(
        _ configuration: Configuration, _ catalogue: Catalogue, sockets: [ListenerSockets],
        accessLog: Int32, keyring: Keyring, _ shared: WorkerShared, checkClock: WorkerClock
    ) throws(Refusal) -> Next {
        var next = self
        next.number = number + 1
        next.accessLog = accessLog
        next.keyring = keyring
        next.pools = [:]
        var changes = Changes()
        let rows = try shared.board.seat(poolSpecs(of: configuration), now: checkClock.now)
        var plans: [PoolPlan] = []
        var probed: [ProbedPool] = []
        var views: [[PreparedView]] = shared.clocks.map { _ in [] }
        let seats = rows
        for (pool, rows) in zip(configuration.pools, rows) {
            let before = pools[pool.name]
            var (state, probing) = try self.state(
                pool, rows, before, catalogue, shared, checkClock)
            if let tls = pool.tls {
                do throws(TLSRefusal) {
                    state.behind = try keyring.behind(tls, present: before?.behind)
                } catch {
                    throw Refusal("pool \(pool.name): \(error)")
                }
                probing.behind = state.behind?.tls
                probing.peers = pool.nodes.map { TLSBehind.Peer($0, tls) }
            }
            let fresh = state.slots.keys.filter { slot in
                !Self.goesOn(state.slots[slot], before?.slots[slot], rows, before?.rows)
            }
            let isOtherPool = before?.rows !== rows
            if isOtherPool || !fresh.isEmpty || before?.slots.keys != state.slots.keys
                || !state.hasSameWatches(as: before)
            {
                changes.pools += 1
                changes.instances += fresh.count
                for worker in shared.clocks.indices {
                    views[worker].append(
                        try view(state, worker: worker, fresh: fresh, shared))
                }
            }
            changes.nodesAdded += rows.rows.count { !(before?.rows.rows.contains($0) ?? false) }
            next.pools[pool.name] = state
            var settings = PoolSettings(pool)
            settings.behind = state.behind?.tls
            probing.proxyHeader = settings.proxyHeader
            probing.leaders = pool.nodes.map { node in
                node.healthOf.map { seats[$0.pool].rows[$0.node] }
            }
            probing.drainsIf = pool.nodes.map(\.drainsIf)
            probed.append(probing)
            plans.append(
                PoolPlan(
                    rows: rows, settings: settings,
                    names: PoolNames(
                        pool: pool.name, strategies: pool.strategies.map(\.name),
                        canaries: pool.strategies.map {
                            PoolView.name($0.canary?.choice.name ?? $0.name, slot: 4)
                        }),
                    affinity: Affinity(pool, spare: shared.sessionSecret),
                    peers: probing.peers,
                    traffic: state.traffic))
        }
        let places = Set(rows.map(\.pool))
        let gone = pools.values.map(\.rows.pool).filter { !places.contains($0) }
        let stay = Set(rows.flatMap(\.rows))
        let goneRows = pools.values.flatMap(\.rows.rows).filter { !stay.contains($0) }
        changes.nodesGone = goneRows.count
        let secret = shared.sessionSecret
        let (fresh, renewed) = try next.listen(
            configuration, sockets, places: rows.map(\.pool), seed: hash64(secret.span), shared)
        changes.listeners = fresh.count
        changes.certificates = renewed
        let parts = shared.clocks.indices.map { worker in
            WorkerPart(
                views: views[worker], gone: gone, goneRows: goneRows,
                sockets: fresh.map { ($0.number, $0.fds[worker]) })
        }
        let generation = Generation(
            number: next.number, pools: plans, listeners: next.listeners.map { $0?.plan },
            accessLog: accessLog, parts: parts)
        return Next(
            assembly: next, generation: generation, rows: rows, probed: probed, changes: changes)
    }

    /// Whether the instances in `slot` serve on as they are. With other nodes only those that can be
    /// told so.
    private static func goesOn(
        _ chosen: Chosen?, _ before: Chosen?, _ rows: PoolRows, _ oldRows: PoolRows?
    ) -> Bool {
        guard let chosen, let before, before.kind === chosen.kind,
            before.options == chosen.options
        else { return false }
        return rows === oldRows || chosen.kind?.canFollow ?? true
    }

    private func state(
        _ pool: Pool, _ rows: PoolRows, _ before: PoolState?, _ catalogue: Catalogue,
        _ shared: WorkerShared, _ checkClock: WorkerClock
    ) throws(Refusal) -> (PoolState, ProbedPool) {
        var state = PoolState(rows: rows)
        state.traffic = before?.traffic ?? PoolTraffic(queueLimit: pool.queue.length)
        state.traffic.queue.limit(to: pool.queue.length)
        for (slot, choice) in pool.strategies.enumerated() {
            state.slots[slot] = try choose(choice, of: pool.name, catalogue)
        }
        try addCandidates(pool, &state, before, catalogue, shared)
        guard let health = pool.health else { return (state, ProbedPool(rows, check: nil)) }
        let own = catalogue.checks[health.check.name]
        let standIn = catalogue.fence(.check, health.check.name) == nil ? nil : CheckKind.connect
        guard let kind = own ?? standIn else {
            throw Refusal(
                "pool \(pool.name) wants check \(health.check.name), which no plugin offers")
        }
        state.checkOptions = health.check.options.encoded()
        if let before, let check = before.check, check.kind === kind, before.rows === rows,
            before.checkOptions == state.checkOptions
        {
            state.check = check
        } else {
            let place = InstancePlace(
                board: shared.board, pool: rows, worker: 0, clock: checkClock,
                metrics: shared.metrics, entropy: shared.entropy &+ number,
                gauges: shared.gauges)
            state.check = try kind.make(at: place, options: state.checkOptions)
        }
        return (
            state,
            ProbedPool(
                rows, check: state.check, interval: health.interval,
                timeoutMs: UInt32(health.timeout / 1_000_000))
        )
    }

    /// A strategy by its name, among all but the files that serve as canaries.
    func choose(
        _ choice: PluginChoice, of pool: String, _ catalogue: Catalogue
    ) throws(Refusal) -> Chosen {
        let kind = catalogue.strategies[choice.name]
        guard kind != nil || catalogue.fence(.strategy, choice.name) != nil else {
            throw Refusal("pool \(pool) wants strategy \(choice.name), which no plugin offers")
        }
        return Chosen(kind: kind, options: choice.options.encoded())
    }

    private func view(
        _ state: PoolState, worker: Int, fresh: [Int], _ shared: WorkerShared
    ) throws(Refusal) -> PreparedView {
        let place = InstancePlace(
            board: shared.board, pool: state.rows, worker: worker, clock: shared.clocks[worker],
            metrics: shared.metrics, entropy: shared.entropy &+ number,
            gauges: shared.gauges)
        var instances: [Int: StrategyInstance] = [:]
        for slot in fresh.sorted() {
            guard let chosen = state.slots[slot], let kind = chosen.kind else { continue }
            instances[slot] = try kind.make(at: place, slot: slot, options: chosen.options)
        }
        let strategies = state.slots.keys.filter { $0 < PoolView.strategyLimit }.sorted()
        var canaries: [Int: PoolView.CanaryPart] = [:]
        for (slot, watch) in state.canaries {
            let seat = PoolView.canarySlot(of: slot)
            canaries[slot] = PoolView.CanaryPart(watch, instances[seat])
        }
        let shadow = state.shadow.map {
            PoolView.ShadowPart($0, instances[PoolView.shadowSlot])
        }
        return PreparedView(
            PoolView(
                at: place, strategies: strategies.map { instances[$0] },
                vacant: Set(state.slots.keys.filter { state.slots[$0]?.kind == nil }),
                canaries: canaries, shadow: shadow), place: state.rows.pool)
    }

    // MARK: Listeners

    /// Numbers the listeners: one whose address is configured already keeps its number.
    private mutating func listen(
        _ configuration: Configuration, _ sockets: [ListenerSockets], places: [Int], seed: UInt64,
        _ shared: WorkerShared
    ) throws(Refusal) -> (fresh: [(number: Int, fds: [Int32])], renewed: Int) {
        var fresh: [(Int, [Int32])] = []
        var renewed = 0
        var present = Set<Int>()
        for (listener, sockets) in zip(configuration.listeners, sockets) {
            let known = listeners.indices.first {
                listeners[$0]?.key == sockets.key && !(listeners[$0]?.plan.isLeaving ?? true)
            }
            var plan = ListenerPlan(
                listener, places: places,
                connections: known.flatMap { listeners[$0]?.plan.connections }
                    ?? ConnectionCount(limit: nil, seed: seed))
            var front: Keyring.Front?
            if let tls = listener.tls {
                do throws(TLSRefusal) {
                    front = try keyring.front(
                        tls, tickets: shared.tickets,
                        present: known.flatMap { listeners[$0]?.front })
                } catch {
                    throw Refusal("listener \(listener.name): \(error)")
                }
                for notice in front?.tls.notices ?? [] {
                    Log.warning("listener \(listener.name): \(notice)")
                }
                plan.front = front?.tls
                if let known, let before = listeners[known]?.front, before.tls !== front?.tls {
                    renewed += 1
                }
                plan.handshakeTimeout = tls.handshakeTimeout
                plan.handshakes = max(1, tls.maxHandshakes / shared.clocks.count)
            }
            let state = ListenerState(key: sockets.key, plan: plan, front: front)
            if let known {
                listeners[known] = state
                present.insert(known)
                continue
            }
            guard let fds = sockets.fds else {
                throw Refusal("listener \"\(listener.name)\" has no sockets")
            }
            // A number is given away again when nobody is connected under it any more.
            let free = listeners.indices.first {
                !present.contains($0)
                    && (listeners[$0].map { $0.plan.isLeaving && $0.plan.connections.isNone }
                        ?? true)
            }
            let number = free ?? listeners.count
            if free == nil { listeners.append(state) } else { listeners[number] = state }
            present.insert(number)
            fresh.append((number, fds))
        }
        for number in listeners.indices where !present.contains(number) {
            listeners[number]?.plan.isLeaving = true
            // Places of pools that are gone lead nowhere; those that stay keep theirs.
            listeners[number]?.plan.routes.keep(pools: Set(places))
        }
        return (fresh, renewed)
    }
}

extension ListenerPlan {
    init(_ listener: Listener, places: [Int], connections: ConnectionCount) {
        var routes = RouteTable(otherwise: listener.pool.map { places[$0] })
        for route in listener.routes {
            routes.add(host: route.host, path: route.path, pool: places[route.pool])
        }
        connections.limit(
            to: listener.maxConnections, perClient: listener.maxConnectionsPerClient)
        self.init(
            name: listener.name, isStream: listener.protocolKind == .tcp,
            readsProxyHeader: listener.readsProxyHeader, routes: routes,
            trusted: listener.trustedProxies,
            limits: HeadLimits(
                target: listener.limits.targetBytes, head: listener.limits.headBytes,
                fields: listener.limits.fields),
            headerTimeout: listener.timeouts.header, idleTimeout: listener.timeouts.idle,
            connections: connections, redirectPort: listener.redirect?.port,
            strictTransport: listener.strictTransport.map {
                StrictTransportLine(
                    seconds: $0.maxAge / 1_000_000_000, subdomains: $0.includesSubdomains)
            })
    }
}

extension PoolSettings {
    init(_ pool: Pool) {
        self.init(
            connectTimeout: pool.timeouts.connect, responseTimeout: pool.timeouts.response,
            idleTimeout: pool.timeouts.idle, tunnelTimeout: pool.timeouts.tunnel ?? 0,
            drainTimeout: pool.drainTimeout ?? 0,
            retries: UInt32(pool.retries), retryShare: UInt64(pool.retryBudget),
            queueTimeout: pool.queue.timeout, reusesAlways: pool.reuse == .always,
            proxyHeader: pool.proxyProtocol.map { $0 == .v1 ? .v1 : .v2 })
    }
}
