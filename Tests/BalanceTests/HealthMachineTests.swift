// Rise, fall, draining at once and the first verdict.

import Testing

@testable import Balance

@Suite("What verdicts make of a node")
struct HealthMachineTests {
    private func machine(_ state: NodeState, rise: Int = 2, fall: Int = 3) -> HealthMachine {
        HealthMachine(
            rise: rise, fall: fall, hasCheck: true,
            adopted: AdoptedHealth(state: state, weightPercent: 100, reason: "", since: 0))
    }

    @Test("a new node serves after its first good verdict, not after two")
    func firstVerdictCountsAtOnce() {
        var node = HealthMachine(rise: 5, fall: 3, hasCheck: true)
        #expect(node.state == .down)
        let transition = node.apply(Verdict(state: .up, reason: "200"), now: 7)
        #expect(transition == Transition(from: .down, to: .up, reason: "200"))
        #expect(node.since == 7)
    }

    @Test("one lost ping takes no node out")
    func fallNeedsAllInARow() {
        var node = machine(.up)
        for _ in 0..<3 {
            #expect(node.apply(Verdict(state: .down), now: 1) == nil)
            #expect(node.apply(Verdict(state: .down), now: 2) == nil)
            #expect(node.apply(Verdict(state: .up), now: 3) == nil)
        }
        #expect(node.state == .up)
        _ = node.apply(Verdict(state: .down), now: 4)
        _ = node.apply(Verdict(state: .down), now: 5)
        let last = node.apply(Verdict(state: .down, reason: "refused"), now: 6)
        #expect(last == Transition(from: .up, to: .down, reason: "refused"))
    }

    @Test("a flapping node stays out until it answers twice in a row")
    func riseNeedsAllInARow() {
        var node = machine(.down)
        _ = node.apply(Verdict(state: .up), now: 1)
        _ = node.apply(Verdict(state: .down), now: 2)
        #expect(node.apply(Verdict(state: .up), now: 3) == nil)
        #expect(node.apply(Verdict(state: .up), now: 4)?.to == .up)
    }

    @Test("a node that says it drains gets no request in the meantime")
    func drainingAtOnce() {
        var node = machine(.up)
        let transition = node.apply(
            Verdict(state: .draining, atOnce: true, reason: "in maintenance"), now: 1)
        #expect(transition == Transition(from: .up, to: .draining, reason: "in maintenance"))
    }

    @Test("a drained node comes back after rise good verdicts")
    func drainingToUp() {
        var node = machine(.draining)
        #expect(node.apply(Verdict(state: .up), now: 1) == nil)
        #expect(node.apply(Verdict(state: .up), now: 2)?.to == .up)
    }

    @Test("a weight from the node applies at once, and is kept when a verdict says nothing")
    func weight() {
        var node = machine(.up)
        #expect(node.apply(Verdict(state: .degraded, weightPercent: 40), now: 1)?.to == .degraded)
        #expect(node.weightPercent == 40)
        _ = node.apply(Verdict(state: .degraded), now: 2)
        #expect(node.weightPercent == 40)
        _ = node.apply(Verdict(state: .up, weightPercent: 5000), now: 3)
        #expect(node.weightPercent == 1000)
    }

    @Test("a verdict that does not count yet changes neither weight nor reason")
    func pendingVerdicts() {
        var node = machine(.up)
        _ = node.apply(Verdict(state: .up, weightPercent: 80, reason: "well"), now: 1)
        _ = node.apply(Verdict(state: .down, weightPercent: 0, reason: "late"), now: 2)
        #expect(node.weightPercent == 80)
        #expect(node.reason == "well")
    }

    @Test("nodes without a check serve from the start")
    func noCheck() {
        #expect(HealthMachine(rise: 2, fall: 3, hasCheck: false).state == .up)
    }
}
