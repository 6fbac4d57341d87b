// Files that kill, dropped in one by one: each gets its sentence, and harms nothing else. And those
// that are good, which must load.

import CAllocations
import Glibc
import Testing

@testable import Balance
@testable import Loading

@Suite("Plugin files that are no good get one sentence each")
struct LoadingTests {
    let workshop: Workshop

    init() throws { workshop = try Workshop() }

    @Test("a text file")
    func textFile() throws {
        let path = try workshop.file("notes.so", Array("round robin, please\n".utf8))
        #expect(
            try workshop.refusals([path]) == ["notes.so is a text file, not a shared object"])
        let empty = try workshop.file("empty.so", [])
        #expect(try workshop.refusals([empty]) == ["empty.so is empty"])
    }

    @Test("a file that was cut short in copying, wherever it was cut")
    func truncated() throws {
        let whole = try Files.read(try workshop.build("good"))
        for (index, share) in [0.02, 0.3, 0.6, 0.95].enumerated() {
            let part = Array(whole.prefix(Int(Double(whole.count) * share)))
            let path = try workshop.file("cut\(index).so", part)
            let refusals = try workshop.refusals([path])
            #expect(refusals.count == 1)
            #expect(refusals.first?.hasPrefix("cut\(index).so is cut short") == true)
        }
    }

    @Test("a file for another architecture, which it names")
    func otherArchitecture() throws {
        var bytes = try Files.read(try workshop.build("good"))
        let (code, name): (UInt8, String) =
            ELF.machine == 183 ? (62, "x86_64") : (183, "aarch64")
        bytes[18] = code
        let path = try workshop.file("foreign.so", bytes)
        #expect(
            try workshop.refusals([path]) == [
                "foreign.so is built for \(name), but this machine is \(ELF.machineName(ELF.machine))"
            ])
    }

    @Test("a program")
    func program() throws {
        let refusals = try workshop.refusals([Workshop.trivet])
        #expect(refusals.first?.hasSuffix("is a program, not a shared object") == true)
    }

    @Test("a file without the entry symbol, or with that of another version")
    func noEntry() throws {
        for name in ["no-entry", "hidden-entry"] {
            let path = try workshop.build(name)
            #expect(
                try workshop.refusals([path]) == [
                    "\(name).so does not export trivet_plugin_v1, so it is no Trivet plugin "
                        + "(or it hides its symbols)"
                ])
        }
        let other = try workshop.build("other-major")
        #expect(
            try workshop.refusals([other]) == [
                "other-major.so exports trivet_plugin_v2, another version of the plugin interface; "
                    + "this Trivet knows v1 only"
            ])
    }

    @Test("an unresolved symbol, which it names")
    func unresolved() throws {
        let path = try workshop.build("unresolved")
        #expect(
            try workshop.refusals([path]) == [
                "unresolved.so needs the symbol \"nobody_provides_this\", which nothing here provides"
            ])
    }

    @Test("a constructor that crashes, with its last words")
    func crash() throws {
        let path = try workshop.build("constructor-crashes")
        #expect(
            try workshop.refusals([path]) == [
                "constructor-crashes.so crashed (SIGABRT) while it was loaded: fixture: about to crash"
            ])
    }

    @Test("a constructor that hangs")
    func hang() throws {
        let path = try workshop.build("constructor-hangs")
        #expect(
            try workshop.refusals([path], limitMs: 500) == [
                "constructor-hangs.so did not come to an end within 0.5 s while it was loaded"
            ])
    }

    @Test("a constructor that exits with status 0")
    func exits() throws {
        // The thread sanitizer has a word in how its processes end.
        if threads_are_watched() { return }
        let path = try workshop.build("constructor-exits")
        #expect(
            try workshop.refusals([path]) == [
                "constructor-exits.so ended the process by itself (exit status 0) while it was loaded"
            ])
    }

    @Test("an entry or a create that refuses, in its own words")
    func refusals() throws {
        let entry = try workshop.build("entry-refuses")
        #expect(
            try workshop.refusals([entry]) == ["entry-refuses.so refuses: the licence has expired"])
        let create = try workshop.build("create-refuses")
        #expect(
            try workshop.refusals([create], using: "fixture", options: "{\"a\":1}") == [
                "create-refuses.so: pool octopus: strategy \"fixture\" refuses: {\"a\":1}"
            ])
        #expect(try workshop.refusals([create]) == [])
    }

    @Test("a pick that crashes, before any request meets it")
    func pickCrashes() throws {
        let path = try workshop.build("pick-crashes")
        #expect(
            try workshop.refusals([path], using: "fixture") == [
                "pick-crashes.so crashed (SIGSEGV) in pick of strategy \"fixture\""
            ])
    }

    @Test("a table of nonsense")
    func smallTable() throws {
        let refusal = try workshop.refusals([try workshop.build("small-table")]).first
        #expect(
            refusal?.hasPrefix(
                "small-table.so is unusable: a strategy's table says it has 16 bytes") == true)
    }

    @Test("two files that offer one name are both named; a bundled name cannot be taken")
    func duplicates() throws {
        let one = try workshop.build("good", as: "one")
        let two = try workshop.build("good", as: "two")
        #expect(
            try workshop.refusals([one, two]) == [
                "one.so and two.so both offer strategy \"fixture\"; take one away"
            ])
        let report = try workshop.loader([two], bundled: [one]).trial(uses: [])
        #expect(
            report.fileRefusals.map(\.sentence) == [
                "\(two) offers strategy \"fixture\", which comes with Trivet (\(one)); "
                    + "give it another name"
            ])
        #expect(try workshop.refusals([one, one]) == [])
    }

    @Test("a path that leads nowhere, or to no file")
    func paths() throws {
        #expect(throws: Refusal.self) { try PluginFile.named(["/nowhere/at/all.so"]) }
        #expect(
            try workshop.refusals(["/dev/null"]) == [
                "/dev/null is not a file, but a plugin has to be one"
            ])
    }

    @Test("several bad files are all named at once, and the good one among them is still found")
    func allAtOnce() throws {
        let crash = try workshop.build("constructor-crashes")
        let exits = try workshop.build("constructor-exits")
        let good = try workshop.build("good")
        let text = try workshop.file("text.so", Array("x".utf8))
        let report = try workshop.loader([crash, good, text, exits]).trial(uses: [])
        #expect(report.listings.map(\.file) == [good])
        #expect(report.fileRefusals.count == 3)
        for file in [crash, exits, text] {
            #expect(report.fileRefusals.contains { $0.sentence.hasPrefix(file) })
        }
    }

    @Test("a trial inherits no descriptor: a listening socket is not held open by a hanging plugin")
    func descriptors() throws {
        let leaky = unsafe open("/dev/null", O_RDONLY)
        defer { close(leaky) }
        let path = try workshop.build("open-files")
        let refusals = try workshop.refusals([path], using: "fixture")
        #expect(refusals == ["open-files.so: pool octopus: strategy \"fixture\" refuses: none"])
    }

    @Test("damage anywhere in the tables is refused before it is mapped, or harms the child alone")
    func damagedBytes() throws {
        let whole = try Files.read(try workshop.build("good"))
        var seed: UInt64 = 7
        var paths: [String] = []
        for turn in 0..<24 {
            var bytes = whole
            for _ in 0..<8 {
                seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                // The first kilobytes hold the header, the segments and the tables of symbols.
                bytes[64 + Int(seed >> 33) % 2048] = UInt8(truncatingIfNeeded: seed >> 25)
            }
            paths.append(try workshop.file("damaged\(turn).so", bytes))
        }
        let good = try workshop.build("good", as: "zz-good", naming: "unharmed")
        let report = try workshop.loader(paths + [good]).trial(uses: [])
        #expect(report.listings.contains { $0.file == good })
        #expect(!report.fileRefusals.isEmpty)
    }
}

