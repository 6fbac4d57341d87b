// Who may have how many connections: the counting alone, against a dictionary that counts the same.

import Base
import Net
import Synchronization
import Testing

@testable import Proxy

@Suite("Connections are counted by listener and by client")
struct ConnectionCountTests {
    private func address(_ text: String) throws -> IPAddress {
        try #require(IPAddress(text))
    }

    @Test("one client does not take the places of all others")
    func perClient() throws {
        let count = ConnectionCount(limit: 100, perClient: 2)
        let (greedy, other) = (try address("10.0.0.1"), try address("10.0.0.2"))
        let first = count.enter(greedy)
        #expect(first.verdict == .welcome)
        #expect(count.enter(greedy).verdict == .welcome)
        let third = count.enter(greedy)
        #expect(third.verdict == .refused(.crowded))
        #expect(count.enter(other).verdict == .welcome)
        #expect(count.open == 4)
        // Who is refused and still here takes no place, and leaves none behind.
        count.leave(greedy, first)
        #expect(count.enter(greedy).verdict == .welcome)
        count.leave(greedy, third)
        #expect(count.enter(greedy).verdict == .refused(.crowded))
        #expect(count.refused == (full: 0, crowded: 2))
    }

    @Test("an IPv6 client is its /64, an IPv4 client its address, mapped or not")
    func networks() throws {
        let count = ConnectionCount(limit: nil, perClient: 1)
        #expect(count.enter(try address("2001:db8:0:1::1")).verdict == .welcome)
        #expect(count.enter(try address("2001:db8:0:1:ffff::2")).verdict == .refused(.crowded))
        #expect(count.enter(try address("2001:db8:0:2::1")).verdict == .welcome)
        #expect(count.enter(try address("192.0.2.1")).verdict == .welcome)
        #expect(count.enter(try address("::ffff:192.0.2.1")).verdict == .refused(.crowded))
        #expect(count.enter(try address("192.0.2.2")).verdict == .welcome)
        #expect(count.enter(try address("::1")).verdict == .welcome)
    }

    @Test("a flood of refused connections costs no descriptor: beyond a few they are not answered")
    func flood() throws {
        let count = ConnectionCount(limit: 10, perClient: 3)
        let flooder = try address("10.0.0.1")
        let verdicts = (0..<1000).map { _ in count.enter(flooder).verdict }
        let told = ConnectionCount.courtesyPerClient
        #expect(verdicts.count { $0 == .welcome } == 3)
        #expect(verdicts.count { $0 == .refused(.crowded) } == told)
        #expect(verdicts.count { $0 == .dropped(.crowded) } == 997 - told)
        #expect(count.open == 3 + told, "who is dropped does not count")
        #expect(count.refused.crowded == 997)
        var many = 0
        for i in 0..<1000 {
            let verdict = count.enter(IPAddress(v4: 0x0A01_0000 + UInt32(i))).verdict
            if verdict != .dropped(.full) { many += 1 }
        }
        #expect(many == 10 - 3 + ConnectionCount.courtesy - told)
        // However many are being told, a place that comes free is there for the next.
        #expect(count.enter(try address("10.9.9.9")).verdict == .dropped(.full))
        count.leave(flooder, .init(verdict: .welcome, isTallied: true))
        #expect(count.enter(try address("10.9.9.9")).verdict == .welcome)
    }

