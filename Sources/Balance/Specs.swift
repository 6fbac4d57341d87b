// What a pool is made of, as the configuration says it, and the words that everything here speaks:
// states, verdicts, refusals. Not what is true at this moment: that is on the board.

import Base
import Synchronization

/// One node of a pool as configured.
package struct NodeSpec: Sendable, Equatable {
    /// Hash of pool and node name: the same after a restart and on a second balancer.
    package var id: UInt64
    package var name: String
    /// "10.0.0.7:8080", "[::1]:8080", "unix:/run/app.sock"
    package var address: String
    package var weight: UInt32
    /// 0 is preferred; higher tiers are backups.
    package var tier: UInt32
    /// Requests at one time, on all workers; 0: no limit.
    package var maxInFlight: UInt32
    /// Sorted by key.
    package var metadata: [(String, String)]

    package init(
        id: UInt64, name: String, address: String, weight: UInt32 = 1, tier: UInt32 = 0,
        maxInFlight: UInt32 = 0, metadata: [(String, String)] = []
    ) {
        self.id = id
        self.name = name
        self.address = address
        self.weight = weight
        self.tier = tier
        self.maxInFlight = maxInFlight
        self.metadata = metadata
    }

    package static func == (a: Self, b: Self) -> Bool {
        a.id == b.id && a.name == b.name && a.address == b.address && a.weight == b.weight
            && a.tier == b.tier && a.maxInFlight == b.maxInFlight
            && a.metadata.elementsEqual(b.metadata) { $0 == $1 }
    }
}

/// One pool as configured. The order of its nodes is their index everywhere.
package struct PoolSpec: Sendable, Equatable {
    package var name: String
    package var nodes: [NodeSpec]
    /// Good verdicts in a row before a node rises; at least 1.
    package var rise: Int
    /// Bad verdicts in a row before it falls; at least 1.
    package var fall: Int
    /// Nodes without a check are up; with one they are down until the first verdict.
    package var hasCheck: Bool
    /// Nil: failures of requests have no say in where the next ones go.
    package var ejection: EjectionRule?
    /// Nanoseconds that a node which comes back takes to get its whole share; 0: it has it at once.
    package var slowStart: UInt64

    package init(
        name: String, nodes: [NodeSpec], rise: Int = 2, fall: Int = 3, hasCheck: Bool = false,
        ejection: EjectionRule? = nil, slowStart: UInt64 = 0
    ) {
        self.name = name
        self.nodes = nodes
        self.rise = rise
        self.fall = fall
        self.hasCheck = hasCheck
        self.ejection = ejection
        self.slowStart = slowStart
    }

    /// What strategies hash with: equal on every worker and after every restart.
    package var seed: UInt64 { hash64(name) }
}

/// State of a node; the numbers are the ABI's.
package enum NodeState: UInt32, Sendable, CaseIterable {
    /// Takes traffic.
    case up = 0
    /// Takes traffic, at a reduced weight.
    case degraded = 1
    /// Takes no new sessions.
    case draining = 2
    /// Never picked.
    case down = 3

    /// A value off the ABI: what is unknown is down.
    package init(abi: UInt32) { self = NodeState(rawValue: abi) ?? .down }

    package var name: String {
        switch self {
        case .up: "up"
        case .degraded: "degraded"
        case .draining: "draining"
        case .down: "down"
        }
    }

    package var takesTraffic: Bool { self == .up || self == .degraded }
}

/// What a check thinks of a node after one round of probing: copied, nothing in it is the plugin's.
package struct Verdict: Sendable {
    package var state: NodeState
    /// Of the configured weight, 0...1000; nil keeps what it is.
    package var weightPercent: UInt32?
    /// Skips the rise and fall counts.
    package var atOnce: Bool
    /// Milliseconds until the next round; 0: as configured.
    package var nextMs: UInt32
    /// Replaces what this check said about the node earlier.
    package var metadata: [(String, String)]
    /// At most 127 bytes.
    package var reason: String

    package init(
        state: NodeState, weightPercent: UInt32? = nil, atOnce: Bool = false, nextMs: UInt32 = 0,
        metadata: [(String, String)] = [], reason: String = ""
    ) {
        self.state = state
        self.weightPercent = weightPercent
        self.atOnce = atOnce
        self.nextMs = nextMs
        self.metadata = metadata
        self.reason = reason
    }
}

/// Why something cannot be: one sentence for the operator, lower case, naming the thing.
package struct Refusal: Error, Equatable, Sendable, CustomStringConvertible {
    package var sentence: String

    package init(_ sentence: String) { self.sentence = sentence }

    package var description: String { sentence }
}

/// The clock of one worker (or of the control thread): monotonic nanoseconds, set by its loop once
/// per turn, read by everything that decides. In the simulator it is simulated time.
///
/// Set by one thread; others may look at it, and its strategies read it as they like.
@safe
package final class WorkerClock: @unchecked Sendable {
    /// For the owner's own thread.
    let cell: UnsafeMutablePointer<UInt64>
    /// The same word.
    private let shared: UnsafeMutablePointer<Atomic<UInt64>>

    package init(_ now: UInt64 = 0) {
        // Atomic<UInt64> is laid out as UInt64.
        unsafe shared = .allocate(capacity: 1)
        unsafe shared.initialize(to: Atomic(now))
        unsafe cell = UnsafeMutableRawPointer(shared).assumingMemoryBound(to: UInt64.self)
    }

    deinit { unsafe shared.deallocate() }

    /// Never goes backwards: an earlier time than the present one is ignored.
    package var now: UInt64 {
        get { unsafe shared.pointee.load(ordering: .relaxed) }
        set {
            if newValue > now { unsafe shared.pointee.store(newValue, ordering: .relaxed) }
        }
    }
}
