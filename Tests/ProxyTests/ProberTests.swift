// What an operator relies on: nodes known before the first request, states that follow rise and fall,
// a drain at once, one line for each change, and no node that can harm the prober.

import Balance
import Base
import CTrivet
import Net
import Proxy
import Synchronization
import Testing

@Suite struct ProberTests {
    @Test func allNodesAreKnownBeforeTheFirstRequest() throws {
        let good = try TinyServer.answering(TinyServer.response(200))
        let draining = try TinyServer.answering(TinyServer.response(418))
        defer {
            good.end()
            draining.end()
        }
        let dead = try TinyServer.deadAddress()
        let probing = try Probing(
            "known", nodes: [[good.address], [draining.address], [dead]], interval: 60_000)
        #expect(probing.states() == [.down, .down, .down])
        let replies = try probing.firstReplies()
        #expect(probing.states() == [.up, .draining, .down])
        #expect(replies.count == 3)
        #expect(replies.first { $0.node == "node3" }?.detail == "connection refused")
        #expect(replies.first { $0.node == "node3" }?.outcome == TRIVET_CONNECT_FAILED)
        #expect(replies.first { $0.node == "node1" }?.connectNs != 0)
        #expect(
            Lines.about("node known/").sorted() == [
                "info  node known/node1: down -> up: fine",
                "info  node known/node2: down -> draining: answers 418, draining",
                "warn  node known/node3: down: connection refused",
            ])
    }

    @Test func riseAndFallAreCountedAndEachChangeIsOneLine() throws {
        let status = Atomic<Int>(200)
        let server = try TinyServer { connection in
            connection.read()
            connection.send(TinyServer.response(status.load(ordering: .acquiring)))
        }
        defer { server.end() }
        let changes = Guarded<[(NodeState, Int)]>([])
        let probing = try Probing("swing", nodes: [[server.address]], rise: 2, fall: 3) {
            board, check in
            let state = board.snapshot()[0].state
            let count = check?.replies.count ?? 0
            changes.withLock { $0.append((state, count)) }
        }
        _ = try probing.firstReplies()
        #expect(probing.states() == [.up])
        status.store(500, ordering: .releasing)
        #expect(probing.gate.await { probing.states() == [.down] })
        status.store(200, ordering: .releasing)
        #expect(probing.gate.await { probing.states() == [.up] })
        probing.prober.stop()

        let seen = probing.check?.replies ?? []
        let (fell, rose) = changes.withLock { ($0[1].1, $0[2].1) }
        let firstBad = try #require(seen.firstIndex { $0.status == 500 })
        #expect(fell == firstBad + 3)
        let firstGood = try #require(seen[firstBad...].firstIndex { $0.status == 200 })
        #expect(rose == firstGood + 2)
        #expect(
            Lines.about("node swing/") == [
                "info  node swing/node1: down -> up: fine",
                "warn  node swing/node1: up -> down: answers 500",
                "info  node swing/node1: down -> up: fine",
            ])
    }

    @Test func aNodeThatDrainsIsDrainingAfterOneAnswer() throws {
        let server = try TinyServer { connection in
            connection.read()
            connection.send(TinyServer.response(connection.number == 0 ? 200 : 418))
        }
        defer { server.end() }
        let probing = try Probing("drains", nodes: [[server.address]], fall: 100)
        _ = try probing.firstReplies()
        #expect(probing.gate.await { probing.states() == [.draining] })
        #expect(
            Lines.about("node drains/").last
                == "info  node drains/node1: up -> draining: answers 418, draining")
    }

    @Test func theNextAddressOfANameIsTried() throws {
        let server = try TinyServer.answering(TinyServer.response(200))
        defer { server.end() }
        let dead = try TinyServer.deadAddress()
        let probing = try Probing("turns", nodes: [[dead, server.address]], interval: 60_000)
        _ = try probing.firstReplies()
        #expect(probing.states() == [.up])
    }

    @Test func anAddressThatSwallowsConnectionsLeavesTimeForTheNext() throws {
        let swallow = try Swallowing()
        let server = try TinyServer.answering(TinyServer.response(200))
        defer { server.end() }
        let probing = try Probing(
            "swallowed", nodes: [[swallow.address, server.address], [swallow.address]],
            interval: 60_000, timeoutMs: 600)
        let replies = try probing.firstReplies()
        #expect(probing.states() == [.up, .down])
        let lost = try #require(replies.first { $0.node == "node2" })
        #expect(lost.outcome == TRIVET_TIMED_OUT)
        #expect(lost.detail == "no connection within 600 ms")
    }

    @Test func aNameThatIsNotThereYetIsWaitedForAndAFailingOneIsSaid() throws {
        let server = try TinyServer.answering(TinyServer.response(200))
        defer { server.end() }
        let probing = try Probing("named", nodes: [[], []], interval: 60_000)
        try probing.prober.start()
        #expect(!probing.prober.awaitFirstRound(timeout: 1_000_000))
        probing.book.publish([server.address], node: 0)
        probing.book.publish(failure: "name or service not known", node: 1)
        probing.prober.addressesChanged()
        #expect(probing.prober.awaitFirstRound(timeout: 10_000_000_000))
        #expect(probing.states() == [.up, .down])
        #expect(
            probing.check?.replies.first { $0.node == "node2" }?.detail
                == "the name could not be resolved: name or service not known")
    }

    @Test func aNameFromTheConfigurationIsResolvedAndProbed() throws {
        let server = try TinyServer.answering(TinyServer.response(200))
        defer { server.end() }
        let probing = try Probing("resolved", nodes: [[], []], interval: 60_000)
        let prober = probing.prober
        let names = try NodeNames(
            nodes: [
                (0, .name("localhost", port: server.port)),
                (1, .ip(.v4Loopback, port: server.port)),
            ], book: probing.book, changed: { prober.addressesChanged() })
        try names.start()
        defer { names.stop() }
        _ = try probing.firstReplies()
        #expect(probing.states() == [.up, .up])
    }

    @Test func whatWasKnownBeforeACrashHoldsUntilItIsDisproved() throws {
        let silent = try TinyServer { $0.awaitEnd() }
        defer { silent.end() }
        let (board, memory) = try Probing.board("crashed", nodes: 2)
        board.publish(pool: 0, node: 0, state: .up, reason: "fine", since: 1)
        board.publish(pool: 0, node: 1, state: .draining, reason: "drains", since: 1)
        let probing = try Probing(
            "crashed", nodes: [[silent.address], [silent.address]], memory: memory)
        try probing.prober.start()
        // Nobody has answered, and traffic flows all the same.
        #expect(probing.prober.awaitFirstRound(timeout: 10_000_000_000))
        #expect(probing.states() == [.up, .draining])
        #expect(probing.check?.replies.isEmpty == true)
    }

    @Test func aNodeThatNobodyAskedBeforeACrashRisesAtItsFirstAnswer() throws {
        let server = try TinyServer.answering(TinyServer.response(200))
        defer { server.end() }
        let (_, memory) = try Probing.board("early", nodes: 1)
        let probing = try Probing(
            "early", nodes: [[server.address]], interval: 60_000, memory: memory)
        _ = try probing.firstReplies()
        #expect(probing.states() == [.up])
    }

    @Test func nodesWithoutACheckAreUpWhateverWasKnown() throws {
        let (board, memory) = try Probing.board("unchecked", nodes: 1)
        board.publish(pool: 0, node: 0, state: .down, reason: "refused", since: 1)
        let probing = try Probing("unchecked", nodes: [[]], script: nil, memory: memory)
        _ = try probing.firstReplies()
        #expect(probing.gate.await { probing.states() == [.up] })
    }

    @Test func aRoundOfSeveralStepsEndsWithOneVerdict() throws {
        let server = try TinyServer { connection in
            let request = connection.read()
            connection.send(TinyServer.response(request.contains("GET /2 ") ? 200 : 503))
        }
        defer { server.end() }
        var script = Script()
        script.ask = { _, step in Script.Question(target: "/\(step)") }
        script.judge = { reply in
            Script.Answer(
                state: reply.status == 200 ? TRIVET_UP : TRIVET_DOWN, reason: "fine",
                asksAgain: reply.status != 200)
        }
        let probing = try Probing(
            "steps", nodes: [[server.address]], interval: 60_000, script: script)
        #expect(try probing.firstReplies().map(\.step) == [0, 1, 2])
        #expect(probing.states() == [.up])
    }

    @Test func aCheckThatNeverHasEnoughIsEndedAfterEightSteps() throws {
        let server = try TinyServer.answering(TinyServer.response(200))
        defer { server.end() }
        var script = Script()
        script.judge = { _ in Script.Answer(state: TRIVET_UP, asksAgain: true) }
        let probing = try Probing(
            "greedy", nodes: [[server.address]], interval: 60_000, script: script)
        #expect(try probing.firstReplies().count == 8)
        #expect(probing.states() == [.up])
    }

    @Test func aCheckThatAsksNothingDoesNotHoldTheStartUp() throws {
        var script = Script()
        script.ask = { _, _ in nil }
        let probing = try Probing(
            "mute", nodes: [[try TinyServer.deadAddress()]], interval: 60_000, script: script)
        #expect(try probing.firstReplies().isEmpty)
        #expect(probing.states() == [.down])
    }

    @Test func aCheckSaysWhenItWantsToAskAgain() throws {
        let server = try TinyServer.answering(TinyServer.response(200))
        defer { server.end() }
        let asked = try Gate()
        let times = Guarded<[UInt64]>([])
        var script = Script()
        script.judge = { _ in
            times.withLock { $0.append(monotonicNow()) }
            asked.ring()
            return Script.Answer(state: TRIVET_UP, nextMs: 60)
        }
        let probing = try Probing(
            "soon", nodes: [[server.address]], interval: 3_600_000, script: script)
        _ = try probing.firstReplies()
        #expect(asked.await { times.withLock { $0.count >= 3 } })
        let all = times.withLock { $0 }
        #expect(all[1] - all[0] >= 60_000_000)
    }

    @Test func stoppingClosesProbesThatHang() throws {
        let came = try Gate()
        let left = Atomic<Int>(0)
        let server = try TinyServer { connection in
            came.ring()
            if connection.awaitEnd() { left.wrappingAdd(1, ordering: .releasing) }
            came.ring()
        }
        let probing = try Probing("hangs", nodes: [[server.address]], timeoutMs: 60_000)
        try probing.prober.start()
        #expect(came.await { server.count == 1 })
        let before = monotonicNow()
        probing.prober.stop()
        #expect(monotonicNow() - before < 5_000_000_000)
        #expect(came.await { left.load(ordering: .acquiring) == 1 })
        server.end()
    }

    @Test func manyNodesAreAskedAtOnceAndThenSpread() throws {
        let first = Atomic<Int>(0)
        let server = try TinyServer { connection in
            connection.read()
            first.wrappingAdd(1, ordering: .relaxed)
            connection.send(TinyServer.response(200))
        }
        defer { server.end() }
        let times = Guarded<[String: [UInt64]]>([:])
        let asked = try Gate()
        var script = Script()
        script.ask = { node, _ in
            times.withLock { $0[node, default: []].append(monotonicNow()) }
            asked.ring()
            return Script.Question()
        }
        let probing = try Probing(
            "many", nodes: Array(repeating: [server.address], count: 40), interval: 1000,
            script: script)
        _ = try probing.firstReplies()
        #expect(probing.states().allSatisfy { $0 == .up })
        #expect(asked.await { times.withLock { $0.values.allSatisfy { $0.count >= 3 } } })
        let all = times.withLock { Array($0.values) }
        let seconds = all.map { $0[1] - $0[0] }
        #expect((seconds.max() ?? 0) - (seconds.min() ?? 0) > 300_000_000, "they go in step")
        // The rounds after that keep the interval, less a tenth; a busy machine may be late.
        #expect(all.allSatisfy { $0[2] - $0[1] >= 890_000_000 })
    }
}

/// An address whose connections are never answered: the queue of a socket that nobody serves is full.
final class Swallowing {
    let address: SocketAddress
    private var fds: [Int32] = []

    init() throws {
        let listener = try Socket.listen(
            SocketAddress(.v4Loopback, port: 0), shared: false, backlog: 0)
        address = try #require(Socket.localAddress(listener))
        fds = [listener]
        for _ in 0..<4 {
            switch Socket.connect(address) {
            case .connected(let fd), .started(let fd): fds.append(fd)
            case .failed: break
            }
        }
    }

    deinit { for fd in fds { IO.close(fd) } }
}
