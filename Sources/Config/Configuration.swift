// What an operator asked for, as values: names resolved to indices, texts to numbers, defaults filled
// in. Keeps the places of what plugins will judge later. How it is read: ConfigurationReading.swift.

import Base

/// A value and where it was written.
package struct Placed<Value: Sendable>: Sendable {
    package var value: Value
    package var place: Place

    package init(_ value: Value, at place: Place) {
        self.value = value
        self.place = place
    }
}

package struct Configuration: Sendable {
    /// As named on the command line; relative paths are meant from its folder: `resolve`.
    package var file: String
    /// Nil: one per core.
    package var workers: Int?
    /// Folders or `.so` files, as written.
    package var plugins: [Placed<String>] = []
    /// How long one call into a plugin may take; 0: as long as it likes.
    package var pluginsBudget: Nanoseconds = 5_000_000
    /// Whether plugin files that change are taken over without being told.
    package var pluginsWatch = false
    package var listeners: [Listener] = []
    /// In the order of the file. Their index here names them everywhere.
    package var pools: [Pool] = []
    /// Nil: off.
    package var accessLog: AccessLog?
    package var pidFile: Placed<String>?
    /// How long what is in flight may take to end after SIGTERM.
    package var drainTimeout: Nanoseconds = 30_000_000_000
    package var user: Placed<String>?
    package var group: Placed<String>?
    package var admin: AdminAddress?
    package var logLevel = Log.Level.info
    /// Of all that is written, whatever its layout and comments: two that differ in it say something
    /// else somewhere.
    package var fingerprint: UInt64 = 0

    package init(file: String) { self.file = file }

    /// `path` seen from the folder of the configuration file, unless it is absolute.
    package func resolve(_ path: String) -> String {
        guard !path.hasPrefix("/"), let slash = file.lastIndex(of: "/") else { return path }
        return file[...slash] + path
    }
}

/// Where metrics and the state are asked for.
package struct AdminAddress: Sendable {
    /// Never a name.
    package var address: HostPort
    /// Of the address.
    package var place: Place
    /// Others than this machine may ask.
    package var allowsRemote = false
}

/// One JSON object per line.
package struct AccessLog: Sendable {
    /// "-" for standard output, or a file as written: see `Configuration.resolve`.
    package var path: String
    package var place: Place
}

// MARK: Listeners

package struct Listener: Sendable {
    package enum ProtocolKind: Sendable { case http, tcp }

    package struct Timeouts: Equatable, Sendable {
        /// The total time for a request head; of a tcp listener with routes, for a ClientHello.
        package var header: Nanoseconds = 10_000_000_000
        /// Between requests on a kept-alive connection.
        package var idle: Nanoseconds = 75_000_000_000
    }

    package struct Limits: Equatable, Sendable {
        package var targetBytes = 16 * 1024
        package var headBytes = 64 * 1024
        /// Header fields of one request.
        package var fields = 200
    }

    /// The address, unless a name was given.
    package var name: String
    /// Never a name.
    package var address: HostPort
    /// Of the address.
    package var place: Place
    /// Serves what no route takes; nil: 404.
    package var pool: Int?
    /// The first that fits wins.
    package var routes: [Route] = []
    package var protocolKind = ProtocolKind.http
    package var trustedProxies: [AddressRange] = []
    /// Connections of `trustedProxies` begin with a header of the PROXY protocol.
    package var readsProxyHeader = false
    /// Nil: plain.
    package var tls: ListenerTLS?
    /// Where requests go that no route takes; instead of a pool.
    package var redirect: Redirect?
    /// Nil: browsers are told nothing.
    package var strictTransport: StrictTransport?
    package var timeouts = Timeouts()
    package var limits = Limits()
    /// Open client connections; nil: no limit of its own.
    package var maxConnections: Int?
    /// Of these, those of one client: an IPv4 address or an IPv6 /64. Nil: no limit. Those of
    /// `trustedProxies` do not count.
    package var maxConnectionsPerClient: Int?
}

package struct Route: Sendable {
    /// In lower case, exact or `*.example.com`; nil: any.
    package var host: String?
    /// Exact, or a prefix with a `*` at its end; nil: any.
    package var path: String?
    package var pool: Int
    package var place: Place
}

// MARK: Pools

