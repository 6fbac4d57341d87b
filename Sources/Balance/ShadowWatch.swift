// What a shadow would have done, as all workers count it: how often it would have gone elsewhere, and
// how its requests would lie on the nodes, beside how they do. Nothing here has an effect.

import Base
import Synchronization

/// How requests lie on nodes, for their weight: 1 and 0 are even.
package struct Imbalance: Equatable, Sendable {
    /// The fullest node's over the mean.
    package var maxOverMean = 1.0
    /// Standard deviation over the mean.
    package var variation = 0.0

    package init() {}

    /// `counts`: requests by node, `weights`: likewise; nodes that are not to be looked at have
    /// weight 0.
    package init(counts: [UInt64], weights: [Double]) {
        let loads = zip(counts, weights).filter { $1 > 0 }.map { Double($0) / $1 }
        let mean = loads.reduce(0, +) / Double(max(loads.count, 1))
        guard mean > 0 else { return }
        maxOverMean = (loads.max() ?? mean) / mean
        let squares = loads.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        variation = (squares / Double(loads.count)).squareRoot() / mean
    }
}

/// A shadow at one moment. Requests are counted by their first pick, retries are not.
package struct ShadowStatus: Equatable, Sendable {
    package var pool: String
    package var name: String
    /// 0: it is fenced, and nothing is loaded.
    package var build: UInt64
    /// That it was asked about.
    package var requests: UInt64 = 0
    /// Of these it would have sent to another node, or taken where none was given, or the reverse.
    package var diverged: UInt64 = 0
    /// Left to others: no divergence.
    package var passes: UInt64 = 0
    package var refusals: UInt64 = 0
    /// Picks of no legal node: no divergence either.
    package var badAnswers: UInt64 = 0
    /// By position in the pool: what it would have sent there, and what was sent.
    package var predicted: [UInt64] = []
    package var actual: [UInt64] = []
    package var predictedImbalance = Imbalance()
    package var actualImbalance = Imbalance()
    package var isFenced = false

    /// Share of the requests for which it had an answer: 0...1.
    package var divergence: Double {
        let answered = requests &- passes &- badAnswers
        return answered == 0 ? 0 : Double(diverged) / Double(answered)
    }
}

/// Made by the loader; counted in by workers; read by any thread. Lives on through reloads for as
/// long as the shadow and the pool's nodes are the same.
@safe
package final class ShadowWatch: @unchecked Sendable {
    /// Places in a worker's line, in words of 8 bytes; then two words for each node.
    enum Word {
        static let requests = 0
        static let diverged = 1
        static let passes = 2
        static let refusals = 3
        static let badAnswers = 4
        static let nodes = 8
    }

    package let pool: PoolRows
    package let name: String
    package let options: String
    package let build: Build?
    private let lines: UnsafeMutablePointer<Atomic<UInt64>>
    private let stride: Int
    private let workers: Int

    /// `build` nil: it is fenced.
    package init(pool: PoolRows, name: String, options: String, build: Build?, workers: Int) {
        self.pool = pool
        self.name = name
        self.options = options
        self.build = build
        self.workers = workers
        stride = (Word.nodes + 2 * pool.rows.count + 15) / 16 * 16
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: workers * stride * 8, alignment: 128)
        unsafe lines = memory.bindMemory(to: Atomic<UInt64>.self, capacity: workers * stride)
        for word in 0..<workers * stride { unsafe (lines + word).initialize(to: Atomic(0)) }
    }

    deinit { unsafe lines.deallocate() }

    func line(worker: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        precondition(worker >= 0 && worker < workers, "no such worker")
        return unsafe lines + worker * stride
    }

    /// Any thread.
    package func status() -> ShadowStatus {
        var status = ShadowStatus(pool: pool.spec.name, name: name, build: build?.id ?? 0)
        status.isFenced = build?.isFenced ?? true
        func sum(_ word: Int) -> UInt64 {
            (0..<workers).reduce(0) {
                unsafe $0 &+ line(worker: $1)[word].load(ordering: .relaxed)
            }
        }
        status.requests = sum(Word.requests)
        status.diverged = sum(Word.diverged)
        status.passes = sum(Word.passes)
        status.refusals = sum(Word.refusals)
        status.badAnswers = sum(Word.badAnswers)
        for node in pool.rows.indices {
            status.predicted.append(sum(Word.nodes + 2 * node))
            status.actual.append(sum(Word.nodes + 2 * node + 1))
        }
        // Nodes that neither of them goes to (down, backups) are nobody's imbalance.
        let weights = pool.spec.nodes.indices.map { node -> Double in
            let isUsed = status.predicted[node] > 0 || status.actual[node] > 0
            return isUsed ? Double(max(pool.spec.nodes[node].weight, 1)) : 0
        }
        status.predictedImbalance = Imbalance(counts: status.predicted, weights: weights)
        status.actualImbalance = Imbalance(counts: status.actual, weights: weights)
        return status
    }
}
