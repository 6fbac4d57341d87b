// The strategy "peak-ewma": Finagle's latency-aware balancing (com.twitter.finagle.loadbalancer
// .PeakEwma, by Buoyant and Twitter, 2015) between two random choices. It reads no clock and measures
// nothing itself: times come with results.

import TrivetPlugin

/// Two random ready nodes; the one expected to answer sooner takes the request:
/// `strategy: "peak-ewma"`, or `{ name: "peak-ewma", decay: "10s", penalty: "1s" }`.
///
/// A node costs latency * (1 + running requests * mean weight of the pool / its own weight): where all
/// weights are equal, Finagle's latency * (running + 1). Latency is a moving average of the times to
/// the first byte that goes up with a slow answer at once and comes down slowly: with a sample s
/// after a time t it becomes s if that is more, else l * e^(-t / decay) + s * (1 - e^(-t / decay)).
/// While a node gets no requests its latency fades in the same way, as if by samples of 0, so that
/// a node which was slow is tried again in time. Each worker averages what it sees; running requests
/// are those of all workers.
///
/// - `decay`: how long a slow answer is remembered (default 10s)
/// - `penalty`: what a failed attempt (no connection, no answer, a broken one, or 502, 503, 504)
///   counts as at least, so that a node which fails fast does not look fast (default 1s)
///
/// A node without a sample counts as the latency that all workers together know of it; if there is
/// none, as the typical latency of the pool; if there is none of that either, only running requests
/// and weight count. So a new node is neither flooded nor left alone. Requests that sent more than
/// 64 KiB give no sample: their first byte waits for the upload.
///
/// O(1): two nodes are drawn by weight, as in "two-choices", and of equals the first is taken. Right
/// where nodes differ in speed, or become slow at times. Weights say how much a node can have running;
/// between two idle nodes the quicker one takes all that it is drawn for. Nodes of weight 0 get nothing while another
/// has more. A retry goes to an untried node.
struct PeakEWMA: Strategy, Updating, Learning, Lasting, Describing, Plugin {
    static let name = "peak-ewma"
    static let version = "1.0.0"
    static let summary = "the quicker of two random nodes, by latency, load and weight"
    static let stateVersion: UInt32 = 1
    static let options = [
        Option("decay", "how long a slow answer is remembered (default 10s)"),
        Option("penalty", "what a failed attempt counts as, at least (default 1s)"),
    ]

    /// Above so many bytes sent, a first byte says more of the body than of the node.
    private static let bulk: UInt64 = 64 * 1024

    private let host: Host
    private let decay: Double  // nanoseconds
    private let penalty: Double  // nanoseconds
    private var lottery = Lottery()
    private var meanWeight = 1.0  // of the nodes in the lottery
    private var averages: [Average]  // by node
    private var ids: [UInt64]
    /// Moving average of the samples of all nodes, in nanoseconds; 0: none yet.
    private var typical = 0.0

    init(_ setup: Setup) throws(Refusal) {
        let options = setup.options
        host = setup.host
        decay = Double(try options.duration("decay", default: 10_000_000_000))
        guard decay > 0 else {
            throw Refusal(
                option: "decay", expected: "a duration of at least \"1ms\"",
                found: options.value("decay"))
        }
        penalty = Double(try options.duration("penalty", default: 1_000_000_000))
        ids = setup.pool.ids
        averages = Array(repeating: Average(), count: ids.count)
        fill(setup.pool)
    }

    private mutating func fill(_ pool: Pool) {
        lottery.fill(pool)
        meanWeight = Double(lottery.total) / Double(max(lottery.count, 1))
    }

    mutating func update(_ pool: Pool, _ changes: Changes) {
        if changes.contains(.nodes) {
            averages = pool.places(among: ids).map { $0.map { averages[$0] } ?? Average() }
            ids = pool.ids
        }
        if !changes.isDisjoint(with: [.nodes, .states, .weights]) { fill(pool) }
    }

    mutating func pick(_ pool: Pool, _ request: Request) -> Decision {
        guard !pool.ready.isEmpty else { return .pass }
        let drawn = lottery.draw(host)
        if let first = drawn {
            let second = lottery.draw(host, except: first) ?? first
            let mayFirst = pool.isReady(first) && !request.hasTried(first)
            let maySecond = second != first && pool.isReady(second) && !request.hasTried(second)
            if mayFirst && maySecond {
                let node = isDearer(pool, first, than: second) ? second : first
                if !request.wantsReason { return .node(node, because: "quicker of two") }
                let latency = UInt64(latency(pool, node) / 1000)
                let running = pool.load(node).inFlightAll
                return .node(node, because: "quicker of two: \(latency) µs, \(running) running")
            }
            if mayFirst { return .node(first, because: "the only choice") }
            if maySecond { return .node(second, because: "the only choice") }
        }
        let start = host.random(below: pool.ready.count)
        if let node = pool.untried(request, from: start) {
            return .node(node, because: "not tried yet")
        }
        if let drawn, pool.isReady(drawn) { return .node(drawn, because: "all were tried") }
        return .node(pool.ready[start], because: "all were tried")
    }

