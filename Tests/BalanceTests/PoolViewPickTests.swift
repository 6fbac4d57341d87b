// Picks: what strategies may say, and what the host makes of it.

import Base
import CTrivet
import Testing

@testable import Balance

@Suite("Which node gets a request")
struct PoolViewPickTests {
    @Test("a strategy that names a node that does not exist, or is down, loses nobody's request")
    func badAnswers() throws {
        let ground = try Ground(tiers: [0, 0, 0])
        ground.set(1, .down)
        for (node, bad) in [(99, 4), (TRIVET_NO_NODE, 4), (1, 4), (0, 0)] as [(UInt32, UInt64)] {
            let view = try ground.view(Script.always(node))
            for _ in 0..<4 {
                let picked = try #require(view.node())
                #expect(picked == 0 || picked == 2)
            }
            #expect(view.badAnswers(0) == bad)
            #expect(view.fallbackPicks == bad)
        }
        // For whoever asks from outside: by pool, over all views.
        #expect(ground.metrics.fallbackPicks(pool: ground.place().spec.name) == 12)
        #expect(ground.metrics.fallbackPicks(pool: "another") == 0)
    }

    @Test("a retry goes to a node that was not tried, whatever the strategy says")
    func triedNodes() throws {
        let ground = try Ground(tiers: [0, 0, 0])
        let view = try ground.view(Script.always(1))
        #expect(view.node() == 1)
        let second = try #require(view.node(tried: [1]))
        #expect(second != 1)
        #expect(view.badAnswers(0) == 1)
        #expect(view.node(tried: [0, 2]) == 1)
        // All were tried: trying again is all that is left, and the strategy's word is good.
        #expect(view.node(tried: [0, 1, 2]) == 1)
        #expect(view.badAnswers(0) == 1)
    }

    @Test("a retry that has used up the best tier goes to a backup")
    func retryReachesBackup() throws {
        let ground = try Ground(tiers: [0, 1, 2])
        let view = try ground.view(Script.roundRobin())
        #expect(view.node() == 0)
        #expect(view.node(tried: [0]) == 1)
        #expect(view.node(tried: [0, 1]) == 2)
        #expect(view.node(tried: [0, 1, 2]) == 0)
        #expect(view.badAnswers(0) == 0)
    }

    @Test("a draining node gets no new request, but keeps the client whose session names it")
    func drainingNodes() throws {
        let ground = try Ground(tiers: [0, 0])
        ground.set(0, .draining)
        let view = try ground.view(Script.always(0))
        #expect(view.node() == 1)
        #expect(view.badAnswers(0) == 1)
        #expect(view.pick(sessionNode: 0) == .node(index: 0, token: 0, strategy: 0))
    }

    @Test("if all nodes drain they serve on; if all are down there is nobody")
    func allDraining() throws {
        let ground = try Ground(tiers: [0, 0, 1])
        for node in 0..<3 { ground.set(node, .draining) }
        let view = try ground.view(Script.always(1))
        #expect(view.readyCount == 2)
        #expect(view.pick() == .node(index: 1, token: 0, strategy: 0))
        ground.set(0, .down)
        ground.set(1, .down)
        view.refresh(now: 1)
        #expect(view.readyCount == 1)
        #expect(view.node() == 2)
        ground.set(2, .down)
        view.refresh(now: 2)
        #expect(view.pick() == .noneAlive)
        #expect(!view.anyAlive)
    }

    @Test("backups serve when the first tier is gone, and step back when it returns")
    func tiers() throws {
        let ground = try Ground(tiers: [0, 1, 1])
        let view = try ground.view()
        #expect(view.readyCount == 1 && view.node() == 0)
        ground.set(0, .down)
        view.refresh(now: 1)
        #expect(Set([view.node(), view.node()]) == [1, 2])
        ground.set(0, .degraded)
        view.refresh(now: 2)
        #expect(view.node() == 0)
    }

