// Plugins as strangers: a strategy and a check in this process whose every answer is drawn from the input,
// lengths that lie and pointers that are null included. What the host makes of it is checked. Lengths lie
// only as far as the host may believe them: behind each there are the bytes that it may look at.

import Balance
import Base
import CTrivet
import Synchronization

/// What the plugin of this call draws from. One thread at a time runs targets.
@safe
private enum Hostile {
    // Read and written by C functions that have no other way to it.
    nonisolated(unsafe) static var draws = Draws([])
    /// More than the host may ever want of one text: 2 MiB.
    nonisolated(unsafe) static let block: UnsafeMutablePointer<CChar> = {
        let size = 2 << 20
        let block = UnsafeMutablePointer<CChar>.allocate(capacity: size)
        for index in 0..<size {
            unsafe block[index] = CChar(truncatingIfNeeded: index &* 37 &+ (index >> 8))
        }
        return unsafe block
    }()
    nonisolated(unsafe) static let pairs: UnsafeMutablePointer<trivet_pair> = {
        let pairs = UnsafeMutablePointer<trivet_pair>.allocate(capacity: 512)
        unsafe pairs.initialize(repeating: trivet_pair(), count: 512)
        return unsafe pairs
    }()

    static func number() -> UInt64 {
        let shape = unsafe draws.byte()
        switch shape & 7 {
        case 0: return 0
        case 1, 2: return unsafe UInt64(draws.byte())
        case 3: return unsafe draws.number(bytes: 2)
        case 4: return unsafe draws.number(bytes: 4)
        case 5: return unsafe draws.number(bytes: 8)
        case 6: return UInt64.max - UInt64(shape >> 3)
        default: return 1 << (31 + UInt64(shape >> 3))
        }
    }

    /// Text: null, of any length over the block, or bytes of the input's own in front of it.
    static func text() -> trivet_str {
        let length = Int(truncatingIfNeeded: number())
        let shape = unsafe draws.byte()
        if shape & 3 == 0 { return unsafe trivet_str(data: nil, len: length) }
        if shape & 3 == 1 {
            let bytes = unsafe draws.text()
            // No byte more than it says: a sanitizer sees what reads beyond.
            let copy = UnsafeMutablePointer<CChar>.allocate(capacity: max(bytes.count, 1))
            for (at, byte) in bytes.enumerated() {
                unsafe copy[at] = CChar(bitPattern: byte)
            }
            unsafe kept.append(copy)
            return unsafe trivet_str(data: copy, len: bytes.count)
        }
        return unsafe trivet_str(data: block, len: length)
    }
    nonisolated(unsafe) static var kept: [UnsafeMutablePointer<CChar>] = unsafe []

    /// Pairs: as many are there as the host may look at.
    static func list() -> (UnsafePointer<trivet_pair>?, Int) {
        let count = Int(truncatingIfNeeded: number())
        let shape = unsafe draws.byte()
        if shape & 7 == 0 { return (nil, count) }
        for index in 0..<Int(shape & 3) {
            unsafe pairs[index] = trivet_pair(key: text(), value: text())
        }
        return unsafe (UnsafePointer(pairs), count)
    }

    static func begin(_ bytes: [UInt8]) {
        unsafe draws = Draws(bytes)
        for index in 0..<4 { unsafe pairs[index] = trivet_pair() }
    }

    static func end() {
        while let copy = unsafe kept.popLast() { unsafe copy.deallocate() }
    }
}

@safe
private func lasting(_ words: StaticString) -> trivet_str {
    unsafe trivet_str(
        data: UnsafeRawPointer(words.utf8Start).assumingMemoryBound(to: CChar.self),
        len: words.utf8CodeUnitCount)
}

