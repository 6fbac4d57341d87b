// Names of nodes: found, found again, failing without taking the log over, and never in the way of
// an exit.

import Base
import CLinux
import Glibc
import Net
import Synchronization
import Testing

@Suite struct ResolverTests {
    @Test func localhostHasAnAddressOfThisMachineAtThePortAsked() throws {
        let answers = Answers()
        let resolver = try Resolver(
            names: [("localhost", 8080), ("localhost", 9090)], found: answers.take)
        try resolver.start()
        defer { resolver.stop() }
        let first = try #require(answers.next())
        let second = try #require(answers.next())
        #expect(Set([first.index, second.index]) == [0, 1])
        for answer in [first, second] {
            let addresses = try answer.result.get()
            #expect(addresses.allSatisfy { $0.port == (answer.index == 0 ? 8080 : 9090) })
            #expect(
                addresses.contains { $0.ip == .v4Loopback || $0.ip == IPAddress("::1") })
            for (at, address) in addresses.enumerated() {
                #expect(addresses.firstIndex(of: address) == at, "listed twice")
            }
        }
    }

    @Test func aNameThatDoesNotExistSaysSoInWords() {
        // RFC 6761, section 6.4: "invalid" has no names.
        guard case .failure(let reason) = Resolver.ask("no-such-node.invalid") else {
            Issue.record("a name was found that cannot be")
            return
        }
        #expect(!reason.description.isEmpty)
        #expect(reason.description.first?.isUppercase == false)
    }

    @Test func aFailingNameIsAskedForSoonerAndItsRecoveryIsTold() throws {
        let address = SocketAddress(.v4Loopback, port: 0)
        let calls = Guarded(0)
        let answers = Answers()
        let resolver = try Resolver(
            names: [("flaky", 1)], every: 20_000_000,
            lookup: { _ in
                let call = calls.withLock { calls in
                    calls += 1
                    return calls
                }
                return call <= 2 ? .failure(Unresolved("away")) : .success([address])
            }, found: answers.take)
        try resolver.start()
        defer { resolver.stop() }
        #expect(answers.next()?.result == .failure(Unresolved("away")))
        #expect(answers.next()?.result == .failure(Unresolved("away")))
        #expect(answers.next()?.result == .success([address.with(port: 1)]))
    }

    @Test func aChangeIsToldAndARotationIsNot() throws {
        let a = SocketAddress(IPAddress(v4: 0x0A00_0001), port: 0)
        let b = SocketAddress(IPAddress(v4: 0x0A00_0002), port: 0)
        let script: [[SocketAddress]] = [[a, b], [b, a], [a, b], [b]]
        let calls = Guarded(0)
        let answers = Answers()
        let resolver = try Resolver(
            names: [("turning", 80)], every: 5_000_000,
            lookup: { _ in
                let call = calls.withLock { calls in
                    calls += 1
                    return calls - 1
                }
                return .success(script[min(call, script.count - 1)])
            }, found: answers.take)
        try resolver.start()
        defer { resolver.stop() }
        #expect(answers.next()?.result == .success([a.with(port: 80), b.with(port: 80)]))
        #expect(answers.next()?.result == .success([b.with(port: 80)]))
        #expect(calls.withLock { $0 } >= 4)
    }

    @Test func stoppingDoesNotWaitForASilentNameServerNorTellAfterwards() throws {
        let entered = try Wakeup()
        let release = try Wakeup()
        let left = try Wakeup()
        defer { for wakeup in [entered, release, left] { wakeup.close() } }
        let answers = Answers()
        let resolver = try Resolver(
            names: [("silent", 1)],
            lookup: { _ in
                entered.signal()
                _ = awaitReadable(release.fd)
                defer { left.signal() }
                return .success([SocketAddress(.v4Loopback, port: 0)])
            }, found: answers.take)
        try resolver.start()
        #expect(awaitReadable(entered.fd))
        resolver.stop()
        release.signal()
        #expect(awaitReadable(left.fd))
        #expect(answers.count == 0)
    }

    @Test func stoppingWhileItRestsReturns() throws {
        let answers = Answers()
        let resolver = try Resolver(
            names: [("known", 1)], every: 3_600_000_000_000,
            lookup: { _ in .success([SocketAddress(.v4Loopback, port: 0)]) },
            found: answers.take)
        try resolver.start()
        _ = answers.next()
        let before = monotonicNow()
        resolver.stop()
        #expect(monotonicNow() - before < 2_000_000_000)
    }
}

/// What a resolver told, to be waited for.
final class Answers: Sendable {
    struct Answer: Sendable {
        let index: Int
        let result: Result<[SocketAddress], Unresolved>
    }
    private let list = Guarded<[Answer]>([])
    private let wakeup: Wakeup

    init() {
        do { wakeup = try Wakeup() } catch { fatalError("no descriptors are left") }
    }

    deinit { wakeup.close() }

    @Sendable func take(_ index: Int, _ result: Result<[SocketAddress], Unresolved>) {
        list.withLock { $0.append(Answer(index: index, result: result)) }
        wakeup.signal()
    }

    var count: Int { list.withLock { $0.count } }

    /// The next one, within ten seconds.
    func next() -> Answer? {
        while true {
            if let first = list.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) { return first }
            guard awaitReadable(wakeup.fd) else { return nil }
            wakeup.clear()
        }
    }
}
