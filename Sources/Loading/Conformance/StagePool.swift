// A pool of the kit's own making, of any size and in any state, laid out as the header says. What it
// lent before a change is filled with rubbish and freed, so that whoever kept a pointer is found out.

import CTrivet

/// One pool as one worker sees it. One thread.
@safe
final class StagePool {
    struct Node {
        var id: UInt64
        var name: String
        var address: String
        var state: UInt32 = TRIVET_UP
        var weight: UInt32 = 100
        var tier: UInt32 = 0
        var metadata: [(String, String)] = []
    }

    let raw: UnsafeMutablePointer<trivet_pool>
    /// Change these as you like, and then `publish`.
    var nodes: [Node]
    /// Counters of the nodes, by index; writable at any time.
    private(set) var loads: UnsafeMutablePointer<UInt8>
    let tickets: UnsafeMutablePointer<UInt64>
    /// `ticket` may not be called now; counts those who do.
    private(set) var earlyTickets = 0
    var isBeingCreated = false

    /// Bytes behind every node and every load, as a later version of the header might have them.
    private let padding: Int
    private var blocks: [(start: UnsafeMutableRawPointer, size: Int)] = unsafe []

    private var nodeStride: Int { unsafe MemoryLayout<trivet_node>.stride + padding }
    private var loadStride: Int { MemoryLayout<trivet_load>.stride + padding }

    /// `count` nodes that are up, named node1, node2 and so on.
    init(_ count: Int, padding: Int = 0, firstTicket: UInt64 = 0) {
        self.padding = padding
        nodes = (0..<count).map { Self.node($0 + 1) }
        unsafe raw = .allocate(capacity: 1)
        unsafe raw.initialize(to: trivet_pool())
        unsafe tickets = .allocate(capacity: 1)
        unsafe tickets.initialize(to: firstTicket)
        unsafe loads = .allocate(capacity: 1)
        publish()
    }

    deinit {
        freeAll()
        unsafe loads.deallocate()
        unsafe tickets.deallocate()
        unsafe raw.deallocate()
    }

    static func node(_ number: Int) -> Node {
        Node(
            id: UInt64(number) &* 0x9E37_79B9_7F4A_7C15, name: "node\(number)",
            address: "10.\(number >> 16 & 255).\(number >> 8 & 255).\(number & 255):8080",
            metadata: [("rack", "r\(number % 4)"), ("zone", number % 2 == 0 ? "a" : "b")])
    }

    func index(ofID id: UInt64) -> UInt32 {
        nodes.firstIndex { $0.id == id }.map { UInt32($0) } ?? TRIVET_NO_NODE
    }

    var readyCount: Int { Int(unsafe raw.pointee.ready_count) }
    func ready(_ at: Int) -> UInt32 { unsafe raw.pointee.ready[at] }

    func load(_ index: Int) -> UnsafeMutablePointer<trivet_load> {
        unsafe UnsafeMutableRawPointer(loads + index * loadStride)
            .assumingMemoryBound(to: trivet_load.self)
    }

    /// A node as the checks get it.
    func lent(_ index: Int) -> UnsafePointer<trivet_node> {
        unsafe UnsafePointer(mutableNode(index))
    }

    private func mutableNode(_ index: Int) -> UnsafeMutablePointer<trivet_node> {
        unsafe UnsafeMutableRawPointer(mutating: UnsafeRawPointer(raw.pointee.nodes))
            .advanced(by: index * nodeStride).assumingMemoryBound(to: trivet_node.self)
    }