private let strategy: StrategyKind? = {
    let table = UnsafeMutablePointer<trivet_strategy>.allocate(capacity: 1)
    unsafe table.initialize(to: trivet_strategy())
    unsafe table.pointee.size = UInt32(MemoryLayout<trivet_strategy>.size)
    unsafe table.pointee.name = lasting("hostile")
    unsafe table.pointee.create = { table, _, _, _ in
        unsafe UnsafeMutableRawPointer(mutating: table)
    }
    unsafe table.pointee.destroy = { _ in }
    unsafe table.pointee.pick = { _, pool, request, answer in
        let decision = unsafe Hostile.draws.byte()
        unsafe answer!.pointee.node = UInt32(truncatingIfNeeded: Hostile.number())
        unsafe answer!.pointee.flags = UInt32(Hostile.draws.byte())
        unsafe answer!.pointee.token = Hostile.number()
        unsafe answer!.pointee.reason = Hostile.text()
        unsafe answer!.pointee.session = Hostile.text()
        if decision & 0x80 != 0 {
            var value = unsafe trivet_str()
            let number = UInt32(truncatingIfNeeded: Hostile.number())
            _ = unsafe request!.pointee.header(request, Hostile.text(), number, &value)
        }
        return UInt32(decision & 3)
    }
    unsafe table.pointee.describe = { _, _, sink in
        for _ in unsafe 0..<Int(Hostile.draws.byte() & 7) {
            unsafe sink!.pointee.write(sink, Hostile.text())
        }
    }
    unsafe table.pointee.save = { _, sink in
        for _ in unsafe 0..<Int(Hostile.draws.byte() & 7) {
            unsafe sink!.pointee.write(sink, Hostile.text())
        }
    }
    unsafe table.pointee.load = { _, _, _, _ in unsafe Hostile.draws.byte() & 1 == 1 }
    return unsafe try? StrategyKind(
        table: UnsafePointer(table),
        origin: PluginOrigin(file: "hostile.so", plugin: "hostile", version: "1"))
}()

private let check: CheckKind? = {
    let table = UnsafeMutablePointer<trivet_check>.allocate(capacity: 1)
    unsafe table.initialize(to: trivet_check())
    unsafe table.pointee.size = UInt32(MemoryLayout<trivet_check>.size)
    unsafe table.pointee.name = lasting("hostile")
    unsafe table.pointee.create = { table, host, _, _ in
        // What it may ask of the host while it is made.
        unsafe host!.pointee.log(host, UInt32(Hostile.draws.byte()), Hostile.text())
        let metric = unsafe host!.pointee.metric(
            host, UInt32(Hostile.draws.byte()), Hostile.text(), Hostile.text())
        unsafe host!.pointee.metric_add(
            host, metric &+ UInt32(Hostile.draws.byte()), Double(bitPattern: Hostile.number()))
        return unsafe UnsafeMutableRawPointer(mutating: table)
    }
    unsafe table.pointee.destroy = { _ in }
    unsafe table.pointee.probe = { _, _, _, out in
        unsafe out!.pointee.kind = UInt32(truncatingIfNeeded: Hostile.number())
        unsafe out!.pointee.flags = UInt32(Hostile.draws.byte())
        unsafe out!.pointee.timeout_ms = UInt32(truncatingIfNeeded: Hostile.number())
        unsafe out!.pointee.read_limit = UInt32(truncatingIfNeeded: Hostile.number())
        unsafe out!.pointee.port = UInt16(truncatingIfNeeded: Hostile.number())
        let changed = unsafe Hostile.draws.byte()
        if changed & 1 != 0 { unsafe out!.pointee.method = Hostile.text() }
        if changed & 2 != 0 { unsafe out!.pointee.target = Hostile.text() }
        if changed & 4 != 0 { unsafe out!.pointee.authority = Hostile.text() }
        if changed & 8 != 0 { unsafe out!.pointee.payload = Hostile.text() }
        if changed & 16 != 0 { unsafe out!.pointee.read_until = Hostile.text() }
        let (pairs, count) = unsafe Hostile.list()
        unsafe out!.pointee.headers = pairs
        unsafe out!.pointee.header_count = count
        return unsafe Hostile.draws.byte() & 7 != 7
    }
    unsafe table.pointee.judge = { _, _, _, out in
        unsafe out!.pointee.state = UInt32(truncatingIfNeeded: Hostile.number())
        unsafe out!.pointee.weight_percent = UInt32(truncatingIfNeeded: Hostile.number())
        unsafe out!.pointee.at_once = UInt32(Hostile.draws.byte() & 1)
        unsafe out!.pointee.next_ms = UInt32(truncatingIfNeeded: Hostile.number())
        let (pairs, count) = unsafe Hostile.list()
        unsafe out!.pointee.metadata = pairs
        unsafe out!.pointee.metadata_count = UInt32(truncatingIfNeeded: count)
        unsafe out!.pointee.reason = Hostile.text()
        return unsafe UInt32(Hostile.draws.byte())
    }
    return unsafe try? CheckKind(
        table: UnsafePointer(table),
        origin: PluginOrigin(file: "hostile.so", plugin: "hostile", version: "1"))
}()

/// A board of three nodes of which one is down and one drains, and what works on it.
@safe
private final class Ground {
    let memory: UnsafeMutableRawBufferPointer
    let board: Board
    let clock = WorkerClock(1_000_000_000)

