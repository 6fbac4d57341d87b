// What the author of a balancing strategy writes: one type, its `pick`, and whatever of the facets
// below it needs. A facet is a protocol of its own, so a misspelt method does not compile instead of
// never being called.

import CTrivet

/// A balancing strategy. One instance per worker and pool, never called by two threads at once: plain
/// single-threaded code, without locks.
///
/// It decides and does nothing else: no I/O, no threads, no clock or randomness but the `Host`'s.
/// `pick` runs between two events of a worker, where all its connections wait: no allocation in the
/// steady state, no long loops.
public protocol Strategy {
    /// What a configuration calls it: "least-busy".
    static var name: String { get }
    /// One line for `trivet plugin list`.
    static var summary: String { get }
    /// The keys its block of the configuration may have; none unless said otherwise.
    static var options: [Option] { get }

    /// Makes the instance for one worker, or refuses with a sentence. [control]
    init(_ setup: Setup) throws(Refusal)

    /// Chooses a node for a request or connection. [worker]
    mutating func pick(_ pool: Pool, _ request: Request) -> Decision
}

extension Strategy {
    /// No options.
    public static var options: [Option] { [] }
}

/// A strategy that keeps something derived from nodes, weights or metadata, and mends it in place.
///
/// Without this, Trivet makes a new instance, off the workers, when nodes, weights or metadata
/// change: right for a strategy with a large table.
public protocol Updating: Strategy {
    /// The pool has changed. [worker]
    mutating func update(_ pool: Pool, _ changes: Changes)
}

/// A strategy that learns from how picks end.
public protocol Learning: Strategy {
    /// How an attempt that used a node ended, whichever strategy picked it. Does not allocate.
    /// [worker]
    mutating func learn(_ pool: Pool, _ result: PickResult)
}

/// A strategy whose knowledge survives a reload: of the plugin, or of the nodes.
public protocol Lasting: Strategy {
    /// Version of what `save` writes; raise it when the meaning changes.
    static var stateVersion: UInt32 { get }
    /// Writes what a successor should know, by node id rather than index: at most 64 KiB and 64
    /// bytes a node. [worker]
    func save(to state: inout StateWriter)
    /// Reads what a predecessor wrote, of whatever version. False: of no use, start as if new.
    /// [worker]
    mutating func load(from state: inout StateReader, version: UInt32, _ pool: Pool) -> Bool
}

/// A strategy that shows its inside to an operator.
public protocol Describing: Strategy {
    /// Adds what is worth seeing. [worker]
    func describe(_ pool: Pool, into description: inout Description)
}

/// What changed in a pool.
public struct Changes: OptionSet, Sendable {
    /// The bits, as the ABI has them.
    public let rawValue: UInt32

    /// From bits of the ABI.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Nodes came, went or changed order: all indices are new.
    public static let nodes = Changes(rawValue: TRIVET_CHANGED_NODES)
    /// States, and with them `ready`.
    public static let states = Changes(rawValue: TRIVET_CHANGED_STATE)
    /// Weights.
    public static let weights = Changes(rawValue: TRIVET_CHANGED_WEIGHT)
    /// Metadata.
    public static let metadata = Changes(rawValue: TRIVET_CHANGED_METADATA)
}

/// What an instance is made from. Exists while it is made; keep the `host`, not the setup.
@safe
public struct Setup: ~Escapable {
    let raw: UnsafePointer<trivet_strategy_setup>
    /// Trivet, for this instance to keep.
    public let host: Host

    @_lifetime(borrow raw)
    init(_ raw: UnsafePointer<trivet_strategy_setup>, host: Host) {
        unsafe self.raw = raw
        self.host = host
    }

    /// Which worker the instance is for: 0 ..< `workerCount`.
    public var worker: Int { Int(unsafe raw.pointee.worker) }

    /// How many workers there are.
    public var workerCount: Int { Int(unsafe raw.pointee.worker_count) }

    /// The strategy's block of the configuration.
    public var options: Options {
        @_lifetime(copy self) get {
            let options = unsafe Options(host: host, config: raw.pointee.config.span)
            return unsafe _overrideLifetime(options, copying: self)
        }
    }

    /// The pool as it is now, its loads all zero. `ticket` may not be called.
    public var pool: Pool {
        @_lifetime(copy self) get {
            unsafe _overrideLifetime(Pool(raw.pointee.pool), copying: self)
        }
    }
}

/// What a strategy decides.
public struct Decision {
    let kind: trivet_decision
    let node: UInt32
    let flags: UInt32
    let token: UInt64
    let reason: Text
    let session: Text

    private init(
        _ kind: trivet_decision, node: UInt32 = TRIVET_NO_NODE, because reason: Text = Text(),
        token: UInt64 = 0, stick: Bool = false, session: Text = Text()
    ) {
        self.kind = kind
        self.node = node
        self.flags = stick ? TRIVET_PICK_STICK : 0
        self.token = token
        self.reason = reason
        self.session = session
    }

    /// This node takes the request.
    /// - Parameters:
    ///   - reason: why, in a few words, for access log and `explain`.
    ///   - token: comes back in the `PickResult`.
    ///   - stick: give the client a session that names the node which serves it in the end.
    ///   - session: or give it this to carry, at most 64 bytes (none if it was cut); it comes back
    ///     as `session` of its later requests.
    public static func node(
        _ node: NodeIndex, because reason: Text = Text(), token: UInt64 = 0,
        stick: Bool = false, session: Text = Text()
    ) -> Decision {
        Decision(
            TRIVET_PICKED, node: node.position, because: reason, token: token, stick: stick,
            session: session)
    }

    /// No opinion: the next strategy of the pool decides.
    public static var pass: Decision { Decision(TRIVET_PASS) }

    /// No opinion on the node, but stick to whichever serves the request.
    public static func pass(stick: Bool, because reason: Text = Text()) -> Decision {
        Decision(TRIVET_PASS, because: reason, stick: stick)
    }

    /// No node should take it: Trivet answers 503, or closes the stream.
    public static func refuse(because reason: Text = Text()) -> Decision {
        Decision(TRIVET_REFUSE, because: reason)
    }

    /// Writes the decision into the host's storage. `place` is where this decision itself lives
    /// until the instance is called again: the texts are lent from there.
    static func write(
        from place: UnsafePointer<Decision>, to out: UnsafeMutablePointer<trivet_pick>
    ) -> trivet_decision {
        unsafe out.pointee.node = place.pointee.node
        unsafe out.pointee.flags = place.pointee.flags
        unsafe out.pointee.token = place.pointee.token
        if unsafe !place.pointee.reason.isEmpty, let text = unsafe place.pointer(to: \.reason) {
            unsafe out.pointee.reason = Text.lend(text)
        }
        if unsafe !place.pointee.session.isEmpty && !place.pointee.session.isCut,
            let text = unsafe place.pointer(to: \.session)
        {
            unsafe out.pointee.session = Text.lend(text)
        }
        return unsafe place.pointee.kind
    }
}
