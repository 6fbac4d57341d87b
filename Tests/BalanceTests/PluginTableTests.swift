// Tables that lie, hosts that are asked for nonsense, and checks that answer it.

import CTrivet
import Testing

@testable import Balance

@Suite("Plugins that lie")
struct PluginTableTests {
    private func expect(
        _ part: String, _ damage: (UnsafeMutablePointer<trivet_strategy>) -> Void
    ) {
        let table = unsafe Script().table()
        unsafe damage(table)
        do {
            _ = unsafe try StrategyKind(table: UnsafePointer(table), origin: .test)
            Issue.record("accepted instead of: \(part)")
        } catch { #expect(error.sentence.contains(part)) }
    }

    @Test("a table that is too small, nameless, or lacks a function is refused, not called")
    func tables() {
        unsafe expect("16 bytes") { unsafe $0.pointee.size = 16 }
        unsafe expect("bytes") { unsafe $0.pointee.size = .max }
        unsafe expect("name") { unsafe $0.pointee.name = trivet_str() }
        unsafe expect("name") { unsafe $0.pointee.name = text("Bad Name") }
        unsafe expect("lacks") { unsafe $0.pointee.pick = nil }
        unsafe expect("lacks") { unsafe $0.pointee.create = nil }
        unsafe expect("lists none") { unsafe $0.pointee.option_count = 3 }
        unsafe expect("options") { unsafe $0.pointee.option_count = 1 << 30 }
        unsafe expect("only one of save and load") { unsafe $0.pointee.save = { _, _ in } }
    }

    @Test("a plugin built against a smaller table still loads, and nothing is read beyond it")
    func olderTables() throws {
        let table = unsafe Script.always(0).table(saves: true)
        let upToPick = try #require(unsafe MemoryLayout<trivet_strategy>.offset(of: \.pick)) + 8
        unsafe table.pointee.size = UInt32(upToPick)
        let kind = unsafe try StrategyKind(table: UnsafePointer(table), origin: .test)
        unsafe #expect(kind.update == nil && kind.result == nil && kind.save == nil)
    }

    @Test("create's refusal reaches the operator in its own words")
    func refusal() throws {
        let ground = try Ground(tiers: [0])
        let script = Script()
        script.refusal = "vnodes must be positive"
        let kind = try script.kind()
        let refusal = #expect(throws: Refusal.self) {
            try kind.make(at: ground.place(), slot: 0, options: "{}")
        }
        #expect(
            refusal?.sentence
                == "pool pool: strategy \"scripted\" refuses: vnodes must be positive")
    }

    @Test("the host gives a plugin its clock, repeatable randomness and metrics, within bounds")
    func host() throws {
        let ground = try Ground(tiers: [0], workers: 2)
        let (one, same) = (Script(), Script())
        let view = try ground.view(one)
        let again = try ground.view(same)
        let host = unsafe try #require(one.host)
        let twin = unsafe try #require(same.host)
        ground.clock.now = 5_000_000_000
        ground.clock.now = 4_000_000_000
        unsafe #expect(host.pointee.now(host) == 5_000_000_000)
        for _ in 0..<10 { unsafe #expect(host.pointee.random(host) == twin.pointee.random(twin)) }
        let counter = unsafe host.pointee.metric(
            host, TRIVET_COUNTER, text("turns_total"), text("t"))
        let twinCounter = unsafe twin.pointee.metric(
            twin, TRIVET_COUNTER, text("turns_total"), text("t"))
        #expect(counter == 1 && twinCounter == 1)
        unsafe host.pointee.metric_add(host, counter, 2)
        unsafe host.pointee.metric_add(host, 0, 9)
        unsafe host.pointee.metric_add(host, 77, 9)
        unsafe twin.pointee.metric_add(twin, twinCounter, 3)
        unsafe #expect(host.pointee.metric(host, TRIVET_GAUGE, text("turns_total"), text("")) == 0)
        unsafe #expect(host.pointee.metric(host, TRIVET_COUNTER, text("bad name"), text("")) == 0)
        unsafe #expect(host.pointee.metric(host, 9, text("kind"), text("")) == 0)
        let sizes = unsafe host.pointee.metric(host, TRIVET_HISTOGRAM, text("sizes"), text(""))
        for value in [0.5, 1, 3, .infinity] { unsafe host.pointee.metric_add(host, sizes, value) }
        let readings = ground.metrics.read()
        #expect(readings.map(\.name) == ["turns_total", "sizes"])
        #expect(readings[0].sum == 5)
        #expect(readings[1].count == 3 && readings[1].sum == 4.5)
        #expect(readings[1].buckets[30] == 1 && readings[1].buckets[31] == 1)
        #expect(readings[1].buckets[33] == 1)
        #expect(view.readyCount == 1 && again.readyCount == 1)
    }

    private func check(_ script: CheckScript) throws -> (Ground, CheckInstance) {
        let ground = try Ground(tiers: [0, 0])
        return (ground, try script.kind().make(at: ground.place(), options: "{}"))
    }

    @Test("a check's question is sent as it is meant, with the node's address where it says none")
    func probes() throws {
        let script = CheckScript()
        unsafe script.probe = { _, probe in
            unsafe probe.pointee.target = text("/ping")
            unsafe probe.pointee.flags = TRIVET_PROBE_CLEAR
            unsafe probe.pointee.read_limit = .max
            unsafe probe.pointee.timeout_ms = .max
            return true
        }
        let (_, instance) = try check(script)
        let plan = try #require(instance.probe(node: 1, step: 0, timeoutMs: 1000))
        #expect(plan.kind == .http && plan.method == "GET" && plan.target == "/ping")
        #expect(plan.authority == "192.0.2.2:80" && plan.security == .clear)
        #expect(plan.readLimit == 1 << 20 && plan.timeoutMs == 60_000)
        unsafe script.probe = { _, _ in false }
        #expect(instance.probe(node: 1, step: 0, timeoutMs: 1000) == nil)
    }

    @Test("a check cannot smuggle a second request into its question")
    func injection() throws {
        let script = CheckScript()
        let (_, instance) = try check(script)
        let damages: [(UnsafeMutablePointer<trivet_probe>) -> Void] = unsafe [
            { unsafe $0.pointee.target = text("/ HTTP/1.1\r\nHost: x\r\n\r\nGET /") },
            { unsafe $0.pointee.method = text("GET /x HTTP/1.1\r\n") },
            { unsafe $0.pointee.authority = text("a\r\nb") },
            { unsafe $0.pointee.target = trivet_str() },
        ]
        for index in 0..<(unsafe damages.count) {
            unsafe script.probe = { _, probe in
                unsafe damages[index](probe)
                return true
            }
            #expect(instance.probe(node: 0, step: 0, timeoutMs: 1000) == nil)
        }
    }

    @Test("a verdict is bounded: states, reasons and metadata of any make do no harm")
    func verdicts() throws {
        let script = CheckScript()
        let (_, instance) = try check(script)
        let pairs = UnsafeMutablePointer<trivet_pair>.allocate(capacity: 40)
        defer { unsafe pairs.deallocate() }
        for index in 0..<40 {
            unsafe (pairs + index).initialize(to: trivet_pair(key: text("k"), value: text("v")))
        }
        unsafe pairs[0].value.len = 300
        unsafe pairs[1].key = trivet_str()
        unsafe script.judge = { _, verdict in
            unsafe verdict.pointee.state = 17
            unsafe verdict.pointee.weight_percent = 4000
            unsafe verdict.pointee.reason = text("line\none \u{7F}")
            unsafe verdict.pointee.metadata = UnsafePointer(pairs)
            unsafe verdict.pointee.metadata_count = 40
            return 12
        }
        let (done, verdict) = instance.judge(node: 0, reply: ProbeReply(outcome: .timedOut))
        #expect(done && verdict.state == .down && verdict.weightPercent == 1000)
        #expect(verdict.reason == "line one  " && verdict.metadata.count == 30)
    }

    @Test("a check that always wants one more answer ends after eight")
    func rounds() throws {
        let script = CheckScript()
        unsafe script.judge = { _, _ in TRIVET_ROUND_NEXT }
        let (_, instance) = try check(script)
        let isDone = (0..<8).map {
            instance.judge(node: 0, reply: ProbeReply(outcome: .ok, step: UInt32($0))).done
        }
        #expect(isDone == [false, false, false, false, false, false, false, true])
    }

    @Test("a check reads the body, the headers and JSON of an answer")
    func replies() throws {
        let script = CheckScript()
        nonisolated(unsafe) var seen: [String] = []
        unsafe script.judge = { reply, verdict in
            let reply = unsafe reply.pointee
            let host = unsafe script.host!
            let version = unsafe host.pointee.json(host, reply.body, text("/Version"))
            let count = unsafe host.pointee.json(host, reply.body, text("/Max"))
            let missing = unsafe host.pointee.json(host, reply.body, text("/No"))
            unsafe seen = [
                foreignText(version.text, limit: 64), "\(count.number)", "\(missing.kind)",
                foreignText(reply.headers[0].key, limit: 64), "\(reply.status)",
            ]
            unsafe verdict.pointee.at_once = 1
            unsafe verdict.pointee.state = TRIVET_DRAINING
            return TRIVET_ROUND_DONE
        }
        let (_, instance) = try check(script)
        let reply = ProbeReply(
            outcome: .ok, status: 418, body: Array("{\"Version\":\"2\\u0041\",\"Max\":5}".utf8),
            headers: [("octopus-node", "one")])
        let verdict = instance.judge(node: 0, reply: reply).verdict
        unsafe #expect(seen == ["2A", "5.0", "0", "octopus-node", "418"])
        #expect(verdict.atOnce && verdict.state == .draining && verdict.weightPercent == nil)
    }

    @Test("a check whose counts and lengths are larger than memory ends no process")
    func endlessAnswers() throws {
        let script = CheckScript()
        let pair = UnsafeMutablePointer<trivet_pair>.allocate(capacity: 32)
        defer { unsafe pair.deallocate() }
        unsafe pair.initialize(
            repeating: trivet_pair(key: text("key"), value: text("value")), count: 32)
        unsafe pair[0].value.len = -1
        unsafe script.probe = { _, probe in
            unsafe probe.pointee.headers = UnsafePointer(pair)
            unsafe probe.pointee.header_count = -1
            return true
        }
        unsafe script.judge = { _, verdict in
            unsafe verdict.pointee.metadata = UnsafePointer(pair)
            unsafe verdict.pointee.metadata_count = .max
            return TRIVET_ROUND_DONE
        }
        let (_, instance) = try check(script)
        #expect(instance.probe(node: 0, step: 0, timeoutMs: 1)?.headers.isEmpty == true)
        let verdict = instance.judge(node: 0, reply: ProbeReply(outcome: .ok)).verdict
        #expect(verdict.metadata.map(\.0) == Array(repeating: "key", count: 31))
    }
}
