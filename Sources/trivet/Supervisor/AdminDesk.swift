// The admin interface of a balancer's process: what it needs to know is brought together here, and its
// socket taken from the assignments.

import Admin
import Base
import Glibc
import Net
import Proxy
import Synchronization

/// Any thread.
final class AdminDesk: Sendable {
    private let balancer: Balancer
    private let started = wallNow()
    private let supervision: Guarded<Supervision>
    // Made when an assignment first wants it.
    private let server = Guarded<AdminServer?>(nil)

    init(_ balancer: Balancer, _ supervision: Supervision) {
        self.balancer = balancer
        self.supervision = Guarded(supervision)
    }

    /// What the supervisor has counted by now.
    func note(_ supervision: Supervision) { self.supervision.withLock { $0 = supervision } }

    /// Sees to it that `listen` will not fail.
    func open(_ assignment: Assignment) throws(Failure) {
        guard assignment.hasAdmin else { return }
        do throws(SystemError) {
            try server.withLock { (server) throws(SystemError) in
                if server == nil {
                    server = try AdminServer { [unowned self] in snapshot() }
                }
            }
        } catch {
            throw .system("the admin interface cannot start: \(error)")
        }
    }

    /// Serves where the assignment says, or nowhere any more; its descriptor is the server's then.
    func listen(_ assignment: Assignment, _ descriptors: [Int32]) {
        let socket = assignment.hasAdmin ? descriptors[assignment.fixedDescriptors - 1] : nil
        server.withLock { $0?.listen(on: socket) }
    }

    /// Before this goes.
    func stop() {
        server.withLock { server in
            server?.stop()
            server = nil
        }
    }

    private func snapshot() -> Snapshot {
        Snapshot(
            version: trivetVersion, process: .own(started: started),
            supervision: supervision.withLock { $0 }, balancer: balancer.status(),
            now: monotonicNow())
    }
}
