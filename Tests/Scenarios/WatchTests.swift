// `plugins_watch`: files that are replaced are taken over without a word, when they are done. Real
// files, processes and traffic.

import Glibc
import TestKit
import Testing

@Suite("Plugin files that change are watched, if the configuration says so")
struct WatchTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try folder.write("", to: "plugins/notes.txt")
        try place("one")
    }

    /// Builds `turns`, and renames it into place.
    private func place(_ build: String, in place: String = "plugins") throws {
        let path = try self.build(build)
        guard unsafe rename(path, "\(folder.path)/\(place)/libturns.so") == 0 else {
            throw TestFailure("\(path) cannot be put in place")
        }
    }

    private func build(_ build: String) throws -> String {
        try buildPlugin(
            ReloadTests.turns, as: "libturns.so", in: folder, defines: ["BUILD=\"\(build)\""])
    }

    private func cluster(
        _ plugins: String = "plugins", watch: String = "plugins_watch: true,"
    ) throws -> Cluster {
        try Cluster(
            nodes: 2, strategy: #""turns""#,
            top:
                #"pid_file: "trivet.pid", plugins: ["\#(plugins)"], access_log: "log.json", \#(watch)"#,
            in: folder)
    }

    /// Asks, and says which build decided.
    private func decides(_ cluster: Cluster, _ mark: String) throws -> String {
        #expect(try cluster.client().get("/?mark=\(mark)").status == 200)
        let line = try eventually("the line of request \(mark)") {
            try String(decoding: readFile(folder.path + "/log.json"), as: UTF8.self)
                .split(separator: "\n").last { $0.contains("mark=\(mark)\"") }
                .map(String.init)
        }
        for build in ["one", "two", "three"] where line.contains("\"reason\":\"\(build) ") {
            return build
        }
        throw TestFailure("no build decided: \(line)")
    }

    private func count(_ cluster: Cluster, _ words: String, from start: Int) -> Int {
        cluster.trivet.process.lines.dropFirst(start).count { $0.text.contains(words) }
    }

    @Test(
        "a file renamed into its place serves under load, and no request is lost",
        .timeLimit(.minutes(10)), arguments: ["plugins", "plugins/libturns.so"])
    func renamed(named plugins: String) throws {
        let cluster = try cluster(plugins)
        let traffic = try ReloadTests.Traffic(port: cluster.port)
        let start = cluster.logEnd
        for (turn, build) in ["two", "one", "three"].enumerated() {
            let end = cluster.logEnd
            try place(build)
            try cluster.trivet.process.waitForLine(containing: "reloaded: ", from: end)
            #expect(try decides(cluster, "\(turn)") == build)
        }
        let (answered, failures) = try traffic.end()
        #expect(failures.isEmpty && answered > 0, "\(failures.prefix(3))")
        #expect(count(cluster, "plugins_watch: reloading", from: start) == 3)
    }

    @Test("a file that is written slowly is not taken before it is whole", .timeLimit(.minutes(10)))
    func slowly() throws {
        let cluster = try cluster()
        let bytes = try readFile(try build("two"))
        let end = cluster.logEnd
        try write(bytes[...], slowly: "libturns.so") {
            #expect(count(cluster, "reload", from: end) == 0)
        }
        try cluster.trivet.process.waitForLine(containing: "reloaded: ", from: end)
        #expect(try decides(cluster, "whole") == "two")
        // One that is given up half-way.
        try write(bytes.prefix(bytes.count / 2), slowly: "libother.so") {
            #expect(count(cluster, "reload", from: end) == 2)
        } whileOpen: {
            unsafe unlink("\(folder.path)/plugins/libother.so")
        }
        try place("three")
        try eventually("the next one serves") {
            try decides(cluster, "next") == "three" ? true : nil
        }
        #expect(count(cluster, "refused", from: end) == 0)
    }

    /// Writes a file in its place in four pieces, and after each lets more time pass than the watch
    /// waits for quiet: time is what this is about.
    private func write(
        _ bytes: ArraySlice<UInt8>, slowly name: String, _ afterEach: () -> Void,
        whileOpen last: () -> Void = {}
    ) throws {
        let path = "\(folder.path)/plugins/\(name)"
        let fd = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard fd >= 0 else { throw TestFailure("\(path) cannot be written") }
        defer { close(fd) }
        var rest = bytes
        while !rest.isEmpty {
            let piece = rest.prefix((bytes.count + 3) / 4)
            rest = rest.dropFirst(piece.count)
            let written = unsafe piece.withUnsafeBytes {
                unsafe Glibc.write(fd, $0.baseAddress, $0.count)
            }
            guard written == piece.count else { throw TestFailure("\(path) cannot be written") }
            _ = poll(nil, 0, 700)
            afterEach()
        }
        last()
    }

    @Test("a bad file is refused once, and the old one serves", .timeLimit(.minutes(10)))
    func bad() throws {
        let cluster = try cluster()
        let start = cluster.logEnd
        try folder.write("hello", to: "plugins/.libhidden.so")
        try folder.write("hello", to: "plugins/libbad.so.part")
        try folder.write("hello", to: "plugins/libbad.so")
        let line = try cluster.trivet.process.waitForLine(containing: "reload refused", from: start)
        #expect(line.contains("libbad.so is a text file"))
        // Longer than it takes to look again by itself.
        _ = poll(nil, 0, 2500)
        #expect(count(cluster, "reload", from: start) == 2, "one attempt, one refusal")
        #expect(try decides(cluster, "refused") == "one")
        let end = cluster.logEnd
        unsafe unlink(folder.path + "/plugins/libbad.so")
        try place("two")
        try cluster.trivet.process.waitForLine(containing: "reloaded: ", from: end)
        #expect(try decides(cluster, "mended") == "two")
    }

    @Test("nobody who did not ask for it is watched", .timeLimit(.minutes(10)))
    func offByDefault() throws {
        let quiet = try cluster(watch: "")
        let other = try TemporaryFolder()
        let watching = try Cluster(
            nodes: 1, strategy: #""turns""#,
            top: #"plugins: ["\#(folder.path)/plugins"], plugins_watch: true,"#, in: other)
        let end = quiet.logEnd
        try place("two")
        try watching.trivet.process.waitForLine(containing: "reloaded: ")
        #expect(count(quiet, "reload", from: end) == 0)
        #expect(try decides(quiet, "before") == "one")
        quiet.trivet.process.signal(SIGHUP)
        try quiet.trivet.process.waitForLine(containing: "reloaded: ", from: end)
        #expect(try decides(quiet, "after") == "two")
    }

    @Test(
        "a folder may go and come back, and a reload may name another or none",
        .timeLimit(.minutes(10)))
    func folders() throws {
        let cluster = try cluster()
        let log = cluster.trivet.process
        var end = cluster.logEnd
        #expect(unsafe rename(folder.path + "/plugins", folder.path + "/old") == 0)
        let line = try log.waitForLine(
            containing: "reload refused", from: end, within: 30)
        #expect(line.contains("plugins does not exist"))
        #expect(try decides(cluster, "gone") == "one")
        end = cluster.logEnd
        try folder.write("", to: "plugins/notes.txt")
        try place("two")
        try log.waitForLine(containing: "reloaded: ", from: end)
        #expect(try decides(cluster, "back") == "two")
        // The new folder is watched like the old one.
        end = cluster.logEnd
        try place("three")
        try log.waitForLine(containing: "reloaded: ", from: end)
        // Another folder.
        let text = try String(decoding: readFile(folder.path + "/trivet.json5"), as: UTF8.self)
        func reload(_ text: String) throws {
            try folder.write(text, to: "trivet.json5")
            let (exit, output, error) = try Trivet.run(["reload", folder.path + "/trivet.json5"])
            guard exit == .code(0) else { throw TestFailure(output + error) }
        }
        try reload(text.replacing(#"["plugins"]"#, with: #"["old"]"#))
        #expect(try decides(cluster, "other") == "one")
        end = cluster.logEnd
        try place("one")
        try place("two", in: "old")
        try log.waitForLine(containing: "reloaded: ", from: end)
        #expect(try decides(cluster, "there") == "two")
        // None.
        try reload(text.replacing("plugins_watch: true", with: "plugins_watch: false"))
        #expect(try decides(cluster, "off") == "one")
        end = cluster.logEnd
        try place("three")
        _ = poll(nil, 0, 1500)
        #expect(count(cluster, "reload", from: end) == 0)
        try reload(text)
        #expect(try decides(cluster, "on") == "three")
        end = cluster.logEnd
        try place("one")
        try log.waitForLine(containing: "reloaded: ", from: end)
        #expect(try decides(cluster, "again") == "one")
    }
}
