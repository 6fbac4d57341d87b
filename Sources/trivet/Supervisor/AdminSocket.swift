// The socket of the admin interface: opened by the supervisor, handed to one balancer after another, as
// the listeners' are. Who answers there is Admin's.

import Base
import Config
import Glibc
import Net

final class AdminSocket: Sendable {
    /// As the configuration has it: the same key, the same socket.
    let key: String
    /// With the port that the kernel gave where the configuration says 0.
    let address: String
    let socket: Descriptor

    static func key(of admin: AdminAddress) -> String { admin.address.description }

    init(_ admin: AdminAddress) throws(Failure) {
        key = Self.key(of: admin)
        guard case .ip(let ip, let port) = admin.address else {
            throw .input(["admin has the address \(admin.address), but it has to be an IP address"])
        }
        do throws(SystemError) {
            let fd = try Socket.listen(SocketAddress(ip, port: port), shared: false, backlog: 64)
            socket = Descriptor(fd)
            address = HostPort.ip(ip, port: Socket.localAddress(fd)?.port ?? port).description
        } catch {
            throw ListeningSockets.refusal(error, of: "admin", address: admin.address.description)
        }
    }
}
