// A program that a test has started: its lines as they come, its end, and the certainty that it, and
// what it started in its turn, does not outlive the test. In a build for a sanitizer, what that finds in
// the program fails the test.

import CAllocations
import CLinux
import Glibc
import Testing

/// A running program. Killed, with its whole process group, when this goes.
@safe
package final class Child: Sendable {
    package enum Exit: Equatable, Sendable, CustomStringConvertible {
        case code(Int32)
        case signal(Int32)

        package var description: String {
            switch self {
            case .code(let code): "exit code \(code)"
            case .signal(let number): "signal \(number)"
            }
        }
    }

    package enum Stream: Sendable { case output, error }

    package struct Line: Sendable {
        package let stream: Stream
        package let text: String
    }

    private struct State: Sendable {
        var lines: [Line] = []
        /// Nil until it has been started, or not.
        var start: Result<pid_t, TestFailure>?
        var exit: Exit?
        /// Nobody holds the other ends any more: neither it nor what it started.
        var hasEnded = false
    }

    package let pid: pid_t
    package let name: String
    private let state: Watched<State>

    /// Starts `program`, in a process group of its own, with nothing on standard input.
    ///
    /// - Parameter arguments: without the program's name.
    /// - Parameter environment: replaces the test's own if given, `NAME=value` each.
    package init(
        _ program: String, _ arguments: [String], environment: [String]? = nil
    ) throws {
        let state = Watched(State())
        // The thread that starts it also reads its lines, to the end: the kernel's "tell me when my
        // parent ends" means the thread, and a test's thread may end at any time.
        try startThread { Self.attend(program, arguments, environment, state) }
        let start = state.wait(until: Deadline(seconds: 30)) { $0.start }
        guard let start else { throw TestFailure("\(program) could not be started within 30 s") }
        pid = try start.get()
        name = program.split(separator: "/").last.map(String.init) ?? program
        self.state = state
    }

    deinit {
        state.withLock { _ in _ = kill(-pid, SIGKILL) }
        _ = state.wait(until: Deadline(seconds: 10)) { $0.exit }
        if !allocations_are_counted() { recordFindings() }
    }

    /// A sanitizer reports to standard error, of the program or of those it started.
    private func recordFindings() {
        _ = state.wait(until: Deadline(seconds: 10)) { $0.hasEnded ? true : nil }
        if lines.contains(where: { $0.text.contains("Sanitizer: ") }) {
            Issue.record("a sanitizer found something in \(transcript())")
        }
    }

    package var facts: ProcessFacts { ProcessFacts(pid) }

    /// All lines so far, of both streams, as they came.
    package var lines: [Line] { state.withLock { $0.lines } }

    /// All that came on one stream so far.
    package func text(of stream: Stream) -> String {
        lines.filter { $0.stream == stream }.map { $0.text + "\n" }.joined()
    }

    package var isRunning: Bool { state.withLock { $0.exit == nil } }

    /// Waits for a line that contains `text`. Fails at once if no more lines can come.
    ///
    /// - Parameter index: how many lines to pass over: `lines.count` asks for a new one.
    @discardableResult
    package func waitForLine(
        containing text: String, from index: Int = 0, within seconds: Double = 30
    ) throws -> String {
        let found: String?? = state.wait(until: Deadline(seconds: seconds)) { state in
            for line in state.lines.dropFirst(index) where line.text.contains(text) {
                return .some(line.text)
            }
            return state.hasEnded ? .some(nil) : nil
        }
        if case .some(.some(let line)) = found { return line }
        let why = found == nil ? "within \(seconds) s" : "before it ended"
        throw TestFailure("no line with \"\(text)\" came \(why) from \(transcript())")
    }

    /// Sends a signal to it alone; not if it has ended.
    package func signal(_ number: Int32) {
        state.withLock { if $0.exit == nil { _ = kill(pid, number) } }
    }

    /// Waits for its end.
    @discardableResult
    package func waitForExit(within seconds: Double = 30) throws -> Exit {
        let exit = state.wait(until: Deadline(seconds: seconds)) { $0.exit }
        if let exit { return exit }
        throw TestFailure("no end within \(seconds) s of \(transcript())")
    }

    /// Waits until it and everything that holds its outputs has ended, and all lines are there.
    @discardableResult
    package func waitForEnd(within seconds: Double = 30) throws -> Exit {
        let exit = state.wait(until: Deadline(seconds: seconds)) { $0.hasEnded ? $0.exit : nil }
        if let exit { return exit }
        throw TestFailure("outputs still open after \(seconds) s of \(transcript())")
    }

    /// What it said so far, for failures.
    package func transcript() -> String {
        let (lines, exit) = state.withLock { ($0.lines, $0.exit) }
        let end = exit.map { "ended with \($0)" } ?? "running"
        return "\(name) (\(end)):\n" + lines.map { "    | \($0.text)\n" }.joined()
    }
}

