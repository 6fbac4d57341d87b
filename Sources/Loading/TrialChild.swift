// The trial as the host sees it: a child of its own binary that is spawned (never forked: the host
// has threads), given a job, listened to until its last word or the time limit, and buried.

import Balance
import CLinux
import Glibc

/// What a child left behind.
struct TrialRemains {
    enum End: Equatable {
        case exited(Int32)
        case signalled(Int32)
        case tookTooLong
    }

    var answers: [UInt8]
    /// The last line that it wrote on standard error, if any.
    var lastWords: String
    var end: End
}

enum TrialChild {
    /// Runs one child with `sent` on its standard input; blocks until it is gone. `mode` is the word
    /// by which the program knows what it is.
    static func run(
        _ sent: [UInt8], as mode: String = "--trial", program: String, limitMs: Int
    ) throws(Refusal) -> TrialRemains {
        var owned: [Int32] = []
        defer { for fd in owned { close(fd) } }
        let input = try high(unsafe clinux_memfd_create("trivet-trial", CLINUX_MFD_CLOEXEC), &owned)
        let written = unsafe sent.withUnsafeBytes { buffer in
            uninterrupted { unsafe write(input, buffer.baseAddress!, buffer.count) }
        }
        guard written == sent.count, lseek(input, 0, SEEK_SET) == 0 else {
            throw Refusal("no room for the job of a plugin trial: \(systemWords(errno))")
        }
        let (answers, answersEnd) = try pipe(&owned)
        let (errors, errorsEnd) = try pipe(&owned)
        let child = try spawn(
            program, mode, seconds: limitMs / 1000 + 2, input: input, answers: answersEnd,
            errors: errorsEnd)
        // The child's ends are the child's alone: else the pipes would never end.
        for fd in [answersEnd, errorsEnd] {
            close(fd)
            owned.removeAll { $0 == fd }
        }
        return listen(child, answers: answers, errors: errors, limitMs: limitMs)
    }

    /// Out of the way of the numbers that the child is given.
    private static func high(_ fd: Int32, _ owned: inout [Int32]) throws(Refusal) -> Int32 {
        guard fd >= 0 else { throw Refusal("a plugin trial cannot start: \(systemWords(errno))") }
        let moved = clinux_fcntl(fd, F_DUPFD_CLOEXEC, 10)
        close(fd)
        guard moved >= 0 else {
            throw Refusal("a plugin trial cannot start: \(systemWords(errno))")
        }
        owned.append(moved)
        return moved
    }

    private static func pipe(_ owned: inout [Int32]) throws(Refusal) -> (read: Int32, write: Int32)
    {
        var ends: [Int32] = [-1, -1]
        guard unsafe clinux_pipe2(&ends, O_CLOEXEC) == 0 else {
            throw Refusal("a plugin trial cannot start: \(systemWords(errno))")
        }
        let read: Int32
        do throws(Refusal) {
            read = try high(ends[0], &owned)
        } catch {
            close(ends[1])
            throw error
        }
        return (read, try high(ends[1], &owned))
    }