    init() throws {
        let pools = [
            PoolSpec(
                name: "pool",
                nodes: (1...4).map {
                    NodeSpec(id: $0, name: "n\($0)", address: "192.0.2.\($0):80", weight: 10)
                }, hasCheck: false)
        ]
        unsafe memory = .allocate(
            byteCount: Board.bytesNeeded(pools: pools, workers: 1), alignment: 64)
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0)
        board = unsafe try Board(memory: memory, pools: pools, workers: 1, adopt: false)
    }

    deinit { unsafe memory.deallocate() }

    var place: InstancePlace {
        InstancePlace(
            board: board, pool: board.pools[0], worker: 0, clock: clock, metrics: Metrics())
    }

    func set(_ node: Int, _ state: NodeState) {
        board.publish(pool: 0, node: node, state: state, reason: "so it is", since: 1)
    }
}

func answerAsStrategy(_ bytes: [UInt8]) throws(Finding) {
    Hostile.begin(bytes)
    defer { Hostile.end() }
    guard let strategy, let ground = try? Ground() else { throw Finding("no ground to stand on") }
    ground.set(2, .draining)
    ground.set(3, .down)
    guard let first = try? strategy.make(at: ground.place, slot: 0, options: "{}"),
        let second = try? strategy.make(at: ground.place, slot: 1, options: "{}")
    else { throw Finding("not made") }
    let view = PoolView(at: ground.place, strategies: [first, second])
    view.refresh(now: 1)
    let message = Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
    let fields = [FieldRange(name: ByteRange(16, 20), value: ByteRange(22, 23))]
    var tried: [UInt32] = []
    for attempt: UInt32 in 0..<3 {
        let before = tried
        let facts = PickFacts(
            method: Span(), target: Span(), authority: Span(), client: Span(), bytes: message.span,
            fields: fields.span, tried: before.span, session: Span(), sessionNode: .max,
            attempt: attempt)
        let outcome = view.pick(facts)
        var kept = (reason: 0, session: 0)
        view.withLastReason { kept.reason = $0.count }
        view.withLastSession { kept.session = $0.count }
        try expect(kept.reason <= PoolView.reasonLimit, "a long reason")
        try expect(kept.session <= PoolView.sessionLimit, "a long session")
        switch outcome {
        case .node(let node, _, _):
            try expect(node < 2, "node \(node), which takes no new request, is picked")
            view.began(node)
            tried.append(node)
        case .refused: break
        default: throw Finding("two nodes are up, and none is picked: \(outcome)")
        }
    }
    if let text = view.describe(0) { try expect(text.utf8.count <= 3 * 64 * 1024, "a long text") }
    guard let third = try? strategy.make(at: ground.place, slot: 0, options: "{}") else { return }
    let next = PoolView(at: ground.place, strategies: [third, second])
    _ = next.inherit(from: view)
}

func answerAsCheck(_ bytes: [UInt8]) throws(Finding) {
    Hostile.begin(bytes)
    defer { Hostile.end() }
    guard let check, let ground = try? Ground(),
        let instance = try? check.make(at: ground.place, options: "{}")
    else { throw Finding("no ground to stand on") }
    if let plan = instance.probe(node: 0, step: 0, timeoutMs: 1000) {
        try expect(plan.fault == nil, "a question that cannot be sent is sent")
        try expect(plan.readLimit <= ProbePlan.readCeiling, "reads \(plan.readLimit) bytes")
        try expect(plan.timeoutMs <= 60_000, "waits for \(plan.timeoutMs) ms")
        try expect(plan.headers.count <= 32, "\(plan.headers.count) headers")
    }
    let reply = ProbeReply(
        outcome: .ok, status: 200, step: 7, body: Array("{}".utf8), headers: [("a", "b")])
    let (isDone, verdict) = instance.judge(node: 0, reply: reply)
    try expect(isDone, "a round without end")
    try expect(verdict.reason.utf8.count <= 127, "a reason of \(verdict.reason.utf8.count) bytes")
    let limit = CheckInstance.metadataLimit
    try expect(verdict.metadata.count <= limit.count, "\(verdict.metadata.count) pairs")
    for (key, value) in verdict.metadata {
        try expect(
            key.utf8.count <= limit.bytes && value.utf8.count <= limit.bytes, "a long pair")
    }
    try expect((verdict.weightPercent ?? 0) <= 1000, "a weight of \(verdict.weightPercent ?? 0) %")
    ground.board.publish(
        pool: 0, node: 0, state: verdict.state, reason: verdict.reason, since: 1)
}
