// What a reload does not do: read, sum up, try or load again what is as it was. Seen from outside: who
// opens the files (inotify), and how often a trial is started.

import Glibc
import Testing

@testable import Balance
@testable import Loading

@Suite("A trial costs what has changed, and finds what a whole one would")
struct LeanTrialTests {
    let workshop: Workshop

    init() throws { workshop = try Workshop() }

    /// Starts trials by way of a script that writes a line each time.
    private func counting(_ loader: PluginLoader) throws -> (PluginLoader, trials: () -> Int) {
        let (count, script) = ("\(workshop.folder)/count", "\(workshop.folder)/trial.sh")
        unsafe unlink(script)
        unsafe unlink(count)
        try Files.write(
            Array("#!/bin/sh\necho x >> '\(count)'\nexec '\(Workshop.trivet)' \"$@\"\n".utf8),
            to: script)
        unsafe chmod(script, 0o700)
        var loader = loader
        loader.trialProgram = script
        return (loader, { ((try? Files.read(count))?.count ?? 0) / 2 })
    }

    /// Whether files have been opened since.
    private final class Opens {
        private let source = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))

        init(_ paths: [String]) {
            for path in paths {
                #expect(unsafe inotify_add_watch(source, path, UInt32(IN_OPEN)) >= 0)
            }
        }

        deinit { close(source) }

        var isAny: Bool {
            var room = [UInt8](repeating: 0, count: 4096)
            return unsafe room.withUnsafeMutableBytes {
                unsafe read(source, $0.baseAddress, $0.count)
            } > 0
        }
    }

    /// Until a further change is sure to be seen.
    private func settle(_ paths: [String]) {
        while !paths.allSatisfy({ FileStamp($0)?.isSettled ?? true }) { _ = poll(nil, 0, 5) }
    }

    private func use(_ name: String, _ options: String = "{}") -> PluginUse {
        PluginUse(kind: .strategy, name: name, pool: "p", options: options)
    }

    @Test("bundled files that are not in use are not even opened, and are known when it matters")
    func spared() throws {
        let files = try ["alpha", "beta", "gamma"].map { (name: String) in
            try workshop.build("good", as: "libtrivet-\(name)", naming: name)
        }
        let (loader, trials) = try counting(workshop.loader([], bundled: files))
        let opens = Opens([files[0], files[2]])
        var report = try loader.leanTrial(uses: [use("beta")])
        #expect(report.listings.map(\.file) == [files[1]] && report.isGood)
        #expect(!opens.isAny && trials() == 1)
        try loader.complete(&report, uses: [use("beta")])
        #expect(report.listings.map(\.file) == files && report.isGood)
        #expect(opens.isAny && trials() == 2)
        let whole = try loader.trial(uses: [use("beta")])
        #expect(report.listings == whole.listings)
        try loader.complete(&report, uses: [use("beta")])
        #expect(trials() == 3, "what is whole is not completed again")
    }

    @Test(
        "a file that takes the name of a bundled one is refused, whether that one is in use or not")
    func clash() throws {
        let bundled = [
            try workshop.build("good", as: "libtrivet-alpha", naming: "alpha"),
            try workshop.build("good", as: "libtrivet-beta", naming: "beta"),
        ]
        let thief = try workshop.build("good", as: "thief", naming: "beta")
        let loader = workshop.loader([thief], bundled: bundled)
        let report = try loader.leanTrial(uses: [use("alpha")])
        #expect(
            report.fileRefusals.map(\.sentence) == [
                "\(thief) offers strategy \"beta\", which comes with Trivet (\(bundled[1])); "
                    + "give it another name"
            ])
        #expect(try loader.trial(uses: [use("alpha")]).fileRefusals == report.fileRefusals)
        loader.discard(report)
    }

    @Test("where neither a file nor a use differs, nothing is read, tried or loaded")
    func unchanged() throws {
        let used = try workshop.build("good", as: "used", naming: "used")
        let idle = try workshop.build("good", as: "idle", naming: "idle")
        settle([used, idle])
        var (loader, trials) = try counting(workshop.loader([used, idle]))
        let uses = [use("used")]
        let first = try loader.load(try loader.trial(uses: uses), uses: uses)
        #expect(trials() == 1)
        loader.serving = first
        let opens = Opens([used, idle])
        let second = try loader.load(try loader.trial(uses: uses), uses: uses)
        #expect(trials() == 1 && !opens.isAny)
        #expect(second.libraries.map(\.copy) == first.libraries.map(\.copy))
        #expect(second.libraries[0].build === first.libraries[0].build)
        // And the time after that.
        loader.serving = second
        let report = try loader.trial(uses: uses)
        #expect(report.listings.map(\.file) == [used, idle])
        #expect(trials() == 1 && !opens.isAny)
    }

    @Test("other options are tried, on the library that serves; a refusal is not remembered")
    func uses() throws {
        let path = try workshop.build("create-refuses")
        let good = try workshop.build("good", naming: "good")
        settle([path, good])
        var (loader, trials) = try counting(workshop.loader([path, good]))
        let uses = [use("good")]
        loader.serving = try loader.load(try loader.trial(uses: uses), uses: uses)
        for turn in 2...3 {
            let report = try loader.trial(uses: uses + [use("fixture")])
            #expect(report.useRefusals.count == 1 && trials() == turn)
            loader.discard(report)
        }
        let others = [use("good", #"{"first":1}"#)]
        let report = try loader.trial(uses: others)
        #expect(report.isGood && trials() == 4)
        let next = try loader.load(report, uses: others)
        #expect(next.libraries.map(\.copy) == loader.serving.libraries.map(\.copy))
        loader.serving = next
        #expect(try loader.trial(uses: others).isGood && trials() == 4)
    }

    @Test("a file that was touched is read; one that was replaced is tried alone, and loaded")
    func changed() throws {
        let path = try workshop.build("good", as: "changes", naming: "changes")
        let other = try workshop.build("good", as: "stays", naming: "stays")
        settle([path, other])
        var (loader, trials) = try counting(workshop.loader([path, other]))
        let uses = [use("changes"), use("stays")]
        let first = try loader.load(try loader.trial(uses: uses), uses: uses)
        loader.serving = first
        let (opens, others) = (Opens([path]), Opens([other]))
        #expect(unsafe utimensat(AT_FDCWD, path, nil, 0) == 0)
        let touched = try loader.load(try loader.trial(uses: uses), uses: uses)
        #expect(trials() == 1 && opens.isAny)
        #expect(touched.libraries.map(\.copy) == first.libraries.map(\.copy))
        // Another content under the same name.
        let new = try workshop.build("good", as: "new", naming: "changes")
        var bytes = try Files.read(new)
        bytes.append(0)
        unsafe unlink(path)
        try Files.write(bytes, to: path)
        let second = try loader.load(try loader.trial(uses: uses), uses: uses)
        #expect(trials() == 2 && !others.isAny)
        #expect(second.libraries[0].copy != first.libraries[0].copy)
        #expect(second.libraries[1].copy == first.libraries[1].copy)
        #expect(second.libraries[0].build.id != first.libraries[0].build.id)
    }

    @Test("a file that may change within one tick of the clock is read again")
    func racy() throws {
        let path = try workshop.build("good", naming: "racy")
        settle([path])
        #expect(try Files.readStamped(path).stamp != nil)
        #expect(unsafe utimensat(AT_FDCWD, path, nil, 0) == 0)
        #expect(try Files.readStamped(path).stamp == nil)
    }

    @Test(
        "the picture of watched files shows what comes, goes and changes, and no work in progress")
    func picture() throws {
        let folder = workshop.folder
        let empty = PluginPicture([folder])
        #expect(empty != PluginPicture([folder + "/missing"]))
        let path = try workshop.file("a.so", [1])
        let one = PluginPicture([folder])
        #expect(one != empty)
        for name in [".hidden.so", "b.so.new", "b.so~", "notes.txt"] {
            _ = try workshop.file(name, [1])
        }
        #expect(PluginPicture([folder]) == one)
        unsafe unlink(path)
        _ = try workshop.file("a.so", [2])
        #expect(PluginPicture([folder]) != one)
        unsafe unlink(path)
        #expect(PluginPicture([folder]) == empty)
        #expect(PluginPicture([path]) == PluginPicture([path]))
    }
}
