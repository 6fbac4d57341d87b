// The descriptors of all workers: how many connections are open, and whether there is room for another
// client. Clients are taken only while enough is left to reach nodes for those who are there already.

import Net
import Synchronization

/// Made by `Balancer`, used by all workers. [any]
final class SocketRoom: Sendable {
    let plan: DescriptorPlan
    /// Descriptors that the process may have open.
    let limit: Int
    private let open = Atomic<Int>(0)
    private let takes = Throttle()
    private let connects = Throttle()

    init(limit: Int, own: Int) {
        self.limit = limit
        plan = DescriptorPlan(limit: limit, own: own)
    }

    /// As the process is now, without traffic.
    static func ofThisProcess() -> SocketRoom {
        SocketRoom(limit: Descriptors.limit, own: Descriptors.inUse())
    }

    /// A connection of a client or to a node was opened.
    func enter() { open.wrappingAdd(1, ordering: .relaxed) }
    func leave() { open.wrappingSubtract(1, ordering: .relaxed) }

    var count: Int { open.load(ordering: .relaxed) }

    /// For another client.
    var isThere: Bool { count < plan.clients }

    /// Whether it is time to say again that clients cannot be taken, or nodes not be reached. Nil: not
    /// yet; else how often it was not said. Monotonic nanoseconds.
    func complainOfAccepting(now: UInt64) -> Int? { takes.pass(now: now) }
    func complainOfConnecting(now: UInt64) -> Int? { connects.pass(now: now) }
}
