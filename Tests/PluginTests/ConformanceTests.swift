// The conformance kit: what is bundled and what the SDK shows passes every rule; what was broken on
// purpose is caught by the rule that is named after it, and by no other. Broken plugins are the C
// sources in Fixtures/broken. One file at a time, since each keeps two processes busy.

import CAllocations
import Glibc
import Testing

@testable import Balance
@testable import Loading

@Suite("The conformance kit tells good plugins from bad", .serialized)
struct ConformanceTests {
    let workshop: Workshop

    init() throws { workshop = try Workshop() }

    private func kit(
        _ rules: [ConformanceRule] = ConformanceRule.allCases, limitSeconds: Int = 20
    ) -> Conformance {
        Conformance(program: Workshop.trivet, limitSeconds: limitSeconds, rules: Set(rules))
    }

    /// `rule: sentence` of all that did not pass, without the fixtures' folder.
    private func complaints(_ report: ConformanceReport) -> [String] {
        report.findings.filter { $0.outcome == .failed || $0.outcome == .warned }.map {
            "\($0.rule.rawValue): "
                + $0.sentence.split(separator: "\(workshop.folder)/").joined()
        }
    }

    /// Everything beside the command that it takes for its own, and the examples in Swift.
    static let shipped: [String] = {
        let folder = Files.folder(of: Workshop.trivet)
        return PluginFile.bundled(besides: Workshop.trivet).map(\.path)
            + ["fixture-facets", "example-turns", "example-two-choices"].map {
                "\(folder)/lib\($0).so"
            }
    }()

    @Test("what is bundled, and what the SDK shows, passes every rule", arguments: shipped)
    func bundled(file: String) throws {
        var rules = Set(ConformanceRule.allCases)
        #if DEBUG
            // .ci/run has the release builds pass every rule. A debug build allocates, and takes half a
            // minute for a table of 10,000 nodes; those that make large tables take a second for any.
            rules.subtract([.sizes, .noAllocation])
            let isSlow = ["maglev", "ring-hash", "bounded-load"].contains {
                Files.name(of: file) == "libtrivet-\($0).so"
            }
            if isSlow {
                rules.subtract([
                    .badConfiguration, .deterministic, .strides, .comingsAndGoings,
                    .givesMemoryBack,
                ])
            }
        #endif
        let report = try kit(Array(rules)).check(file)
        let failed = report.findings.filter { $0.outcome == .failed }
        #expect(failed.isEmpty, "\(failed.map { "\($0.rule.rawValue): \($0.sentence)" })")
        #expect(report.count(.passed) >= 7, "\(report.findings.map(\.sentence))")
        // The shortest of the examples does not look at what was tried; a debug build is slow.
        let isTurns = Files.name(of: file) == "libexample-turns.so"
        let known: Set<ConformanceRule> = isTurns ? [.retries, .pickTime] : [.pickTime]
        for finding in report.findings where finding.outcome == .warned {
            #expect(known.contains(finding.rule), "\(finding.rule.rawValue): \(finding.sentence)")
        }
    }

    @Test("nothing that is bundled goes unchecked")
    func bundledIsThere() {
        let names = Self.shipped.map { Files.name(of: $0) }
        for name in ["round-robin", "octopus", "http", "tcp"] {
            #expect(names.contains("libtrivet-\(name).so"))
        }
    }

