// What the workers share about one pool's requests, beside what the board says of its nodes: the queue,
// and how often requests went out again. Kept for as long as a pool of the name is configured.

import Synchronization

/// [any]
final class PoolTraffic: Sendable {
    let queue: PoolQueue
    private let retries = Atomic<UInt64>(0)
    private let denied = Atomic<UInt64>(0)

    init(queueLimit: Int) { queue = PoolQueue(limit: queueLimit) }

    /// Of a pool of nobody's.
    static let none = PoolTraffic(queueLimit: 0)

    /// A request goes to another node than the one that failed.
    func noteRetry() { retries.wrappingAdd(1, ordering: .relaxed) }

    /// It might have, but the budget was spent.
    func noteDenied() { denied.wrappingAdd(1, ordering: .relaxed) }

    var status: TrafficStatus {
        var status = TrafficStatus()
        queue.count(into: &status)
        status.retries = retries.load(ordering: .relaxed)
        status.deniedRetries = denied.load(ordering: .relaxed)
        return status
    }
}