@Suite("Plugin files that are good")
struct LoadingGoodTests {
    let workshop: Workshop

    init() throws { workshop = try Workshop() }

    @Test("a strategy in C, dropped in, picks")
    func loads() throws {
        let path = try workshop.build("good", naming: "first-ready")
        let loader = workshop.loader([path])
        let uses = [PluginUse(kind: .strategy, name: "first-ready", pool: "p")]
        let report = try loader.trial(uses: uses)
        let (listing, offer) = try #require(report.offer(.strategy, "first-ready"))
        #expect(listing.plugin == "fixtures" && listing.version == "3.2.1" && !listing.isBundled)
        #expect(offer.summary == "a strategy for tests" && offer.options.map(\.name) == ["first"])
        let catalogue = try loader.load(report, uses: uses)
        let kind = try #require(catalogue.strategies["first-ready"])
        #expect(kind.origin.file == path)
        #expect(try pickOnce(kind) == 0)
    }

    @Test("what is not in use is not loaded, and what is replaced in place does not kill")
    func onlyInUse() throws {
        let used = try workshop.build("good", as: "used", naming: "used")
        let unused = try workshop.build("good", as: "unused", naming: "unused")
        let loader = workshop.loader([used, unused])
        let uses = [PluginUse(kind: .strategy, name: "used", pool: "p")]
        let report = try loader.trial(uses: uses)
        let catalogue = try loader.load(report, uses: uses)
        #expect(catalogue.libraries.map(\.origin.file) == [used])
        let kind = try #require(catalogue.strategies["used"])
        // Overwriting a mapped file kills; the private copy stands between.
        let fd = unsafe open(used, O_WRONLY | O_TRUNC)
        #expect(fd >= 0)
        close(fd)
        #expect(try pickOnce(kind) == 0)
    }

