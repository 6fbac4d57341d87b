// Drives one instance of a strategy the way a worker does, through the same C tables: what a test sees
// here, Trivet sees.

import CTrivet
import TrivetPlugin

/// What a strategy decided.
public struct Picked: Equatable, Sendable {
    /// The kinds of decision.
    public enum Decision: Equatable, Sendable {
        /// A node was picked.
        case node
        /// No opinion.
        case pass
        /// No node should take the request.
        case refuse
    }

    /// What kind of decision it is.
    public var decision: Decision
    /// The node's name; nil if none was picked, or one that the pool does not have.
    public var node: String?
    /// Why.
    public var reason = ""
    /// What the client is given to carry.
    public var session = ""
    /// The client is to stick to the node that serves it.
    public var sticks = false
    /// Comes back in the `PickResult`.
    public var token: UInt64 = 0
}

/// One instance of a strategy, on one worker.
///
/// ```swift
/// let pool = TestPool(["a", "b"])
/// let turns = try TestStrategy(Turns.self, on: pool, options: #"{"run": 2}"#)
/// #expect(turns.picks(4) == ["a", "a", "b", "b"])
/// ```
@safe
public final class TestStrategy {
    private let table: UnsafePointer<trivet_strategy>
    private let options: String
    private var me: UnsafeMutableRawPointer
    private var lent = Lent()
    private var fields: [(String, String)] = []
    /// The pool it picks from.
    public let pool: TestPool
    /// What it is given by Trivet.
    public let host = TestHost()

    /// Makes an instance, or throws what it refuses with.
    ///
    /// - Parameters:
    ///   - plugin: the type that is exported.
    ///   - name: which of its strategies; the first unless told.
    ///   - options: its block of the configuration, as JSON.
    public convenience init(
        _ plugin: any Plugin.Type, _ name: String? = nil, on pool: TestPool, options: String = "{}"
    ) throws(Refusal) {
        let host = TestHost()
        let all = unsafe try refusing { unsafe plugin.export(UnsafePointer(host.raw), $0) }
        var index = 0
        while let table = unsafe all.pointee.strategies[index] {
            if let name, unsafe text(table.pointee.name) != name {
                index += 1
                continue
            }
            unsafe try self.init(table, pool, options)
            return
        }
        throw Refusal("the plugin offers no strategy \(name ?? "at all")")
    }

    private init(
        _ table: UnsafePointer<trivet_strategy>, _ pool: TestPool, _ options: String
    ) throws(Refusal) {
        unsafe self.table = table
        self.pool = pool
        self.options = options
        unsafe me = try Self.make(table, host, pool, options)
    }

    deinit { unsafe table.pointee.destroy(me) }

    private static func make(
        _ table: UnsafePointer<trivet_strategy>, _ host: TestHost, _ pool: TestPool,
        _ options: String
    ) throws(Refusal) -> UnsafeMutableRawPointer {
        let lent = Lent()
        var setup = unsafe trivet_strategy_setup()
        unsafe setup.size = UInt32(MemoryLayout<trivet_strategy_setup>.size)
        unsafe setup.worker_count = 1
        unsafe setup.config = lent.str(options)
        unsafe setup.pool = UnsafePointer(pool.raw)
        return unsafe try refusing { unsafe table.pointee.create(table, host.raw, &setup, $0) }
    }

    // MARK: Picking

