// Names of plugins and options: a typo is told with what was meant and what there is.

import Base
import Testing

@testable import Config

@Suite struct PluginNamesTests {
    private let loaded = PluginNames(
        strategies: ["round-robin": [], "maglev": ["size", "hash"]],
        checks: ["http": ["path", "status"], "tcp": ["send", "expect"]])

    private func judged(_ keys: String) -> [String] {
        var reading = read(withPoolKeys(keys))
        #expect(reading.diagnostics == [])
        reading.judge(against: loaded)
        #expect((reading.configuration == nil) == !reading.diagnostics.isEmpty)
        return reading.diagnostics.map(\.description)
    }

    @Test func `what is loaded is accepted`() {
        #expect(
            judged(
                "strategy: ['round-robin', { name: 'maglev', size: 7 }], health: { check: 'http', path: '/' }"
            ) == [])
    }

    @Test(arguments: [
        (
            "strategy: 'round-robbin'",
            #"t:2:15: unknown strategy "round-robbin"; did you mean "round-robin"? loaded: maglev, round-robin"#
        ),
        ("strategy: 'random'", #"t:2:15: unknown strategy "random"; loaded: maglev, round-robin"#),
        (
            "strategy: 'http'",
            #"t:2:15: unknown strategy "http", which is a check; loaded: maglev, round-robin"#
        ),
        (
            "strategy: { name: 'maglev', sise: 7 }",
            #"t:2:33: unknown option "sise" of the strategy "maglev"; did you mean "size"? known: size, hash"#
        ),
        (
            "strategy: { name: 'round-robin', x: 7 }",
            #"t:2:38: unknown option "x" of the strategy "round-robin"; it has no options"#
        ),
        (
            "health: { check: 'maglev' }",
            #"t:2:22: unknown check "maglev", which is a strategy; loaded: http, tcp"#
        ),
        (
            "health: { check: 'http', intervall: '1s' }",
            #"t:2:30: unknown option "intervall" of the check "http"; did you mean "interval"? known: path, status"#
        ),
        (
            "health: { check: 'http', satus: 200 }",
            #"t:2:30: unknown option "satus" of the check "http"; did you mean "status"? known: path, status"#
        ),
        (
            "health: { check: 'tcp', colour: 1 }",
            #"t:2:29: unknown option "colour" of the check "tcp"; known: send, expect"#
        ),
    ])
    func `what is not loaded is named with what is`(keys: String, sentence: String) {
        #expect(judged(keys) == [sentence])
    }

    @Test func `the default strategy is judged too`() {
        var reading = read(withPool("{ nodes: [{ name: 'n', address: '10.0.0.1:80' }] }"))
        reading.judge(against: PluginNames(strategies: [:], checks: [:]))
        #expect(
            reading.diagnostics.map(\.description) == [
                #"t:2:1: unknown strategy "round-robin"; loaded: none"#
            ])
    }
}
