// Builds the C sources in Fixtures into shared objects, in a folder that is gone after the test. A
// compiler is part of what a Swift toolchain needs; a test without one fails and says so.

import Glibc

@testable import Balance
@testable import Loading

/// One folder of one test.
@safe
final class Workshop {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    let folder: String

    init() throws {
        var template = Array("/tmp/trivet-fixtures-XXXXXX".utf8CString)
        guard unsafe mkdtemp(&template) != nil else {
            throw Failure(description: "no folder for fixtures can be made")
        }
        folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        for name in Files.names(in: folder) ?? [] { unsafe unlink("\(folder)/\(name)") }
        unsafe rmdir(folder)
    }

    /// The binary beside this test's own, which serves as the trial's child.
    static let trivet: String = {
        let own = Files.link("/proc/self/exe") ?? ""
        return Files.folder(of: own) + "/trivet"
    }()

    /// `source` is a file of Fixtures, or the path of another, without ".c"; the path of the shared
    /// object.
    func build(_ source: String, as name: String? = nil, naming strategy: String? = nil) throws
        -> String
    {
        let output = "\(folder)/\(name ?? source).so"
        let fixtures = Files.folder(of: #filePath) + "/Fixtures"
        let include =
            Files.folder(of: Files.folder(of: Files.folder(of: #filePath)))
            + "/SDK/CTrivet/include"
        var arguments = [
            "-shared", "-fPIC", "-O1", "-std=gnu11", "-I", include, "-o", output,
            source.hasPrefix("/") ? "\(source).c" : "\(fixtures)/\(source).c",
        ]
        if let strategy { arguments.append("-DNAME=\"\(strategy)\"") }
        try Self.run(try Self.compiler(), arguments)
        return output
    }

    /// A file of these bytes.
    func file(_ name: String, _ bytes: [UInt8]) throws -> String {
        let path = "\(folder)/\(name)"
        try Files.write(bytes, to: path)
        return path
    }

    func loader(_ paths: [String], bundled: [String] = [], limitMs: Int = 10_000) -> PluginLoader {
        PluginLoader(
            files: bundled.map { PluginFile(path: $0, isBundled: true) }
                + paths.map { PluginFile(path: $0, isBundled: false) },
            trialProgram: Self.trivet, limitMs: limitMs)
    }

    /// What the operator is told about these files, without the folder.
    func refusals(
        _ paths: [String], using strategy: String? = nil, options: String = "{}",
        limitMs: Int = 10_000
    ) throws -> [String] {
        let uses = strategy.map {
            [PluginUse(kind: .strategy, name: $0, pool: "octopus", options: options)]
        }
        let report = try loader(paths, limitMs: limitMs).trial(uses: uses ?? [])
        return (report.fileRefusals + report.useRefusals).map {
            String(
                $0.sentence.split(separator: "\(folder)/", omittingEmptySubsequences: true)
                    .joined())
        }
    }

    private static func compiler() throws -> String {
        let path = unsafe getenv("PATH").map { unsafe String(cString: $0) } ?? "/usr/bin:/bin"
        let folders = path.split(separator: ":").map(String.init)
        for name in ["cc", "clang", "gcc"] {
            for folder in folders where unsafe access("\(folder)/\(name)", X_OK) == 0 {
                return "\(folder)/\(name)"
            }
        }
        throw Failure(description: "no cc, clang or gcc in PATH, but the fixtures are C")
    }

    private static func run(_ program: String, _ arguments: [String]) throws {
        var list = unsafe ([program] + arguments).map { unsafe strdup($0) }
        unsafe list.append(nil)
        defer { unsafe list.forEach { unsafe free($0) } }
        var child: pid_t = 0
        let code = unsafe posix_spawn(&child, program, nil, nil, list, environ)
        guard code == 0 else { throw Failure(description: "\(program) cannot be started") }
        var status: Int32 = 0
        while unsafe waitpid(child, &status, 0) < 0 && errno == EINTR {}
        guard status == 0 else {
            throw Failure(description: "\(program) \(arguments.joined(separator: " ")) failed")
        }
    }
}
