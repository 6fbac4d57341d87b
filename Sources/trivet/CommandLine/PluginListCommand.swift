// `trivet plugin list`: the strategies and checks there are, as a trial in a child finds them.

import Balance
import Base
import Config
import Loading

enum PluginListCommand {
    static func run(_ words: Words) throws(Failure) -> Int32 {
        var files = PluginFile.bundled()
        var candidates: [PluginFile] = []
        var complaints: [String] = []
        var fences: [String] = []
        if let path = words.operands.first {
            let bytes = try readFile(path, what: "the configuration")
            let reading = ConfigurationParser.read(bytes, file: path)
            complaints = reading.diagnostics.map(\.description)
            if let draft = reading.draft {
                complaints += draft.findPlugins(&files) + draft.findCandidates(&candidates)
                fences = Self.fences(of: draft)
            }
        }
        let report: TrialReport
        do throws(Refusal) {
            report = try PluginLoader(files: files, candidates: candidates).trial(uses: [])
        } catch {
            throw .system(error.sentence)
        }
        complaints += report.fileRefusals.map(\.sentence)
        var rows: [[String]] = []
        for listing in report.listings {
            for offer in listing.offers {
                rows.append(
                    [offer.name, offer.kind.rawValue, listing.version, listing.file, offer.summary])
            }
        }
        rows.sort { ($0[1], $0[0]) < ($1[1], $1[0]) }
        if rows.isEmpty {
            say("no plugins")
        } else {
            show([["name", "kind", "version", "file", "summary"]] + rows)
        }
        for fence in fences { say(fence) }
        if !complaints.isEmpty { throw .input(complaints) }
        return 0
    }

    /// What is fenced in the Trivet that serves this configuration, if one answers at its admin
    /// address.
    private static func fences(of configuration: Configuration) -> [String] {
        guard let admin = configuration.admin,
            let bytes = try? AdminClient(address: admin.address).get("/state"),
            let state = try? JSON5.parse(bytes, file: "/state"),
            case .array(let plugins)? = state["plugins"]?.kind
        else { return [] }
        return plugins.compactMap { plugin in
            guard case .string(let file)? = plugin["file"]?.kind,
                case .string(let build)? = plugin["build"]?.kind,
                case .string(let reason)? = plugin["fence_reason"]?.kind
            else { return nil }
            return "fenced in the running Trivet: \(file), build \(build): \(reason)"
        }
    }

    /// In columns; the first row is the head of them.
    private static func show(_ rows: [[String]]) {
        let terminal = Terminal(1)
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        for (index, row) in rows.enumerated() {
            var line = ""
            for (column, text) in row.enumerated() {
                line += column == row.count - 1 ? text : padded(text, to: widths[column]) + "  "
            }
            say(index == 0 ? terminal.styled(line, .bold) : line)
        }
    }
}
