// As whom the balancer serves: `user` and `group` of the configuration. The supervisor stays what it
// is, so that it can bind low ports and read keys.

import Base
import CLinux
import Config
import Glibc

/// The numbers behind the names.
struct Identity {
    private var user: (name: String, id: uid_t)?
    private var group: gid_t?

    /// Looks the names up. With a user alone, the group is that user's own.
    init(of configuration: Configuration) throws(Failure) {
        if let placed = configuration.user {
            let name = placed.value
            guard let entry = unsafe getpwnam(name) else {
                throw Self.unknown("user", placed, configuration)
            }
            user = (name, unsafe entry.pointee.pw_uid)
            group = unsafe entry.pointee.pw_gid
        }
        if let placed = configuration.group {
            guard let entry = unsafe getgrnam(placed.value) else {
                throw Self.unknown("group", placed, configuration)
            }
            group = unsafe entry.pointee.gr_gid
        }
    }

    private static func unknown(
        _ kind: String, _ placed: Placed<String>, _ configuration: Configuration
    ) -> Failure {
        let wrong = Diagnostic(
            file: configuration.file, place: placed.place,
            sentence: "\(kind) \"\(placed.value)\" does not exist on this machine")
        return .input([wrong.description])
    }

    var userNumber: uid_t? { user?.id }

    /// Becomes it, for good, if this process is root's; else it stays who it is. Before any thread is
    /// started that should not be root's.
    func take() throws(Failure) {
        guard geteuid() == 0, let group else { return }
        let groups: Int32
        if let user {
            groups = unsafe initgroups(user.name, group)
        } else {
            groups = setgroups(0, nil)
        }
        if groups != 0 || setgid(group) != 0 {
            throw .system("the balancer cannot take its group", code: errno)
        }
        if let user, setuid(user.id) != 0 {
            throw .system("the balancer cannot become user \"\(user.name)\"", code: errno)
        }
    }

    /// Whether the configuration asks for what only root could do, and this is not root.
    var isOutOfReach: Bool {
        let isOther = user.map { $0.id != geteuid() } ?? (group.map { $0 != getegid() } ?? false)
        return geteuid() != 0 && isOther
    }
}
