// Making, taking and ending sockets: listen, accept, connect, half-close. Moving bytes is in IO.swift.
// Everything is non-blocking and close-on-exec.

import Base
import CLinux
import Glibc

/// What came of accepting.
package enum Accepted {
    case connection(fd: Int32, peer: SocketAddress)
    /// Nobody is waiting.
    case wait
    /// This one went away before it was taken: go on with the next.
    case gone
    /// Descriptors or memory are used up (EMFILE, ENFILE, ENOBUFS, ENOMEM): rest a while.
    case exhausted(Int32)
    case failed(Int32)
}

/// What came of starting to connect.
package enum Connecting {
    case connected(fd: Int32)
    /// The poller will say that it is writable, or has failed: ask `Socket.error`.
    case started(fd: Int32)
    case failed(Int32)
}

package enum Socket {
    /// Opens a listening socket.
    ///
    /// - Parameters:
    ///   - shared: with `SO_REUSEPORT`, so that each worker has a queue of its own. Bind an address
    ///     once without it first: with it, a port in use by the same user is not noticed.
    ///   - backlog: connections the kernel keeps waiting (capped by net.core.somaxconn).
    /// - Throws: an `errno`.
    package static func listen(
        _ address: SocketAddress, shared: Bool, backlog: Int32 = 4096
    ) throws(SystemError) -> Int32 {
        let fd = try SystemError.check("socket") {
            socket(address.family, Int32(SOCK_STREAM.rawValue) | flags, 0)
        }
        do throws(SystemError) {
            if !address.isLocal {
                set(fd, SOL_SOCKET, SO_REUSEADDR, 1)
                if shared { set(fd, SOL_SOCKET, SO_REUSEPORT, 1) }
                // Accepted sockets inherit it: one call less for every connection.
                set(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
                // An address of IPv6 means IPv6, and "[::]" everything, as in other balancers.
                if address.family == AF_INET6 { set(fd, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 0) }
            }
            try SystemError.check("bind") { unsafe address.with { unsafe bind(fd, $0, $1) } }
            try SystemError.check("listen") { Glibc.listen(fd, backlog) }
            return fd
        } catch {
            IO.close(fd)
            throw error
        }
    }

    /// Takes one connection.
    package static func accept(_ listener: Int32) -> Accepted {
        while true {
            let (fd, peer) = unsafe SocketAddress.from {
                unsafe clinux_accept4(listener, $0, $1, flags)
            }
            if fd >= 0 { return .connection(fd: fd, peer: peer) }
            switch errno {
            case EINTR: continue
            case EAGAIN: return .wait
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: return .exhausted(errno)
            // accept(2): pending network errors of the new socket are passed on here.
            case ECONNABORTED, EPERM, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET,
                EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH:
                return .gone
            default: return .failed(errno)
            }
        }
    }

    /// Starts to connect, without waiting.
    package static func connect(_ address: SocketAddress) -> Connecting {
        let fd = socket(address.family, Int32(SOCK_STREAM.rawValue) | flags, 0)
        if fd < 0 { return .failed(errno) }
        if !address.isLocal { set(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1) }
        if unsafe address.with({ unsafe Glibc.connect(fd, $0, $1) }) == 0 {
            return .connected(fd: fd)
        }
        // Interrupted, it goes on by itself (connect(2)).
        if errno == EINPROGRESS || errno == EINTR { return .started(fd: fd) }
        let code = errno
        IO.close(fd)
        return .failed(code)
    }

    /// The pending error of a socket, and clears it: how a started connect has ended. 0: well.
    package static func error(_ fd: Int32) -> Int32 {
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        return unsafe getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length) == 0 ? code : errno
    }

    /// Whether a failed connect is for want of something on this side (descriptors, memory, local
    /// ports), and so says nothing about the peer.
    package static func isShortage(_ code: Int32) -> Bool {
        [EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL].contains(code)
    }

    /// Says that no more bytes will be sent.
    package static func endSending(_ fd: Int32) { _ = shutdown(fd, Int32(SHUT_WR)) }

    /// Both directions: a listening socket leaves its `SO_REUSEPORT` group.
    package static func end(_ fd: Int32) { _ = shutdown(fd, Int32(SHUT_RDWR)) }

    /// Makes `close` drop the connection with a reset instead of a normal end, so that a reader
    /// cannot take what was cut short for the whole.
    package static func resetOnClose(_ fd: Int32) {
        var option = linger(l_onoff: 1, l_linger: 0)
        _ = unsafe setsockopt(
            fd, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    }

    /// Asks a peer that has been silent for two minutes whether it is there, and again every half minute;
    /// four times without an answer end the connection (tcp(7), SO_KEEPALIVE).
    package static func keepAlive(_ fd: Int32) {
        let settings: [4 of (level: Int32, name: Int32, value: Int32)] = [
            (SOL_SOCKET, SO_KEEPALIVE, 1), (Int32(IPPROTO_TCP), TCP_KEEPIDLE, 120),
            (Int32(IPPROTO_TCP), TCP_KEEPINTVL, 30), (Int32(IPPROTO_TCP), TCP_KEEPCNT, 4),
        ]
        for i in settings.indices {
            var value = settings[i].value
            _ = unsafe setsockopt(fd, settings[i].level, settings[i].name, &value, 4)
        }
    }

    /// The address a socket is bound to, for ports that the kernel chose.
    package static func localAddress(_ fd: Int32) -> SocketAddress? {
        let (result, address) = unsafe SocketAddress.from { unsafe getsockname(fd, $0, $1) }
        return result == 0 ? address : nil
    }

    /// Two connected local sockets that keep message boundaries, close-on-exec.
    package static func pair() throws(SystemError) -> (Int32, Int32) {
        var ends: (Int32, Int32) = (-1, -1)
        try SystemError.check("socketpair") {
            unsafe withUnsafeMutableBytes(of: &ends) {
                unsafe socketpair(
                    AF_UNIX, Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0,
                    $0.assumingMemoryBound(to: Int32.self).baseAddress!)
            }
        }
        return ends
    }

    private static let flags = Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)

    private static func set(_ fd: Int32, _ level: Int32, _ name: Int32, _ value: Int32) {
        var value = value
        _ = unsafe setsockopt(fd, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
    }
}

/// A system call that failed where that is not part of the plan.
package struct SystemError: Error, Equatable, CustomStringConvertible {
    package let call: String
    package let code: Int32

    package init(call: String, code: Int32) {
        self.call = call
        self.code = code
    }

    package var description: String { "\(call): \(errorText(code))" }

    /// What `call` just left in errno.
    package static func last(_ call: String) -> SystemError { SystemError(call: call, code: errno) }

    /// The result of `body`, or what errno says when that is negative.
    @discardableResult
    package static func check(_ call: String, _ body: () -> Int32) throws(SystemError) -> Int32 {
        while true {
            let result = body()
            if result >= 0 { return result }
            if errno != EINTR { throw SystemError(call: call, code: errno) }
        }
    }
}