    @Test("who stands for many clients is not counted as one")
    func exempt() throws {
        let count = ConnectionCount(limit: 50, perClient: 1)
        let proxy = try address("10.0.0.1")
        for _ in 0..<50 { #expect(count.enter(proxy, isExempt: true).verdict == .welcome) }
        #expect(count.enter(proxy, isExempt: true).verdict == .refused(.full))
    }

    @Test("a limit that a reload lowers cuts nobody, and one that it raises lets in at once")
    func changed() throws {
        let count = ConnectionCount(limit: nil, perClient: 5)
        let client = try address("10.0.0.1")
        for _ in 0..<5 { #expect(count.enter(client).verdict == .welcome) }
        count.limit(to: nil, perClient: 2)
        #expect(count.enter(client).verdict == .refused(.crowded))
        let counted = ConnectionCount.Entry(verdict: .welcome, isTallied: true)
        count.limit(to: nil, perClient: 6)
        #expect(count.enter(client).verdict == .welcome)
        // Without a limit nobody is counted, and those who are leave all the same.
        count.limit(to: nil, perClient: nil)
        #expect(count.enter(client) == .init(verdict: .welcome, isTallied: false))
        for _ in 0..<6 { count.leave(client, counted) }
        count.limit(to: nil, perClient: 1)
        #expect(count.enter(client).verdict == .welcome)
    }

    @Test("nobody who has left counts, whoever came and went in between")
    func table() {
        var random = SplitMix64(seed: 7)
        let tally = ClientTally(seed: 3)
        var model: [ClientTally.Key: Int] = [:]
        var present: [ClientTally.Key] = []
        for step in 0..<200_000 {
            // Few addresses, so that they meet; growing and shrinking in turn.
            let grows = step / 5_000 % 2 == 0
            if present.isEmpty || random.next() % 8 < (grows ? 6 : 2) {
                let bits = UInt32(truncatingIfNeeded: random.next() % 3000)
                let address =
                    bits % 2 == 0 ? IPAddress(v4: bits) : IPAddress(high: UInt64(bits), low: 1)
                let key = ClientTally.Key(address)
                let most = 5
                let fits = model[key, default: 0] < most
                #expect(tally.enter(key, most: most) == fits)
                guard fits else { continue }
                model[key, default: 0] += 1
                present.append(key)
            } else {
                let at = Int(random.next() % UInt64(present.count))
                present.swapAt(at, present.count - 1)
                let key = present.removeLast()
                tally.leave(key)
                model[key]! -= 1
                if model[key] == 0 { model[key] = nil }
            }
            if step % 1000 == 0 { #expect(tally.count == model.count) }
        }
        for key in present { tally.leave(key) }
        #expect(tally.count == 0)
    }

    @Test("workers that count at the same time lose nobody")
    func together() throws {
        let count = ConnectionCount(limit: nil, perClient: 1_000_000)
        let threads = try (0..<4).map { _ in
            try Thread("counting") {
                for round in 0..<20_000 {
                    let address = IPAddress(v4: UInt32(round % 64))
                    let entry = count.enter(address)
                    if round % 2 == 1 { count.leave(address, entry) }
                }
            }
        }
        for thread in threads { thread.join() }
        #expect(count.open == 40_000)
        // An even address has four times as many as a thread brought of it; an odd one none.
        let even = 4 * (0..<20_000).count { $0 % 64 == 2 }
        count.limit(to: nil, perClient: even)
        #expect(count.enter(IPAddress(v4: 2)).verdict == .refused(.crowded))
        count.limit(to: nil, perClient: even + 1)
        #expect(count.enter(IPAddress(v4: 2)).verdict == .welcome)
        count.limit(to: nil, perClient: 1)
        #expect(count.enter(IPAddress(v4: 3)).verdict == .welcome)
    }

    @Test("a log under attack has a line now and then, not one for each connection")
    func throttled() {
        let throttle = Throttle()
        #expect(throttle.pass(now: 1) == 0)
        for moment in 2..<1002 { #expect(throttle.pass(now: UInt64(moment)) == nil) }
        #expect(throttle.pass(now: 10_000_000_001) == 1000)
        #expect(throttle.pass(now: 10_000_000_002) == nil)
    }

    @Test("descriptors are divided so that who is taken in can be served")
    func plan() {
        for limit in [64, 256, 1024, 20_000, 1_048_576] {
            let plan = DescriptorPlan(limit: limit, own: 40)
            #expect(plan.clients + plan.nodes + 2 * plan.pipes + 40 <= limit)
            #expect(plan.clients >= 1)
            #expect(plan.nodes * 8 >= plan.clients)
        }
        #expect(DescriptorPlan(limit: 20_000, own: 40).clients >= 10_000)
        #expect(DescriptorPlan(limit: 10, own: 40).clients == 1)
    }
}
