// A pool as a strategy sees it, made by a test: nodes with states, weights and loads, and a `ready`
// list as Trivet makes it.

import CTrivet
import TrivetPlugin

/// A pool for a strategy to pick from. Change `nodes`, then tell the strategy (`changed`).
@safe
public final class TestPool {
    /// One node.
    public struct Node {
        /// Its name, by which picks are told.
        public var name: String
        /// What it can take.
        public var state: NodeState = .up
        /// Its effective weight.
        public var weight: UInt32 = 1
        /// 0 is preferred; higher ones are backups.
        public var tier: UInt32 = 0
        /// From the configuration and from health checks.
        public var metadata: [(String, String)] = []
        /// Requests that run there, of all workers.
        public var inFlight: UInt32 = 0
        /// Nanoseconds to the first byte, moving average.
        public var latency: UInt64 = 0

        /// A node that is up.
        public init(_ name: String) { self.name = name }
    }

    let raw = UnsafeMutablePointer<trivet_pool>.allocate(capacity: 1)
    private var lent = Lent()
    private var next: UInt64 = 0

    /// The nodes, in the order of their indices. Every change is seen by the next pick.
    public var nodes: [Node] { didSet { publish() } }

    /// Nodes that are up, of weight 1.
    public init(_ names: [String]) {
        nodes = names.map { Node($0) }
        unsafe raw.initialize(to: trivet_pool())
        publish()
    }

    deinit { unsafe raw.deallocate() }

    /// The node of this name, which must be there.
    public subscript(_ name: String) -> Node {
        get { nodes[index(name)] }
        set { nodes[index(name)] = newValue }
    }

    func index(_ name: String) -> Int {
        guard let index = nodes.firstIndex(where: { $0.name == name }) else {
            preconditionFailure("the pool has no node \(name)")
        }
        return index
    }

    private func publish() {
        lent = Lent()
        unsafe raw.pointee.size = UInt32(MemoryLayout<trivet_pool>.size)
        unsafe raw.pointee.node_count = UInt32(nodes.count)
        unsafe raw.pointee.node_stride = UInt32(MemoryLayout<trivet_node>.stride)
        unsafe raw.pointee.load_stride = UInt32(MemoryLayout<trivet_load>.stride)
        unsafe raw.pointee.nodes = UnsafePointer(lent.array(nodes.map { unsafe raw(of: $0) }))
        let loads = nodes.map { node in
            trivet_load(
                in_flight: node.inFlight, in_flight_all: node.inFlight, picks: 0, failures: 0,
                latency_ns: node.latency)
        }
        unsafe raw.pointee.load = UnsafePointer(lent.array(loads))
        let ready = self.ready
        unsafe raw.pointee.ready = UnsafePointer(lent.array(ready))
        unsafe raw.pointee.ready_count = UInt32(ready.count)
        unsafe raw.pointee.seed = 42
        unsafe raw.pointee.name = lent.str("test")
        unsafe raw.pointee.ctx = Unmanaged.passUnretained(self).toOpaque()
        unsafe raw.pointee.ticket = { pool in
            let me = unsafe Unmanaged<TestPool>.fromOpaque(pool!.pointee.ctx).takeUnretainedValue()
            defer { me.next += 1 }
            return me.next
        }
    }

    private func raw(of node: Node) -> trivet_node {
        let metadata = node.metadata.sorted { $0.0 < $1.0 }
        return unsafe trivet_node(
            id: TestPool.id(node.name), name: lent.str(node.name), address: lent.str("127.0.0.1:1"),
            state: node.state.rawValue, weight: node.weight, tier: node.tier,
            metadata_count: UInt32(metadata.count), metadata: lent.pairs(metadata))
    }

    /// As the header says: up or degraded, of the best tier that has any; else the draining ones.
    private var ready: [UInt32] {
        for states in [[NodeState.up, .degraded], [.draining]] {
            let able = nodes.indices.filter { states.contains(nodes[$0].state) }
            guard let tier = able.map({ nodes[$0].tier }).min() else { continue }
            return able.filter { nodes[$0].tier == tier }.map { UInt32($0) }
        }
        return []
    }

    /// FNV-1a, 64 bits: the same name has the same id in every pool.
    static func id(_ name: String) -> UInt64 {
        name.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }
}
