// What a strategy may know of the request or connection it picks a node for.

import CTrivet

/// The request (or TCP connection) that wants a node. All bytes are as received, lent until `pick`
/// returns.
@safe
public struct Request: ~Escapable {
    let raw: UnsafePointer<trivet_request>

    @_lifetime(borrow raw)
    init(_ raw: UnsafePointer<trivet_request>) { unsafe self.raw = raw }

    /// The client came over TLS.
    public var isTLS: Bool { unsafe raw.pointee.flags & TRIVET_REQUEST_TLS != 0 }

    /// A TCP connection: no method, target or headers.
    public var isStream: Bool { unsafe raw.pointee.flags & TRIVET_REQUEST_STREAM != 0 }

    /// Someone will read the reason: it is worth spending time on it.
    public var wantsReason: Bool { unsafe raw.pointee.flags & TRIVET_REQUEST_EXPLAIN != 0 }

    /// Hash of the affinity key the pool is configured with; 0 if there is none.
    public var hash: UInt64 { unsafe raw.pointee.hash }

    /// "GET".
    public var method: Span<UInt8> {
        @_lifetime(copy self) get {
            unsafe _overrideLifetime(raw.pointee.method.span, copying: self)
        }
    }

    /// Path and query as received.
    public var target: Span<UInt8> {
        @_lifetime(copy self) get {
            unsafe _overrideLifetime(raw.pointee.target.span, copying: self)
        }
    }

    /// The host asked for; for a stream the server name (SNI), if any.
    public var authority: Span<UInt8> {
        @_lifetime(copy self) get {
            unsafe _overrideLifetime(raw.pointee.authority.span, copying: self)
        }
    }

    /// The client's address, without its port.
    public var client: Span<UInt8> {
        @_lifetime(copy self) get {
            unsafe _overrideLifetime(raw.pointee.client.span, copying: self)
        }
    }

    /// What an earlier pick gave this client to carry (`session:` of a decision), checked by
    /// Trivet; empty if nothing.
    public var session: Span<UInt8> {
        @_lifetime(copy self) get {
            unsafe _overrideLifetime(raw.pointee.session.span, copying: self)
        }
    }

    /// The node that a `stick` of an earlier decision names, in whatever state it is by now.
    public var sessionNode: NodeIndex? {
        let position = unsafe raw.pointee.session_node
        return position == TRIVET_NO_NODE ? nil : NodeIndex(position: position)
    }

    /// 0 first, then 1, 2, ... for retries.
    public var attempt: Int { Int(unsafe raw.pointee.attempt) }

    /// The nodes that earlier attempts used.
    public var tried: Span<NodeIndex> {
        @_lifetime(copy self) get {
            let start = unsafe UnsafeRawPointer(raw.pointee.tried)
            let buffer = unsafe UnsafeBufferPointer(
                start: start?.assumingMemoryBound(to: NodeIndex.self),
                count: Int(raw.pointee.tried_count))
            return unsafe _overrideLifetime(Span(_unsafeElements: buffer), copying: self)
        }
    }

    /// True if an earlier attempt used this node.
    public func hasTried(_ node: NodeIndex) -> Bool {
        var index = 0
        while index < tried.count {
            if tried[index] == node { return true }
            index += 1
        }
        return false
    }

    /// The `n`-th value (from 0) of a header, or nil. The name may be written in any case. [worker]
    @_lifetime(copy self)
    public func header(_ name: StaticString, _ n: Int = 0) -> Span<UInt8>? {
        var value = unsafe trivet_str(data: nil, len: 0)
        let wanted = unsafe trivet_str(
            UnsafeRawPointer(name.utf8Start), count: name.utf8CodeUnitCount)
        guard unsafe raw.pointee.header(raw, wanted, UInt32(n), &value) else { return nil }
        return unsafe _overrideLifetime(value.span, copying: self)
    }
}

/// How the use of a node ended.
public enum Outcome: UInt32, Sendable {
    /// Answered; see the status.
    case answered
    /// No connection came about.
    case connectFailed
    /// Nothing came in time.
    case timedOut
    /// The connection was lost or the protocol broken after it was used.
    case broken
    /// The client went away: says nothing about the node.
    case abandoned
}

/// How one pick ended. Durations are in nanoseconds, from the pick; 0 if it did not come to that.
public struct PickResult: Sendable {
    /// How the use of the node ended.
    public let outcome: Outcome
    /// The node in the present pool, or nil if it has left.
    public let node: NodeIndex?
    /// The node's id.
    public let nodeID: UInt64
    /// HTTP status; 0 if none.
    public let status: Int
    /// As given with the decision; 0 if an earlier instance or another strategy picked.
    public let token: UInt64
    /// Time to connect; 0 on a reused connection.
    public let connectTime: UInt64
    /// Time to the first byte of the answer.
    public let firstByteTime: UInt64
    /// Time to the end.
    public let totalTime: UInt64
    /// Bytes that went to the node.
    public let bytesSent: UInt64
    /// Bytes that came from the node.
    public let bytesReceived: UInt64

    init(_ result: trivet_result) {
        outcome = Outcome(rawValue: result.outcome) ?? .broken
        node = result.node == TRIVET_NO_NODE ? nil : NodeIndex(position: result.node)
        nodeID = result.node_id
        status = Int(result.status)
        token = result.token
        connectTime = result.connect_ns
        firstByteTime = result.first_byte_ns
        totalTime = result.total_ns
        bytesSent = result.bytes_sent
        bytesReceived = result.bytes_received
    }
}
