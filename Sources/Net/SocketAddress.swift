// Where a socket listens or connects: an IP address with its port, or a path. Not names: those are
// the resolver's.

import Base
import CLinux
import Glibc

/// A socket address of any family, by value: nothing to free.
@safe
package struct SocketAddress: Sendable {
    var storage = sockaddr_storage()
    var length: socklen_t = 0

    init() {}

    package init(_ ip: IPAddress, port: UInt16) {
        if ip.isV4 {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = UInt32(truncatingIfNeeded: ip.low).bigEndian
            length = socklen_t(MemoryLayout<sockaddr_in>.size)
            unsafe withUnsafeMutableBytes(of: &storage) {
                unsafe $0.storeBytes(of: address, as: sockaddr_in.self)
            }
        } else {
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.bigEndian
            unsafe withUnsafeMutableBytes(of: &address.sin6_addr) {
                unsafe $0.storeBytes(of: ip.high.bigEndian, as: UInt64.self)
                unsafe $0.storeBytes(of: ip.low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
            length = socklen_t(MemoryLayout<sockaddr_in6>.size)
            unsafe withUnsafeMutableBytes(of: &storage) {
                unsafe $0.storeBytes(of: address, as: sockaddr_in6.self)
            }
        }
    }

    /// A local socket. Nil if the path does not fit the kernel's 107 bytes.
    package init?(path: String) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        let room = MemoryLayout.size(ofValue: address.sun_path)
        guard bytes.count < room, !bytes.isEmpty else { return nil }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
        length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count + 1)
        unsafe withUnsafeMutableBytes(of: &storage) {
            unsafe $0.storeBytes(of: address, as: sockaddr_un.self)
        }
    }

    /// A local socket that has a name but lies in no folder (unix(7), abstract). Nil if the name does
    /// not fit.
    package init?(abstract name: String) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = [0] + Array(name.utf8)
        guard bytes.count <= MemoryLayout.size(ofValue: address.sun_path) else { return nil }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
        length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
        unsafe withUnsafeMutableBytes(of: &storage) {
            unsafe $0.storeBytes(of: address, as: sockaddr_un.self)
        }
    }

    package var family: Int32 { Int32(storage.ss_family) }
    package var isLocal: Bool { family == AF_UNIX }

    /// The IP address, or nil of a local socket.
    package var ip: IPAddress? {
        unsafe withUnsafeBytes(of: storage) { raw in
            if family == AF_INET {
                let address = unsafe raw.loadUnaligned(as: sockaddr_in.self)
                return IPAddress(v4: UInt32(bigEndian: address.sin_addr.s_addr))
            }
            guard family == AF_INET6 else { return nil }
            let start = MemoryLayout<sockaddr_in6>.offset(of: \.sin6_addr)!
            return IPAddress(
                high: UInt64(
                    bigEndian: unsafe raw.loadUnaligned(
                        fromByteOffset: start, as: UInt64.self)),
                low: UInt64(
                    bigEndian: unsafe raw.loadUnaligned(
                        fromByteOffset: start + 8, as: UInt64.self)))
        }
    }

    /// The port, or 0 of a local socket.
    package var port: UInt16 {
        unsafe withUnsafeBytes(of: storage) { raw in
            // The port lies at the same place in both families.
            family == AF_INET || family == AF_INET6
                ? UInt16(bigEndian: unsafe raw.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
                : 0
        }
    }

    /// Calls the kernel with this address.
    func with<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        unsafe withUnsafeBytes(of: storage) { raw in
            unsafe body(raw.assumingMemoryBound(to: sockaddr.self).baseAddress!, length)
        }
    }

    /// Has the kernel write an address.
    static func from(
        _ body: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) -> (result: Int32, address: SocketAddress) {
        var address = SocketAddress()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = unsafe withUnsafeMutableBytes(of: &address.storage) { raw in
            unsafe body(raw.assumingMemoryBound(to: sockaddr.self).baseAddress!, &length)
        }
        address.length = length
        return (result, address)
    }
}
