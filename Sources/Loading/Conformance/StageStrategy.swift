// One instance of a strategy on the kit's stage: made, called and destroyed through its C table, with
// room for its sentence that notices who writes past it. What it answers is copied, not judged.

import Balance
import CTrivet

/// Why a rule ends before its end.
enum ConformanceEnd: Error {
    case failed(String)
    case warned(String)
    case skipped(String)
}

/// What a pick said.
struct StagePick: Equatable {
    var decision: UInt32
    var node: UInt32
    var flags: UInt32
    var reason: [UInt8]
    var session: [UInt8]
    /// The plugin's own: the same answer may carry another.
    var token: UInt64

    static func == (a: StagePick, b: StagePick) -> Bool {
        a.decision == b.decision && (a.node == b.node || a.decision != TRIVET_PICKED)
            && a.flags == b.flags && a.reason == b.reason && a.session == b.session
    }
}

/// Room for one sentence, with marked ground behind it.
@safe
final class SentenceRoom {
    private static let mark: UInt8 = 0xC7
    private let block: UnsafeMutablePointer<UInt8>
    private let capacity: Int
    private let behind = 64

    init(capacity: Int = 512) {
        self.capacity = capacity
        unsafe block = .allocate(capacity: capacity + behind)
        unsafe block.initialize(repeating: Self.mark, count: capacity + behind)
    }

    deinit { unsafe block.deallocate() }

    /// What `body` gave, and the sentence it wrote. Ends the rule if it wrote where it must not.
    func hear<Result>(
        _ body: (UnsafeMutablePointer<trivet_error>) -> Result
    ) throws(ConformanceEnd) -> (Result, String) {
        let chars = unsafe UnsafeMutableRawPointer(block).assumingMemoryBound(to: CChar.self)
        var error = unsafe trivet_error(data: chars, capacity: capacity, len: 0)
        let result = unsafe withUnsafeMutablePointer(to: &error) { unsafe body($0) }
        for index in capacity..<(capacity + behind) {
            if unsafe block[index] != Self.mark {
                throw .failed("create writes its sentence past the \(capacity) bytes it was lent")
            }
        }
        let length = unsafe error.len
        if length > capacity {
            throw .failed(
                "create says that its sentence has \(length) bytes, where only \(capacity) were lent"
            )
        }
        let written = unsafe trivet_str(data: chars, len: length)
        return (result, unsafe foreignText(written, limit: capacity))
    }
}

/// One instance. One thread. Destroyed when this goes.
@safe
final class StageStrategy {
    let kind: StrategyKind
    let host: StageHost
    let pool: StagePool
    private let me: UnsafeMutableRawPointer
    private let out: UnsafeMutablePointer<trivet_pick>

    /// Nil with a sentence if it refuses; the sentence may be empty.
    static func make(
        _ kind: StrategyKind, options: String, pool: StagePool, host: StageHost, worker: Int = 0,
        workers: Int = 1, room: Int = 512
    ) throws(ConformanceEnd) -> (StageStrategy?, String) {
        let config = UnsafeMutableRawPointer.allocate(
            byteCount: options.utf8.count + 1, alignment: 1)
        var text = unsafe StageText(config)
        var setup = unsafe trivet_strategy_setup()
        unsafe setup.size = UInt32(MemoryLayout<trivet_strategy_setup>.size)
        unsafe setup.worker = UInt32(worker)
        unsafe setup.worker_count = UInt32(workers)
        unsafe setup.config = text.keep(options)
        unsafe setup.pool = UnsafePointer(pool.raw)
        pool.isBeingCreated = true
        let (made, sentence) = unsafe try SentenceRoom(capacity: room).hear { error in
            unsafe kind.table.pointee.create(kind.table, host.table, &setup, error)
        }
        pool.isBeingCreated = false
        host.endCall()
        // Lent for the call only: gone now, and the pool's memory moves on.
        unsafe config.initializeMemory(
            as: UInt8.self, repeating: 0x5A, count: options.utf8.count + 1)
        unsafe config.deallocate()
        pool.publish()
        guard let made = unsafe made else { return (nil, sentence) }
        return (unsafe StageStrategy(kind, made, host, pool), sentence)
    }

