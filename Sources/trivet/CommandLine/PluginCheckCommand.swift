// `trivet plugin check`: the conformance kit's findings as a table for people, or as one JSON document.

import Balance
import Base
import Loading

enum PluginCheckCommand {
    static func run(_ words: Words) throws(Failure) -> Int32 {
        var kit = Conformance()
        if let text = words.options["--options"] { kit.options = try blocks(text) }
        if let text = words.options["--limit"] {
            guard let seconds = Int(text), (1...600).contains(seconds) else {
                throw Commands.pluginCheckSyntax.wrong(
                    "--limit has to be a number of seconds from 1 to 600, not \(text)")
            }
            kit.limitSeconds = seconds
        }
        if let text = words.options["--rules"] { kit.rules = try rules(text) }
        let isJSON = words.options["--json"] != nil
        let names = ["rule", "of", "outcome", "what was seen"]
        var reports: [ConformanceReport] = []
        for file in words.operands {
            let report: ConformanceReport
            do throws(Refusal) {
                report = try kit.check(file)
            } catch {
                throw .system(error.sentence)
            }
            reports.append(report)
            if !isJSON { show(report, names) }
        }
        if isJSON { say(json(reports).encoded()) } else { say(summary(reports)) }
        return reports.contains { $0.count(.failed) > 0 } ? 1 : 0
    }

    /// "never-down,sizes"
    private static func rules(_ text: String) throws(Failure) -> Set<ConformanceRule> {
        var rules: Set<ConformanceRule> = []
        for name in text.split(separator: ",").map(String.init) {
            guard let rule = ConformanceRule(rawValue: name) else {
                throw Commands.pluginCheckSyntax.wrong(
                    "unknown rule \"\(name)\""
                        + suggestion(name, ConformanceRule.allCases.map(\.rawValue), "rules"))
            }
            rules.insert(rule)
        }
        return rules
    }

    /// `{ "sticky": { header: "x-user" } }`, by the name of a strategy or check.
    private static func blocks(_ text: String) throws(Failure) -> [String: String] {
        let node: JSONNode
        do throws(Diagnostic) {
            node = try JSON5.parse(Array(text.utf8), file: "--options")
        } catch {
            throw .commandLine(error.description)
        }
        var blocks: [String: String] = [:]
        guard case .object(let members) = node.kind else {
            throw Commands.pluginCheckSyntax.wrong(
                "--options has to be an object, not \(node.kindName)")
        }
        for member in members {
            guard case .object = member.value.kind else {
                throw Commands.pluginCheckSyntax.wrong(
                    "--options has \(member.value.kindName) for \(member.key), where a block of options "
                        + "is needed")
            }
            blocks[member.key] = member.value.encoded()
        }
        return blocks
    }

    // MARK: for people

    private static func show(_ report: ConformanceReport, _ head: [String]) {
        let terminal = Terminal(1)
        let title =
            report.plugin.isEmpty
            ? report.file : "\(report.file): \(report.plugin) \(report.version)"
        say(terminal.styled(title, .bold))
        let rows = report.findings.map { finding in
            [
                finding.rule.rawValue,
                finding.kind.map { "\($0.rawValue) \(finding.name)" } ?? "the file",
                finding.outcome.rawValue, finding.sentence,
            ]
        }
        let widths = (0..<3).map { column in
            ([head] + rows).map { $0[column].count }.max() ?? 0
        }
        say(terminal.styled(line(head, widths), .dim))
        for (finding, row) in zip(report.findings, rows) {
            var row = row
            row[2] = terminal.styled(padded(row[2], to: widths[2]), style(finding.outcome))
            say(line(row, [widths[0], widths[1], 0]))
        }
        say("")
    }

    private static func line(_ row: [String], _ widths: [Int]) -> String {
        var text = "  "
        for (column, width) in widths.enumerated() { text += padded(row[column], to: width) + "  " }
        return text + row[3]
    }

    private static func style(_ outcome: ConformanceFinding.Outcome) -> Terminal.Style {
        switch outcome {
        case .passed: .green
        case .warned: .yellow
        case .failed: .red
        case .skipped: .dim
        }
    }

    /// `2 files: 31 passed, 1 warned, 1 failed (never-down), 4 skipped`
    private static func summary(_ reports: [ConformanceReport]) -> String {
        let outcomes: [ConformanceFinding.Outcome] = [.passed, .warned, .failed, .skipped]
        let parts = outcomes.compactMap { outcome -> String? in
            let found = reports.flatMap(\.findings).filter { $0.outcome == outcome }
            if found.isEmpty { return outcome == .passed ? "nothing passed" : nil }
            guard outcome == .failed else { return "\(found.count) \(outcome.rawValue)" }
            var rules: [String] = []
            for finding in found where !rules.contains(finding.rule.rawValue) {
                rules.append(finding.rule.rawValue)
            }
            return "\(found.count) failed (\(rules.joined(separator: ", ")))"
        }
        let files = reports.count == 1 ? "1 file" : "\(reports.count) files"
        return "\(files): \(parts.joined(separator: ", "))"
    }

    // MARK: for programs

    private static func json(_ reports: [ConformanceReport]) -> JSONNode {
        let all = reports.flatMap(\.findings)
        return object([
            ("trivet", text(trivetVersion)),
            ("passed", number(all.count { $0.outcome == .passed })),
            ("warned", number(all.count { $0.outcome == .warned })),
            ("failed", number(all.count { $0.outcome == .failed })),
            ("skipped", number(all.count { $0.outcome == .skipped })),
            ("files", array(reports.map(json))),
        ])
    }

    private static func json(_ report: ConformanceReport) -> JSONNode {
        object([
            ("file", text(report.file)), ("plugin", text(report.plugin)),
            ("version", text(report.version)), ("rules", array(report.findings.map(json))),
        ])
    }

    private static func json(_ finding: ConformanceFinding) -> JSONNode {
        var members = [("rule", text(finding.rule.rawValue))]
        if let kind = finding.kind {
            members += [("kind", text(kind.rawValue)), ("name", text(finding.name))]
        }
        members += [
            ("outcome", text(finding.outcome.rawValue)), ("sentence", text(finding.sentence)),
        ]
        for figure in finding.figures { members.append((figure.name, number(Int(figure.value)))) }
        return object(members)
    }

    private static let nowhere = Place(line: 0, column: 0)
    private static func text(_ text: String) -> JSONNode { JSONNode(.string(text), at: nowhere) }
    private static func number(_ number: Int) -> JSONNode {
        JSONNode(.number(Double(number)), at: nowhere)
    }
    private static func array(_ nodes: [JSONNode]) -> JSONNode {
        JSONNode(.array(nodes), at: nowhere)
    }
    private static func object(_ members: [(String, JSONNode)]) -> JSONNode {
        let members = members.map {
            JSONNode.Member(key: $0.0, keyPlace: nowhere, value: $0.1)
        }
        return JSONNode(.object(members), at: nowhere)
    }
}
