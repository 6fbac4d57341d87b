// How many requests go out again while nodes fail.

import Testing

@testable import Proxy

@Suite("Retries do not make an outage worse")
struct RetryBudgetTests {
    private static let second: UInt64 = 1_000_000_000

    @Test("of 10,000 requests that all fail, a fifth and a hundred go out again")
    func share() {
        var budget = RetryBudget()
        var retries = 0
        for _ in 0..<10_000 {
            budget.noteRequest(now: Self.second)
            // Each would go to two other nodes.
            for _ in 0..<2 where budget.spend(share: 200_000, now: Self.second) { retries += 1 }
        }
        #expect(retries == 2_100)
    }

    @Test("a pool with little traffic may always retry, ten times a second")
    func littleTraffic() {
        var budget = RetryBudget()
        for step: UInt64 in 0..<500 {
            let now = Self.second + step * Self.second / 10
            budget.noteRequest(now: now)
            let isLeft = budget.spend(share: 200_000, now: now)
            #expect(isLeft)
        }
    }

    @Test("what was ten seconds ago counts no more, also after a long silence")
    func window() {
        var budget = RetryBudget()
        for _ in 0..<1000 { budget.noteRequest(now: Self.second) }
        for _ in 0..<300 { _ = budget.spend(share: 200_000, now: 5 * Self.second) }
        var isLeft = budget.spend(share: 200_000, now: 5 * Self.second)
        #expect(!isLeft)
        // The requests are gone, the retries are not yet.
        isLeft = budget.spend(share: 200_000, now: 12 * Self.second)
        #expect(!isLeft)
        isLeft = budget.spend(share: 200_000, now: 15 * Self.second)
        #expect(isLeft)
        var count = 0
        while budget.spend(share: 200_000, now: 99_999 * Self.second) { count += 1 }
        #expect(count == 100)
    }

    @Test("a budget of nothing is nothing")
    func none() {
        var budget = RetryBudget()
        budget.noteRequest(now: Self.second)
        let isLeft = budget.spend(share: 0, now: Self.second)
        #expect(!isLeft)
    }
}
