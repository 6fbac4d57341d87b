// Child processes: how the command starts another copy of itself, hears of its end and sends it
// signals. Nothing here knows what the children do.

import CLinux
import Glibc

/// How a process ended, in words for the log.
enum Ending: Equatable, Sendable, CustomStringConvertible {
    case exited(Int32)
    case killed(signal: Int32)

    init(status: Int32) {
        if clinux_wifsignaled(status) != 0 {
            self = .killed(signal: clinux_wtermsig(status))
        } else {
            self = .exited(clinux_wexitstatus(status))
        }
    }

    var description: String {
        switch self {
        case .exited(let code): "exit status \(code)"
        case .killed(let signal): signalName(signal)
        }
    }
}

/// A child of this process, in a process group of its own, so that Ctrl-C in a terminal does not
/// reach it. Whoever starts one also reaps it.
final class Child: Sendable {
    let pid: pid_t
    /// Readable when the child has ended.
    let handle: Descriptor

    /// The running program, which works even when its file was replaced meanwhile.
    private static let ownProgram = "/proc/self/exe"

    /// Starts this same program with other arguments.
    ///
    /// - Parameters:
    ///   - arguments: after the program's name.
    ///   - descriptors: ours, and the number each gets in the child, in ascending order. Nothing else
    ///     is open there but the standard ones.
    ///   - environment: added to ours, unless ours names it already.
    init(
        _ arguments: [String], descriptors: [(from: Int32, as: Int32)] = [],
        environment: [(name: String, value: String)] = []
    ) throws(Failure) {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        // Out of the way of the numbers that the child is given.
        let moved = descriptors.map { Descriptor(clinux_fcntl($0.from, F_DUPFD_CLOEXEC, 64)) }
        for (descriptor, number) in zip(moved, descriptors.map(\.as)) {
            unsafe posix_spawn_file_actions_adddup2(&actions, descriptor.number, number)
        }
        unsafe clinux_spawn_close_from(&actions, max(2, descriptors.last?.as ?? 2) + 1)

        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        var nothing = sigset_t()
        unsafe sigemptyset(&nothing)
        unsafe posix_spawnattr_setsigmask(&attributes, &nothing)
        var usual = sigset_t()
        unsafe sigemptyset(&usual)
        unsafe sigaddset(&usual, SIGPIPE)
        unsafe posix_spawnattr_setsigdefault(&attributes, &usual)
        unsafe posix_spawnattr_setpgroup(&attributes, 0)
        unsafe posix_spawnattr_setflags(
            &attributes,
            Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))

        var pid: pid_t = 0
        let surroundings = Self.surroundings(adding: environment)
        // An optimised build would otherwise close them after their last mention above.
        let code = withExtendedLifetime(moved) {
            unsafe withCStrings(["trivet"] + arguments) { argv in
                unsafe withCStrings(surroundings) { envp in
                    unsafe posix_spawn(&pid, Self.ownProgram, &actions, &attributes, argv, envp)
                }
            }
        }
        if code != 0 { throw .system("another process of trivet cannot be started", code: code) }
        self.pid = pid
        let handle = clinux_pidfd_open(pid)
        guard handle >= 0 else {
            let code = errno
            kill(pid, SIGKILL)
            _ = waitpid(pid, nil, 0)
            throw .system("a child process cannot be watched", code: code)
        }
        self.handle = Descriptor(handle)
    }

    /// To it and all that it started. Not after it was reaped.
    func send(_ signal: Int32) { kill(-pid, signal) }

    /// How it ended, if it has; reaps it then.
    func ending() -> Ending? {
        var status: Int32 = 0
        let result = unsafe waitpid(pid, &status, WNOHANG)
        return result == pid ? Ending(status: status) : nil
    }

    /// Waits for its end, and kills it when that has not come after `milliseconds`. Reaps it.
    @discardableResult
    func end(within milliseconds: Int) -> Ending {
        if waitForReading([handle.number], milliseconds: milliseconds).isEmpty { send(SIGKILL) }
        var status: Int32 = 0
        while unsafe waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        return Ending(status: status)
    }

    private static func surroundings(adding extra: [(name: String, value: String)]) -> [String] {
        var lines: [String] = []
        if var next = unsafe clinux_environment() {
            while let line = unsafe next.pointee {
                unsafe lines.append(String(cString: line))
                unsafe next += 1
            }
        }
        for (name, value) in extra where !lines.contains(where: { $0.hasPrefix(name + "=") }) {
            lines.append("\(name)=\(value)")
        }
        return lines
    }
}

/// `strings` as the null-terminated array that exec takes, for the length of the call.
private func withCStrings<Result>(
    _ strings: [String],
    _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    var pointers = unsafe strings.map { unsafe strdup($0) }
    unsafe pointers.append(nil)
    defer { unsafe pointers.forEach { unsafe free($0) } }
    return unsafe pointers.withUnsafeBufferPointer { unsafe body($0.baseAddress!) }
}
