// Strategies and checks made in this process, the way a plugin would lay them out: C tables whose
// functions lead back to a Swift object. What they answer, each test says.

import CTrivet

@testable import Balance

/// A strategy that does what a test tells it, and remembers what it was told.
@safe
final class Script {
    typealias Pool = UnsafePointer<trivet_pool>
    var pick:
        (Pool, UnsafePointer<trivet_request>, UnsafeMutablePointer<trivet_pick>) ->
            trivet_decision = { _, _, _ in TRIVET_PASS }
    var refusal: String?
    var updates: [UInt32] = []
    var results: [(node: UInt32, token: UInt64, outcome: UInt32)] = []
    var saved = ""
    var loaded: [String] = []
    var created = 0
    var destroyed = 0
    var config = ""
    var host: UnsafePointer<trivet_host>?

    /// Picks `node` each time.
    static func always(_ node: UInt32, token: UInt64 = 0) -> Script {
        let script = Script()
        unsafe script.pick = { _, _, answer in
            unsafe answer.pointee.node = node
            unsafe answer.pointee.token = token
            return TRIVET_PICKED
        }
        return script
    }

    /// The order of the ready list, by tickets.
    static func roundRobin() -> Script {
        let script = Script()
        unsafe script.pick = { pool, _, answer in
            let turn = unsafe pool.pointee.ticket(pool) % UInt64(pool.pointee.ready_count)
            unsafe answer.pointee.node = pool.pointee.ready[Int(turn)]
            return TRIVET_PICKED
        }
        return script
    }

    /// Never freed, as a loaded plugin's are not.
    func table(
        name: StaticString = "scripted", hasUpdate: Bool = true, saves: Bool = false
    ) -> UnsafeMutablePointer<trivet_strategy> {
        let table = UnsafeMutablePointer<trivet_strategy>.allocate(capacity: 1)
        unsafe table.initialize(to: trivet_strategy())
        unsafe table.pointee.size = UInt32(MemoryLayout<trivet_strategy>.size)
        unsafe table.pointee.name = text(name)
        unsafe table.pointee.summary = text("does what a test says")
        unsafe table.pointee.data = Unmanaged.passRetained(self).toOpaque()
        unsafe table.pointee.create = { table, host, setup, error in
            let script = unsafe Script.from(table!.pointee.data)
            unsafe script.host = host
            let config = unsafe setup!.pointee.config
            script.config = unsafe foreignText(config, limit: 4096)
            if let refusal = script.refusal {
                let bytes = Array(refusal.utf8)
                unsafe bytes.withUnsafeBytes {
                    unsafe error!.pointee.data.update(
                        from: $0.baseAddress!.assumingMemoryBound(to: CChar.self), count: $0.count)
                }
                unsafe error!.pointee.len = bytes.count
                return nil
            }
            script.created += 1
            return unsafe table!.pointee.data
        }
        unsafe table.pointee.destroy = { unsafe Script.from($0).destroyed += 1 }
        unsafe table.pointee.pick = { me, pool, request, answer in
            unsafe Script.from(me).pick(pool!, request!, answer!)
        }
        unsafe table.pointee.result = { me, _, result in
            unsafe Script.from(me).results.append(
                (result!.pointee.node, result!.pointee.token, result!.pointee.outcome))
        }
        if hasUpdate {
            unsafe table.pointee.update = { me, _, changed in
                unsafe Script.from(me).updates.append(changed)
            }
        }
        if saves {
            unsafe table.pointee.describe = { me, _, sink in
                let block = LentText(capacity: 256)
                unsafe sink!.pointee.write(sink, block.keep("{\"learnt\":"))
                unsafe sink!.pointee.write(sink, block.keep("\"\(Script.from(me).saved)\"}"))
                withExtendedLifetime(block) {}
            }
            unsafe table.pointee.save = { me, sink in
                let block = LentText(capacity: 256)
                unsafe sink!.pointee.write(sink, block.keep(Script.from(me).saved))
                withExtendedLifetime(block) {}
            }
            unsafe table.pointee.load = { me, _, _, state in
                unsafe Script.from(me).loaded.append(foreignText(state, limit: 256))
                return true
            }
        }
        return unsafe table
    }

    func kind(
        name: StaticString = "scripted", hasUpdate: Bool = true, saves: Bool = false
    ) throws -> StrategyKind {
        unsafe try StrategyKind(
            table: UnsafePointer(table(name: name, hasUpdate: hasUpdate, saves: saves)),
            origin: .test)
    }

    private static func from(_ pointer: UnsafeMutableRawPointer?) -> Script {
        unsafe Unmanaged<Script>.fromOpaque(pointer!).takeUnretainedValue()
    }
}

/// A check that answers as a test says.
@safe
final class CheckScript {
    var probe: (UInt32, UnsafeMutablePointer<trivet_probe>) -> Bool = { _, _ in true }
    var judge: (UnsafePointer<trivet_reply>, UnsafeMutablePointer<trivet_verdict>) -> trivet_round =
        {
            _, _ in TRIVET_ROUND_DONE
        }
    var host: UnsafePointer<trivet_host>?

