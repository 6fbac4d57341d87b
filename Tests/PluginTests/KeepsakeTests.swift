// Plugins that were built in the past go on to work. For each minor version of the ABI a compiled file
// lies in Fixtures, with its source: these are the very bytes, never built anew. What is asked of it
// here is never taken back; what a later version adds gets a file and a suite of its own.

import CTrivet
import Testing

@testable import Balance
@testable import Loading

#if arch(x86_64)
    private let canLoad = true
#else
    private let canLoad = false
#endif

@Suite(
    "A plugin of ABI 1.0, as it was compiled then",
    .enabled(if: canLoad, "the compiled plugin is for x86_64"))
struct KeepsakeTests {
    static let file = Files.folder(of: #filePath) + "/Fixtures/abi-1.0/libkeepsake-x86_64.so"

    @Test("it is the file of then, not one built since")
    func content() throws {
        let bytes = try Files.read(Self.file)
        #expect(String(buildNumber(of: bytes), radix: 16) == "468ba6fba06651b8")
    }

    @Test("it passes its trial and is loaded, with all it offers")
    func loads() throws {
        let workshop = try Workshop()
        let uses = [
            PluginUse(kind: .strategy, name: "keepsake", pool: "octopus", options: #"{"first":1}"#),
            PluginUse(kind: .check, name: "keepsake", pool: "octopus", options: "{}"),
        ]
        let loader = workshop.loader([Self.file])
        let report = try loader.trial(uses: uses)
        #expect(report.fileRefusals.isEmpty && report.useRefusals.isEmpty)
        let catalogue = try loader.load(report, uses: uses)
        let strategy = try #require(catalogue.strategies["keepsake"])
        #expect(strategy.options.map(\.name) == ["first"])
        #expect(strategy.canFollow)
        #expect(catalogue.checks["keepsake"] != nil)
        let refusing = PluginUse(
            kind: .strategy, name: "keepsake", pool: "octopus", options: #"{"first":"x"}"#)
        #expect(
            try loader.trial(uses: [refusing]).useRefusals.first?.sentence
                .hasSuffix("option \"first\" must be a number") == true)
    }

    @Test("it is made, picks by turns, headers, sessions and loads, and says why")
    func picks() throws {
        let library = try PluginLibrary(path: Self.file)
        #expect(library.name == "keepsake" && library.version == "1.0.0")
        #expect(library.host.lines == ["entered"])
        let pool = FakePool(["a", "b", "c"])
        pool.nodes[2].metadata = [("rack", "r"), ("zone", "eu")]
        let strategy = try library.strategy(#"{"first": 1}"#, pool: pool, worker: 1, workers: 2)
        #expect(strategy.host.lines == ["worker 1 of 2, 3 nodes, data kept"])
        #expect((0..<3).map { _ in strategy.pick().node } == [1, 2, 0])
        let turn = strategy.pick(attempt: 1, tried: [1])
        #expect(turn.node == 2 && turn.reason == "turn: c has 2 running" && turn.token == 4)
        let zone = strategy.pick(zone: "eu")
        #expect(zone.node == 2 && zone.session == "zone=eu" && !zone.sticks)
        #expect(strategy.pick(zone: "us").decision == TRIVET_PASS)
        let stuck = strategy.pick(sessionNode: 0)
        #expect(stuck.node == 0 && stuck.sticks && stuck.reason == "session: a has 0 running")
        let refused = strategy.pick(target: "/refuse")
        #expect(refused.decision == TRIVET_REFUSE && refused.reason == "it was asked to")
        pool.nodes = []
        #expect(strategy.pick().decision == TRIVET_PASS)
        #expect(strategy.host.metrics == ["picks_total"])
        #expect(strategy.host.added == Array(repeating: 1, count: 6))
        #expect(throws: Refused(sentence: "option \"first\" must be a number")) {
            try library.strategy(#"{"first": true}"#, pool: pool)
        }
    }

    @Test("it hears of changes and ends, and hands its state on")
    func state() throws {
        let library = try PluginLibrary(path: Self.file)
        let pool = FakePool(["a", "b"])
        let strategy = try library.strategy(pool: pool)
        for _ in 0..<5 { _ = strategy.pick() }
        strategy.update(TRIVET_CHANGED_NODES | TRIVET_CHANGED_METADATA)
        strategy.result(token: 5)
        #expect(
            strategy.describe()
                == #"{"picks":5,"changes":9,"results":1,"token":5,"now":1000000,"random":1,"seed":42}"#
        )
        let saved = try #require(strategy.save())
        #expect(saved == [5, 0, 0, 0, 0, 0, 0, 0])
        let heir = try library.strategy(pool: FakePool(["b", "c"]))
        #expect(heir.load(saved, version: 3) == true)
        #expect(heir.describe()?.hasPrefix(#"{"picks":5,"#) == true)
        #expect(heir.load(saved, version: 4) == false)
        #expect(heir.load([1, 2], version: 3) == false)
    }

    @Test("its check asks and judges")
    func check() throws {
        let check = try PluginLibrary(path: Self.file).check()
        let asked = try #require(check.probe())
        #expect(asked.kind == TRIVET_PROBE_HTTP && asked.target == "/status")
        #expect(asked.headers == ["X-Probe: 1.0"] && asked.method == "GET")
        #expect(asked.timeout == 250 && asked.readLimit == 4096)
        let second = try #require(check.probe(step: 1))
        #expect(second.kind == TRIVET_PROBE_TCP && second.payload == "ready?\n")
        #expect(second.until == "\n" && second.port == 9999)
        #expect(check.probe(tier: 1) == nil)
        #expect(check.judge(status: 202) == nil)
        #expect(
            check.judge(status: 200, body: #"{"weight": 50}"#)
                == Judged(
                    state: TRIVET_UP, reason: "answers", metadata: ["weight=50"], weight: 50))
        #expect(
            check.judge(status: 418)
                == Judged(state: TRIVET_DRAINING, reason: "drains", atOnce: true, next: 500))
        #expect(
            check.judge(outcome: TRIVET_CONNECT_FAILED, detail: "connection refused")
                == Judged(state: TRIVET_DOWN, reason: "connection refused"))
    }
}
