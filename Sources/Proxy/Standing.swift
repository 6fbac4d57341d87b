// What the loader has made known of the generation that serves, and of every library that it ever
// loaded, for whoever is to show it. Written by the loader, a new one for each reload; read by any
// thread under a lock that is held for a copy.

import Balance
import Base
import Config
import Loading
import Net

/// A library as the loader remembers it: mapped for as long as the process lives.
struct LoadedLibrary: Sendable {
    let library: Library
    /// In which it was loaded, or was to serve.
    let generation: UInt64
}

struct Standing: Sendable {
    struct Pool: Sendable {
        var rows: PoolRows
        var traffic: PoolTraffic
        /// But for what is counted.
        var status: PoolStatus
    }

    struct Listener: Sendable {
        var key: String
        var connections: ConnectionCount
        /// But for what is counted.
        var status: ListenerStatus
    }

    private(set) var generation: UInt64 = 0
    /// Nanoseconds since 1970.
    private var since: UInt64 = 0
    private var pools: [Pool] = []
    private var listeners: [Listener] = []
    private var loaded: [LoadedLibrary] = []
    /// Copies that the libraries in use were loaded from.
    private var serving: Set<String> = []
    private var refusals: [String: UInt64] = [:]
    /// Those of earlier processes among them.
    var fences = FenceList()

    /// Remembers libraries that were not there before, whether they come to serve or not.
    mutating func note(_ libraries: [Library], for generation: UInt64) {
        for library in libraries where !loaded.contains(where: { $0.library.copy == library.copy })
        {
            loaded.append(LoadedLibrary(library: library, generation: generation))
        }
    }

    mutating func noteRefusals(of files: [String]) {
        for file in files { refusals[file, default: 0] += 1 }
    }

    /// `next` serves from now on.
    mutating func take(
        _ next: Assembly.Next, _ configuration: Configuration, _ catalogue: Catalogue,
        _ sockets: [ListenerSockets], now: UInt64
    ) {
        generation = next.generation.number
        since = now
        serving = Set(catalogue.libraries.map(\.copy))
        pools = zip(configuration.pools, next.rows).map { pool, rows in
            Pool(
                rows: rows, traffic: next.assembly.pools[pool.name]?.traffic ?? .none,
                status: Self.status(of: pool, catalogue))
        }
        listeners = zip(configuration.listeners, sockets).compactMap { listener, sockets in
            let place = next.assembly.listeners.first { state in
                state.map { $0.key == sockets.key && !$0.plan.isLeaving } ?? false
            }
            guard let place, let state = place else { return nil }
            let before = listeners.first { $0.key == sockets.key }?.status.address
            let address = sockets.fds?.first.flatMap(Self.address)
            var status = ListenerStatus(
                name: listener.name, address: address ?? before ?? listener.address.description,
                pool: listener.pool.map { configuration.pools[$0].name }, connections: 0,
                connectionLimit: listener.maxConnections)
            status.connectionLimitPerClient = listener.maxConnectionsPerClient
            status.protocolName =
                listener.protocolKind == .tcp ? "tcp" : listener.tls == nil ? "http" : "https"
            status.handshakes = listener.tls.map { _ in HandshakeTotals() }
            status.routes = listener.routes.map {
                ListenerStatus.Route(
                    host: $0.host, path: $0.path, pool: configuration.pools[$0.pool].name)
            }
            return Listener(
                key: sockets.key, connections: state.plan.connections, status: status)
        }
    }

    private static func address(_ socket: Int32) -> String? {
        guard let address = Socket.localAddress(socket), let ip = address.ip else { return nil }
        return HostPort.ip(ip, port: address.port).description
    }

