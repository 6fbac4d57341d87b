// The configuration as a file: read, parsed, and judged together with the plugins that it names.
// `check`, `run` and the balancer's process all come through here, so they say the same.

import Balance
import Base
import Config
import Loading
import Proxy

enum ConfigurationFile {
    /// Reads a file that must be good as far as can be told without loading a plugin. What is wrong
    /// with it comes at once, and what a trial of its plugins finds with it.
    static func read(_ path: String) throws(Failure) -> (bytes: [UInt8], Configuration) {
        let bytes = try readFile(path, what: "the configuration")
        return (bytes, try parse(bytes, file: path))
    }

    static func parse(_ bytes: [UInt8], file: String) throws(Failure) -> Configuration {
        let reading = ConfigurationParser.read(bytes, file: file)
        if let configuration = reading.configuration { return configuration }
        throw .input(try PluginReview(reading).complaints)
    }
}

extension Keyring {
    // Of certificates, keys and lists of authorities: the system's own list has a quarter of it.
    private static let limit = 1 << 20

    /// Reads the files that TLS needs. All that cannot be read comes at once, with where it is named.
    static func read(for configuration: Configuration) throws(Failure) -> Keyring {
        var keyring = Keyring()
        var complaints: [String] = []
        for file in configuration.tlsFiles {
            do throws(Failure) {
                keyring.add(
                    file.value,
                    try readFile(configuration.resolve(file.value), what: "the file", limit: limit))
            } catch {
                let sentence = error.sentences.joined(separator: "; ")
                let wrong = Diagnostic(
                    file: configuration.file, place: file.place, sentence: sentence)
                complaints.append(wrong.description)
            }
        }
        guard complaints.isEmpty else { throw .input(complaints) }
        return keyring
    }
}

/// A configuration and its plugins: found, tried in a child, and judged together. Nothing is loaded
/// into this process until `load`.
struct PluginReview {
    /// Nil if the text could not be understood at all.
    let draft: Configuration?
    /// All that is wrong, one line each.
    let complaints: [String]
    /// Files that are the reason for one of them.
    let refusedFiles: [String]
    private let loader: PluginLoader
    private let report: TrialReport
    private let uses: [PluginUse]

    /// What a process that loads plugins brings along.
    struct Ground {
        /// What is loaded already, so that only what differs is loaded anew.
        var serving = Catalogue.empty
        var fenced = FenceList()
        var generation = 0
        var workers = 1
    }

    /// Throws only if no trial can be made at all. With a `ground`, bundled plugins that are not in use
    /// are looked at only if something is wrong, so that the sentences know their names; without, they
    /// all are.
    init(_ reading: ConfigurationReading, on ground: Ground? = nil) throws(Failure) {
        draft = reading.draft
        uses = reading.draft.map(Self.uses) ?? []
        var files = PluginFile.bundled()
        var complaints: [String] = []
        var candidates: [PluginFile] = []
        if let draft {
            complaints = draft.findPlugins(&files) + draft.findCandidates(&candidates)
        }
        let isLean = ground != nil
        let ground = ground ?? Ground()
        var loader = PluginLoader(
            files: files, candidates: candidates, serving: ground.serving, fenced: ground.fenced)
        loader.generation = ground.generation
        loader.workers = ground.workers
        self.loader = loader
        var judged = reading
        do throws(Refusal) {
            var report = isLean ? try loader.leanTrial(uses: uses) : try loader.trial(uses: uses)
            judged.judge(
                against: Self.names(report, candidates: loader.candidates))
            if !report.spared.isEmpty, judged.diagnostics.count > reading.diagnostics.count {
                try loader.complete(&report, uses: uses)
                judged = reading
                judged.judge(
                    against: Self.names(report, candidates: loader.candidates))
            }
            self.report = report
        } catch {
            throw .system(error.sentence)
        }
        // Every sentence about a file begins with it.
        let sentences = (report.fileRefusals + report.useRefusals).map(\.sentence)
        refusedFiles = files.map(\.path).filter { path in
            sentences.contains { $0.hasPrefix(path + " ") || $0.hasPrefix(path + ":") }
        }
        complaints += report.fileRefusals.map(\.sentence)
        complaints += judged.diagnostics.map(\.description)
        complaints += report.useRefusals.map(\.sentence)
        if let draft {
            do throws(Failure) {
                _ = try Identity(of: draft)
            } catch {
                complaints += error.sentences
            }
        }
        self.complaints = complaints
    }

