// A health check made in the test itself: what it asks and how it judges are closures behind the same
// C tables that a plugin's file would bring.

import Balance
import Base
import CTrivet
import Synchronization

/// What a check is shown of a reply.
struct SeenReply: Sendable, Equatable {
    var node = ""
    var outcome: UInt32 = 0
    var status: UInt32 = 0
    var step: UInt32 = 0
    var connectNs: UInt64 = 0
    var totalNs: UInt64 = 0
    var body = ""
    var headers: [String] = []
    var detail = ""
}

/// What a test's check asks and says.
struct Script: Sendable {
    struct Question: Sendable {
        var isTCP = false
        var timeoutMs: UInt32?
        var readLimit: UInt32?
        var port: UInt16 = 0
        var flags: UInt32 = 0
        var method: String?
        var target: String?
        var payload = ""
        var headers: [(String, String)] = []
        var readUntil = ""
    }
    struct Answer: Sendable {
        var state: UInt32
        var reason = ""
        var atOnce = false
        var nextMs: UInt32 = 0
        var asksAgain = false
    }
    var ask: @Sendable (_ node: String, _ step: UInt32) -> Question? = { _, _ in Question() }
    /// Up when the status is 200 or a TCP peer was reached, otherwise down.
    var judge: @Sendable (SeenReply) -> Answer = { reply in
        switch (reply.outcome, reply.status) {
        case (TRIVET_OK, 200), (TRIVET_OK, 0): Answer(state: TRIVET_UP, reason: "fine")
        case (TRIVET_OK, 418):
            Answer(state: TRIVET_DRAINING, reason: "answers 418, draining", atOnce: true)
        case (TRIVET_OK, _): Answer(state: TRIVET_DOWN, reason: "answers \(reply.status)")
        default: Answer(state: TRIVET_DOWN, reason: reply.detail)
        }
    }
}

/// The script as a check of one pool; remembers every reply it judged.
@safe
final class ScriptedCheck: @unchecked Sendable {
    private let script: Script
    private let seen = Guarded<[SeenReply]>([])
    private let table: UnsafeMutablePointer<trivet_check>
    // Text lent to the host. Kept for as long as the check lives: that is longer than need be.
    private var lent: [UnsafeMutablePointer<CChar>] = unsafe []
    private var pairs: [UnsafeMutablePointer<trivet_pair>] = unsafe []

    init(_ script: Script) {
        self.script = script
        unsafe table = .allocate(capacity: 1)
        unsafe table.initialize(to: trivet_check())
        unsafe table.pointee.size = UInt32(MemoryLayout<trivet_check>.size)
        unsafe table.pointee.name = lend("scripted")
        unsafe table.pointee.data = Unmanaged.passUnretained(self).toOpaque()
        unsafe table.pointee.create = { table, _, _, _ in
            guard let data = unsafe table?.pointee.data else { return nil }
            let check = unsafe Unmanaged<ScriptedCheck>.fromOpaque(data).takeUnretainedValue()
            return unsafe Unmanaged.passRetained(check).toOpaque()
        }
        unsafe table.pointee.destroy = { pointer in
            guard let pointer = unsafe pointer else { return }
            unsafe Unmanaged<ScriptedCheck>.fromOpaque(pointer).release()
        }
        unsafe table.pointee.probe = { pointer, node, step, probe in
            guard let check = unsafe ScriptedCheck.from(pointer), let node = unsafe node,
                let probe = unsafe probe
            else { return false }
            return unsafe check.ask(text(node.pointee.name), step, &probe.pointee)
        }
        unsafe table.pointee.judge = { pointer, node, reply, verdict in
            guard let check = unsafe ScriptedCheck.from(pointer), let node = unsafe node,
                let reply = unsafe reply, let verdict = unsafe verdict
            else { return TRIVET_ROUND_DONE }
            return unsafe check.judge(
                text(node.pointee.name), reply.pointee, &verdict.pointee)
        }
    }

    deinit {
        unsafe lent.forEach { unsafe $0.deallocate() }
        unsafe pairs.forEach { unsafe $0.deallocate() }
        unsafe table.deallocate()
    }

    var replies: [SeenReply] { seen.withLock { $0 } }

    func instance(_ place: InstancePlace) throws -> CheckInstance {
        let kind = unsafe try CheckKind(
            table: table, origin: PluginOrigin(file: "test", plugin: "test", version: "1"))
        return try kind.make(at: place, options: "{}")
    }

    private static func from(_ pointer: UnsafeMutableRawPointer?) -> ScriptedCheck? {
        guard let pointer = unsafe pointer else { return nil }
        return unsafe Unmanaged<ScriptedCheck>.fromOpaque(pointer).takeUnretainedValue()
    }

    private func lend(_ words: String) -> trivet_str {
        let bytes = Array(words.utf8)
        let copy = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count + 1)
        for (at, byte) in bytes.enumerated() {
            unsafe copy[at] = CChar(bitPattern: byte)
        }
        unsafe lent.append(copy)
        return unsafe trivet_str(data: copy, len: bytes.count)
    }

    private func ask(_ node: String, _ step: UInt32, _ probe: inout trivet_probe) -> Bool {
        guard let question = script.ask(node, step) else { return false }
        unsafe probe.kind = question.isTCP ? TRIVET_PROBE_TCP : TRIVET_PROBE_HTTP
        unsafe probe.flags = question.flags
        unsafe probe.port = question.port
        if let ms = question.timeoutMs { unsafe probe.timeout_ms = ms }
        if let limit = question.readLimit { unsafe probe.read_limit = limit }
        if let method = question.method { unsafe probe.method = lend(method) }
        if let target = question.target { unsafe probe.target = lend(target) }
        unsafe probe.payload = lend(question.payload)
        unsafe probe.read_until = lend(question.readUntil)
        let list = UnsafeMutablePointer<trivet_pair>.allocate(
            capacity: question.headers.count + 1)
        for (at, header) in question.headers.enumerated() {
            unsafe (list + at).initialize(
                to: trivet_pair(key: lend(header.0), value: lend(header.1)))
        }
        unsafe pairs.append(list)
        unsafe probe.headers = UnsafePointer(list)
        unsafe probe.header_count = question.headers.count
        return true
    }

    private func judge(
        _ node: String, _ reply: trivet_reply, _ verdict: inout trivet_verdict
    ) -> trivet_round {
        var copy = SeenReply(node: node)
        copy.outcome = unsafe reply.outcome
        copy.status = unsafe reply.status
        copy.step = unsafe reply.step
        copy.connectNs = unsafe reply.connect_ns
        copy.totalNs = unsafe reply.total_ns
        copy.body = unsafe text(reply.body)
        copy.detail = unsafe text(reply.detail)
        for at in unsafe 0..<reply.header_count {
            guard let headers = unsafe reply.headers else { break }
            copy.headers.append(unsafe "\(text(headers[at].key)): \(text(headers[at].value))")
        }
        seen.withLock { $0.append(copy) }
        let answer = script.judge(copy)
        unsafe verdict.state = answer.state
        unsafe verdict.reason = lend(answer.reason)
        unsafe verdict.at_once = answer.atOnce ? 1 : 0
        unsafe verdict.next_ms = answer.nextMs
        return answer.asksAgain ? TRIVET_ROUND_NEXT : TRIVET_ROUND_DONE
    }
}

private func text(_ words: trivet_str) -> String {
    guard let data = unsafe words.data, unsafe words.len > 0 else { return "" }
    let bytes = unsafe UnsafeRawBufferPointer(start: data, count: words.len)
    return unsafe String(decoding: bytes, as: UTF8.self)
}
