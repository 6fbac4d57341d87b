// The host's side of the ABI, as small as a test can use it: loads a real .so from beside the test
// binary, makes instances, asks and copies the answers into plain values. No network, no threads.

import Base
import CTrivet
import Glibc
import Synchronization

struct NotLoaded: Error { let reason: String }

/// A loaded plugin file. Never unloaded: it contains Swift.
@safe
final class PluginLibrary {
    let table: UnsafePointer<trivet_plugin>
    let host = FakeHost()

    /// A file beside the test's own binary.
    convenience init(_ file: String) throws {
        var path = [CChar](repeating: 0, count: 4096)
        let length = unsafe readlink("/proc/self/exe", &path, path.count)
        let exe = String(
            decoding: path.prefix(max(length, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let folder = exe[..<(exe.lastIndex(of: "/") ?? exe.startIndex)]
        try self.init(path: "\(folder)/\(file)")
    }

    init(path: String) throws {
        guard let handle = unsafe dlopen(path, RTLD_NOW | RTLD_LOCAL),
            let symbol = unsafe dlsym(handle, TRIVET_PLUGIN_ENTRY)
        else { throw NotLoaded(reason: unsafe dlerror().map { unsafe String(cString: $0) } ?? "?") }
        typealias Entry =
            @convention(c) (
                UnsafePointer<trivet_host>?, UnsafeMutablePointer<trivet_error>?
            ) -> UnsafePointer<trivet_plugin>?
        let entry = unsafe unsafeBitCast(symbol, to: Entry.self)
        guard let table = unsafe entry(host.raw, nil) else { throw NotLoaded(reason: "null table") }
        unsafe self.table = table
    }

    var name: String { unsafe copy(table.pointee.name) }
    var version: String { unsafe copy(table.pointee.version) }

    func strategy(
        _ options: String = "{}", pool: FakePool, worker: Int = 0, workers: Int = 1
    ) throws -> FakeStrategy {
        let table = unsafe self.table.pointee.strategies[0]!
        return try unsafe FakeStrategy(table, options, pool, worker, workers)
    }

    func check(_ options: String = "{}") throws -> FakeCheck {
        try unsafe FakeCheck(table.pointee.checks[0]!, options)
    }

    /// Name and summary of what it offers, and the options it declares.
    var offers: [(name: String, summary: String, options: [String])] {
        var found: [(String, String, [String])] = []
        var index = 0
        while let strategy = unsafe table.pointee.strategies[index] {
            let options = (0..<Int(unsafe strategy.pointee.option_count)).map {
                unsafe copy(strategy.pointee.options[$0].name)
            }
            unsafe found.append(
                (copy(strategy.pointee.name), copy(strategy.pointee.summary), options))
            index += 1
        }
        index = 0
        while let check = unsafe table.pointee.checks[index] {
            let options = (0..<(unsafe check.pointee.option_count)).map {
                unsafe copy(check.pointee.options[$0].name)
            }
            unsafe found.append((copy(check.pointee.name), copy(check.pointee.summary), options))
            index += 1
        }
        return found
    }
}

/// What a plugin refused, in its own words.
struct Refused: Error, Equatable { let sentence: String }

/// Bytes that live as long as this does, to lend to a plugin.
@safe
final class Arena {
    private var blocks: [UnsafeMutableRawPointer] = unsafe []

    func str(_ text: String) -> trivet_str { unsafe str(Array(text.utf8)) }

    func str(_ bytes: [UInt8]) -> trivet_str {
        if bytes.isEmpty { return unsafe trivet_str(data: nil, len: 0) }
        let array = unsafe self.array(bytes)
        let chars = unsafe UnsafeRawPointer(array).assumingMemoryBound(to: CChar.self)
        return unsafe trivet_str(data: chars, len: bytes.count)
    }

    func pairs(_ pairs: [(String, String)]) -> UnsafeMutablePointer<trivet_pair> {
        unsafe array(pairs.map { unsafe trivet_pair(key: str($0.0), value: str($0.1)) })
    }

    func array<Element>(_ elements: [Element]) -> UnsafeMutablePointer<Element> {
        let copy = UnsafeMutablePointer<Element>.allocate(capacity: max(elements.count, 1))
        for (index, element) in elements.enumerated() {
            unsafe (copy + index).initialize(to: element)
        }
        unsafe blocks.append(UnsafeMutableRawPointer(copy))
        return unsafe copy
    }

    deinit { unsafe blocks.forEach { unsafe $0.deallocate() } }
}

func copy(_ text: trivet_str) -> String { String(decoding: unsafe bytes(text), as: UTF8.self) }

func bytes(_ text: trivet_str) -> [UInt8] {
    unsafe UnsafeBufferPointer(start: text.data, count: text.len).map { UInt8(bitPattern: $0) }
}

/// The functions that Trivet gives an instance, and what the instance did with them.
@safe
final class FakeHost {
    let raw: UnsafeMutablePointer<trivet_host>
    private(set) var lines: [String] = []
    private(set) var metrics: [String] = []
    private(set) var added: [Double] = []
    /// What the instance's clock says.
    var now: UInt64 = 1_000_000
    var random = SplitMix64(seed: 1)
    /// The next random numbers, the last first; when they are used up, `random` goes on.
    var dice: [UInt64] = []
    private var lent = Arena()

    init() {
        unsafe raw = .allocate(capacity: 1)
        unsafe raw.initialize(to: trivet_host())
        unsafe raw.pointee.size = UInt32(MemoryLayout<trivet_host>.size)
        unsafe raw.pointee.ctx = Unmanaged.passUnretained(self).toOpaque()
        unsafe raw.pointee.log = { host, _, line in
            unsafe FakeHost.of(host).lines.append(copy(line))
        }
        unsafe raw.pointee.now = { host in unsafe FakeHost.of(host).now }
        unsafe raw.pointee.random = { host in
            let me = unsafe FakeHost.of(host)
            return me.dice.isEmpty ? me.random.next() : me.dice.removeLast()
        }
        unsafe raw.pointee.metric = { host, _, name, _ in
            let me = unsafe FakeHost.of(host)
            me.metrics.append(unsafe copy(name))
            return UInt32(me.metrics.count)
        }
        unsafe raw.pointee.metric_add = { host, _, amount in
            unsafe FakeHost.of(host).added.append(amount)
        }
        unsafe raw.pointee.json = { host, document, pointer in
            unsafe FakeHost.of(host).find(bytes(pointer), in: bytes(document))
        }
    }

    private static func of(_ host: UnsafePointer<trivet_host>?) -> FakeHost {
        unsafe Unmanaged.fromOpaque(host!.pointee.ctx).takeUnretainedValue()
    }

    private func find(_ pointer: [UInt8], in document: [UInt8]) -> trivet_json {
        var json = unsafe trivet_json()
        switch JSON.find(pointer.span, in: document.span) {
        case .missing: unsafe json.kind = TRIVET_JSON_MISSING
        case .null: unsafe json.kind = TRIVET_JSON_NULL
        case .bool(let bool):
            unsafe json.kind = TRIVET_JSON_BOOL
            unsafe json.number = bool ? 1 : 0
        case .number(let number):
            unsafe json.kind = TRIVET_JSON_NUMBER
            unsafe json.number = number
        case .string(let string):
            unsafe json.kind = TRIVET_JSON_STRING
            unsafe json.text = lent.str(string)
        case .compound(let range):
            unsafe json.kind = TRIVET_JSON_COMPOUND
            let start = Int(range.start)
            unsafe json.text = lent.str(Array(document[start..<(start + Int(range.length))]))
        }
        return unsafe json
    }

    deinit { unsafe raw.deallocate() }
}

/// Calls `body` with room for a sentence, and throws the sentence if it gives nothing.
func refusing<T>(_ body: (UnsafeMutablePointer<trivet_error>) -> T?) throws(Refused) -> T {
    var room = [CChar](repeating: 0, count: 512)
    var sentence = ""
    let result = unsafe room.withUnsafeMutableBufferPointer { buffer -> T? in
        var error = unsafe trivet_error(data: buffer.baseAddress, capacity: buffer.count, len: 0)
        let result = unsafe body(&error)
        sentence = unsafe copy(trivet_str(data: error.data, len: error.len))
        return result
    }
    guard let result else { throw Refused(sentence: sentence) }
    return result
}

/// Numbers that all workers of a pool share.
final class Tickets: Sendable {
    let next = Atomic<UInt64>(0)
}

/// One worker's view of a pool, with a `ready` list made as the header says.
@safe
final class FakePool {
    struct Node {
        var name: String
        var state: UInt32 = TRIVET_UP
        var weight: UInt32 = 1
        var tier: UInt32 = 0
        var metadata: [(String, String)] = []
        /// Its place in the pool, unless told otherwise.
        var id: UInt64? = nil
        /// Requests that all workers have running there; its place in the pool, unless told otherwise.
        var running: UInt32? = nil
        var latency: UInt64 = 0
        var address = "127.0.0.1:80"
    }

    let raw = UnsafeMutablePointer<trivet_pool>.allocate(capacity: 1)
    let tickets: Tickets
    private var arena = Arena()
    private var loads: UnsafeMutablePointer<trivet_load>?
    var nodes: [Node] { didSet { publish() } }

    convenience init(_ names: [String], tickets: Tickets = Tickets()) {
        self.init(names.map { Node(name: $0) }, tickets: tickets)
    }

    init(_ nodes: [Node], tickets: Tickets = Tickets()) {
        self.tickets = tickets
        self.nodes = nodes
        unsafe raw.initialize(to: trivet_pool())
        publish()
    }

    /// What takes traffic now, as plugins see it.
    var ready: [Int] {
        (0..<Int(unsafe raw.pointee.ready_count)).map { unsafe Int(raw.pointee.ready[$0]) }
    }

    /// Changes how many requests a node has running, and nothing else: for long series of picks.
    func run(_ count: UInt32, on node: Int) { unsafe loads?[node].in_flight_all = count }

    private func publish() {
        arena = Arena()
        unsafe raw.pointee.size = UInt32(MemoryLayout<trivet_pool>.size)
        unsafe raw.pointee.node_count = UInt32(nodes.count)
        unsafe raw.pointee.node_stride = UInt32(MemoryLayout<trivet_node>.stride)
        unsafe raw.pointee.load_stride = UInt32(MemoryLayout<trivet_load>.stride)
        var raws: [trivet_node] = unsafe []
        for (index, node) in nodes.enumerated() {
            unsafe raws.append(make(node, node.id ?? UInt64(index)))
        }
        unsafe raw.pointee.nodes = UnsafePointer(arena.array(raws))
        let loads = nodes.indices.map { index in
            trivet_load(
                in_flight: 0, in_flight_all: nodes[index].running ?? UInt32(index), picks: 0,
                failures: 0, latency_ns: nodes[index].latency)
        }
        unsafe self.loads = arena.array(loads)
        unsafe raw.pointee.load = UnsafePointer(self.loads)
        var ready: [UInt32] = []
        for states in [[TRIVET_UP, TRIVET_DEGRADED], [TRIVET_DRAINING]] where ready.isEmpty {
            let able = nodes.indices.filter { states.contains(nodes[$0].state) }
            let tier = able.map { nodes[$0].tier }.min()
            ready = able.filter { nodes[$0].tier == tier }.map { UInt32($0) }
        }
        unsafe raw.pointee.ready = UnsafePointer(arena.array(ready))
        unsafe raw.pointee.ready_count = UInt32(ready.count)
        unsafe raw.pointee.seed = 42
        unsafe raw.pointee.ctx = Unmanaged.passUnretained(tickets).toOpaque()
        unsafe raw.pointee.ticket = { pool in
            let tickets = unsafe Unmanaged<Tickets>.fromOpaque(pool!.pointee.ctx)
                .takeUnretainedValue()
            return tickets.next.add(1, ordering: .relaxed).oldValue
        }
    }

    private func make(_ node: Node, _ id: UInt64) -> trivet_node {
        unsafe trivet_node(
            id: id, name: arena.str(node.name), address: arena.str(node.address),
            state: node.state, weight: node.weight, tier: node.tier,
            metadata_count: UInt32(node.metadata.count),
            metadata: UnsafePointer(arena.pairs(node.metadata)))
    }

    deinit { unsafe raw.deallocate() }
}

/// What a strategy decided.
struct Picked: Equatable {
    var decision: UInt32
    var node: Int?
    var reason: String
    var session: String
    var sticks: Bool
    var token: UInt64
}

/// One instance of a strategy.
@safe
final class FakeStrategy {
    let table: UnsafePointer<trivet_strategy>
    let host = FakeHost()
    let pool: FakePool
    private let me: UnsafeMutableRawPointer
    private let arena = Arena()

    init(
        _ table: UnsafePointer<trivet_strategy>, _ options: String, _ pool: FakePool, _ worker: Int,
        _ workers: Int
    ) throws(Refused) {
        unsafe self.table = table
        self.pool = pool
        var setup = unsafe trivet_strategy_setup()
        unsafe setup.size = UInt32(MemoryLayout<trivet_strategy_setup>.size)
        unsafe setup.worker = UInt32(worker)
        unsafe setup.worker_count = UInt32(workers)
        unsafe setup.config = arena.str(options)
        unsafe setup.pool = UnsafePointer(pool.raw)
        let host = self.host
        unsafe me = try refusing { error in
            unsafe table.pointee.create(table, host.raw, &setup, error)
        }
    }

    func pick(
        target: String = "/", attempt: Int = 0, tried: [Int] = [], session: String = "",
        sessionNode: Int? = nil, zone: String? = nil, explain: Bool = false, hash: UInt64 = 0,
        client: String = ""
    ) -> Picked {
        let arena = Arena()
        var request = unsafe trivet_request()
        unsafe request.size = UInt32(MemoryLayout<trivet_request>.size)
        unsafe request.flags = explain ? TRIVET_REQUEST_EXPLAIN : 0
        unsafe request.method = arena.str("GET")
        unsafe request.target = arena.str(target)
        unsafe request.hash = hash
        unsafe request.client = arena.str(client)
        unsafe request.session = arena.str(session)
        unsafe request.session_node = sessionNode.map { UInt32($0) } ?? TRIVET_NO_NODE
        unsafe request.attempt = UInt32(attempt)
        unsafe request.tried = UnsafePointer(arena.array(tried.map { UInt32($0) }))
        unsafe request.tried_count = UInt32(tried.count)
        unsafe request.ctx = zone.map { zone in
            unsafe UnsafeMutableRawPointer(arena.array([arena.str(zone)]))
        }
        unsafe request.header = { request, name, n, value in
            guard unsafe copy(name).lowercased() == "x-zone", n == 0,
                let zone = unsafe request!.pointee.ctx
            else { return false }
            unsafe value!.pointee = zone.assumingMemoryBound(to: trivet_str.self).pointee
            return true
        }
        var out = unsafe trivet_pick()
        unsafe out.node = TRIVET_NO_NODE
        let decision = unsafe table.pointee.pick(me, pool.raw, &request, &out)
        return unsafe Picked(
            decision: decision, node: out.node == TRIVET_NO_NODE ? nil : Int(out.node),
            reason: copy(out.reason), session: copy(out.session),
            sticks: out.flags & TRIVET_PICK_STICK != 0, token: out.token)
    }

    /// Picks for the first attempt of `count` requests: how often each node came, and how often none.
    func tally(_ count: Int) -> (nodes: [Int], none: Int) {
        var tally = [Int](repeating: 0, count: pool.nodes.count)
        var none = 0
        series(count) { node in
            if let node { tally[node] += 1 } else { none += 1 }
        }
        return (tally, none)
    }

    /// Picks for the first attempt of `count` requests, one after the other.
    func series(_ count: Int) -> [Int?] {
        var picked: [Int?] = []
        series(count) { picked.append($0) }
        return picked
    }

    private func series(_ count: Int, _ body: (Int?) -> Void) {
        var request = unsafe trivet_request()
        unsafe request.size = UInt32(MemoryLayout<trivet_request>.size)
        unsafe request.session_node = TRIVET_NO_NODE
        for _ in 0..<count {
            var out = unsafe trivet_pick()
            unsafe out.node = TRIVET_NO_NODE
            let decision = unsafe table.pointee.pick(me, pool.raw, &request, &out)
            unsafe body(decision == TRIVET_PICKED ? Int(out.node) : nil)
        }
    }

    /// Picks for clients 10.0.n.1, as a warm worker does: nothing here allocates between the picks.
    func pickWarm(_ count: Int, watching: (Bool) -> Void) {
        var request = unsafe trivet_request()
        unsafe request.size = UInt32(MemoryLayout<trivet_request>.size)
        unsafe request.session_node = TRIVET_NO_NODE
        let clients = unsafe (0..<256).map { unsafe arena.str("10.0.\($0).1") }
        var out = unsafe trivet_pick()
        for round in 0..<(2 * count) {
            if round == count { watching(true) }
            unsafe request.client = clients[round % 256]
            unsafe out = trivet_pick()
            unsafe out.node = TRIVET_NO_NODE
            _ = unsafe table.pointee.pick(me, pool.raw, &request, &out)
        }
        watching(false)
    }

    func update(_ changes: UInt32) { unsafe table.pointee.update?(me, pool.raw, changes) }

    func result(token: UInt64) {
        var result = trivet_result()
        result.size = UInt32(MemoryLayout<trivet_result>.size)
        result.token = token
        unsafe table.pointee.result?(me, pool.raw, &result)
    }

    /// How an attempt ended that used `node`.
    func result(
        node: Int?, outcome: UInt32 = TRIVET_OK, status: UInt32 = 200, firstByte: UInt64 = 0,
        total: UInt64 = 0, sent: UInt64 = 0
    ) {
        var result = trivet_result()
        result.size = UInt32(MemoryLayout<trivet_result>.size)
        result.outcome = outcome
        result.node = node.map { UInt32($0) } ?? TRIVET_NO_NODE
        result.status = status
        result.first_byte_ns = firstByte
        result.total_ns = total
        result.bytes_sent = sent
        unsafe table.pointee.result?(me, pool.raw, &result)
    }

    func save() -> [UInt8]? {
        unsafe collect(table.pointee.save.map { save in { unsafe save(self.me, $0) } })
    }

    func load(_ state: [UInt8], version: UInt32) -> Bool? {
        unsafe table.pointee.load.map { unsafe $0(me, pool.raw, version, arena.str(state)) }
    }

    func describe() -> String? {
        let bytes = unsafe collect(
            table.pointee.describe.map { describe in { unsafe describe(self.me, self.pool.raw, $0) }
            })
        return bytes.map { String(decoding: $0, as: UTF8.self) }
    }

    private func collect(_ write: ((UnsafeMutablePointer<trivet_sink>) -> Void)?) -> [UInt8]? {
        guard let write = unsafe write else { return nil }
        var collected: [UInt8] = []
        unsafe withUnsafeMutablePointer(to: &collected) { place in
            var sink = unsafe trivet_sink(
                ctx: UnsafeMutableRawPointer(place),
                write: { sink, text in
                    let place = unsafe sink!.pointee.ctx.assumingMemoryBound(to: [UInt8].self)
                    unsafe place.pointee += bytes(text)
                })
            unsafe write(&sink)
        }
        return collected
    }

    deinit { unsafe table.pointee.destroy(me) }
}

/// What a check asks.
struct Asked: Equatable {
    var kind: UInt32
    var method: String
    var target: String
    var authority: String
    var payload: String
    var until: String
    var headers: [String]
    var port: UInt16
    var flags: UInt32
    var timeout: UInt32
    var readLimit: UInt32
}

/// What a check says.
struct Judged: Equatable {
    var state: UInt32
    var reason: String
    var atOnce = false
    var metadata: [String] = []
    var weight: UInt32 = TRIVET_KEEP
    var next: UInt32 = 0
}

/// One instance of a health check.
@safe
final class FakeCheck {
    let table: UnsafePointer<trivet_check>
    let host = FakeHost()
    private let me: UnsafeMutableRawPointer
    private let arena = Arena()

    init(_ table: UnsafePointer<trivet_check>, _ options: String) throws(Refused) {
        unsafe self.table = table
        var setup = unsafe trivet_check_setup()
        unsafe setup.size = UInt32(MemoryLayout<trivet_check_setup>.size)
        unsafe setup.config = arena.str(options)
        unsafe setup.pool = arena.str("octopus")
        let host = self.host
        unsafe me = try refusing { error in
            unsafe table.pointee.create(table, host.raw, &setup, error)
        }
    }

    private func node(_ id: UInt64, tier: UInt32 = 0) -> trivet_node {
        unsafe trivet_node(
            id: id, name: arena.str("node1"), address: arena.str("127.0.0.1:80"), state: TRIVET_UP,
            weight: 1, tier: tier, metadata_count: 0, metadata: nil)
    }

    func probe(step: Int = 0, tier: UInt32 = 0) -> Asked? {
        var node = unsafe self.node(1, tier: tier)
        var probe = unsafe trivet_probe()
        unsafe probe.size = UInt32(MemoryLayout<trivet_probe>.size)
        unsafe probe.method = arena.str("GET")
        unsafe probe.target = arena.str("/")
        unsafe probe.authority = arena.str("127.0.0.1:80")
        unsafe probe.timeout_ms = 1000
        unsafe probe.read_limit = 65_536
        guard unsafe table.pointee.probe(me, &node, UInt32(step), &probe) else { return nil }
        return unsafe Asked(
            kind: probe.kind, method: copy(probe.method), target: copy(probe.target),
            authority: copy(probe.authority), payload: copy(probe.payload),
            until: copy(probe.read_until),
            headers: (0..<probe.header_count).map {
                unsafe "\(copy(probe.headers[$0].key)): \(copy(probe.headers[$0].value))"
            }, port: probe.port, flags: probe.flags, timeout: probe.timeout_ms,
            readLimit: probe.read_limit)
    }

    /// The verdict on an answer; nil if the check wants to ask again.
    func judge(
        status: Int = 0, body: String = "", outcome: UInt32 = TRIVET_OK, detail: String = "",
        step: Int = 0, node id: UInt64 = 1, headers: [(String, String)] = []
    ) -> Judged? {
        judge(
            status: status, bytes: Array(body.utf8), outcome: outcome, detail: detail, step: step,
            node: id, headers: headers)
    }

    func judge(
        status: Int, bytes body: [UInt8], outcome: UInt32 = TRIVET_OK, detail: String = "",
        step: Int = 0, node id: UInt64 = 1, headers: [(String, String)] = []
    ) -> Judged? {
        var node = unsafe self.node(id)
        var reply = unsafe trivet_reply()
        unsafe reply.size = UInt32(MemoryLayout<trivet_reply>.size)
        unsafe reply.outcome = outcome
        unsafe reply.status = UInt32(status)
        unsafe reply.step = UInt32(step)
        unsafe reply.body = arena.str(body)
        unsafe reply.detail = arena.str(detail)
        unsafe reply.headers = UnsafePointer(arena.pairs(headers))
        unsafe reply.header_count = headers.count
        var verdict = unsafe trivet_verdict()
        unsafe verdict.size = UInt32(MemoryLayout<trivet_verdict>.size)
        unsafe verdict.weight_percent = TRIVET_KEEP
        guard unsafe table.pointee.judge(me, &node, &reply, &verdict) == TRIVET_ROUND_DONE else {
            return nil
        }
        return unsafe Judged(
            state: verdict.state, reason: copy(verdict.reason), atOnce: verdict.at_once != 0,
            metadata: (0..<Int(verdict.metadata_count)).map {
                unsafe "\(copy(verdict.metadata[$0].key))=\(copy(verdict.metadata[$0].value))"
            }, weight: verdict.weight_percent, next: verdict.next_ms)
    }

    deinit { unsafe table.pointee.destroy(me) }
}
