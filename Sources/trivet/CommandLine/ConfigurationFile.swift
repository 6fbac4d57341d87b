// The configuration as a file: read, parsed, and checked against the plugins there are. `check`, `run`
// and the balancer's process all come through here, so they say the same.

import Balance
import Base
import Config
import Loading

enum ConfigurationFile {
    /// Reads and parses. A file that cannot be read is the system's refusal; everything that is wrong
    /// in it comes at once.
    static func read(_ path: String) throws(Failure) -> (bytes: [UInt8], Configuration) {
        let bytes = try readFile(path, what: "the configuration")
        return (bytes, try parse(bytes, file: path))
    }

    static func parse(_ bytes: [UInt8], file: String) throws(Failure) -> Configuration {
        switch ConfigurationParser.read(bytes, file: file) {
        case .success(let configuration): return configuration
        case .failure(let wrong): throw .input(wrong.all.map(\.description))
        }
    }
}

/// A configuration's plugins: found, tried in a child, and judged together with the names and options
/// that the configuration uses. Nothing is loaded into this process until `load`.
struct PluginReview {
    private let loader: PluginLoader
    private let report: TrialReport
    private let uses: [PluginUse]
    /// All that is wrong, one line each.
    let complaints: [String]

    /// Throws only if no trial can be made at all.
    init(_ configuration: Configuration) throws(Failure) {
        uses = Self.uses(of: configuration)
        var files = PluginFile.bundled()
        var complaints: [String] = []
        for plugin in configuration.plugins {
            do throws(Refusal) {
                files += try PluginFile.named([configuration.resolved(plugin.value)])
            } catch {
                let diagnostic = Diagnostic(
                    file: configuration.file, place: plugin.place, sentence: error.sentence)
                complaints.append(diagnostic.description)
            }
        }
        loader = PluginLoader(files: files)
        do throws(Refusal) {
            report = try loader.trial(uses: uses)
        } catch {
            throw .system(error.sentence)
        }
        complaints += report.fileRefusals.map(\.sentence)
        complaints += configuration.diagnose(against: Self.names(report)).map(\.description)
        complaints += report.useRefusals.map(\.sentence)
        self.complaints = complaints
    }

    /// Loads what is in use. Only when there are no complaints.
    func load() throws(Refusal) -> Catalogue { try loader.load(report, uses: uses) }

    private static func uses(of configuration: Configuration) -> [PluginUse] {
        var uses: [PluginUse] = []
        for pool in configuration.pools {
            for strategy in pool.strategies {
                uses.append(
                    PluginUse(
                        kind: .strategy, name: strategy.name, pool: pool.name,
                        options: strategy.options.encoded()))
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

    private static func names(_ report: TrialReport) -> PluginNames {
        var strategies: [String: [String]] = [:]
        var checks: [String: [String]] = [:]
        for offer in report.listings.flatMap(\.offers) {
            let options = offer.options.map(\.name)
            switch offer.kind {
            case .strategy: strategies[offer.name] = options
            case .check: checks[offer.name] = options
            }
        }
        return PluginNames(strategies: strategies, checks: checks)
    }
}
