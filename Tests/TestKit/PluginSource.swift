// Plugins that a test writes, in C, and builds the way a stranger would: with one command.

import Glibc

/// Builds `source` into `name` in `folder` and moves it there whole, as one replaces a file that may be
/// in use; its path. `defines` go to the compiler: "BUILD=2".
@discardableResult
package func buildPlugin(
    _ source: String, as name: String, in folder: TemporaryFolder, defines: [String] = []
) throws -> String {
    let file = try folder.write(source, to: "\(name).c")
    let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
        .joined(separator: "/")
    let library = "\(folder.path)/\(name)"
    // The toolchain's own clang, wherever it is, or the system's compiler.
    let arguments =
        [
            "-shared", "-fPIC", "-O1", "-I", root + "/SDK/CTrivet/include", "-o", library + ".new",
            file,
        ] + defines.map { "-D\($0)" }
    let child = try Child("/bin/sh", ["-c", "cc \"$@\" || clang \"$@\"", "cc"] + arguments)
    guard try child.waitForEnd(within: 30) == .code(0) else {
        throw TestFailure(child.transcript())
    }
    guard unsafe rename(library + ".new", library) == 0 else {
        throw TestFailure("\(library) cannot be put in place")
    }
    return library
}