    /// Loads what is in use. Only when there are no complaints.
    func load() throws(Refusal) -> Catalogue { try loader.load(report, uses: uses) }

    /// Forgets what was tried. Instead of `load`.
    func discard() { loader.discard(report) }

    private static func uses(of configuration: Configuration) -> [PluginUse] {
        var uses: [PluginUse] = []
        for pool in configuration.pools {
            for strategy in pool.strategies {
                uses.append(
                    PluginUse(
                        kind: .strategy, name: strategy.name, pool: pool.name,
                        options: strategy.options.encoded()))
                if let canary = strategy.canary {
                    uses.append(
                        PluginUse(
                            kind: .strategy, name: canary.choice.name, pool: pool.name,
                            options: canary.choice.options.encoded(),
                            file: canary.file))
                }
            }
            if let shadow = pool.shadow {
                uses.append(
                    PluginUse(
                        kind: .strategy, name: shadow.name, pool: pool.name,
                        options: shadow.options.encoded()))
            }
            if let check = pool.health?.check {
                uses.append(
                    PluginUse(
                        kind: .check, name: check.name, pool: pool.name,
                        options: check.options.encoded()))
            }
        }
        return uses
    }

    private static func names(
        _ report: TrialReport, candidates: Set<String>
    ) -> PluginNames {
        var names = PluginNames(strategies: [:], checks: [:])
        let found =
            report.listings.map { ($0.file, $0.offers) }
            + report.fenced.map { ($0.fence.file, $0.offers) }
        for (file, offers) in found {
            for offer in offers {
                let options = offer.options.map(\.name)
                switch offer.kind {
                case .strategy where candidates.contains(file):
                    names.builds[file, default: [:]][offer.name] = options
                case .strategy: names.strategies[offer.name] = options
                case .check where candidates.contains(file): continue
                case .check: names.checks[offer.name] = options
                }
            }
        }
        return names
    }
}

extension PluginRecord {
    /// What served in a balancer that died, in the one that takes its place.
    func restore(for configuration: Configuration, workers: Int) throws(Refusal) -> Catalogue {
        var candidates: [PluginFile] = []
        _ = configuration.findCandidates(&candidates)
        var loader = PluginLoader(files: [], candidates: candidates, fenced: list)
        loader.workers = workers
        return try loader.restore(self)
    }
}

extension Configuration {
    /// Adds the files that it names as builds of canaries, each path once; what is wrong with their
    /// paths comes back.
    func findCandidates(_ files: inout [PluginFile]) -> [String] {
        var complaints: [String] = []
        for canary in pools.flatMap(\.strategies).compactMap(\.canary) {
            guard let build = canary.build, let path = canary.file else { continue }
            do throws(Refusal) {
                files.append(try PluginFile.candidate(path))
            } catch {
                let wrong = Diagnostic(file: file, place: build.place, sentence: error.sentence)
                complaints.append(wrong.description)
            }
        }
        return complaints
    }

    /// Adds the files that it names as plugins; what is wrong with their paths comes back.
    func findPlugins(_ files: inout [PluginFile]) -> [String] {
        var complaints: [String] = []
        for plugin in plugins {
            do throws(Refusal) {
                files += try PluginFile.named([resolve(plugin.value)])
            } catch {
                let wrong = Diagnostic(file: file, place: plugin.place, sentence: error.sentence)
                complaints.append(wrong.description)
            }
        }
        return complaints
    }
}
