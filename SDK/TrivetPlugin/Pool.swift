// Views of what a strategy chooses from: the pool, its nodes and their loads. They exist for the
// length of one call and cannot be kept; the compiler sees to that. No view copies or allocates.
// What is read of every node at a pick is inlined: a third fewer instructions in one that looks at all of them.

import CTrivet

/// A node's place in its pool, the same on every worker. Comes from `Pool.ready` and
/// `Pool.indices`; a plain number is not one, so a position in `ready` is never taken for a node.
///
/// Good until `update` says `.nodes`; across that, know a node by its `id`.
public struct NodeIndex: Hashable, Sendable {
    @usableFromInline let position: UInt32

    @inlinable init(position: UInt32) { self.position = position }

    /// The place, counted from 0, for tables that a strategy keeps by node.
    @inlinable public var offset: Int { Int(position) }
}

/// What a worker knows of a pool, as of this call.
@safe
public struct Pool: ~Escapable {
    @usableFromInline let raw: UnsafePointer<trivet_pool>

    @_lifetime(borrow raw)
    init(_ raw: UnsafePointer<trivet_pool>) { unsafe self.raw = raw }

    /// The nodes to take: up or degraded, of the best tier that has any; if there are none at all,
    /// the draining ones likewise. Empty if all are down.
    @inlinable public var ready: Span<NodeIndex> {
        @_lifetime(copy self) get {
            let start = unsafe UnsafeRawPointer(raw.pointee.ready)
            let buffer = unsafe UnsafeBufferPointer(
                start: start?.assumingMemoryBound(to: NodeIndex.self),
                count: Int(raw.pointee.ready_count))
            return unsafe _overrideLifetime(Span(_unsafeElements: buffer), copying: self)
        }
    }

    /// How many nodes there are, in whatever state.
    @inlinable public var count: Int { Int(unsafe raw.pointee.node_count) }

    /// The node at `offset`, 0 ..< `count`, in an order that is the same on every worker.
    @inlinable public func index(_ offset: Int) -> NodeIndex {
        precondition(offset >= 0 && offset < count, "the pool has no node at this offset")
        return NodeIndex(position: UInt32(offset))
    }

    /// A node of the pool.
    @inlinable public subscript(_ index: NodeIndex) -> Node {
        @_lifetime(copy self) get {
            precondition(index.offset < count, "no such node")
            let node = unsafe Node(trivet_node_at(raw, index.position))
            return unsafe _overrideLifetime(node, copying: self)
        }
    }

    /// Live counters of a node.
    @inlinable public func load(_ index: NodeIndex) -> Load {
        precondition(index.offset < count, "no such node")
        return unsafe Load(trivet_load_at(raw, index.position).pointee)
    }

    /// The node with this id, if it is in the pool. O(nodes).
    public func index(id: UInt64) -> NodeIndex? {
        var offset = 0
        while offset < count {
            if self[index(offset)].id == id { return index(offset) }
            offset += 1
        }
        return nil
    }

    /// Counts one up for this strategy of the pool: no two calls, on any worker, get the same
    /// number. Survives reloads. Costs one shared atomic; not before the first pick. [worker]
    @inlinable public func ticket() -> UInt64 { unsafe raw.pointee.ticket(raw) }

    /// To hash with: equal on every worker and after every restart.
    public var seed: UInt64 { unsafe raw.pointee.seed }

    /// The pool's name in the configuration.
    public var name: Span<UInt8> {
        @_lifetime(copy self) get {
            unsafe _overrideLifetime(raw.pointee.name.span, copying: self)
        }
    }
}

/// What a node can take.
public enum NodeState: UInt32, Sendable {
    /// Takes traffic.
    case up
    /// Takes traffic, at a reduced weight.
    case degraded
    /// Takes no new sessions; may be picked to keep an old one.
    case draining
    /// Never picked.
    case down
}

/// One node of a pool, as of this call.
@safe
public struct Node: ~Escapable {
    @usableFromInline let raw: UnsafePointer<trivet_node>

    @_lifetime(borrow raw)
    @inlinable init(_ raw: UnsafePointer<trivet_node>) { unsafe self.raw = raw }

    /// Names the node for as long as it is configured, also across reloads and restarts.
    @inlinable public var id: UInt64 { unsafe raw.pointee.id }

    /// Its name in the configuration.
    public var name: Span<UInt8> {
        @_lifetime(copy self) get {
            unsafe _overrideLifetime(raw.pointee.name.span, copying: self)
        }
    }

    /// "10.0.0.7:8080", "[::1]:8080", "unix:/run/app.sock".
    public var address: Span<UInt8> {
        @_lifetime(copy self) get {
            unsafe _overrideLifetime(raw.pointee.address.span, copying: self)
        }
    }

    /// What it can take now.
    @inlinable public var state: NodeState {
        NodeState(rawValue: unsafe raw.pointee.state) ?? .down
    }

    /// Effective weight: configured weight, health check and slow start taken together.
    @inlinable public var weight: UInt32 { unsafe raw.pointee.weight }

    /// 0 is preferred; higher tiers are backups.
    @inlinable public var tier: UInt32 { unsafe raw.pointee.tier }

    /// A piece of metadata, from the configuration or from a health check. O(pairs).
    @_lifetime(copy self)
    public func metadata(_ key: StaticString) -> Span<UInt8>? {
        var index = 0
        while index < Int(unsafe raw.pointee.metadata_count) {
            let pair = unsafe raw.pointee.metadata + index
            if unsafe pair.pointee.key.span.equals(key) {
                return unsafe _overrideLifetime(pair.pointee.value.span, copying: self)
            }
            index += 1
        }
        return nil
    }
}

/// Live counters of one node.
public struct Load: Sendable {
    /// Requests that this worker has running there, exactly.
    public let inFlight: UInt32
    /// The same on all workers; the other workers' share is at most 1 ms old, and 1 ms more for each
    /// further 512 of the pool's nodes times workers.
    public let inFlightAll: UInt32
    /// Picks on this worker, since it started.
    public let picks: UInt64
    /// Of these: not answered, reset, timed out or 5xx.
    public let failures: UInt64
    /// Time to the first byte in nanoseconds, moving average of all workers; 0: none yet.
    public let latency: UInt64

    @inlinable init(_ load: trivet_load) {
        inFlight = load.in_flight
        inFlightAll = load.in_flight_all
        picks = load.picks
        failures = load.failures
        latency = load.latency_ns
    }
}
