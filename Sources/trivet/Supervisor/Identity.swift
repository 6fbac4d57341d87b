// As whom the balancer serves: `user` and `group` of the configuration. The supervisor stays what it
// is, so that it can bind low ports and read keys.

import CLinux
import Config
import Glibc

/// The numbers behind the names.
struct Identity {
    private var user: (name: String, id: uid_t)?
    private var group: gid_t?

    /// Looks the names up. With a user alone, the group is that user's own.
    init(of configuration: Configuration) throws(Failure) {
        if let name = configuration.user {
            guard let entry = unsafe getpwnam(name) else {
                throw .input(["\(configuration.file): user \"\(name)\" does not exist here"])
            }
            user = (name, unsafe entry.pointee.pw_uid)
            group = unsafe entry.pointee.pw_gid
        }
        if let name = configuration.group {
            guard let entry = unsafe getgrnam(name) else {
                throw .input(["\(configuration.file): group \"\(name)\" does not exist here"])
            }
            group = unsafe entry.pointee.gr_gid
        }
    }

    /// Becomes it, for good, if this process is root's; else it stays who it is. Before any thread is
    /// started that should not be root's.
    func take() throws(Failure) {
        guard geteuid() == 0, let group else { return }
        let groups =
            if let user { initgroups(user.name, group) } else { unsafe setgroups(0, nil) }
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
