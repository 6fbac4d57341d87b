// `trivet plugin new` as an author meets it: what it writes builds, passes its own tests, and rules the
// traffic. In C here; the Swift packages take longer to build, and .ci/authors does that.

import Glibc
import TestKit
import Testing

@Suite("trivet plugin new")
struct NewPluginTests {
    private func make(_ arguments: [String], in folder: TemporaryFolder) throws -> String {
        let made = try Trivet.run(["plugin", "new", "--into", folder.path] + arguments)
        guard made.exit == .code(0) else { throw TestFailure(made.error) }
        return made.output
    }

    /// Runs a script of a package; where there is no cc, with the toolchain's clang.
    private func run(_ script: String) throws {
        let shell = #"command -v cc >/dev/null || export CC=clang; exec "$0""#
        let child = try Child("/bin/sh", ["-c", shell, script])
        guard try child.waitForEnd(within: 60) == .code(0) else {
            throw TestFailure(child.transcript())
        }
    }

    @Test(
        "a strategy in C builds, passes its tests and picks by its rule", .timeLimit(.minutes(10)))
    func strategyInC() throws {
        let folder = try TemporaryFolder()
        let said = try make(["in-rows", "--c"], in: folder)
        #expect(said.contains("plugins/libin-rows.so"))
        try run(folder.path + "/in-rows/test")
        let check = try Trivet.run(["check", folder.path + "/in-rows/trivet.json5"])
        #expect(check.exit == .code(0), "\(check.error)")
        let cluster = try Cluster(
            health: nil, strategy: #"{ name: "in-rows", run: 3 }"#,
            top: #"plugins: ["in-rows/plugins"],"#, in: folder)
        let client = try cluster.client()
        let seen = try (0..<18).map { _ in try client.get("/").node ?? "-" }
        let row = (1...3).flatMap { Array(repeating: "node\($0)", count: 3) }
        #expect(seen == row + row)
    }

    @Test("a check in C builds, passes its tests and judges by its rule", .timeLimit(.minutes(10)))
    func checkInC() throws {
        let folder = try TemporaryFolder()
        _ = try make(["--check", "teapot", "--c"], in: folder)
        try run(folder.path + "/teapot/test")
        let sample = try Trivet.run(["check", folder.path + "/teapot/trivet.json5"])
        #expect(sample.exit == .code(0), "\(sample.error)")
        let cluster = try Cluster(
            health: """
                { check: "teapot", path: "/api/octopusservernodes/ping", draining: 418,
                  interval: "100ms", fall: 1 }
                """, top: #"plugins: ["teapot/plugins"],"#, in: folder)
        var end = cluster.logEnd
        try cluster.nodes[0].set(state: "draining")
        let line = try cluster.trivet.process.waitForLine(
            containing: "octopus/node1: up -> draining", from: end)
        #expect(line.contains("says that it drains"))
        end = cluster.logEnd
        try cluster.nodes[1].set(state: "broken")
        let other = try cluster.trivet.process.waitForLine(
            containing: "octopus/node2: up -> down", from: end)
        #expect(other.contains("answered 500"))
        let client = try cluster.client()
        for _ in 0..<6 { #expect(try client.get("/").node == "node3") }
    }

    @Test("a Swift package knows the SDK by its path, and its folders have names that compile")
    func inSwift() throws {
        let folder = try TemporaryFolder()
        let said = try make(["2-odd_names.x"], in: folder)
        let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
            .joined(separator: "/")
        #expect(said.contains("with the SDK in \(root)/SDK"))
        func text(_ file: String) throws -> String {
            String(decoding: try readFile("\(folder.path)/2-odd_names.x/\(file)"), as: UTF8.self)
        }
        #expect(try text("Package.swift").contains("?? \"\(root)/SDK\""))
        let source = try text("Sources/Plugin2OddNamesXPlugin/Plugin2OddNamesX.swift")
        #expect(source.contains(#"static let name = "2-odd_names.x""#))
        _ = try make(["pool"], in: folder)
        // A type of that name would hide the SDK's.
        let pool = try readFile(folder.path + "/pool/Sources/PoolPlugin/PoolStrategy.swift")
        #expect(String(decoding: pool, as: UTF8.self).contains("struct PoolStrategy: Strategy"))
        let elsewhere = try make(["another", "--sdk", root], in: folder)
        #expect(elsewhere.contains("with the SDK in \(root)/SDK"))
    }

    @Test("what cannot be is refused in a sentence, and nothing is written")
    func refusals() throws {
        let folder = try TemporaryFolder()
        _ = try make(["taken", "--c"], in: folder)
        for (arguments, code, words) in [
            (["taken"], 1, "\(folder.path)/taken exists already"),
            (["Upper"], 2, "lower-case letters, digits, \"-\", \"_\" and \".\""),
            (["a/b"], 2, "lower-case letters"),
            ([".hidden"], 2, "begins with a letter or a digit"),
            ([String(repeating: "x", count: 65)], 2, "at most 64 characters, this one 65"),
            (["trivet"], 2, "taken by Trivet itself"),
            (["round-robin"], 1, "a strategy called \"round-robin\" comes with Trivet"),
            (["octopus", "--check", "--c"], 1, "called \"octopus\" comes with Trivet"),
            (["x", "--sdk", folder.path], 1, "\(folder.path) is not Trivet's SDK"),
            ([], 2, "NAME is missing"),
        ] as [([String], Int32, String)] {
            let made = try Trivet.run(["plugin", "new", "--into", folder.path] + arguments)
            #expect(made.exit == .code(code), "\(arguments): \(made.error)")
            #expect(made.error.contains(words), "\(arguments): \(made.error)")
        }
        let nowhere = try Trivet.run(["plugin", "new", "x", "--into", folder.path + "/none"])
        #expect(nowhere.exit == .code(3))
        #expect(unsafe access(folder.path + "/x", F_OK) != 0)
        // A strategy may have the name of a check.
        _ = try make(["octopus", "--c"], in: folder)
    }

    @Test("its help says what it writes and how to go on")
    func help() throws {
        let help = try Trivet.run(["plugin", "new", "--help"])
        #expect(help.exit == .code(0))
        for word in ["--c", "--check", "--into DIR", "--sdk DIR", "NAME", "./build"] {
            #expect(help.output.contains(word))
        }
    }
}
