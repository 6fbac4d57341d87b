// Every system call that moves bytes, once: restarted after EINTR, with a typed result in place of
// -1 and errno. Never throws and never allocates: these run for every event. Descriptors are
// non-blocking; what would block says `wait`.

import Base
import CLinux
import Glibc

/// What came of moving bytes.
package enum Transfer: Equatable {
    /// This many bytes moved, at least one.
    case done(Int)
    /// Nothing can move now: wait for the poller.
    case wait
    /// The other side has said its last byte (reads only).
    case closed
    /// An `errno`.
    case failed(Int32)

    @inline(__always)
    init(_ result: Int) {
        if result > 0 {
            self = .done(result)
        } else if result == 0 {
            self = .closed
        } else {
            let code = errno
            self = code == EAGAIN || code == EWOULDBLOCK ? .wait : .failed(code)
        }
    }
}

package enum IO {
    /// Reads into `memory`, which the caller owns for the call.
    package static func read(_ fd: Int32, into memory: UnsafeMutableRawBufferPointer) -> Transfer {
        while true {
            let n = unsafe Glibc.read(fd, memory.baseAddress, memory.count)
            if n < 0 && errno == EINTR { continue }
            return Transfer(n)
        }
    }

    /// Reads from a socket into `memory`, which the caller owns for the call.
    package static func receive(
        _ fd: Int32, into memory: UnsafeMutableRawBufferPointer
    ) -> Transfer {
        while true {
            let n = unsafe clinux_receive(fd, memory.baseAddress, memory.count)
            if n < 0 && errno == EINTR { continue }
            return Transfer(n)
        }
    }

    /// Sends bytes to a socket, without SIGPIPE.
    package static func send(_ fd: Int32, _ bytes: Span<UInt8>) -> Transfer {
        if bytes.isEmpty { return .done(0) }
        return unsafe bytes.withUnsafeBytes { raw in
            while true {
                let n = unsafe clinux_send(fd, raw.baseAddress, raw.count)
                if n < 0 && errno == EINTR { continue }
                return Transfer(n)
            }
        }
    }

    /// Sends up to three runs of bytes with one call, in order; empty ones are skipped.
    package static func send(
        _ fd: Int32, _ first: Span<UInt8>, _ second: Span<UInt8>, _ third: Span<UInt8>
    ) -> Transfer {
        unsafe first.withUnsafeBytes { a in
            unsafe second.withUnsafeBytes { b in
                unsafe third.withUnsafeBytes { c in
                    while true {
                        let n = unsafe clinux_send3(
                            fd, a.baseAddress, a.count, b.baseAddress, b.count, c.baseAddress,
                            c.count)
                        if n < 0 && errno == EINTR { continue }
                        return Transfer(n)
                    }
                }
            }
        }
    }

    /// Moves up to `count` bytes between a socket and a pipe inside the kernel. `closed` means that
    /// `from` is a socket at its end.
    package static func splice(from: Int32, to: Int32, count: Int) -> Transfer {
        while true {
            let n = clinux_splice(
                from, to, count, CLINUX_SPLICE_F_MOVE | CLINUX_SPLICE_F_NONBLOCK)
            if n < 0 && errno == EINTR { continue }
            return Transfer(n)
        }
    }

    /// Writes all of `bytes` to a file or terminal, waiting where need be. For logs.
    @discardableResult
    package static func writeAll(_ fd: Int32, _ bytes: Span<UInt8>) -> Bool {
        unsafe bytes.withUnsafeBytes { raw in
            var offset = 0
            while offset < raw.count {
                let n = unsafe Glibc.write(fd, raw.baseAddress! + offset, raw.count - offset)
                if n > 0 {
                    offset += n
                } else if n < 0 && errno == EINTR {
                    continue
                } else if n < 0 && errno == EAGAIN {
                    var wait = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
                    _ = unsafe poll(&wait, 1, 1000)
                } else {
                    return false
                }
            }
            return true
        }
    }

    /// Whether a write may have to wait for somebody who reads: a pipe, a socket, a terminal. A file on
    /// a disk does not, for all that can be done about it.
    package static func hasReader(_ fd: Int32) -> Bool {
        var facts = stat()
        return unsafe fstat(fd, &facts) == 0 && facts.st_mode & S_IFMT != S_IFREG
    }

    /// Writes what can be written without waiting, for logs that somebody reads. The descriptor may be
    /// shared with other processes, so that its own flags are not touched.
    package static func writeNow(_ fd: Int32, _ bytes: Span<UInt8>) -> Transfer {
        if bytes.isEmpty { return .done(0) }
        return unsafe bytes.withUnsafeBytes { raw in
            while true {
                var n = unsafe clinux_write_now(fd, raw.baseAddress, raw.count)
                if n < 0 && errno == EOPNOTSUPP {
                    // Where there is room at all, there is room for a page.
                    var room = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
                    guard unsafe poll(&room, 1, 0) == 1 else { return .wait }
                    n = unsafe Glibc.write(fd, raw.baseAddress, min(raw.count, pieceLimit))
                }
                if n < 0 && errno == EINTR { continue }
                return Transfer(n)
            }
        }
    }

    /// Waits until a write would move something, at most `milliseconds`.
    package static func awaitRoom(_ fd: Int32, milliseconds: Int32) {
        var room = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
        _ = unsafe poll(&room, 1, milliseconds)
    }

    /// What goes into a pipe in one piece or not at all (PIPE_BUF).
    package static let pieceLimit = 4096

    package static func close(_ fd: Int32) { _ = Glibc.close(fd) }
}

/// The operating system's own words for an `errno`, in lower case as our sentences are.
package func errorText(_ code: Int32) -> String {
    guard let text = unsafe strerror(code) else { return "error \(code)" }
    let words = unsafe String(cString: text)
    return words.prefix(1).lowercased() + words.dropFirst()
}

/// Monotonic nanoseconds.
package func monotonicNow() -> UInt64 {
    var t = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &t)
    return UInt64(t.tv_sec) &* 1_000_000_000 &+ UInt64(t.tv_nsec)
}

/// Nanoseconds since 1970, for what people read.
package func wallNow() -> UInt64 {
    var t = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &t)
    return UInt64(t.tv_sec) &* 1_000_000_000 &+ UInt64(t.tv_nsec)
}
