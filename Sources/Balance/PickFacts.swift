// What a pick is asked with and what comes of it: the facts of one request or connection, the
// answer, and how the attempt ended. Facts are lent views; nothing is copied.

import Base
import CTrivet

/// One request, or one TCP connection, that wants a node. Lives no longer than what it views.
package struct PickFacts: ~Escapable {
    package var method: Span<UInt8>
    /// Path and query as received.
    package var target: Span<UInt8>
    package var authority: Span<UInt8>
    /// The client's address in text, without port.
    package var client: Span<UInt8>
    /// What `fields` point into.
    package var bytes: Span<UInt8>
    package var fields: Span<FieldRange>
    /// Nodes that earlier attempts used.
    package var tried: Span<UInt32>
    /// What an earlier pick gave the client to carry, checked; empty if nothing.
    package var session: Span<UInt8>
    /// The node that the client's session names, or `noNode`.
    package var sessionNode: UInt32
    /// Of the affinity key; 0 if there is none.
    package var hash: UInt64
    /// 0 first, then 1, 2, ... for retries.
    package var attempt: UInt32
    /// TRIVET_REQUEST_*
    package var flags: UInt32

    package static var noNode: UInt32 { .max }
    package static var tls: UInt32 { 1 << 0 }
    package static var stream: UInt32 { 1 << 1 }
    package static var explain: UInt32 { 1 << 2 }

    @_lifetime(
        copy method, copy target, copy authority, copy client, copy bytes, copy fields, copy tried,
        copy session)
    package init(
        method: Span<UInt8>, target: Span<UInt8>, authority: Span<UInt8>, client: Span<UInt8>,
        bytes: Span<UInt8>, fields: Span<FieldRange>, tried: Span<UInt32>, session: Span<UInt8>,
        sessionNode: UInt32 = .max, hash: UInt64 = 0, attempt: UInt32 = 0, flags: UInt32 = 0
    ) {
        self.method = method
        self.target = target
        self.authority = authority
        self.client = client
        self.bytes = bytes
        self.fields = fields
        self.tried = tried
        self.session = session
        self.sessionNode = sessionNode
        self.hash = hash
        self.attempt = attempt
        self.flags = flags
    }

    /// The same without a session.
    @_lifetime(
        copy method, copy target, copy authority, copy client, copy bytes, copy fields, copy tried)
    package init(
        method: Span<UInt8>, target: Span<UInt8>, authority: Span<UInt8>, client: Span<UInt8>,
        bytes: Span<UInt8>, fields: Span<FieldRange>, tried: Span<UInt32>, attempt: UInt32 = 0,
        flags: UInt32 = 0
    ) {
        self.init(
            method: method, target: target, authority: authority, client: client, bytes: bytes,
            fields: fields, tried: tried, session: Span(), attempt: attempt, flags: flags)
    }
}

/// What came of a pick.
package enum PickOutcome: Equatable, Sendable {
    /// `strategy` is the slot of the one that decided (of a canary, that of its strategy and 4), or
    /// `PoolView.fallback`. `token` is its own.
    case node(index: UInt32, token: UInt64, strategy: UInt8)
    /// A strategy says that no node should take it: 503, or the stream is closed.
    case refused
    /// No node is up, degraded or draining: 503.
    case noneAlive
    /// Every node that might take it has as many requests as it may have.
    case full
}

/// How one attempt that used a node ended.
package struct AttemptResult: Sendable {
    package enum Outcome: UInt32, Sendable {
        /// Answered; see `status`.
        case ok = 0
        case connectFailed = 1
        case timedOut = 2
        /// Connection lost or protocol error after it was used.
        case broken = 3
        /// The client went away: says nothing about the node.
        case abandoned = 4

        /// For a line in the log.
        var cause: String {
            switch self {
            case .ok: "answered"
            case .connectFailed: "no connection"
            case .timedOut: "no answer in time"
            case .broken: "the connection was lost, or the answer was malformed"
            case .abandoned: "the client went away"
            }
        }
    }

    package var outcome: Outcome
    /// Of the pick: 0 first, then 1, 2, ... for retries.
    package var attempt: UInt32
    /// HTTP status; 0 if none.
    package var status: UInt32
    /// Slot and token of the pick, as PickOutcome gave them.
    package var strategy: UInt8
    package var token: UInt64
    /// `PoolView.generation` at the time of the pick: a later instance gets no foreign token.
    package var generation: UInt32
    /// Nanoseconds; 0 on a reused connection.
    package var connectNs: UInt64
    /// From the pick; 0 if none came.
    package var firstByteNs: UInt64
    /// From the pick.
    package var totalNs: UInt64
    /// To the node, and from it.
    package var bytesSent: UInt64
    package var bytesReceived: UInt64
    /// It had a place at a node with a limit, which it gives back.
    package var holdsPlace: Bool

    package init(
        outcome: Outcome, status: UInt32 = 0, strategy: UInt8 = PoolView.fallback,
        token: UInt64 = 0, generation: UInt32 = 0, connectNs: UInt64 = 0, firstByteNs: UInt64 = 0,
        totalNs: UInt64 = 0, bytesSent: UInt64 = 0, bytesReceived: UInt64 = 0,
        attempt: UInt32 = 0, holdsPlace: Bool = false
    ) {
        self.holdsPlace = holdsPlace
        self.attempt = attempt
        self.outcome = outcome
        self.status = status
        self.strategy = strategy
        self.token = token
        self.generation = generation
        self.connectNs = connectNs
        self.firstByteNs = firstByteNs
        self.totalNs = totalNs
        self.bytesSent = bytesSent
        self.bytesReceived = bytesReceived
    }

    /// Not answered, reset, timed out, or a 5xx: the ABI's notion of a failure.
    package var isFailure: Bool {
        switch outcome {
        case .ok: status >= 500
        case .connectFailed, .timedOut, .broken: true
        case .abandoned: false
        }
    }
}