    @Test("the same file loaded twice has statics of its own each time")
    func twice() throws {
        let path = try workshop.build("good", naming: "again")
        let loader = workshop.loader([path])
        let uses = [PluginUse(kind: .strategy, name: "again", pool: "p")]
        let first = try loader.load(try loader.trial(uses: uses), uses: uses)
        let second = try loader.load(try loader.trial(uses: uses), uses: uses)
        let (one, two) = (first.strategies["again"], second.strategies["again"])
        unsafe #expect(one?.table != two?.table)
    }

    @Test("everything that comes with Trivet loads, and round robin is exact")
    func bundled() throws {
        let files = PluginFile.bundled()
        let loader = PluginLoader(files: files, trialProgram: Workshop.trivet)
        let uses = [
            PluginUse(kind: .strategy, name: "round-robin", pool: "octopus"),
            PluginUse(kind: .check, name: "octopus", pool: "octopus"),
            PluginUse(kind: .check, name: "http", pool: "web"),
            PluginUse(kind: .check, name: "tcp", pool: "raw"),
        ]
        let report = try loader.trial(uses: uses)
        #expect(report.fileRefusals == [] && report.useRefusals == [])
        let catalogue = try loader.load(report, uses: uses)
        #expect(catalogue.strategies.keys.contains("round-robin"))
        for check in ["octopus", "http", "tcp"] { #expect(catalogue.checks[check] != nil) }
        let kind = try #require(catalogue.strategies["round-robin"])
        let picks = try (0..<2).map { _ in try pickOnce(kind) }
        #expect(picks.allSatisfy { $0 < 3 })
    }

    @Test("a use that nothing offers is the configuration's to judge, and stops nothing else")
    func unknownUse() throws {
        let path = try workshop.build("good")
        let loader = workshop.loader([path])
        let uses = [PluginUse(kind: .strategy, name: "round-robbin", pool: "p")]
        let report = try loader.trial(uses: uses)
        #expect(report.isGood && report.offer(.strategy, "round-robbin") == nil)
        #expect(try loader.load(report, uses: uses).libraries.isEmpty)
    }

    @Test("private copies lie in a folder that nobody else can enter, and leave with the process")
    func privateFolder() throws {
        let path = try PrivateFolder.keep([1, 2, 3], name: "copy.so")
        var facts = stat()
        #expect(unsafe stat(Files.folder(of: path), &facts) == 0)
        #expect(facts.st_mode & 0o777 == 0o700)
        let next = try PrivateFolder.keep([4], name: "copy.so")
        #expect(path != next)
        #expect(try Files.read(path) == [1, 2, 3])
    }

    @Test("copies of files that were refused or are not in use do not pile up")
    func discard() throws {
        let used = try workshop.build("good", as: "kept-\(getpid())", naming: "kept")
        let others = [
            try workshop.build("good", as: "dropped-\(getpid())", naming: "dropped"),
            try workshop.build("constructor-exits", as: "exits-\(getpid())"),
            try workshop.build("unresolved", as: "unresolved-\(getpid())"),
        ]
        let uses = [PluginUse(kind: .strategy, name: "kept", pool: "p")]
        let loader = workshop.loader([used] + others)
        _ = try loader.load(try loader.trial(uses: uses), uses: uses)
        let folder = Files.folder(of: try PrivateFolder.keep([], name: "any"))
        let names = try #require(Files.names(in: folder))
        #expect(names.contains { $0.hasSuffix("-" + Files.name(of: used)) })
        for path in others {
            #expect(!names.contains { $0.hasSuffix("-" + Files.name(of: path)) })
        }
    }

    @Test("the copies of a process that crashed are swept by the next")
    func sweep() throws {
        let own = Files.folder(of: try PrivateFolder.keep([], name: "mine"))
        let stale = Files.folder(of: own) + "/trivet-plugins-1-stale"
        unsafe mkdir(stale, 0o700)
        try Files.write([1], to: stale + "/1-old.so")
        PrivateFolder.sweep(Files.folder(of: own))
        #expect(Files.sort(of: stale) == .missing)
        #expect(Files.sort(of: own) == .folder)
    }

    private func pickOnce(_ kind: StrategyKind) throws -> UInt32 {
        let nodes = (0..<3).map {
            NodeSpec(id: UInt64($0), name: "n\($0)", address: "192.0.2.\($0):80")
        }
        let pools = [PoolSpec(name: "p", nodes: nodes)]
        let size = Board.bytesNeeded(pools: pools, workers: 1)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 64)
        defer { unsafe memory.deallocate() }
        let board = unsafe try Board(memory: memory, pools: pools, workers: 1, adopt: false)
        let place = InstancePlace(
            board: board, pool: board.pools[0], worker: 0, clock: WorkerClock(), metrics: Metrics())
        let view = PoolView(
            at: place, strategies: [try kind.make(at: place, slot: 0, options: "{}")])
        let facts = PickFacts(
            method: Span(), target: Span(), authority: Span(), client: Span(), bytes: Span(),
            fields: Span(), tried: Span())
        guard case .node(let index, _, 0) = view.pick(facts) else { return .max }
        return index
    }
}
