// `trivet plugin check` as it is used: the table, the JSON document, the exit codes.

import Base
import Glibc
import TestKit
import Testing

@testable import Loading

@Suite("trivet plugin check says what it found, to people and to programs", .serialized)
struct PluginCheckCommandTests {
    let workshop: Workshop

    init() throws { workshop = try Workshop() }

    @Test("a table with a line for each rule, and exit code 0 or 1")
    func table() throws {
        let good = try workshop.build("broken/good-strategy", as: "good")
        let bad = try workshop.build("broken/never-down", as: "bad")
        let fine = try Trivet.run(["plugin", "check", "--rules", "never-down,sizes", good])
        #expect(fine.exit == .code(0))
        let lines = fine.output.split(separator: "\n").map(String.init)
        #expect(lines.first == "\(good): broken 1.0.0")
        let rules = lines.dropFirst(2).dropLast().map { $0.split(separator: " ").first }
        #expect(rules == ["tables", "creates", "never-down", "sizes"])
        #expect(lines.last == "1 file: 4 passed")
        #expect(!fine.output.contains("\u{1B}"), "no colour where nobody looks")

        let both = try Trivet.run(["plugin", "check", good, bad, "--rules=never-down"])
        #expect(both.exit == .code(1))
        #expect(both.output.hasSuffix("2 files: 5 passed, 1 failed (never-down)\n"))
        #expect(both.output.contains("  never-down  strategy broken  failed   it picked node"))
    }

    @Test("one JSON document with the same findings")
    func json() throws {
        let bad = try workshop.build("broken/never-down", as: "bad")
        let notes = try workshop.file("notes.so", Array("hello\n".utf8))
        let (exit, output, _) = try Trivet.run(
            ["plugin", "check", "--json", "--rules", "never-down,pick-time,save-load", bad, notes])
        #expect(exit == .code(1))
        #expect(output.split(separator: "\n").count == 1)
        // Strict JSON: Trivet's own strict reader takes it.
        let bytes = Array(output.utf8)
        #expect(
            JSON.find(Array("/files/0/rules/0/outcome".utf8).span, in: bytes.span)
                == .string(Array("passed".utf8)))
        let document = try JSON5.parse(bytes, file: "output")
        let counts = ["passed", "warned", "failed", "skipped"].map { document[$0]?.kind }
        let rules = document["files"]?[0]?["rules"]
        let found = (0..<5).map { index in
            ["rule", "outcome"].map { rules?[index]?[$0]?.string ?? "" }
        }
        let time = found.last?.last ?? ""
        #expect(time == "passed" || time == "warned")
        #expect(
            counts == [
                .number(time == "passed" ? 3 : 2), .number(time == "passed" ? 0 : 1), .number(2),
                .number(1),
            ])
        #expect(
            found == [
                ["tables", "passed"], ["creates", "passed"], ["never-down", "failed"],
                ["save-load", "skipped"], ["pick-time", time],
            ])
        #expect(rules?[2]?["kind"]?.string == "strategy")
        #expect(rules?[2]?["name"]?.string == "broken")
        #expect(rules?[2]?["sentence"]?.string?.hasPrefix("it picked node") == true)
        guard case .number(let nanoseconds)? = rules?[4]?["pick_ns"]?.kind else {
            Issue.record("no pick_ns in \(output)")
            return
        }
        #expect(nanoseconds > 0)
        let second = document["files"]?[1]
        #expect(second?["plugin"]?.string == "")
        #expect(
            second?["rules"]?[0]?["sentence"]?.string
                == "\(notes) is a text file, not a shared object")
    }

    @Test("a wrong command line is told from a wrong plugin")
    func commandLine() throws {
        let none = try Trivet.run(["plugin", "check"])
        #expect(none.exit == .code(2))
        #expect(none.error.contains("FILE is missing"))
        let rule = try Trivet.run(["plugin", "check", "--rules", "never-dwn", "a.so"])
        #expect(rule.exit == .code(2))
        #expect(rule.error.contains("did you mean \"never-down\"?"))
        let options = try Trivet.run(["plugin", "check", "--options", "{a: 1}", "a.so"])
        #expect(options.exit == .code(2))
        #expect(options.error.contains("where a block of options is needed"))
        let gone = try Trivet.run(["plugin", "check", "no-such-file.so"])
        #expect(gone.exit == .code(1))
        #expect(gone.output.contains("no-such-file.so cannot be read"))
        let help = try Trivet.run(["plugin", "check", "--help"])
        #expect(help.exit == .code(0))
        #expect(help.output.contains("usage: trivet plugin check"))
    }

    @Test("options reach the strategy that they are for")
    func options() throws {
        let path = try workshop.build("broken/creates-needs-option", as: "needs")
        let without = try Trivet.run(["plugin", "check", "--rules", "sizes", path])
        #expect(without.exit == .code(1))
        #expect(without.output.contains("give it others with --options"))
        let with = try Trivet.run(
            ["plugin", "check", "--rules", "sizes", "--options", "{broken: {size: 3}}", path])
        #expect(with.exit == .code(0))
    }
}

extension JSONNode {
    fileprivate subscript(index: Int) -> JSONNode? {
        guard case .array(let elements) = kind, elements.indices.contains(index) else { return nil }
        return elements[index]
    }

    fileprivate var string: String? {
        guard case .string(let text) = kind else { return nil }
        return text
    }
}
