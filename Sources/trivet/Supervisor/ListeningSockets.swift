// The listening sockets: opened by the supervisor once, handed to one balancer after another. While a
// new balancer starts, new connections wait in their queues instead of being refused.

import Base
import CLinux
import Config
import Glibc
import Net

/// The sockets of one listener.
final class ListeningSockets: Sendable {
    let name: String
    /// Names what it listens on as the configuration has it: the same key, the same sockets.
    let key: String
    /// Where it listens, with the port that the kernel gave where the configuration says 0.
    let address: String
    /// One for each worker.
    let sockets: [Descriptor]

    /// An address is one listener's alone, but for those whose port the kernel chooses.
    static func key(of listener: Listener) -> String {
        if case .ip(_, let port) = listener.address, port != 0 {
            return listener.address.description
        }
        return "\(listener.address) \(listener.name)"
    }

    /// The sockets of an earlier configuration, under the name that they have now.
    init(_ listener: Listener, keeping present: ListeningSockets) {
        name = listener.name
        key = present.key
        address = present.address
        sockets = present.sockets
    }

    init(_ listener: Listener, workers: Int) throws(Failure) {
        name = listener.name
        key = Self.key(of: listener)
        switch listener.address {
        case .ip(let ip, let port):
            (sockets, address) = try Self.open(
                ip, port: port, workers: workers, listener: listener.name)
        case .name, .unix:
            throw .input([
                "listener \"\(listener.name)\" has the address \(listener.address), but it has to be "
                    + "an IP address with a port"
            ])
        }
    }

    private static func open(
        _ ip: IPAddress, port: UInt16, workers: Int, listener: String
    ) throws(Failure) -> ([Descriptor], String) {
        let wanted = HostPort.ip(ip, port: port).description
        do throws(SystemError) {
            // With SO_REUSEPORT another Trivet of the same user on the same port would not be noticed:
            // once without it. A port that the kernel chooses is free.
            if port != 0 {
                IO.close(try Socket.listen(SocketAddress(ip, port: port), shared: false))
            }
            var sockets: [Descriptor] = []
            var port = port
            for _ in 0..<workers {
                let fd = try Socket.listen(SocketAddress(ip, port: port), shared: true)
                sockets.append(Descriptor(fd))
                if port == 0 { port = Socket.localAddress(fd)?.port ?? 0 }
            }
            return (sockets, HostPort.ip(ip, port: port).description)
        } catch {
            throw refusal(error, of: "listener \"\(listener)\"", address: wanted)
        }
    }

    static func refusal(_ error: SystemError, of what: String, address: String) -> Failure {
        let why =
            switch error.code {
            case EADDRINUSE: "it is in use already"
            case EACCES: "only root may (or one with CAP_NET_BIND_SERVICE): permission denied"
            case EADDRNOTAVAIL: "this machine does not have that address"
            default: errorText(error.code)
            }
        return .system("\(what) cannot listen on \(address): \(why)")
    }
}
