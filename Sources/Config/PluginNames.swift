// Judging a configuration by the plugins that are loaded: are the names there, do they have such
// options? Whether an option's value is right, only the plugin knows.

import Base

/// What is loaded: names, and the names of their options.
package struct PluginNames: Sendable {
    package var strategies: [String: [String]]
    package var checks: [String: [String]]
    /// Strategies of the files that serve as canaries alone, by path; a file that is refused is not
    /// here.
    package var builds: [String: [String: [String]]]

    package init(
        strategies: [String: [String]], checks: [String: [String]],
        builds: [String: [String: [String]]] = [:]
    ) {
        self.strategies = strategies
        self.checks = checks
        self.builds = builds
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
                    ownKeys: ["name", "canary"])
                if let canary = choice.canary { found += diagnose(canary, loaded) }
            }
            if let shadow = pool.shadow {
                found += diagnose(
                    shadow, "strategy", loaded.strategies, other: ("check", loaded.checks),
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

    private func diagnose(_ canary: Canary, _ loaded: PluginNames) -> [Diagnostic] {
        guard let build = canary.build, let path = canary.file else {
            return diagnose(
                canary.choice, "strategy", loaded.strategies, other: ("check", loaded.checks),
                ownKeys: [])
        }
        guard let strategies = loaded.builds[path] else { return [] }
        guard strategies[canary.choice.name] != nil else {
            let sentence =
                "\(quoted(build.value)) offers no strategy \(quoted(canary.choice.name))"
                + advice(canary.choice.name, strategies.keys.sorted(), "it offers")
            return [Diagnostic(file: file, place: build.place, sentence: sentence)]
        }
        return diagnose(
            canary.choice, "strategy", strategies, other: ("check", [:]), ownKeys: [])
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