    @Test("the example in C passes every rule")
    func exampleInC() throws {
        let source =
            Files.folder(of: Files.folder(of: Files.folder(of: #filePath)))
            + "/SDK/Examples/c/least_busy"
        let report = try kit().check(try workshop.build(source, as: "least"))
        #expect(complaints(report) == [])
        #expect(report.plugin == "least-busy")
    }

    @Test("the frame of the broken plugins is sound", arguments: ["strategy", "check"])
    func frame(kind: String) throws {
        let path = try workshop.build("broken/good-\(kind)", as: "good")
        let report = try kit().check(path)
        #expect(complaints(report) == [])
        #expect(report.count(.passed) >= 7)
    }

    @Test(
        "a broken plugin is caught by its rule and by no other",
        arguments: [
            ConformanceRule.tables, .creates, .badConfiguration, .deterministic, .neverDown,
            .retries, .sizes, .strides, .comingsAndGoings, .saveLoad, .updateEqualsRebuild,
            .describe, .hostileRequests, .noAllocation, .pickTime, .givesMemoryBack,
            .nothingLeftBehind, .probeSane, .everyStatus, .damagedBodies, .roundsEnd,
        ])
    func broken(rule: ConformanceRule) throws {
        // A sanitizer's heap cannot be looked into.
        if [.noAllocation, .givesMemoryBack].contains(rule), !allocations_are_counted() { return }
        // Shown by a wild write.
        if rule == .comingsAndGoings, threads_are_watched() { return }
        let path = try workshop.build("broken/\(rule.rawValue)", as: "broken")
        let report = try kit().check(path)
        let caught = report.findings.filter { $0.outcome == .failed || $0.outcome == .warned }
        #expect(caught.map(\.rule) == [rule], "\(complaints(report))")
        #expect(caught.first?.outcome == (rule == .retries ? .warned : .failed))
        #expect(caught.first?.sentence.isEmpty == false)
    }

    @Test("every rule has a plugin that breaks it")
    func complete() throws {
        let folder = Files.folder(of: #filePath) + "/Fixtures/broken"
        let names = try #require(Files.names(in: folder))
        for rule in ConformanceRule.allCases {
            #expect(names.contains("\(rule.rawValue).c"))
        }
    }

    @Test(
        "other ways to break a rule are caught as well, with the reason",
        arguments: [
            ("bad-configuration-overrun", "writes its sentence past the 16 bytes it was lent"),
            ("deterministic-process", "two processes that were told the same"),
            ("save-load-refuses", "load has no use for what save has just written"),
            ("update-equals-rebuild-shares", "after a change (weights) and update, node"),
            ("nothing-left-behind-thread", "1 of its threads still run"),
            ("nothing-left-behind-descriptor", "(/dev/null)"),
            ("hostile-requests-exit", "ended the process by itself (exit status 0) in pick"),
        ])
    func variant(source: String, sentence: String) throws {
        if source.hasSuffix("-thread"), threads_are_watched() { return }
        let path = try workshop.build("broken/\(source)", as: "broken")
        let rule = try #require(
            ConformanceRule.allCases.first { source.hasPrefix($0.rawValue) })
        let found = complaints(try kit([rule]).check(path))
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("\(rule.rawValue): ") == true, "\(found)")
        #expect(found.first?.contains(sentence) == true, "\(found)")
    }

    @Test("a rule that hangs or crashes fails by itself, and says where")
    func deaths() throws {
        let hangs = try workshop.build("broken/hostile-requests-hang", as: "hangs")
        #expect(
            complaints(try kit([.hostileRequests], limitSeconds: 1).check(hangs)) == [
                "hostile-requests: did not come to an end within 1.0 s in pick, for hostile requests"
            ])
        if threads_are_watched() { return }
        let crashes = try workshop.build("broken/comings-and-goings", as: "crashes")
        let found = complaints(try kit([.comingsAndGoings]).check(crashes))
        #expect(
            found.first?.hasPrefix("comings-and-goings: crashed (SIGSEGV) in result after change")
                == true)
        let leaves = try workshop.build("constructor-exits")
        #expect(
            complaints(try kit().check(leaves)) == [
                "tables: ended the process by itself (exit status 0) while it was loaded"
            ])
    }

    @Test("a file that is no plugin fails `tables` with the loader's sentence")
    func noPlugin() throws {
        let text = try workshop.file("notes.so", Array("round robin, please\n".utf8))
        #expect(
            complaints(try kit().check(text)) == [
                "tables: notes.so is a text file, not a shared object"
            ])
        let gone = complaints(try kit().check("\(workshop.folder)/gone.so"))
        #expect(gone == ["tables: gone.so cannot be read: No such file or directory"])
    }

    @Test("a strategy that needs an option is skipped until it is given one")
    func options() throws {
        let path = try workshop.build("broken/creates-needs-option", as: "needs")
        var kit = kit([.neverDown])
        let without = try kit.check(path)
        #expect(complaints(without).first?.contains("option \"size\" is missing") == true)
        #expect(without.findings.last?.outcome == .skipped)
        kit.options = ["broken": "{\"size\":3}"]
        #expect(complaints(try kit.check(path)) == [])
    }

    @Test("what host and child say to each other arrives, and what is cut off does not")
    func wire() {
        let words: [ConformanceWord] = [
            .begins("in pick"), .plugin("a", "1"), .offer(.check, "c"), .figure("pick_ns", 12),
            .digest(.max), .outcome(.skipped, "no \"save\""),
        ]
        let bytes = words.flatMap(\.encoded)
        #expect(ConformanceWord.read(bytes) == words)
        for cut in 0..<bytes.count {
            let read = ConformanceWord.read(Array(bytes.prefix(cut)))
            #expect(read == Array(words.prefix(read.count)))
            #expect(read.count < words.count)
        }
        let job = ConformanceJob(
            rule: .sizes, file: "a b", copies: ["x", "y"], kind: .check, name: "n", options: "{}",
            seconds: 3)
        #expect(ConformanceJob(job.encoded) == job)
    }
}
