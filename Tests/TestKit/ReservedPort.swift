// A port for a program that cannot say which one the kernel gave it.

import CLinux
import Glibc

/// A port of 127.0.0.1 that is this test's own as long as this lives: it is bound, but not listened
/// on, so that another socket with SO_REUSEADDR can listen there, and the kernel gives it to nobody
/// who asks for any port.
package final class ReservedPort: Sendable {
    package let number: UInt16
    private let fd: Int32

    package init() throws {
        let fd = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var on: Int32 = 1
        _ = unsafe setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, 4)
        var address = loopback(port: 0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = unsafe withUnsafeMutablePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(fd, $0, length) == 0 && getsockname(fd, $0, &length) == 0
            }
        }
        guard bound else {
            let code = clinux_errno()
            _ = close(fd)
            throw TestFailure("no free port: \(errorWords(code))")
        }
        self.fd = fd
        number = UInt16(bigEndian: address.sin_port)
    }

    /// Listens on it after all, as somebody who takes connections and says nothing.
    package func listen() throws {
        guard Glibc.listen(fd, 8) == 0 else { throw TestFailure("nobody can listen there") }
    }

    /// The descriptor of the next connection, which is the caller's to close. After `listen`.
    package func accept() throws -> Int32 {
        var wait = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&wait, 1, 30_000) == 1 else { throw TestFailure("nobody came") }
        return clinux_accept4(fd, nil, nil, Int32(SOCK_CLOEXEC.rawValue))
    }

    deinit { _ = close(fd) }
}

func loopback(port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return address
}