    /// Lays everything out anew. Loads of nodes that stay are kept, by id.
    func publish() {
        let before = loadsByID()
        freeAll()
        unsafe loads.deallocate()
        unsafe raw.pointee.size = UInt32(MemoryLayout<trivet_pool>.size)
        unsafe raw.pointee.node_count = UInt32(nodes.count)
        unsafe raw.pointee.node_stride = UInt32(nodeStride)
        unsafe raw.pointee.load_stride = UInt32(loadStride)
        unsafe raw.pointee.seed = 0x5EED_0F_7A1B_EC0D
        let room = max(nodes.count, 1)
        let table = unsafe block(room * nodeStride, alignment: 8)
        unsafe loads = .allocate(capacity: room * loadStride)
        unsafe loads.initialize(repeating: 0xA5, count: room * loadStride)
        unsafe raw.pointee.nodes = UnsafePointer(table.assumingMemoryBound(to: trivet_node.self))
        unsafe raw.pointee.load = UnsafePointer(load(0))
        var texts = unsafe StageText(
            block(nodes.reduce(16) { $0 + $1.textSize }, alignment: 1))
        let pairCount = nodes.reduce(1) { $0 + $1.metadata.count }
        var pairs = unsafe block(pairCount * MemoryLayout<trivet_pair>.stride, alignment: 8)
            .assumingMemoryBound(to: trivet_pair.self)
        unsafe raw.pointee.name = texts.keep("the-pool")
        for index in nodes.indices {
            let node = nodes[index]
            let metadata = unsafe pairs
            for (key, value) in node.metadata {
                unsafe pairs.initialize(
                    to: trivet_pair(key: texts.keep(key), value: texts.keep(value)))
                unsafe pairs += 1
            }
            unsafe mutableNode(index).initialize(
                to: trivet_node(
                    id: node.id, name: texts.keep(node.name), address: texts.keep(node.address),
                    state: node.state, weight: node.weight, tier: node.tier,
                    metadata_count: UInt32(node.metadata.count),
                    metadata: node.metadata.isEmpty ? nil : UnsafePointer(metadata)))
            unsafe load(index).initialize(to: before[node.id] ?? trivet_load())
        }
        publishReady()
        unsafe raw.pointee.ctx = Unmanaged.passUnretained(self).toOpaque()
        unsafe raw.pointee.ticket = { pool in
            guard let ctx = unsafe pool?.pointee.ctx else { return 0 }
            return unsafe Unmanaged<StagePool>.fromOpaque(ctx)._withUnsafeGuaranteedRef { pool in
                if pool.isBeingCreated { pool.earlyTickets += 1 }
                defer { unsafe pool.tickets.pointee &+= 1 }
                return unsafe pool.tickets.pointee
            }
        }
    }

    /// Up or degraded ones of the best tier that has any; if there are none at all, the draining ones
    /// likewise.
    private func publishReady() {
        var found: [UInt32] = []
        for states in [[TRIVET_UP, TRIVET_DEGRADED], [TRIVET_DRAINING]] where found.isEmpty {
            let able = nodes.indices.filter { states.contains(nodes[$0].state) }
            let tier = able.reduce(UInt32.max) { min($0, nodes[$1].tier) }
            found = able.filter { nodes[$0].tier == tier }.map { UInt32($0) }
        }
        let ready = unsafe block(
            max(found.count, 1) * MemoryLayout<UInt32>.stride, alignment: 4
        ).assumingMemoryBound(to: UInt32.self)
        for index in found.indices { unsafe ready[index] = found[index] }
        unsafe raw.pointee.ready = UnsafePointer(ready)
        unsafe raw.pointee.ready_count = UInt32(found.count)
    }

    private func loadsByID() -> [UInt64: trivet_load] {
        guard unsafe raw.pointee.nodes != nil else { return [:] }
        var kept: [UInt64: trivet_load] = [:]
        for index in 0..<Int(unsafe raw.pointee.node_count) {
            let load = unsafe load(index).pointee
            if load.in_flight != 0 || load.picks != 0 {
                unsafe kept[mutableNode(index).pointee.id] = load
            }
        }
        return kept
    }

    private func block(_ size: Int, alignment: Int) -> UnsafeMutableRawPointer {
        let start = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: alignment)
        unsafe start.initializeMemory(as: UInt8.self, repeating: 0xA5, count: size)
        unsafe blocks.append((start, size))
        return unsafe start
    }

    private func freeAll() {
        for index in unsafe blocks.indices {
            let (start, size) = unsafe blocks[index]
            unsafe start.initializeMemory(as: UInt8.self, repeating: 0x5A, count: size)
            unsafe start.deallocate()
        }
        unsafe blocks.removeAll()
    }
}

extension StagePool.Node {
    fileprivate var textSize: Int {
        metadata.reduce(name.utf8.count + address.utf8.count) {
            $0 + $1.0.utf8.count + $1.1.utf8.count
        }
    }
}

/// Fills a block with texts, one after the other. The block must have been measured.
@unsafe
struct StageText {
    private var at: UnsafeMutablePointer<UInt8>

    init(_ block: UnsafeMutableRawPointer) {
        unsafe at = block.assumingMemoryBound(to: UInt8.self)
    }

    mutating func keep(_ bytes: some Collection<UInt8>) -> trivet_str {
        if bytes.isEmpty { return unsafe trivet_str() }
        let start = unsafe at
        let copied: Void? = bytes.withContiguousStorageIfAvailable { bytes in
            unsafe start.initialize(from: bytes.baseAddress!, count: bytes.count)
        }
        if copied == nil {
            for (index, byte) in bytes.enumerated() { unsafe start[index] = byte }
        }
        let count = bytes.count
        unsafe at += count
        return unsafe strOf(start, count)
    }

    mutating func keep(_ text: String) -> trivet_str { unsafe keep(text.utf8) }
}