    func kind() throws -> CheckKind {
        let table = UnsafeMutablePointer<trivet_check>.allocate(capacity: 1)
        unsafe table.initialize(to: trivet_check())
        unsafe table.pointee.size = UInt32(MemoryLayout<trivet_check>.size)
        unsafe table.pointee.name = text("scripted")
        unsafe table.pointee.summary = text("answers as a test says")
        unsafe table.pointee.data = Unmanaged.passRetained(self).toOpaque()
        unsafe table.pointee.create = { table, host, _, _ in
            unsafe CheckScript.from(table!.pointee.data).host = host
            return unsafe table!.pointee.data
        }
        unsafe table.pointee.destroy = { _ in }
        unsafe table.pointee.probe = { me, _, step, out in
            unsafe CheckScript.from(me).probe(step, out!)
        }
        unsafe table.pointee.judge = { me, _, reply, out in
            unsafe CheckScript.from(me).judge(reply!, out!)
        }
        return unsafe try CheckKind(table: UnsafePointer(table), origin: .test)
    }

    private static func from(_ pointer: UnsafeMutableRawPointer?) -> CheckScript {
        unsafe Unmanaged<CheckScript>.fromOpaque(pointer!).takeUnretainedValue()
    }
}

extension PluginOrigin {
    static let test = PluginOrigin(file: "test.so", plugin: "test", version: "1")
}

/// Text that lives for ever.
func text(_ words: StaticString) -> trivet_str {
    unsafe trivet_str(
        data: UnsafeRawPointer(words.utf8Start).assumingMemoryBound(to: CChar.self),
        len: words.utf8CodeUnitCount)
}

/// A board in memory of its own, and what works on it.
@safe
final class Ground {
    let memory: UnsafeMutableRawBufferPointer
    let board: Board
    let workers: Int
    let clock = WorkerClock(1_000_000_000)
    let metrics = Metrics()

    init(_ pools: [PoolSpec], workers: Int = 1, capacity: BoardCapacity? = nil) throws {
        self.workers = workers
        let capacity = capacity ?? BoardCapacity(exactly: pools)
        unsafe memory = .allocate(
            byteCount: Board.bytesNeeded(capacity, workers: workers), alignment: 64)
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0)
        board = unsafe try Board(
            memory: memory, pools: pools, workers: workers, adopt: false, capacity: capacity)
    }

    /// One pool of nodes that are all up, with these tiers.
    convenience init(tiers: [UInt32], workers: Int = 1) throws {
        try self.init([.plain(tiers: tiers)], workers: workers)
    }

    deinit { unsafe memory.deallocate() }

    func place(worker: Int = 0, pool: Int = 0) -> InstancePlace {
        InstancePlace(
            board: board, pool: board.pools[pool], worker: worker, clock: clock, metrics: metrics)
    }

    func view(_ scripts: Script..., worker: Int = 0) throws -> TestView {
        var instances: [StrategyInstance] = []
        for (slot, script) in scripts.enumerated() {
            instances.append(
                try script.kind().make(at: place(worker: worker), slot: slot, options: "{}"))
        }
        return TestView(PoolView(at: place(worker: worker), strategies: instances))
    }

    func set(_ node: Int, _ state: NodeState) {
        board.publish(pool: 0, node: node, state: state, reason: "a test says so", since: 1)
    }
}

extension PoolSpec {
    static func plain(name: String = "pool", tiers: [UInt32], hasCheck: Bool = false) -> PoolSpec {
        PoolSpec(
            name: name,
            nodes: tiers.enumerated().map {
                NodeSpec(
                    id: UInt64($0.offset + 1), name: "node\($0.offset + 1)",
                    address: "192.0.2.\($0.offset + 1):80", weight: 10, tier: $0.element)
            }, hasCheck: hasCheck)
    }
}

/// A view that `#expect` can look at, which wants copyable things.
final class TestView {
    let view: PoolView

    init(_ view: consuming PoolView) { self.view = view }

    var readyCount: Int { view.readyCount }
    var anyAlive: Bool { view.anyAlive }
    var generation: UInt32 { view.generation }
    var fallbackPicks: UInt64 { view.fallbackPicks }
    func badAnswers(_ slot: Int) -> UInt64 { view.badAnswers(slot) }
    func refresh(now: UInt64) { view.refresh(now: now) }
    var freePlaces: Int { view.freePlaces }
    var hasLimits: Bool { view.hasLimits }
    var lastPickWasDiverted: Bool { view.lastPickWasDiverted }
    func hasLimit(_ node: UInt32) -> Bool { view.hasLimit(node) }
    func givePlaceBack(_ node: UInt32) { view.givePlaceBack(node) }
    func began(_ node: UInt32) { view.began(node) }
    func ended(_ node: UInt32, _ attempt: AttemptResult) { view.ended(node, attempt) }

    /// A pick with nothing to go by but what was tried.
    func pick(tried: [UInt32] = [], sessionNode: UInt32 = .max) -> PickOutcome {
        let facts = PickFacts(
            method: Span(), target: Span(), authority: Span(), client: Span(), bytes: Span(),
            fields: Span(), tried: tried.span, session: Span(), sessionNode: sessionNode,
            attempt: UInt32(tried.count))
        return view.pick(facts)
    }

    private static func reason(of view: borrowing PoolView) -> String {
        var bytes: [UInt8] = []
        view.withLastReason { span in
            for index in span.indices { bytes.append(span[index]) }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Only the node; nil for an outcome without one.
    func node(tried: [UInt32] = []) -> UInt32? {
        if case .node(let index, _, _) = pick(tried: tried) { index } else { nil }
    }

    var reason: String {
        Self.reason(of: view)
    }
}
