// What an author gets from the Swift SDK beyond `pick`, seen from the host's side of the ABI: each
// facet arrives, and none that a strategy lacks is claimed.

import CTrivet
import Testing

@Suite struct BundledFacetsTests {
    let library: PluginLibrary

    init() throws { library = try PluginLibrary("libfixture-facets.so") }

    @Test func oneFileOffersAStrategyAndACheck() {
        #expect(library.offers.map(\.name) == ["everything", "two-steps"])
        #expect(library.host.lines == ["prepared"])
    }

    @Test func facetsThatAStrategyLacksAreNotClaimed() throws {
        let plain = try PluginLibrary("libtrivet-round-robin.so").strategy(pool: FakePool(["a"]))
        #expect(plain.save() == nil)
        #expect(plain.load([], version: 0) == nil)
        #expect(plain.describe() == nil)
    }

    @Test func whatWasLearntSurvivesAReload() throws {
        let pool = FakePool(["a"])
        let old = try library.strategy(pool: pool)
        for _ in 0..<5 { _ = old.pick() }
        let state = try #require(old.save())
        let new = try library.strategy(pool: pool)
        #expect(new.load(state, version: 7) == true)
        #expect(new.describe()?.contains(#""picks":5,"#) == true)
        for length in 0..<state.count {
            #expect(
                try library.strategy(pool: pool).load(Array(state.prefix(length)), version: 7)
                    == false)
        }
        #expect(try library.strategy(pool: pool).load(state, version: 8) == false)
    }

    @Test func updatesAndResultsArrive() throws {
        let strategy = try library.strategy(#"{"wait": "2m", "size": 4}"#, pool: FakePool(["a"]))
        strategy.update(TRIVET_CHANGED_NODES | TRIVET_CHANGED_STATE)
        strategy.result(token: 77)
        #expect(
            strategy.describe()
                == #"{"picks":0,"size":4,"wait":120000000000,"token":77,"nodes_changed":true,"#
                + #""quote":"a \"b\"\n"}"#)
    }

    @Test func headersMetadataAndSessionsReachAPick() throws {
        let pool = FakePool(["a", "b"])
        pool.nodes[1].metadata = [("rack", "r"), ("zone", "eu")]
        let strategy = try library.strategy(pool: pool)
        #expect(
            strategy.pick(zone: "eu")
                == Picked(
                    decision: TRIVET_PICKED, node: 1, reason: "zone eu has 1 running",
                    session: "zone=eu", sticks: false, token: 1))
        #expect(strategy.pick(zone: "us").decision == TRIVET_PASS)
        let again = strategy.pick(session: "zone=eu", sessionNode: 0)
        #expect(again.node == 0 && again.session == "zone=eu" && again.sticks)
        #expect(strategy.pick(session: "zone=eu").decision == TRIVET_PASS)
        #expect(strategy.host.metrics == ["picks_total"])
        #expect(strategy.host.added == [1, 1, 1, 1])
    }

    @Test func passingMayStickAndRefusingSaysWhy() throws {
        let strategy = try library.strategy(pool: FakePool(["a"]))
        let stick = strategy.pick(target: "/stick")
        #expect(stick.decision == TRIVET_PASS && stick.sticks && stick.node == nil)
        let refused = strategy.pick(target: "/refuse")
        #expect(refused.decision == TRIVET_REFUSE && refused.reason == "no")
    }

    @Test func aLongReasonIsCutBetweenCharacters() throws {
        let strategy = try library.strategy(pool: FakePool(["a"]))
        // 63 bytes, then a character of two: neither it nor anything behind it fits.
        let reason = strategy.pick(target: "/long").reason
        #expect(reason == String(repeating: "123456789", count: 7))
    }

    @Test(arguments: [
        (#"{"size": 10}"#, "option \"size\" must be a whole number from 1 to 9, not 10"),
        (#"{"size": "x"}"#, "option \"size\" must be a whole number from 1 to 9, not \"x\""),
        (#"{"size": 2.5}"#, "option \"size\" must be a whole number from 1 to 9, not 2.5"),
        (#"{"size": null}"#, "option \"size\" must be a whole number from 1 to 9, not null"),
        (
            #"{"wait": "5"}"#,
            "option \"wait\" must be a duration such as \"250ms\", \"3s\" or \"2m\", not \"5\""
        ),
        (
            #"{"wait": "99999999999h"}"#,
            "option \"wait\" must be a duration such as \"250ms\", \"3s\" or \"2m\", "
                + "not \"99999999999h\""
        ),
        (#"{"ratio": 2}"#, "option \"ratio\" must be a number from 0 to 1.5, not 2"),
        (#"{"loud": 1}"#, "option \"loud\" must be true or false, not 1"),
        (#"{"mode": "fats"}"#, "option \"mode\" must be one of \"fast\", \"slow\", not \"fats\""),
        (#"{"text": [1]}"#, "option \"text\" must be text in quotes, not [1]"),
    ])
    func aWrongOptionIsRefusedByName(_ options: String, _ sentence: String) {
        #expect(throws: Refused(sentence: sentence)) {
            _ = try library.strategy(options, pool: FakePool(["a"]))
        }
    }

    @Test func aRoundOfTwoQuestions() throws {
        let check = try library.check()
        let first = try #require(check.probe(step: 0))
        #expect(first.method == "POST" && first.target == "/login" && first.payload == "{}")
        #expect(first.headers == ["X-A: 1"] && first.flags == TRIVET_PROBE_TLS)
        #expect(first.port == 99 && first.timeout == 250 && first.authority == "node.example")
        #expect(check.judge(status: 200) == nil)
        let second = try #require(check.probe(step: 1))
        #expect(second.kind == TRIVET_PROBE_TCP && second.flags == TRIVET_PROBE_CLEAR)
        #expect(second.payload == "P" && second.until == "\n")
        #expect(
            check.judge(body: #"{"load": 0.5}"#, step: 1, headers: [("x-load", "high")])
                == Judged(
                    state: TRIVET_DEGRADED, reason: "load 0.5", metadata: ["load=high"],
                    weight: 1000, next: 750))
        #expect(check.probe(tier: 1) == nil, "nothing to ask leaves the node as it is")
    }
}
