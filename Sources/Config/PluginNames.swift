// Judging a configuration by the plugins that are loaded: are the names there, do they have such
// options? Whether an option's value is right, only the plugin knows.

import Base

/// What is loaded: names, and the names of their options.
package struct PluginNames: Sendable {
    package var strategies: [String: [String]]
    package var checks: [String: [String]]

    package init(strategies: [String: [String]], checks: [String: [String]]) {
        self.strategies = strategies
        self.checks = checks
    }
}

extension Configuration {
    /// Everything in it that the loaded plugins do not know.
    package func diagnose(against loaded: PluginNames) -> [Diagnostic] {
        var found: [Diagnostic] = []
        for pool in pools {
            for choice in pool.strategies {
                found += diagnose(
                    choice, "strategy", loaded.strategies, other: ("check", loaded.checks),
                    ownKeys: ["name"])
            }
            if let health = pool.health {
                found += diagnose(
                    health.check, "check", loaded.checks, other: ("strategy", loaded.strategies),
                    ownKeys: Health.keys)
            }
        }
        return found
    }

    /// `ownKeys`: those beside the options that a typo may have been meant for.
    private func diagnose(
        _ choice: PluginChoice, _ kind: String, _ loaded: [String: [String]],
        other: (kind: String, names: [String: [String]]), ownKeys: [String]
    ) -> [Diagnostic] {
        guard let options = loaded[choice.name] else {
            var sentence = "unknown \(kind) \(quoted(choice.name))"
            if other.names[choice.name] != nil { sentence += ", which is a \(other.kind)" }
            sentence += advice(choice.name, loaded.keys.sorted(), "loaded")
            return [Diagnostic(file: file, place: choice.place, sentence: sentence)]
        }
        guard case .object(let members) = choice.options.kind else { return [] }
        var found: [Diagnostic] = []
        for member in members where !options.contains(member.key) {
            var sentence =
                "unknown option \(quoted(member.key)) of the \(kind) \(quoted(choice.name))"
            if let meant = nearest(member.key, in: options + ownKeys) {
                sentence += "; did you mean \"\(meant)\"?"
            } else {
                sentence += ";"
            }
            sentence +=
                options.isEmpty
                ? " it has no options" : " known: \(options.joined(separator: ", "))"
            found.append(Diagnostic(file: file, place: member.keyPlace, sentence: sentence))
        }
        return found
    }
}
