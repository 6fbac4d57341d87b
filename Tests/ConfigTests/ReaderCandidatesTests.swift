// Canaries and shadows of pools: what may be said of them, and that a typo is told with its place.

import Base
import Testing

@testable import Config

@Suite struct ReaderCandidatesTests {
    private func canary(_ block: String, options: String = "") throws -> Canary {
        let pool = try onlyPool(
            withPoolKeys("strategy: { name: 'maglev', \(options) canary: \(block) }"))
        return try #require(pool.strategies[0].canary)
    }

    @Test func `a canary is another strategy, another build or other options`() throws {
        let other = try canary("{ name: 'random', share: '5%' }", options: "size: 7,")
        #expect(other.choice.name == "random" && other.choice.options.encoded() == "{}")
        #expect(other.build == nil && other.share == 50_000 && other.limits == Canary.Limits())
        let build = try canary("{ build: 'next.so', share: '0.5%' }", options: "size: 7,")
        #expect(build.choice.name == "maglev" && build.choice.options.encoded() == #"{"size":7}"#)
        #expect(build.build?.value == "next.so" && build.file == "next.so" && build.share == 5000)
        let options = try canary("{ options: { size: 11 }, share: '99%' }", options: "size: 7,")
        #expect(options.choice.options.encoded() == #"{"size":11}"#)
        #expect(options.build == nil && options.share == 990_000)
    }

    @Test func `the canary is none of the strategy's own options`() throws {
        let pool = try onlyPool(
            withPoolKeys("strategy: { name: 'a', x: 1, canary: { name: 'b', share: '1%' } }"))
        #expect(pool.strategies[0].options.encoded() == #"{"x":1}"#)
    }

    @Test func `limits can be set and turned off`() throws {
        let canary = try canary(
            "{ name: 'b', share: '1%', sample: 1000, failures: '0.25%', latency: 'off', bad_answers: '0%' }"
        )
        #expect(canary.limits.sample == 1000 && canary.limits.failures == 2500)
        #expect(canary.limits.latency == nil && canary.limits.badAnswers == 0)
    }

    @Test func `a file is seen from the folder of the configuration`() throws {
        let text = withPoolKeys("strategy: { name: 'a', canary: { build: 'b.so', share: '1%' } }")
        let reading = read(text, file: "/etc/trivet/trivet.json5")
        #expect(
            reading.configuration?.pools[0].strategies[0].canary?.file == "/etc/trivet/b.so")
    }

    @Test func `a shadow is a name or an object`() throws {
        let name = try onlyPool(withPoolKeys("shadow: 'maglev'")).shadow
        #expect(name?.name == "maglev" && name?.options.encoded() == "{}")
        let object = try onlyPool(withPoolKeys("shadow: { name: 'maglev', size: 7 }")).shadow
        #expect(object?.options.encoded() == #"{"size":7}"#)
    }

    @Test(arguments: [
        (
            "{ share: '5%' }",
            #"t:2:38: the canary of the strategy "a" of the pool "p" differs in nothing from it; expected another "name", a "build" (its .so file) or other "options""#
        ),
        (
            "{ name: 'b' }",
            #"t:2:38: the canary of the strategy "a" of the pool "p" has no "share""#
        ),
        (
            "{ name: 'b', share: 5 }",
            #"t:2:58: "share" in the canary of the strategy "a" of the pool "p" has no unit; expected a share such as "5%", in quotes"#
        ),
        (
            "{ name: 'b', share: '100%' }",
            #"t:2:58: "share" in the canary of the strategy "a" of the pool "p" is "100%"; expected a share from "0.01%" to "99%""#
        ),
        (
            "{ name: 'b', share: '5%', latency: 'of' }",
            #"t:2:73: "latency" in the canary of the strategy "a" of the pool "p" is "of"; expected a share from "1%" to "10000%", or "off""#
        ),
        (
            "{ name: 'b', shar: '5%', share: '5%' }",
            #"t:2:51: unknown key "shar" in the canary of the strategy "a" of the pool "p"; did you mean "share"? known: name, build, options, share, sample, failures, latency, bad_answers"#
        ),
        (
            "{ name: 'b', share: '5%', sample: 9 }",
            #"t:2:72: "sample" in the canary of the strategy "a" of the pool "p" is 9; expected a whole number from 10 to 1000000"#
        ),
        (
            "'b'",
            #"t:2:38: the canary of the strategy "a" of the pool "p" is a string; expected an object"#
        ),
    ])
    func `a wrong canary is named`(block: String, sentence: String) {
        #expect(
            complaints(withPoolKeys("strategy: { name: 'a',   canary: \(block) }")) == [sentence])
    }

    @Test(arguments: [
        (
            "7",
            #"t:2:13: the shadow of the pool "p" is a number; expected a name, or an object with a "name""#
        ),
        ("{ size: 7 }", #"t:2:13: the shadow of the pool "p" has no "name""#),
        (
            "{ name: 'a', canary: { name: 'b', share: '5%' } }",
            #"t:2:34: the shadow of the pool "p" cannot have a canary: nobody goes where it picks"#
        ),
    ])
    func `a wrong shadow is named`(block: String, sentence: String) {
        #expect(complaints(withPoolKeys("shadow: \(block)")) == [sentence])
    }

    // MARK: With the plugins

    private let loaded = PluginNames(
        strategies: ["round-robin": [], "maglev": ["size", "hash"]], checks: ["tcp": []],
        builds: ["next.so": ["maglev": ["size", "spread"]]])

    @Test(arguments: [
        (
            "strategy: { name: 'maglev', canary: { name: 'maglef', share: '5%' } }",
            #"t:2:49: unknown strategy "maglef"; did you mean "maglev"? loaded: maglev, round-robin"#
        ),
        (
            "strategy: { name: 'maglev', canary: { options: { sise: 7 }, share: '5%' } }",
            #"t:2:54: unknown option "sise" of the strategy "maglev"; did you mean "size"? known: size, hash"#
        ),
        (
            "strategy: { name: 'maglev', canari: { name: 'round-robin', share: '5%' } }",
            #"t:2:33: unknown option "canari" of the strategy "maglev"; did you mean "canary"? known: size, hash"#
        ),
        (
            "strategy: { name: 'round-robin', canary: { build: 'next.so', share: '5%' } }",
            #"t:2:55: "next.so" offers no strategy "round-robin"; it offers: maglev"#
        ),
        (
            "strategy: { name: 'maglev', canary: { build: 'next.so', options: { hash: 7 }, share: '5%' } }",
            #"t:2:72: unknown option "hash" of the strategy "maglev"; known: size, spread"#
        ),
        (
            "shadow: 'tcp'",
            #"t:2:13: unknown strategy "tcp", which is a check; loaded: maglev, round-robin"#
        ),
        (
            "shadow: { name: 'maglev', nam: 7 }",
            #"t:2:31: unknown option "nam" of the strategy "maglev"; did you mean "name"? known: size, hash"#
        ),
    ])
    func `what the plugins do not have is named with its place`(keys: String, sentence: String) {
        var reading = read(withPoolKeys(keys))
        #expect(reading.diagnostics == [])
        reading.judge(against: loaded)
        #expect(reading.diagnostics.map(\.description) == [sentence])
    }

    @Test func `a build with other options than the plugin's is judged by its own`() {
        var reading = read(
            withPoolKeys(
                "strategy: { name: 'maglev', canary: { build: 'next.so', options: { spread: 7 }, share: '5%' } }"
            ))
        reading.judge(against: loaded)
        #expect(reading.diagnostics == [])
    }
}
