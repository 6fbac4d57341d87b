// What the author of a health check writes: the question to a node, and what its answer means. Trivet
// asks, on its own schedule, and applies the pool's rise and fall counts to the verdicts. Here,
// off the workers, strings and arrays are welcome.

import CTrivet

/// A health check. One instance per pool, never called by two threads at once.
public protocol HealthCheck {
    /// What a configuration calls it: "http".
    static var name: String { get }
    /// One line for `trivet plugin list`.
    static var summary: String { get }
    /// The keys its block of the configuration may have; none unless said otherwise.
    static var options: [Option] { get }

    /// Makes the instance for one pool, or refuses with a sentence. [control]
    init(_ setup: CheckSetup) throws(Refusal)

    /// Writes the question for a node, or nil: nothing to ask this time, the node stays as it is.
    /// Rounds of several nodes interleave. `step` counts the questions of one round from 0.
    /// [control]
    mutating func probe(_ node: Node, step: Int) -> Probe?

    /// Reads the answer, also when none came (see `outcome`). [control]
    mutating func judge(_ node: Node, _ reply: Reply) -> Judgement
}

extension HealthCheck {
    /// No options.
    public static var options: [Option] { [] }
}

/// What a check is made from. Exists while it is made; keep the `host`, not the setup.
@safe
public struct CheckSetup: ~Escapable {
    let raw: UnsafePointer<trivet_check_setup>
    /// Trivet, for this instance to keep.
    public let host: Host

    @_lifetime(borrow raw)
    init(_ raw: UnsafePointer<trivet_check_setup>, host: Host) {
        unsafe self.raw = raw
        self.host = host
    }

    /// The check's block of the configuration.
    public var options: Options {
        @_lifetime(copy self) get {
            let options = unsafe Options(host: host, config: raw.pointee.config.span)
            return unsafe _overrideLifetime(options, copying: self)
        }
    }

    /// The name of the pool whose nodes it checks.
    public var pool: Span<UInt8> {
        @_lifetime(copy self) get {
            unsafe _overrideLifetime(raw.pointee.pool.span, copying: self)
        }
    }
}

/// A question to a node. What is left nil is as Trivet has it: the pool's timeout, the node's own
/// port, TLS as the pool does.
public struct Probe: Sendable {
    /// What is asked.
    public enum Question: Sendable {
        /// Connect; send the bytes, if any; read until these bytes came, or until the peer pauses.
        case tcp(send: [UInt8] = [], until: [UInt8] = [])
        /// One HTTP exchange.
        case http(
            method: String = "GET", target: String, headers: [(String, String)] = [],
            body: [UInt8] = [])
    }

    /// What is asked.
    public var question: Question
    /// Over TLS, or not.
    public var tls: Bool?
    /// Milliseconds for the whole exchange.
    public var timeout: Int?
    /// Bytes of the body, or of a TCP peer's words, that are read at most.
    public var readLimit: Int?
    /// Another port of the node.
    public var port: UInt16?
    /// What `Host` says, instead of the node's address.
    public var authority: String?

    /// A question, everything else as Trivet has it.
    public init(_ question: Question) { self.question = question }
}

/// What came back from a node.
@safe
public struct Reply: ~Escapable {
    let raw: UnsafePointer<trivet_reply>
    let host: Host

    @_lifetime(borrow raw)
    init(_ raw: UnsafePointer<trivet_reply>, host: Host) {
        unsafe self.raw = raw
        self.host = host
    }

    /// Whether, and how, an answer came.
    public var outcome: Outcome { Outcome(rawValue: unsafe raw.pointee.outcome) ?? .broken }

    /// HTTP status; 0 for TCP.
    public var status: Int { Int(unsafe raw.pointee.status) }

    /// Which question of this round it answers.
    public var step: Int { Int(unsafe raw.pointee.step) }

    /// Nanoseconds until connected.
    public var connectTime: UInt64 { unsafe raw.pointee.connect_ns }

    /// Nanoseconds of the whole exchange.
    public var totalTime: UInt64 { unsafe raw.pointee.total_ns }

    /// The body, or what a TCP peer sent; cut at the read limit.
    public var body: Span<UInt8> {
        @_lifetime(copy self) get {
            unsafe _overrideLifetime(raw.pointee.body.span, copying: self)
        }
    }

    /// One value of a JSON body by RFC 6901 pointer: "/queue/depth". `.missing` if the body is not
    /// JSON.
    public func json(_ pointer: String) -> JSON { host.json(pointer, in: body) }

    /// The first value of a header; its name in lower case.
    public func header(_ name: StaticString) -> String? {
        let count = unsafe raw.pointee.header_count
        var index = 0
        while index < count {
            let pair = unsafe raw.pointee.headers + index
            if unsafe pair.pointee.key.span.equals(name) { return unsafe pair.pointee.value.string }
            index += 1
        }
        return nil
    }

    /// Trivet's own words on a failure, "connection refused", or plain ones of the SDK's; of an answer,
    /// its status.
    public var failure: String {
        let detail = unsafe raw.pointee.detail.string
        if !detail.isEmpty { return detail }
        return switch outcome {
        case .answered: status == 0 ? "answered" : "answered \(status)"
        case .connectFailed: "cannot be connected to"
        case .timedOut: "did not answer in time"
        case .broken: "broke the connection off"
        case .abandoned: "was not asked to the end"
        }
    }
}

/// What a check makes of an answer.
public enum Judgement: Sendable {
    /// The verdict stands.
    case done(Verdict)
    /// Ask once more: `probe` with the next step, at most 8 in a round.
    case askAgain
}

/// What a check says of a node.
public struct Verdict: Sendable {
    /// The state.
    public var state: NodeState
    /// Why, in a few words for log and dashboard.
    public var reason: String
    /// Per cent of the configured weight, 0 ... 1000; nil leaves the weight alone.
    public var weight: Int?
    /// Skips rise and fall counts: the node itself says so.
    public var atOnce: Bool
    /// Milliseconds after which to ask again; nil is as configured.
    public var next: Int?
    /// Replaces what this check said earlier of the node; reaches the strategies.
    public var metadata: [(key: String, value: String)]

    /// A verdict.
    public init(
        _ state: NodeState, because reason: String, weight: Int? = nil, atOnce: Bool = false,
        next: Int? = nil, metadata: [(key: String, value: String)] = []
    ) {
        self.state = state
        self.reason = reason
        self.weight = weight
        self.atOnce = atOnce
        self.next = next
        self.metadata = metadata
    }
}
