// What a balancer can say about itself to whoever asks, at one moment: values that were copied, from
// what the loader has made known and from counters that anyone may read. No worker is asked, stopped or
// waited for. How it is shown is Admin's business.

import Balance
import Base

/// The whole of it.
package struct BalancerStatus: Sendable {
    /// Counts up with every reload that was taken over.
    package var generation: UInt64
    /// When that one came to serve: nanoseconds since 1970.
    package var generationSince: UInt64
    package var workers: Int
    package var plugins: [PluginStatus] = []
    /// Reloads that a plugin file was the reason to refuse, by the file.
    package var pluginRefusals: [String: UInt64] = [:]
    /// In the order of the configuration, as all lists are.
    package var pools: [PoolStatus] = []
    package var listeners: [ListenerStatus] = []
    package var canaries: [CanaryStatus] = []
    package var shadows: [ShadowStatus] = []
    /// What the plugins count themselves.
    package var metrics: [Metrics.Reading] = []

    package init(generation: UInt64, generationSince: UInt64, workers: Int) {
        self.generation = generation
        self.generationSince = generationSince
        self.workers = workers
    }
}

/// One build of one plugin file, loaded once or again and again since the process started.
package struct PluginStatus: Sendable {
    package var file: String
    /// Its own name for itself, and its version.
    package var plugin: String
    package var version: String
    /// 16 hex digits.
    package var build: String
    /// Names of what it offers.
    package var strategies: [String]
    package var checks: [String]
    /// In which it was loaded, the last time.
    package var generation: UInt64
    /// How often it was loaded: 0 for one that was fenced before the process started. Every time
    /// leaves an image that stays mapped until the process ends.
    package var loads: UInt64
    /// In use now.
    package var isServing: Bool
    /// Why it is asked nothing any more; nil: it is not fenced.
    package var fence: String?
    /// What its calls cost and what was wrong with them; nil where it was not loaded.
    package var calls: BuildReading?

    package init(
        file: String, plugin: String, version: String, build: String, strategies: [String] = [],
        checks: [String] = [], generation: UInt64, loads: UInt64 = 1, isServing: Bool = true,
        fence: String? = nil, calls: BuildReading? = nil
    ) {
        self.file = file
        self.plugin = plugin
        self.version = version
        self.build = build
        self.strategies = strategies
        self.checks = checks
        self.generation = generation
        self.loads = loads
        self.isServing = isServing
        self.fence = fence
        self.calls = calls
    }
}

/// A strategy or a check as a pool uses it.
package struct PluginInUse: Sendable {
    package var name: String
    package var file: String
    package var build: String
    /// Its block of the configuration: JSON.
    package var options: String
    /// Why it is not asked, and something else stands in for it; nil: it is.
    package var fence: String?

    package init(
        name: String, file: String, build: String, options: String, fence: String? = nil
    ) {
        self.name = name
        self.file = file
        self.build = build
        self.options = options
        self.fence = fence
    }
}

/// How clients are kept on their nodes. Without what signs their cookies.
package struct SessionStatus: Sendable {
    package var cookie: String
    /// Nil: until the browser is closed.
    package var maxAge: Nanoseconds?
    /// As the configuration has them.
    package var sameSite: String
    package var secure: String
    /// False: the supervisor made one up.
    package var hasSecret: Bool

    package init(
        cookie: String, maxAge: Nanoseconds?, sameSite: String, secure: String, hasSecret: Bool
    ) {
        self.cookie = cookie
        self.maxAge = maxAge
        self.sameSite = sameSite
        self.secure = secure
        self.hasSecret = hasSecret
    }
}

/// What became of a pool's requests beside the plain way, since the pool was configured.
package struct TrafficStatus: Sendable {
    /// In the queue at this moment.
    package var waiting = 0
    /// That had to wait, or would have had to.
    package var queued: UInt64 = 0
    /// That the queue had no room for, and whose time in it was over.
    package var queueRefusals: UInt64 = 0
    package var queueTimeouts: UInt64 = 0
    /// That went to another node since one had failed, and that might have but for the budget.
    package var retries: UInt64 = 0
    package var deniedRetries: UInt64 = 0

    package init() {}
}

package struct PoolStatus: Sendable {
    package var name: String
    package var traffic = TrafficStatus()
    package var strategies: [PluginInUse] = []
    package var check: CheckStatus?
    package var session: SessionStatus?
    /// What strategies that hash go by.
    package var hashKey: String?
    /// Picks that the built-in round robin made.
    package var fallbackPicks: UInt64 = 0
    /// In the order of the configuration.
    package var nodes: [BoardRow] = []
    /// What its nodes say of themselves that does not go together.
    package var warnings: [String] = []

    package init(name: String) { self.name = name }
}

package struct CheckStatus: Sendable {
    package var plugin: PluginInUse
    package var interval: Nanoseconds
    package var timeout: Nanoseconds
    package var rise: Int
    package var fall: Int

    package init(
        plugin: PluginInUse, interval: Nanoseconds, timeout: Nanoseconds, rise: Int, fall: Int
    ) {
        self.plugin = plugin
        self.interval = interval
        self.timeout = timeout
        self.rise = rise
        self.fall = fall
    }
}

/// Handshakes of a listener's clients.
package struct HandshakeTotals: Equatable, Sendable {
    package var full: UInt64 = 0
    /// Those that took up a session.
    package var resumed: UInt64 = 0
    package var failed: UInt64 = 0

    package init(full: UInt64 = 0, resumed: UInt64 = 0, failed: UInt64 = 0) {
        self.full = full
        self.resumed = resumed
        self.failed = failed
    }
}

package struct ListenerStatus: Sendable {
    package struct Route: Sendable {
        /// Nil: any.
        package var host: String?
        package var path: String?
        package var pool: String
    }

    package var name: String
    /// With the port that the kernel gave where the configuration says 0.
    package var address: String
    /// "http", "https" or "tcp".
    package var protocolName = "http"
    package var pool: String?
    package var routes: [Route] = []
    /// Open now, on all workers.
    package var connections: Int
    package var connectionLimit: Int?
    package var connectionLimitPerClient: Int?
    /// Connections that were refused since the process started: the listener had its most, the client
    /// had.
    package var refusedFull: UInt64 = 0
    package var refusedCrowded: UInt64 = 0
    /// Nil: it has no TLS.
    package var handshakes: HandshakeTotals?

    package init(
        name: String, address: String, pool: String?, connections: Int,
        connectionLimit: Int? = nil
    ) {
        self.name = name
        self.address = address
        self.pool = pool
        self.connections = connections
        self.connectionLimit = connectionLimit
    }
}
