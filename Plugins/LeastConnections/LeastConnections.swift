// The strategy "least-connections", weighted, as nginx does it (ngx_http_upstream_least_conn_module,
// by Maxim Dounin, 2011). What is counted, and over which workers, is the host's to know.

import TrivetPlugin

/// The ready node with the fewest requests running for its weight, counted over all workers:
/// `strategy: "least-connections"`. No options.
///
/// Nodes that are equal in this take turns, by smooth weighted round robin: in a pool that is mostly
/// idle all are equal nearly always, and dice would spread less evenly than turns. Turns are the
/// worker's own; each worker begins at another node, so that in a burst, when what the others did
/// less than a millisecond ago is not known yet, they do not all take the same.
///
/// Right where requests differ much in how long they run (uploads, WebSockets). It looks at every
/// ready node, O(ready) a pick: from some hundred nodes on "two-choices" is nearly as even for less.
/// A node that fails at once looks idle; leave it to a health check to take it out.
///
/// Nodes of weight 0 get nothing while another has more. A retry goes to the least busy of the
/// untried nodes.
struct LeastConnections: Strategy, Updating, Lasting, Plugin {
    static let name = "least-connections"
    static let version = "1.0.0"
    static let summary = "the node with the fewest running requests for its weight"
    static let stateVersion: UInt32 = 1

    private let worker: Int
    private let workerCount: Int
    /// By node: current weights of the smooth round robin among equals.
    private var currents: [Int64]
    private var ids: [UInt64]
    /// By node, as of the last update. Copies, since a pick goes through all of them.
    private var weights: [UInt32]

    init(_ setup: Setup) {
        worker = setup.worker
        workerCount = max(setup.workerCount, 1)
        ids = setup.pool.ids
        currents = Array(repeating: 0, count: ids.count)
        weights = Self.weights(setup.pool)
    }

    private static func weights(_ pool: Pool) -> [UInt32] {
        (0..<pool.count).map { pool[pool.index($0)].weight }
    }

    mutating func update(_ pool: Pool, _ changes: Changes) {
        if changes.contains(.nodes) {
            currents = pool.places(among: ids).map { $0.map { currents[$0] } ?? 0 }
            ids = pool.ids
        }
        guard !changes.isDisjoint(with: [.nodes, .states, .weights]) else { return }
        weights = Self.weights(pool)
        bound(pool)
    }

    mutating func pick(_ pool: Pool, _ request: Request) -> Decision {
        guard !pool.ready.isEmpty else { return .pass }
        if let node = least(pool, request) {
            if !request.wantsReason { return .node(node, because: "least busy") }
            let running = pool.load(node).inFlightAll
            return .node(node, because: "least busy: \(running) running")
        }
        // What is left untried has weight 0, or there is nothing left.
        if let node = pool.untried(request, from: worker) {
            return .node(node, because: "not tried yet")
        }
        let any = least(pool, request, isHeeded: false) ?? pool.ready[0]
        return .node(any, because: "all were tried")
    }

    /// Among the nodes that have weight, and were not tried if that is heeded; if no ready node has
    /// any weight, all count as 1.
    private mutating func least(
        _ pool: Pool, _ request: Request, isHeeded: Bool = true
    ) -> NodeIndex? {
        let isRetry = isHeeded && !request.tried.isEmpty
        var idle: UInt64 = 0
        var found = scan(pool, request, idle, isRetry)
        if found.best == nil && isIdle(pool) {
            idle = 1
            found = scan(pool, request, idle, isRetry)
        }
        guard let best = found.best, found.equals > 1 else { return found.best }
        return takeTurn(pool, request, among: best, idle, isRetry)
    }

    /// The first node with the least load, and how many have the same.
    private func scan(
        _ pool: Pool, _ request: Request, _ idle: UInt64, _ isRetry: Bool
    ) -> (best: NodeIndex?, equals: Int) {
        let ready = pool.ready
        var best: NodeIndex?
        var equals = 0
        var least: (running: UInt64, weight: UInt64) = (0, 1)
        var position = start(ready.count)
        var steps = 0
        while steps < ready.count {
            let node = ready[position]
            let weight = max(UInt64(weights[node.offset]), idle)
            if weight > 0 && !(isRetry && request.hasTried(node)) {
                let running = UInt64(pool.load(node).inFlightAll)
                let here = running * least.weight
                let there = least.running * weight
                if best == nil || here < there {
                    best = node
                    least = (running, weight)
                    equals = 1
                } else if here == there {
                    equals += 1
                }
            }
            position = position + 1 == ready.count ? 0 : position + 1
            steps += 1
        }
        return (best, equals)
    }

    /// One step of smooth weighted round robin among the nodes with the same load as `first`.
    private mutating func takeTurn(
        _ pool: Pool, _ request: Request, among first: NodeIndex, _ idle: UInt64, _ isRetry: Bool
    ) -> NodeIndex {
        let ready = pool.ready
        let least = UInt64(pool.load(first).inFlightAll)
        let leastWeight = max(UInt64(weights[first.offset]), idle)
        var best: NodeIndex?
        var most = Int64.min
        var total: Int64 = 0
        var position = start(ready.count)
        var steps = 0
        while steps < ready.count {
            let node = ready[position]
            let weight = max(UInt64(weights[node.offset]), idle)
            if weight > 0 && !(isRetry && request.hasTried(node)),
                UInt64(pool.load(node).inFlightAll) * leastWeight == least * weight
            {
                let current = currents[node.offset] + Int64(weight)
                currents[node.offset] = current
                total += Int64(weight)
                if current > most {
                    most = current
                    best = node
                }
            }
            position = position + 1 == ready.count ? 0 : position + 1
            steps += 1
        }
        guard let best else { return first }
        currents[best.offset] -= total
        return best
    }

    /// Where this worker begins to look: workers are spread over the ready nodes.
    private func start(_ count: Int) -> Int { worker * count / workerCount % count }

    private func isIdle(_ pool: Pool) -> Bool {
        let ready = pool.ready
        var position = 0
        while position < ready.count {
            if weights[ready[position].offset] > 0 { return false }
            position += 1
        }
        return true
    }

    /// Keeps current weights within the sum of the weights that are ready now, where they would be if
    /// the pool had always been as it is: else nodes that had their turn in a larger pool would wait
    /// for as long as a round there took.
    private mutating func bound(_ pool: Pool) {
        let ready = pool.ready
        var total: Int64 = 0
        var position = 0
        while position < ready.count {
            total += Int64(max(weights[ready[position].offset], 1))
            position += 1
        }
        for node in currents.indices { currents[node] = min(max(currents[node], -total), total) }
    }

    func save(to state: inout StateWriter) {
        state.write(UInt32(ids.count))
        for node in ids.indices {
            state.write(ids[node])
            state.write(currents[node])
        }
    }

    mutating func load(from state: inout StateReader, version: UInt32, _ pool: Pool) -> Bool {
        guard version == Self.stateVersion, let count = state.read(UInt32.self) else {
            return false
        }
        var saved: [UInt64] = []
        var values: [Int64] = []
        for _ in 0..<count {
            guard let id = state.read(UInt64.self), let value = state.read(Int64.self)
            else { return false }
            saved.append(id)
            values.append(value)
        }
        guard state.isAtEnd else { return false }
        currents = pool.places(among: saved).map { $0.map { values[$0] } ?? 0 }
        bound(pool)
        return true
    }
}

/// The entry that Trivet looks for.
@c @implementation
public func trivet_plugin_v1(_ host: HostRef, _ error: ErrorRef) -> TableRef {
    unsafe LeastConnections.export(host, error)
}