extension Child {
    /// The life of the child, seen from its thread.
    private static func attend(
        _ program: String, _ arguments: [String], _ environment: [String]?,
        _ state: Watched<State>
    ) {
        var output: [Int32] = [-1, -1]
        var error: [Int32] = [-1, -1]
        guard unsafe clinux_pipe2(&output, O_CLOEXEC) == 0,
            unsafe clinux_pipe2(&error, O_CLOEXEC) == 0
        else {
            state.withLock { $0.start = .failure(TestFailure("pipe: no descriptors left")) }
            return
        }
        let started = spawn(program, arguments, environment, output: output[1], error: error[1])
        _ = close(output[1])
        _ = close(error[1])
        state.withLock { $0.start = started }
        if case .success(let pid) = started {
            watch(pid, output: output[0], error: error[0], state)
        }
        _ = close(output[0])
        _ = close(error[0])
        state.withLock { $0.hasEnded = true }
    }

    private static func spawn(
        _ program: String, _ arguments: [String], _ environment: [String]?, output: Int32,
        error: Int32
    ) -> Result<pid_t, TestFailure> {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        unsafe posix_spawn_file_actions_adddup2(&actions, output, 1)
        unsafe posix_spawn_file_actions_adddup2(&actions, error, 2)
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        unsafe posix_spawnattr_setsigmask(&attributes, &signals)
        unsafe sigfillset(&signals)
        unsafe posix_spawnattr_setsigdefault(&attributes, &signals)
        unsafe posix_spawnattr_setpgroup(&attributes, 0)
        unsafe posix_spawnattr_setflags(
            &attributes,
            Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var argv = unsafe ([program] + arguments).map { unsafe strdup($0) } + [nil]
        defer { unsafe argv.forEach { unsafe free($0) } }
        var pid: pid_t = 0
        let code: Int32
        if let environment {
            var envp = unsafe environment.map { unsafe strdup($0) } + [nil]
            defer { unsafe envp.forEach { unsafe free($0) } }
            code = unsafe posix_spawn(&pid, program, &actions, &attributes, &argv, &envp)
        } else {
            code = unsafe posix_spawn(
                &pid, program, &actions, &attributes, &argv, clinux_environment())
        }
        guard code == 0 else {
            return .failure(TestFailure("\(program) does not start: \(errorWords(code))"))
        }
        return .success(pid)
    }

    /// Takes in lines and the exit until there is nothing to come.
    private static func watch(_ pid: pid_t, output: Int32, error: Int32, _ state: Watched<State>) {
        let exit = clinux_pidfd_open(pid)
        defer { _ = close(exit) }
        var waits = [output, error, exit].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        var partial: [[UInt8]] = [[], []]
        var piece = [UInt8](repeating: 0, count: 16_384)
        while waits.contains(where: { $0.fd >= 0 }) {
            guard unsafe poll(&waits, 3, -1) > 0 else { continue }
            for (i, stream) in [Stream.output, .error].enumerated()
            where waits[i].fd >= 0 && waits[i].revents != 0 {
                let n = unsafe piece.withUnsafeMutableBytes {
                    unsafe read(waits[i].fd, $0.baseAddress, $0.count)
                }
                if n < 0, clinux_errno() == EINTR { continue }
                var lines: [Line] = []
                for byte in piece.prefix(max(0, n)) {
                    if byte == 0x0a {
                        lines.append(Line(stream: stream, text: text(partial[i])))
                        partial[i] = []
                    } else {
                        partial[i].append(byte)
                    }
                }
                if n <= 0 {
                    waits[i].fd = -1
                    if !partial[i].isEmpty {
                        lines.append(Line(stream: stream, text: text(partial[i])))
                    }
                }
                state.withLock { $0.lines += lines }
            }
            if waits[2].fd >= 0, waits[2].revents != 0 {
                waits[2].fd = -1
                // Under the lock, so that no signal goes to a number that is free again.
                state.withLock {
                    var status: Int32 = 0
                    while unsafe waitpid(pid, &status, 0) < 0, clinux_errno() == EINTR {}
                    $0.exit =
                        clinux_wifsignaled(status) != 0
                        ? .signal(clinux_wtermsig(status)) : .code(clinux_wexitstatus(status))
                }
            }
        }
    }

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
