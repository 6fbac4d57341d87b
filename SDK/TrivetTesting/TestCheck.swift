// Drives one instance of a health check the way Trivet does, through the same C tables: what it asks,
// and what it makes of an answer.

import CTrivet
import TrivetPlugin

/// What a check asks a node.
public struct Asked: Equatable, Sendable {
    /// One HTTP exchange; else TCP.
    public var isHTTP: Bool
    /// Of HTTP.
    public var method: String
    /// Path and query, of HTTP.
    public var target: String
    /// "name: value", of HTTP.
    public var headers: [String]
    /// The body, or what a TCP peer is sent.
    public var payload: String
    /// Milliseconds for the whole exchange.
    public var timeout: Int
}

/// One instance of a health check.
///
/// ```swift
/// let check = try TestCheck(Queue.self)
/// #expect(check.judge(status: 200, body: #"{"depth": 3}"#)?.state == .up)
/// ```
@safe
public final class TestCheck {
    private let table: UnsafePointer<trivet_check>
    private let me: UnsafeMutableRawPointer
    private var lent = Lent()
    /// What it is given by Trivet.
    public let host = TestHost()
    /// The node that it is asked about.
    public var node = TestPool.Node("node1")

    /// Makes an instance, or throws what it refuses with.
    ///
    /// - Parameters:
    ///   - plugin: the type that is exported.
    ///   - name: which of its checks; the first unless told.
    ///   - options: its block of the configuration, as JSON.
    public init(
        _ plugin: any Plugin.Type, _ name: String? = nil, options: String = "{}"
    ) throws(Refusal) {
        let file = TestHost()
        let all = unsafe try refusing { unsafe plugin.export(UnsafePointer(file.raw), $0) }
        var index = 0
        while let table = unsafe all.pointee.checks[index] {
            if let name, unsafe text(table.pointee.name) != name {
                index += 1
                continue
            }
            let host = self.host
            let lent = Lent()
            var setup = unsafe trivet_check_setup()
            unsafe setup.size = UInt32(MemoryLayout<trivet_check_setup>.size)
            unsafe setup.config = lent.str(options)
            unsafe setup.pool = lent.str("test")
            unsafe self.table = table
            unsafe me = try refusing { unsafe table.pointee.create(table, host.raw, &setup, $0) }
            return
        }
        throw Refusal("the plugin offers no check \(name ?? "at all")")
    }

    deinit { unsafe table.pointee.destroy(me) }

    private func rawNode() -> trivet_node {
        unsafe trivet_node(
            id: TestPool.id(node.name), name: lent.str(node.name),
            address: lent.str("127.0.0.1:1"), state: node.state.rawValue, weight: node.weight,
            tier: node.tier, metadata_count: UInt32(node.metadata.count),
            metadata: lent.pairs(node.metadata.sorted { $0.0 < $1.0 }))
    }

    /// What it asks; nil if nothing. `step` counts the questions of one round.
    public func probe(step: Int = 0) -> Asked? {
        lent = Lent()
        var node = unsafe rawNode()
        var probe = unsafe trivet_probe()
        unsafe probe.size = UInt32(MemoryLayout<trivet_probe>.size)
        unsafe probe.timeout_ms = 1000
        unsafe probe.read_limit = 65_536
        unsafe probe.method = lent.str("GET")
        unsafe probe.target = lent.str("/")
        unsafe probe.authority = lent.str("127.0.0.1:1")
        guard unsafe table.pointee.probe(me, &node, UInt32(step), &probe) else { return nil }
        return unsafe Asked(
            isHTTP: probe.kind == TRIVET_PROBE_HTTP, method: text(probe.method),
            target: text(probe.target),
            headers: (0..<probe.header_count).map {
                unsafe "\(text(probe.headers[$0].key)): \(text(probe.headers[$0].value))"
            }, payload: text(probe.payload), timeout: Int(probe.timeout_ms))
    }

    /// What it makes of an answer; nil if it wants to ask again.
    ///
    /// - Parameters:
    ///   - headers: names in lower case.
    ///   - outcome: other than `.answered`: none came, and `detail` says why in Trivet's words.
    public func judge(
        status: Int = 0, body: String = "", headers: [(String, String)] = [],
        outcome: Outcome = .answered, detail: String = "", step: Int = 0
    ) -> Verdict? {
        lent = Lent()
        var node = unsafe rawNode()
        var reply = unsafe trivet_reply()
        unsafe reply.size = UInt32(MemoryLayout<trivet_reply>.size)
        unsafe reply.outcome = outcome.rawValue
        unsafe reply.status = UInt32(status)
        unsafe reply.step = UInt32(step)
        unsafe reply.body = lent.str(body)
        unsafe reply.headers = lent.pairs(headers)
        unsafe reply.header_count = headers.count
        unsafe reply.detail = lent.str(detail)
        var verdict = unsafe trivet_verdict()
        unsafe verdict.size = UInt32(MemoryLayout<trivet_verdict>.size)
        unsafe verdict.state = TRIVET_UP
        unsafe verdict.weight_percent = TRIVET_KEEP
        guard unsafe table.pointee.judge(me, &node, &reply, &verdict) == TRIVET_ROUND_DONE else {
            return nil
        }
        let weight = unsafe verdict.weight_percent
        return unsafe Verdict(
            NodeState(rawValue: verdict.state) ?? .down, because: text(verdict.reason),
            weight: weight == TRIVET_KEEP ? nil : Int(weight), atOnce: verdict.at_once != 0,
            next: verdict.next_ms == 0 ? nil : Int(verdict.next_ms),
            metadata: (0..<Int(verdict.metadata_count)).map {
                unsafe (text(verdict.metadata[$0].key), text(verdict.metadata[$0].value))
            })
    }
}