    @Test("without a strategy that decides, requests are spread evenly over nodes that take some")
    func fallback() throws {
        let ground = try Ground(tiers: [0, 0, 0, 0])
        ground.board.publish(pool: 0, node: 3, state: .up, weightPercent: 0, since: 1)
        let view = try ground.view(Script(), Script())
        var counts = [0, 0, 0, 0]
        for _ in 0..<300 { counts[Int(try #require(view.node()))] += 1 }
        #expect(counts == [100, 100, 100, 0])
        #expect(view.node(tried: [0, 1, 2]) == 3)
    }

    @Test("the first strategy that does not pass decides")
    func composition() throws {
        let ground = try Ground(tiers: [0, 0])
        let (first, second) = (Script(), Script.always(1, token: 7))
        let view = try ground.view(first, second)
        #expect(view.pick() == .node(index: 1, token: 7, strategy: 1))
        unsafe first.pick = { _, _, _ in 99 }
        #expect(view.pick() == .node(index: 1, token: 7, strategy: 1))
        unsafe first.pick = { _, _, _ in TRIVET_REFUSE }
        #expect(view.pick() == .refused)
    }

    @Test("workers take turns together, and no turn is lost or doubled")
    func tickets() throws {
        let ground = try Ground(tiers: [0, 0, 0], workers: 2)
        let one = try ground.view(Script.roundRobin(), worker: 0)
        let other = try ground.view(Script.roundRobin(), worker: 1)
        var counts = [0, 0, 0]
        for _ in 0..<150 {
            counts[Int(try #require(one.node()))] += 1
            counts[Int(try #require(other.node()))] += 1
        }
        #expect(counts == [100, 100, 100])
    }

    @Test("a strategy finds the n-th header of a name in any case, and nothing beyond the request")
    func headers() throws {
        let ground = try Ground(tiers: [0])
        let script = Script()
        nonisolated(unsafe) var found: [String?] = []
        unsafe script.pick = { _, request, _ in
            for (name, n) in [("x-key", 0), ("X-KEY", 1), ("x-key", 2), ("x-kez", 0), ("", 0)] {
                let block = LentText(capacity: 16)
                var value = unsafe trivet_str()
                let isThere = unsafe request.pointee.header(
                    request, block.keep(name), UInt32(n), &value)
                unsafe found.append(isThere ? foreignText(value, limit: 64) : nil)
            }
            return TRIVET_PASS
        }
        let view = try ground.view(script)
        let bytes = Array("X-Key: one\r\nx-kEY: two\r\n".utf8)
        let fields = [
            FieldRange(name: ByteRange(0, 5), value: ByteRange(7, 10)),
            FieldRange(name: ByteRange(12, 17), value: ByteRange(19, 22)),
            FieldRange(name: ByteRange(12, 17), value: ByteRange(19, 200)),
        ]
        let facts = PickFacts(
            method: Span(), target: Span(), authority: Span(), client: Span(), bytes: bytes.span,
            fields: fields.span, tried: Span())
        _ = view.view.pick(facts)
        unsafe #expect(found == ["one", "two", nil, nil, nil])
    }

    @Test("a strategy sees the request as it came")
    func requestFacts() throws {
        let ground = try Ground(tiers: [0])
        let script = Script()
        nonisolated(unsafe) var seen: [String] = []
        unsafe script.pick = { pool, request, _ in
            let request = unsafe request.pointee
            let fields = unsafe [
                request.method, request.target, request.authority, request.client,
                request.session, pool.pointee.name, pool.pointee.nodes[0].address,
            ]
            for index in 0..<(unsafe fields.count) {
                unsafe seen.append(foreignText(fields[index], limit: 64))
            }
            unsafe seen.append("\(request.attempt) \(request.tried_count) \(request.tried[0])")
            unsafe seen.append("\(request.session_node == TRIVET_NO_NODE) \(request.flags)")
            return TRIVET_PASS
        }
        let view = try ground.view(script)
        let (method, target) = (Array("GET".utf8), Array("/a?b".utf8))
        let (authority, client) = (Array("example.com".utf8), Array("192.0.2.9".utf8))
        let tried: [UInt32] = [5]
        let facts = PickFacts(
            method: method.span, target: target.span, authority: authority.span,
            client: client.span, bytes: Span(), fields: Span(), tried: tried.span, attempt: 1,
            flags: PickFacts.tls)
        _ = view.view.pick(facts)
        unsafe #expect(
            seen == [
                "GET", "/a?b", "example.com", "192.0.2.9", "", "pool", "192.0.2.1:80", "1 1 5",
                "true 1",
            ])
    }

    @Test("the reason of a pick is kept for the access log, and cut at 64 bytes")
    func reasons() throws {
        let ground = try Ground(tiers: [0])
        let script = Script.always(0)
        let view = try ground.view(script)
        unsafe script.pick = { _, _, answer in
            unsafe answer.pointee.node = 0
            unsafe answer.pointee.reason = text("less busy of two")
            return TRIVET_PICKED
        }
        _ = view.pick()
        #expect(view.reason == "less busy of two")
        unsafe script.pick = { _, _, answer in
            unsafe answer.pointee.reason = text(
                "a reason so long that nobody who reads an access log would ever want all of it")
            return TRIVET_REFUSE
        }
        _ = view.pick()
        #expect(view.reason.utf8.count == 64)
        unsafe script.pick = { _, _, _ in TRIVET_PASS }
        _ = view.pick()
        #expect(view.reason == "")
    }

    @Test("a reason that claims to be longer than memory ends no process")
    func endlessReason() throws {
        let ground = try Ground(tiers: [0])
        let script = Script()
        unsafe script.pick = { _, _, answer in
            unsafe answer.pointee.node = 0
            unsafe answer.pointee.reason = text("why")
            unsafe answer.pointee.reason.len = -1
            return TRIVET_PICKED
        }
        let view = try ground.view(script)
        #expect(view.pick() == .node(index: 0, token: 0, strategy: 0))
        #expect(view.reason == "")
    }
}