    /// Compares cost without dividing. Where all weights are 0, all count as equal.
    private mutating func isDearer(
        _ pool: Pool, _ node: NodeIndex, than other: NodeIndex
    ) -> Bool {
        let now = host.now
        averages[node.offset].observe(0, at: now, decay)
        averages[other.offset].observe(0, at: now, decay)
        let weight = Double(max(pool[node].weight, 1))
        let weightThere = Double(max(pool[other].weight, 1))
        let work = weight + Double(pool.load(node).inFlightAll) * meanWeight
        let workThere = weightThere + Double(pool.load(other).inFlightAll) * meanWeight
        return latency(pool, node) * work * weightThere
            > latency(pool, other) * workThere * weight
    }

    /// In nanoseconds, never 0.
    private func latency(_ pool: Pool, _ node: NodeIndex) -> Double {
        let average = averages[node.offset].value
        if average > 0 { return average }
        let known = pool.load(node).latency
        if known > 0 { return Double(known) }
        return typical > 0 ? typical : 1
    }

    mutating func learn(_ pool: Pool, _ result: PickResult) {
        guard let node = result.node else { return }
        var sample = Double(result.firstByteTime)
        switch result.outcome {
        case .answered where !(502...504).contains(result.status), .abandoned:
            guard result.firstByteTime > 0 && result.bytesSent <= Self.bulk else { return }
            typical += typical == 0 ? sample : (sample - typical) / 64
        default:
            sample = max(sample, penalty)
        }
        averages[node.offset].observe(sample, at: host.now, decay)
    }

    func save(to state: inout StateWriter) {
        let now = host.now
        let sampled = averages.indices.filter { averages[$0].value > 0 }
        state.write(typical)
        state.write(UInt32(sampled.count))
        for node in sampled {
            state.write(ids[node])
            state.write(averages[node].faded(at: now, decay))
        }
    }

    mutating func load(from state: inout StateReader, version: UInt32, _ pool: Pool) -> Bool {
        guard version == Self.stateVersion, let typical = state.read(Double.self),
            typical.isFinite, typical >= 0, let count = state.read(UInt32.self)
        else { return false }
        var saved: [UInt64] = []
        var values: [Average] = []
        for _ in 0..<count {
            guard let id = state.read(UInt64.self), let value = state.read(Double.self),
                value.isFinite, value >= 0
            else { return false }
            saved.append(id)
            values.append(Average(value: value, stamp: host.now))
        }
        guard state.isAtEnd else { return false }
        self.typical = typical
        averages = pool.places(among: saved).map { $0.map { values[$0] } ?? Average() }
        return true
    }

    func describe(_ pool: Pool, into description: inout Description) {
        let now = host.now
        description.add("typical latency in µs", (typical / 1000).rounded())
        description.add("nodes with samples", averages.count { $0.value > 0 })
        // As many as an operator would read; the sink of the host has an end too.
        for node in averages.indices.prefix(100) where averages[node].value > 0 {
            let name = String(utf8: pool[pool.index(node)].name)
            let latency = averages[node].faded(at: now, decay) / 1000
            description.add("latency in µs of \(name)", latency.rounded())
        }
    }
}

/// Moving average of one node's latency in nanoseconds; 0: no sample yet, or faded to nothing.
private struct Average {
    var value = 0.0
    /// When it was last brought up to date.
    var stamp: UInt64 = 0

    mutating func observe(_ sample: Double, at now: UInt64, _ decay: Double) {
        guard value > 0 || sample > 0 else { return }
        let kept = Self.kept(now, stamp, decay)
        value = sample > value ? sample : value * kept + sample * (1 - kept)
        stamp = max(now, stamp)
    }

    func faded(at now: UInt64, _ decay: Double) -> Double {
        value * Self.kept(now, stamp, decay)
    }

    private static func kept(_ now: UInt64, _ stamp: UInt64, _ decay: Double) -> Double {
        now > stamp ? exponential(minus: Double(now - stamp) / decay) : 1
    }
}

/// e^-x for x >= 0, within 1e-13 of it. Written out with operations that IEEE 754 defines to the last
/// bit, so that a simulation repeats exactly on any machine; that of a C library need not.
private func exponential(minus x: Double) -> Double {
    guard x < 700 else { return 0 }
    // x = halvings * ln 2 + rest; e^-rest = (e^-(rest / 8))^8, by eight terms of its series.
    let halvings = (x * 1.4426950408889634).rounded(.down)
    let y = (x - halvings * 0.6931471805599453) / 8
    var sum = 1 - y / 8
    sum = 1 - y * sum * (1.0 / 7)
    sum = 1 - y * sum * (1.0 / 6)
    sum = 1 - y * sum * (1.0 / 5)
    sum = 1 - y * sum * (1.0 / 4)
    sum = 1 - y * sum * (1.0 / 3)
    sum = 1 - y * sum * (1.0 / 2)
    sum = 1 - y * sum
    sum *= sum
    sum *= sum
    sum *= sum
    return Double(sign: .plus, exponent: -Int(halvings), significand: sum)
}

/// The entry that Trivet looks for.
@c @implementation
public func trivet_plugin_v1(_ host: HostRef, _ error: ErrorRef) -> TableRef {
    unsafe PeakEWMA.export(host, error)
}
