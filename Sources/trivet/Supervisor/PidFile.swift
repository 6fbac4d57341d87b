// `pid_file`: the supervisor's process id in a file, for scripts. Removed when the supervisor leaves.

import CLinux
import Glibc
import Net

struct PidFile {
    private let path: String

    /// Writes it. Over an old one: its process may be long gone, and whether one still serves, the
    /// ports have told.
    init(_ path: String) throws(Failure) {
        let file = try Descriptor.open(
            path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644, what: "pid_file")
        defer { withExtendedLifetime(file) {} }
        if !IO.writeAll(file.number, Array("\(getpid())\n".utf8).span) {
            throw .system("cannot write pid_file \(path)", code: errno)
        }
        self.path = path
    }

    func remove() { _ = unsafe unlink(path) }
}