    /// Has it decide on one request.
    ///
    /// - Parameters:
    ///   - hash: of the pool's affinity key.
    ///   - tried: names of the nodes that earlier attempts used.
    ///   - session: what an earlier decision gave this client to carry.
    ///   - sticksTo: the node that the client's session names.
    public func pick(
        _ target: String = "/", headers: [(String, String)] = [], client: String = "192.0.2.1",
        hash: UInt64 = 0, tried: [String] = [], session: String = "", sticksTo: String? = nil
    ) -> Picked {
        lent = Lent()
        fields = headers
        var request = unsafe trivet_request()
        unsafe request.size = UInt32(MemoryLayout<trivet_request>.size)
        unsafe request.ctx = Unmanaged.passUnretained(self).toOpaque()
        unsafe request.hash = hash
        unsafe request.method = lent.str("GET")
        unsafe request.target = lent.str(target)
        unsafe request.authority = lent.str("example.com")
        unsafe request.client = lent.str(client)
        unsafe request.session = lent.str(session)
        unsafe request.session_node = sticksTo.map { UInt32(pool.index($0)) } ?? TRIVET_NO_NODE
        unsafe request.attempt = UInt32(tried.count)
        unsafe request.tried = UnsafePointer(lent.array(tried.map { UInt32(pool.index($0)) }))
        unsafe request.tried_count = UInt32(tried.count)
        unsafe request.header = { request, name, n, value in
            let me = unsafe Unmanaged<TestStrategy>.fromOpaque(request!.pointee.ctx)
                .takeUnretainedValue()
            let wanted = unsafe text(name).lowercased()
            let values = me.fields.filter { $0.0.lowercased() == wanted }
            guard n < values.count else { return false }
            unsafe value!.pointee = me.lent.str(values[Int(n)].1)
            return true
        }
        var out = unsafe trivet_pick()
        unsafe out.node = TRIVET_NO_NODE
        let decision = unsafe table.pointee.pick(me, pool.raw, &request, &out)
        var picked = Picked(decision: .pass)
        if decision == TRIVET_PICKED { picked.decision = .node }
        if decision == TRIVET_REFUSE { picked.decision = .refuse }
        if decision == TRIVET_PICKED, unsafe Int(out.node) < pool.nodes.count {
            unsafe picked.node = pool.nodes[Int(out.node)].name
        }
        unsafe picked.reason = text(out.reason)
        unsafe picked.session = text(out.session)
        unsafe picked.sticks = out.flags & TRIVET_PICK_STICK != 0
        unsafe picked.token = out.token
        return picked
    }

    /// Has it decide on so many requests; the names of the nodes, "-" where none was picked.
    public func picks(_ count: Int) -> [String] { (0..<count).map { _ in pick().node ?? "-" } }

    // MARK: Around picks

    /// Tells it how the use of a node ended.
    public func ended(
        _ node: String, _ outcome: Outcome = .answered, status: Int = 200, token: UInt64 = 0,
        firstByte: UInt64 = 1_000_000, total: UInt64 = 2_000_000
    ) {
        var result = trivet_result()
        result.size = UInt32(MemoryLayout<trivet_result>.size)
        result.outcome = outcome.rawValue
        result.node = UInt32(pool.index(node))
        result.node_id = TestPool.id(node)
        result.status = UInt32(status)
        result.token = token
        result.first_byte_ns = firstByte
        result.total_ns = total
        unsafe table.pointee.result?(me, pool.raw, &result)
    }

    /// Tells it that the pool has changed. As Trivet does: a strategy that is not `Updating` is made
    /// anew if more than states have changed.
    public func changed(_ changes: Changes) throws(Refusal) {
        if let update = unsafe table.pointee.update {
            unsafe update(me, pool.raw, changes.rawValue)
        } else if !changes.isSubset(of: .states) {
            let fresh = unsafe try Self.make(table, host, pool, options)
            unsafe handOver(to: fresh)
            unsafe table.pointee.destroy(me)
            unsafe me = fresh
        }
    }

    /// What a reload does: another instance, on the same pool or another, that is handed this one's
    /// state if the strategy is `Lasting`.
    public func successor(on pool: TestPool? = nil) throws(Refusal) -> TestStrategy {
        let next = unsafe try TestStrategy(table, pool ?? self.pool, options)
        unsafe handOver(to: next.me, next.pool)
        return next
    }

    private func handOver(to next: UnsafeMutableRawPointer, _ nextPool: TestPool? = nil) {
        guard let save = unsafe table.pointee.save, let load = unsafe table.pointee.load else {
            return
        }
        let state = unsafe collect { unsafe save(me, $0) }
        let lent = Lent()
        _ = unsafe load(
            next, (nextPool ?? pool).raw, table.pointee.state_version, lent.str(state))
    }

    /// What it shows to an operator, a JSON object; nil if it is not `Describing`.
    public var description: String? {
        guard let describe = unsafe table.pointee.describe else { return nil }
        let written = unsafe collect { unsafe describe(me, pool.raw, $0) }
        return String(decoding: written, as: UTF8.self)
    }

    private func collect(_ body: (UnsafeMutablePointer<trivet_sink>) -> Void) -> [UInt8] {
        var collected: [UInt8] = []
        unsafe withUnsafeMutablePointer(to: &collected) { place in
            var sink = unsafe trivet_sink(
                ctx: UnsafeMutableRawPointer(place),
                write: { sink, text in
                    let place = unsafe sink!.pointee.ctx.assumingMemoryBound(to: [UInt8].self)
                    unsafe place.pointee += bytes(text)
                })
            unsafe body(&sink)
        }
        return collected
    }
}