package struct Pool: Sendable {
    package struct Timeouts: Equatable, Sendable {
        package var connect: Nanoseconds = 3_000_000_000
        /// From the last byte of the request to the first of the response.
        package var response: Nanoseconds = 600_000_000_000
        /// No byte in either direction of a running exchange.
        package var idle: Nanoseconds = 600_000_000_000
        /// The same for WebSockets; nil: never.
        package var tunnel: Nanoseconds?
    }

    /// What the failures of a node's requests lead to.
    package struct Ejection: Equatable, Sendable {
        /// In a row, on all workers together.
        package var failures = 5
        /// How long a node gets no requests the first time.
        package var time: Nanoseconds = 10_000_000_000
        /// And at most, however often it fails again.
        package var maxTime: Nanoseconds = 300_000_000_000
    }

    /// Requests that wait while every node has as many as it may have.
    package struct Queue: Equatable, Sendable {
        package var length = 1000
        package var timeout: Nanoseconds = 5_000_000_000
    }

    /// How nodes are told whom a connection is for, before anything else.
    package enum ProxyProtocol: Sendable { case v1, v2 }

    package enum Reuse: Sendable {
        /// Requests with a body or a method that is not idempotent go out on new connections.
        case fresh
        /// All requests may take a pooled connection.
        case always
    }

    package var name: String
    /// Of the name.
    package var place: Place
    /// Asked in this order; never empty.
    package var strategies: [PluginChoice] = []
    /// Nil: the nodes count as up.
    package var health: Health?
    package var timeouts = Timeouts()
    /// In the order of the file. Their index here names them in this pool.
    package var nodes: [Node] = []
    /// Further nodes that a request may be tried on.
    package var retries = 2
    /// Requests that nodes get again, in millionths of all requests.
    package var retryBudget = 200_000
    /// Nil: failures of requests have no say in where the next ones go.
    package var ejection: Ejection? = Ejection()
    /// How long a node that comes back takes to get its whole share; nil: it has it at once.
    package var slowStart: Nanoseconds?
    /// Of each node that says nothing else; nil: no limit.
    package var maxInFlight: Int?
    package var queue = Queue()
    package var reuse = Reuse.fresh
    /// Nil: nodes are told nothing before the first byte.
    package var proxyProtocol: ProxyProtocol?
    /// Nil: nodes are spoken to as they are.
    package var tls: PoolTLS?
    /// How long WebSockets and TCP connections of a node that drains are left alone; nil: for ever.
    package var drainTimeout: Nanoseconds?
    /// Nil: no strategy can have a client keep anything.
    package var session: Session?
    /// What strategies that hash are given the hash of; nil: nothing.
    package var hashKey: HashKey?
    /// Asked what it would pick, and not obeyed.
    package var shadow: PluginChoice?
}

/// How what a strategy has a client keep travels: a signed cookie.
package struct Session: Sendable {
    package enum SameSite: Sendable { case lax, strict, none }

    package enum Secure: Sendable {
        case always
        case never
        /// Where the client came by TLS, as far as is known here.
        case auto
    }

    /// A token; unique in its pool, and meant to be so among the pools that share a host.
    package var cookie: String
    /// The first signs, all are accepted: none (the process makes one up), one or two.
    package var secrets: [String] = []
    /// Whole seconds. Nil: the browser forgets it when it is closed.
    package var maxAge: Nanoseconds?
    package var sameSite = SameSite.lax
    package var secure = Secure.auto

    package init(cookie: String) { self.cookie = cookie }
}

/// Where the key comes from that makes a request belong with others.
package enum HashKey: Equatable, Sendable {
    /// The client's address.
    case client
    /// Without the query.
    case path
    /// In lower case.
    case header(String)
    case cookie(String)
}

/// A strategy or check by name, and what is written for it alone.
package struct PluginChoice: Sendable {
    package var name: String
    /// Of the name.
    package var place: Place
    /// An object with places; `encoded()` is what the plugin gets.
    package var options: JSONNode
    /// Who gets a share of its picks; strategies of a pool only.
    package var canary: Canary? {
        get { canaries.first }
        set { canaries = newValue.map { [$0] } ?? [] }
    }
    // A choice has a canary, which is a choice.
    private var canaries: [Canary] = []

    package init(name: String, place: Place, options: JSONNode) {
        self.name = name
        self.place = place
        self.options = options
    }
}

package struct Health: Sendable {
    package var check: PluginChoice
    package var interval: Nanoseconds = 2_000_000_000
    package var timeout: Nanoseconds = 1_000_000_000
    /// Good verdicts in a row before a node rises.
    package var rise = 2
    /// Bad verdicts in a row before it falls.
    package var fall = 3
}

/// A node, by the place of its pool and its own in that.
package struct NodeReference: Equatable, Sendable {
    package var pool: Int
    package var node: Int
}

package struct Node: Sendable {
    package var name: String
    /// Of the name.
    package var place: Place
    package var address: HostPort
    package var weight = 1
    /// 0 is preferred; higher tiers are backups.
    package var tier = 0
    /// Nil: as the pool says.
    package var maxInFlight: Int?
    /// Sorted by key.
    package var metadata: [(String, String)] = []
    /// Nil: as the pool says.
    package var tls: NodeTLS?
    /// The node of another pool, or of its own, whose verdict it takes; nil: it is asked itself.
    package var healthOf: NodeReference?
    /// What `healthOf` may have in its metadata so that this node drains; empty: nothing.
    package var drainsIf: [(String, String)] = []
    /// Of the pool's and the node's name: the same after a restart, on every machine.
    package var id: UInt64

    package static func id(pool: String, node: String) -> UInt64 { hash64(pool + "\0" + node) }
}