    private static func spawn(
        _ program: String, _ mode: String, seconds: Int, input: Int32, answers: Int32, errors: Int32
    ) throws(Refusal) -> pid_t {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_adddup2(&actions, input, 0)
        unsafe posix_spawn_file_actions_adddup2(&actions, errors, 1)
        unsafe posix_spawn_file_actions_adddup2(&actions, errors, 2)
        unsafe posix_spawn_file_actions_adddup2(&actions, answers, Trial.voice)
        // Whatever else is open here stays here, close-on-exec or not.
        unsafe clinux_spawn_close_from(&actions, Trial.voice + 1)
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        // The host ignores SIGPIPE and may block signals: the child starts with neither.
        var all = sigset_t()
        var none = sigset_t()
        unsafe sigfillset(&all)
        unsafe sigemptyset(&none)
        unsafe posix_spawnattr_setsigdefault(&attributes, &all)
        unsafe posix_spawnattr_setsigmask(&attributes, &none)
        unsafe posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))
        let arguments = CStrings([program, mode, String(seconds)])
        // The crash tracer of the Swift runtime would take longer than the trial.
        let environment = CStrings(inherited() + ["SWIFT_BACKTRACE=enable=no"])
        var child: pid_t = 0
        let code = unsafe posix_spawn(
            &child, program, &actions, &attributes, arguments.pointers, environment.pointers)
        guard code == 0 else {
            throw Refusal("\(program) cannot be started for a plugin trial: \(systemWords(code))")
        }
        return child
    }

    private static func inherited() -> [String] {
        var result: [String] = []
        var at = unsafe environ
        while let entry = unsafe at.pointee {
            let text = unsafe String(cString: entry)
            if !text.hasPrefix("SWIFT_BACKTRACE=") { result.append(text) }
            unsafe at += 1
        }
        return result
    }

    private static func listen(
        _ child: pid_t, answers: Int32, errors: Int32, limitMs: Int
    ) -> TrialRemains {
        let deadline = milliseconds() + limitMs
        var heard: [UInt8] = []
        var complaints: [UInt8] = []
        var isLate = false
        var open = [
            pollfd(fd: answers, events: Int16(POLLIN), revents: 0),
            pollfd(fd: errors, events: Int16(POLLIN), revents: 0),
        ]
        // Both pipes end when the child ends, unless it passed them on to children of its own; the
        // limit holds in either case.
        while open[0].fd >= 0 {
            let left = deadline - milliseconds()
            guard left > 0 else {
                isLate = true
                break
            }
            let ready = unsafe poll(&open, 2, Int32(left))
            guard ready > 0 else { continue }
            for index in 0..<2 where open[index].fd >= 0 && open[index].revents != 0 {
                let bytes = readSome(open[index].fd)
                if bytes.isEmpty { open[index].fd = -1 }
                if index == 0 {
                    heard += bytes
                } else {
                    complaints = (complaints + bytes).suffix(65_536)
                }
            }
        }
        if isLate { kill(child, SIGKILL) }
        var status: Int32 = 0
        var waited: pid_t = 0
        // Its voice may be closed while it runs on: the limit holds for that as well.
        while true {
            waited = uninterrupted { unsafe waitpid(child, &status, isLate ? 0 : WNOHANG) }
            if waited != 0 { break }
            if milliseconds() >= deadline {
                isLate = true
                kill(child, SIGKILL)
            } else {
                _ = poll(nil, 0, 1)
            }
        }
        let end: TrialRemains.End =
            isLate || (clinux_wifsignaled(status) != 0 && clinux_wtermsig(status) == SIGALRM)
            ? .tookTooLong
            : clinux_wifsignaled(status) != 0
                ? .signalled(clinux_wtermsig(status)) : .exited(clinux_wexitstatus(status))
        let lines = String(decoding: complaints, as: UTF8.self).split { $0.isNewline }
        return TrialRemains(
            answers: heard, lastWords: lines.first.map { String($0.prefix(200)) } ?? "", end: end)
    }

    private static func readSome(_ fd: Int32) -> [UInt8] {
        var room = [UInt8](repeating: 0, count: 65_536)
        let n = unsafe room.withUnsafeMutableBytes { buffer in
            uninterrupted { unsafe read(fd, buffer.baseAddress!, buffer.count) }
        }
        return n > 0 ? Array(room[..<n]) : []
    }

    private static func milliseconds() -> Int {
        var moment = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &moment)
        return moment.tv_sec * 1000 + moment.tv_nsec / 1_000_000
    }
}

/// A null-terminated list of C strings, as exec wants it.
@safe
private final class CStrings {
    let pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let count: Int

    init(_ texts: [String]) {
        count = texts.count
        unsafe pointers = .allocate(capacity: count + 1)
        for (index, text) in texts.enumerated() {
            unsafe (pointers + index).initialize(to: strdup(text))
        }
        unsafe (pointers + count).initialize(to: nil)
    }

    deinit {
        for index in 0..<count { unsafe free(pointers[index]) }
        unsafe pointers.deallocate()
    }
}
