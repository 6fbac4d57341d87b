// Blocks of a configuration that are wrong in every way that a person, or a damaged file, can come up
// with; and what a refusal of one has to look like.

import Balance
import Base

enum BadConfiguration {
    /// Values of every type and some of no type at all.
    private static let values = [
        "null", "true", "0", "-1", "1.5", "1e308", "1e999", "18446744073709551616", "\"\"",
        "\"no\"", "\"\\u0000\"", "\"🦄 \\\" \\\\ \"", "[]", "{}", "[[[[[]]]]]",
        "{\"a\":{\"b\":[1]}}",
        "[null,1,\"a\"]", "\"" + String(repeating: "x", count: 70_000) + "\"",
        String(repeating: "[", count: 60) + String(repeating: "]", count: 60),
    ]

    /// What is no JSON object: Trivet never passes it on, but it must not kill.
    private static let damaged = [
        "", "{", "}", "[]", "null", "\"", "{\"", "{\"a\":", "nul", "\u{0}", "{}{}", "{\"a\":1,}",
    ]

    /// Each option with each value, all of them with the same, and what is damaged as a whole.
    static func all(_ options: [PluginOption]) -> [String] {
        var blocks: [String] = []
        for value in values {
            for option in options { blocks.append("{\(quoted(option.name)):\(value)}") }
            if options.count > 1 {
                let members = options.map { "\(quoted($0.name)):\(value)" }
                blocks.append("{\(members.joined(separator: ","))}")
            }
        }
        for option in options {
            blocks.append("{\(quoted(option.name)):1,\(quoted(option.name)):\"twice\"}")
            blocks.append("{\(quoted(option.name)):")
            blocks.append("{\(quoted(option.name)):\"")
        }
        // Mixed, so that whoever stops early has seen some of each; the same mix every time.
        var random = SplitMix64(seed: 1)
        return (blocks + damaged).shuffled(using: &random)
    }

    /// A refusal has to say why.
    static func judge(
        _ sentence: String, _ config: String, room: Int
    ) throws(ConformanceEnd) {
        if sentence.isEmpty {
            throw .failed("create refuses \(shown(config)) without a sentence")
        }
        guard room >= 512 else { return }
        let letters = sentence.unicodeScalars.count { $0.properties.isAlphabetic }
        if letters < 8 || !sentence.contains(" ") {
            throw .failed(
                "create refuses \(shown(config)) with \"\(sentence)\", which tells nobody what to do"
            )
        }
    }

    /// For a sentence: not all of 70,000 bytes.
    static func shown(_ config: String) -> String {
        if config.isEmpty { return "of no bytes at all" }
        return config.utf8.count <= 60
            ? config : "\(config.prefix(50))... (\(config.utf8.count) bytes)"
    }

    private static func quoted(_ text: String) -> String {
        var out = ""
        JSON.quote(text, into: &out)
        return out
    }
}