    private init(
        _ kind: StrategyKind, _ me: UnsafeMutableRawPointer, _ host: StageHost, _ pool: StagePool
    ) {
        self.kind = kind
        unsafe self.me = unsafe me
        self.host = host
        self.pool = pool
        unsafe out = .allocate(capacity: 1)
        unsafe out.initialize(to: trivet_pick())
    }

    deinit {
        unsafe kind.table.pointee.destroy(me)
        unsafe out.deallocate()
    }

    /// The bare call; what it said lies in `answer`. No allocation of ours.
    @discardableResult
    func ask(_ request: LentRequest) -> trivet_decision {
        unsafe out.pointee = trivet_pick()
        unsafe out.pointee.node = TRIVET_NO_NODE
        host.isOnWorker = true
        let decision = unsafe kind.table.pointee.pick(
            me, UnsafePointer(pool.raw), UnsafePointer(request.raw), out)
        host.isOnWorker = false
        return decision
    }

    var answer: UnsafePointer<trivet_pick> { unsafe UnsafePointer(out) }

    func pick(_ request: LentRequest) -> StagePick {
        let decision = ask(request)
        return unsafe StagePick(
            decision: decision, node: out.pointee.node, flags: out.pointee.flags,
            reason: foreign(out.pointee.reason), session: foreign(out.pointee.session),
            token: out.pointee.token)
    }

    var canUpdate: Bool { unsafe kind.update != nil }
    var canSave: Bool { unsafe kind.save != nil }

    func update(_ changed: UInt32) {
        host.isOnWorker = true
        unsafe kind.update?(me, UnsafePointer(pool.raw), changed)
        host.isOnWorker = false
    }

    func result(_ result: trivet_result) {
        var result = result
        result.size = UInt32(MemoryLayout<trivet_result>.size)
        host.isOnWorker = true
        unsafe kind.result?(me, UnsafePointer(pool.raw), &result)
        host.isOnWorker = false
    }

    func save() -> [UInt8] {
        unsafe Collector.collect { sink in
            host.isOnWorker = true
            unsafe kind.save?(me, sink)
            host.isOnWorker = false
        }
    }

    /// `version` defaults to what its table says it writes.
    func load(_ state: [UInt8], version: UInt32? = nil) -> Bool {
        guard let load = unsafe kind.load else { return false }
        // Exactly as long as it says, so that a sanitizer sees who reads on.
        let block = UnsafeMutableRawPointer.allocate(byteCount: max(state.count, 1), alignment: 1)
        defer { unsafe block.deallocate() }
        var text = unsafe StageText(block)
        host.isOnWorker = true
        defer { host.isOnWorker = false }
        return unsafe load(
            me, UnsafePointer(pool.raw), version ?? kind.stateVersion, text.keep(state))
    }

    func describe() -> [UInt8] {
        unsafe Collector.collect { sink in
            host.isOnWorker = true
            unsafe kind.describe?(me, UnsafePointer(pool.raw), sink)
            host.isOnWorker = false
        }
    }
}

/// Takes what a plugin writes into a sink.
@safe
final class Collector {
    private var bytes: [UInt8] = []

    static func collect(_ body: (UnsafeMutablePointer<trivet_sink>) -> Void) -> [UInt8] {
        let collector = Collector()
        var sink = unsafe trivet_sink()
        unsafe sink.ctx = Unmanaged.passUnretained(collector).toOpaque()
        unsafe sink.write = { sink, text in
            guard let ctx = unsafe sink?.pointee.ctx else { return }
            unsafe Unmanaged<Collector>.fromOpaque(ctx)._withUnsafeGuaranteedRef {
                unsafe $0.bytes += foreign(text)
            }
        }
        unsafe withUnsafeMutablePointer(to: &sink) { unsafe body($0) }
        return collector.bytes
    }
}
