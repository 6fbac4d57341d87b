// The host that the kit lends to an instance: a clock that stands until it is moved, seeded
// randomness, a log and metrics that only count, JSON as Trivet reads it. It also notes what an
// instance asks for where it must not.

import Base
import CTrivet

/// One instance's `trivet_host`; alive until after its `destroy`. One thread.
@safe
final class StageHost {
    let table: UnsafeMutablePointer<trivet_host>
    /// Nanoseconds; moved by the rules alone.
    var now: UInt64 = 3_600_000_000_000
    /// What an instance did that the header forbids, as a sentence about it; the first is kept.
    private(set) var misdeed: String?
    /// A [worker] function is running: `metric` and `json` are not for it.
    var isOnWorker = false

    private var random: SplitMix64
    private var metrics: [String: (handle: UInt32, kind: UInt32)] = [:]
    private var lent: [UnsafeMutablePointer<UInt8>] = unsafe []

    init(seed: UInt64) {
        random = SplitMix64(seed: seed)
        unsafe table = .allocate(capacity: 1)
        unsafe table.initialize(to: trivet_host())
        unsafe table.pointee.size = UInt32(MemoryLayout<trivet_host>.size)
        unsafe table.pointee.abi_minor = TRIVET_ABI_MINOR
        unsafe table.pointee.ctx = Unmanaged.passUnretained(self).toOpaque()
        fill()
    }

    deinit {
        endCall()
        unsafe table.deallocate()
    }

    /// What `json` lent is gone once the instance's call has returned, and looks like it.
    func endCall() {
        guard unsafe !lent.isEmpty else { return }
        for index in unsafe lent.indices { unsafe lent[index].deallocate() }
        unsafe lent.removeAll()
    }

    private func fill() {
        unsafe table.pointee.now = { host in unsafe StageHost.with(host) { $0.now } ?? 0 }
        unsafe table.pointee.random = { host in
            unsafe StageHost.with(host) { $0.random.next() } ?? 0
        }
        unsafe table.pointee.log = { host, _, line in
            // Only looked at: a length that lies is to crash here and not in Trivet.
            _ = unsafe touch(line)
        }
        unsafe table.pointee.metric = { host, kind, name, help in
            unsafe touch(help)
            return unsafe StageHost.with(host) { unsafe $0.metric(kind, name) } ?? 0
        }
        unsafe table.pointee.metric_add = { host, metric, _ in
            unsafe StageHost.with(host) { host in
                if Int(metric) > host.metrics.count {
                    host.note("adds to metric \(metric), which the host never gave out")
                }
            }
        }
        unsafe table.pointee.json = { host, document, pointer in
            unsafe StageHost.with(host) { unsafe $0.json(document, pointer) } ?? trivet_json()
        }
    }

    private static func with<Result>(
        _ host: UnsafePointer<trivet_host>?, _ body: (StageHost) -> Result
    ) -> Result? {
        guard let ctx = unsafe host?.pointee.ctx else { return nil }
        return unsafe Unmanaged<StageHost>.fromOpaque(ctx)._withUnsafeGuaranteedRef { body($0) }
    }

    func note(_ sentence: @autoclosure () -> String) {
        if misdeed == nil { misdeed = sentence() }
    }

    private func metric(_ kind: trivet_metric_kind, _ name: trivet_str) -> trivet_metric {
        if isOnWorker {
            note("registers a metric on the worker, where only adding to one is allowed")
        }
        let name = unsafe String(decoding: foreign(name), as: UTF8.self)
        guard kind <= TRIVET_HISTOGRAM, !name.isEmpty else { return 0 }
        if let known = metrics[name] { return known.kind == kind ? known.handle : 0 }
        let handle = UInt32(metrics.count + 1)
        metrics[name] = (handle, kind)
        return handle
    }

    private func json(_ document: trivet_str, _ pointer: trivet_str) -> trivet_json {
        if isOnWorker { note("reads JSON on the worker, where it has no business to") }
        var answer = unsafe trivet_json()
        let text = unsafe foreign(document)
        switch JSON.find(unsafe foreign(pointer).span, in: text.span) {
        case .missing: unsafe answer.kind = TRIVET_JSON_MISSING
        case .null: unsafe answer.kind = TRIVET_JSON_NULL
        case .bool(let value):
            unsafe answer.kind = TRIVET_JSON_BOOL
            unsafe answer.number = value ? 1 : 0
        case .number(let value):
            unsafe answer.kind = TRIVET_JSON_NUMBER
            unsafe answer.number = value
        case .string(let bytes):
            unsafe answer.kind = TRIVET_JSON_STRING
            unsafe answer.text = lend(bytes)
        case .compound(let range):
            unsafe answer.kind = TRIVET_JSON_COMPOUND
            unsafe answer.text = lend(Array(text[range.indices]))
        }
        return unsafe answer
    }

    private func lend(_ bytes: [UInt8]) -> trivet_str {
        if bytes.isEmpty { return unsafe trivet_str() }
        let block = UnsafeMutablePointer<UInt8>.allocate(capacity: bytes.count)
        for index in bytes.indices { unsafe block[index] = bytes[index] }
        unsafe lent.append(block)
        return unsafe strOf(block, bytes.count)
    }
}

/// A view of bytes that somebody keeps.
func strOf(_ start: UnsafeMutablePointer<UInt8>?, _ count: Int) -> trivet_str {
    let chars = unsafe UnsafeRawPointer(start)?.assumingMemoryBound(to: CChar.self)
    return unsafe trivet_str(data: chars, len: count)
}

/// All bytes of a plugin's text. No limit: what a rule reads, it has judged before.
func foreign(_ text: trivet_str) -> [UInt8] {
    guard let data = unsafe text.data else { return [] }
    return unsafe [UInt8](UnsafeRawBufferPointer(start: data, count: text.len))
}

/// Reads every byte of a plugin's text and makes nothing of them; without allocation.
@discardableResult
func touch(_ text: trivet_str) -> UInt8 {
    guard let data = unsafe text.data else { return 0 }
    var sum: UInt8 = 0
    for index in unsafe 0..<text.len { sum &+= unsafe UInt8(bitPattern: data[index]) }
    return sum
}