    private static func status(
        of pool: Config.Pool, _ catalogue: Catalogue
    ) -> PoolStatus {
        func use(_ choice: PluginChoice, _ kind: OfferKind, _ build: Build?) -> PluginInUse {
            let fence = build == nil ? catalogue.fence(kind, choice.name) : nil
            return PluginInUse(
                name: choice.name, file: build?.origin.file ?? fence?.file ?? "",
                build: build?.idText ?? fence.map { Build.text(of: $0.build) } ?? "",
                options: choice.options.encoded(), fence: fence?.reason)
        }
        var status = PoolStatus(name: pool.name)
        status.strategies = pool.strategies.map {
            use($0, .strategy, catalogue.strategies[$0.name]?.build)
        }
        status.check = pool.health.map { health in
            CheckStatus(
                plugin: use(health.check, .check, catalogue.checks[health.check.name]?.build),
                interval: health.interval, timeout: health.timeout, rise: health.rise,
                fall: health.fall)
        }
        status.session = pool.session.map(SessionStatus.init)
        status.hashKey = pool.hashKey.map { key in
            switch key {
            case .client: "client"
            case .path: "path"
            case .header(let name): "header \(name)"
            case .cookie(let name): "cookie \(name)"
            }
        }
        return status
    }

    // MARK: Reading

    /// With what is counted at this moment.
    func status(
        _ board: Board, _ metrics: Metrics, _ candidates: Candidates
    ) -> BalancerStatus {
        var status = BalancerStatus(
            generation: generation, generationSince: since, workers: board.workers)
        status.plugins = plugins
        status.pluginRefusals = refusals
        status.pools = pools.map { pool in
            var status = pool.status
            status.traffic = pool.traffic.status
            status.nodes = board.snapshot(of: pool.rows)
            status.fallbackPicks = metrics.fallbackPicks(pool: status.name)
            return status
        }
        status.listeners = listeners.map { listener in
            var status = listener.status
            status.connections = listener.connections.open
            let refused = listener.connections.refused
            status.refusedFull = refused.full
            status.refusedCrowded = refused.crowded
            if status.handshakes != nil {
                status.handshakes = listener.connections.handshakeTotals
            }
            return status
        }
        status.canaries = candidates.canaries
        status.shadows = candidates.shadows
        status.metrics = metrics.read()
        return status
    }

    /// A line for each build of a file, in the order in which they first came; then the builds that
    /// were fenced before this process started, and are not loaded in it.
    private var plugins: [PluginStatus] {
        var result: [PluginStatus] = []
        for entry in loaded {
            let library = entry.library
            let known = result.firstIndex {
                $0.file == library.origin.file && $0.build == library.build.idText
            }
            let reading = library.build.read()
            if let known {
                result[known].loads += 1
                result[known].generation = entry.generation
                result[known].calls?.add(reading)
            } else {
                var status = PluginStatus(
                    file: library.origin.file, plugin: library.origin.plugin,
                    version: library.origin.version, build: library.build.idText,
                    generation: entry.generation)
                status.strategies = library.strategies.map(\.name)
                status.checks = library.checks.map(\.name)
                status.isServing = false
                status.calls = reading
                result.append(status)
            }
            let place = known ?? result.count - 1
            if serving.contains(library.copy) { result[place].isServing = true }
            let fence = library.build.fenceReason ?? fences.fence(of: library.build.id)?.reason
            result[place].fence = result[place].fence ?? fence
        }
        for fence in fences.fences {
            let build = Build.text(of: fence.build)
            if result.contains(where: { $0.build == build && $0.file == fence.file }) { continue }
            var status = PluginStatus(
                file: fence.file, plugin: "", version: "", build: build, generation: 0)
            let offers = fences.facts(of: fence.build)?.offers ?? []
            status.strategies = offers.filter { $0.kind == .strategy }.map(\.name)
            status.checks = offers.filter { $0.kind == .check }.map(\.name)
            status.loads = 0
            status.isServing = false
            status.fence = fence.reason
            result.append(status)
        }
        return result
    }
}

extension BuildReading {
    /// Of the same build, loaded once more.
    fileprivate mutating func add(_ other: BuildReading) {
        calls &+= other.calls
        nanoseconds &+= other.nanoseconds
        longest = max(longest, other.longest)
        overruns &+= other.overruns
        excused &+= other.excused
        badAnswers &+= other.badAnswers
        strikes &+= other.strikes
    }
}

extension SessionStatus {
    init(_ session: Session) {
        self.init(
            cookie: session.cookie, maxAge: session.maxAge,
            sameSite: "\(session.sameSite)", secure: "\(session.secure)",
            hasSecret: !session.secrets.isEmpty)
    }
}
