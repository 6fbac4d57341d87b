// What a worker of Trivet does with an instance, in the order in which it does it: pick, count, tell how
// it ended, and after a change of the pool either `update` or a new instance with the old one's state.

import Balance
import Base
import CTrivet

/// A strategy that a rule is about.
struct StagedKind {
    let kind: StrategyKind
    let options: String

    /// An instance, or the end of the rule.
    func make(
        _ pool: StagePool, seed: UInt64 = 1, worker: Int = 0, workers: Int = 1
    ) throws(ConformanceEnd) -> StageStrategy {
        let (made, sentence) = try StageStrategy.make(
            kind, options: options, pool: pool, host: StageHost(seed: seed), worker: worker,
            workers: workers)
        if let made { return made }
        throw .failed(
            "create refuses a pool of \(pool.nodes.count) nodes: "
                + (sentence.isEmpty ? "it does not say why" : sentence))
    }
}

/// One worker with one pool and one instance at a time.
@safe
final class StageWorker {
    let staged: StagedKind
    let pool: StagePool
    private(set) var instance: StageStrategy
    private var generation: UInt64 = 1
    private var now: UInt64
    private var running: [Running] = []

    private struct Running {
        var nodeID: UInt64
        var token: UInt64
        var generation: UInt64
    }

    init(_ staged: StagedKind, _ pool: StagePool, seed: UInt64 = 1) throws(ConformanceEnd) {
        self.staged = staged
        self.pool = pool
        instance = try staged.make(pool, seed: seed)
        now = instance.host.now
    }

    /// One request from its pick until it is under way; its end is for `finish`.
    func begin(_ request: LentRequest) -> StagePick {
        tick(1_000_000)
        let pick = instance.pick(request)
        if pick.decision == TRIVET_PICKED, pick.node < UInt32(pool.nodes.count) {
            let load = unsafe pool.load(Int(pick.node))
            unsafe load.pointee.picks += 1
            unsafe load.pointee.in_flight += 1
            unsafe load.pointee.in_flight_all += 1
            running.append(
                Running(
                    nodeID: pool.nodes[Int(pick.node)].id, token: pick.token,
                    generation: generation))
        }
        return pick
    }

    /// Ends the oldest of what runs, until only `left` are running.
    func finish(until left: Int, _ random: inout SplitMix64) {
        while running.count > left {
            let ended = running.removeFirst()
            let number = random.next()
            var result = trivet_result()
            result.outcome = number % 8 == 0 ? UInt32((number >> 8) % 6) : TRIVET_OK
            result.status = result.outcome == TRIVET_OK ? (number % 16 == 1 ? 503 : 200) : 0
            result.node = pool.index(ofID: ended.nodeID)
            result.node_id = ended.nodeID
            result.token = ended.generation == generation ? ended.token : 0
            result.first_byte_ns = result.status == 0 ? 0 : 1_000_000 + number % 5_000_000
            result.total_ns = 2_000_000 + number % 9_000_000
            result.bytes_sent = number % 5000
            result.bytes_received = number % 90_000
            if result.node != TRIVET_NO_NODE {
                let load = unsafe pool.load(Int(result.node))
                unsafe load.pointee.in_flight -= min(1, load.pointee.in_flight)
                unsafe load.pointee.in_flight_all = load.pointee.in_flight
                if result.status != 200 { unsafe load.pointee.failures += 1 }
                if result.first_byte_ns > 0 {
                    unsafe load.pointee.latency_ns = result.first_byte_ns
                }
            }
            instance.result(result)
        }
    }

    /// The pool's nodes were changed: shows it to the instance as Trivet does.
    func changed(_ bits: UInt32) throws(ConformanceEnd) {
        pool.publish()
        let deep = TRIVET_CHANGED_NODES | TRIVET_CHANGED_WEIGHT | TRIVET_CHANGED_METADATA
        if instance.canUpdate {
            instance.update(bits)
        } else if bits & deep != 0 {
            try rebuild()
        }
    }

    /// A new instance in the place of this one, with its state.
    func rebuild() throws(ConformanceEnd) {
        let next = try staged.make(pool, seed: generation &* 0x9E37_79B9)
        next.host.now = now
        if instance.canSave { _ = next.load(instance.save()) }
        instance = next
        generation += 1
    }

    /// Moves the clock, nanoseconds.
    func tick(_ time: UInt64) {
        now += time
        instance.host.now = now
    }
}

/// Requests to go round, laid out once.
struct RequestRing {
    private let requests: [LentRequest]

    /// Ordinary ones, from number `first` on.
    init(_ count: Int, from first: Int = 0) {
        requests = (first..<(first + count)).map { LentRequest(.ordinary($0)) }
    }

    init(_ requests: [StageRequest]) { self.requests = requests.map { LentRequest($0) } }

    subscript(_ number: Int) -> LentRequest { requests[number % requests.count] }
}
