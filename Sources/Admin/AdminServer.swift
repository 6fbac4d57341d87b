// The admin interface as its owner sees it: give it a listening socket, another one, or none; end it. The
// work is done on a thread of its own (AdminLoop).

import Base
import Net
import Synchronization

/// Serves `/metrics` and `/state`. Any thread.
package final class AdminServer: Sendable {
    private let mailbox: AdminMailbox
    private let thread: Thread

    /// Starts the thread; nothing is served before `listen`. `source` is called on it, for each
    /// answer.
    package init(
        timeouts: AdminTimeouts = AdminTimeouts(), source: @escaping @Sendable () -> Snapshot
    ) throws(SystemError) {
        let mailbox = try AdminMailbox()
        self.mailbox = mailbox
        let start = Start(try AdminLoop(mailbox, timeouts: timeouts, source: source))
        thread = try Thread("admin") {
            var loop = start.take()
            loop.run()
        }
    }

    /// Takes connections of this listening socket (non-blocking), which is its own from here on, and
    /// of the one before no more; nil: of none.
    ///
    /// - Parameter isPrivate: only this machine may ask, and not by a name that somebody else has given
    ///   it; nil: where the address is a loopback one.
    package func listen(on socket: Int32?, isPrivate: Bool? = nil) {
        let isLoopback = socket.flatMap { Socket.localAddress($0)?.ip?.isLoopback } ?? true
        mailbox.put(socket: socket.map { AdminSocket(fd: $0, isPrivate: isPrivate ?? isLoopback) })
    }

    /// Ends it, and waits for that. Once.
    package func stop() {
        mailbox.end()
        thread.join()
    }

    /// Carries the loop into its thread, once.
    private final class Start: @unchecked Sendable {
        private var loop: AdminLoop?
        init(_ loop: consuming AdminLoop) { self.loop = consume loop }
        func take() -> AdminLoop { loop.take()! }
    }
}

/// Where the thread is to listen.
struct AdminSocket: Sendable {
    let fd: Int32
    let isPrivate: Bool
}

/// What the owner leaves for the thread.
final class AdminMailbox: Sendable {
    struct Orders: Sendable {
        /// Nil: as it is.
        var socket: AdminSocket??
        var isOver = false
    }

    let wakeup: Wakeup
    private let orders = Guarded(Orders())

    init() throws(SystemError) { wakeup = try Wakeup() }

    deinit { wakeup.close() }

    func put(socket: AdminSocket?) {
        orders.withLock { orders in
            // Two in one turn: the first was never taken up.
            if case .some(.some(let earlier)) = orders.socket { IO.close(earlier.fd) }
            orders.socket = .some(socket)
        }
        wakeup.signal()
    }

    func end() {
        orders.withLock { $0.isOver = true }
        wakeup.signal()
    }

    func take() -> Orders {
        orders.withLock { orders in
            defer { orders.socket = nil }
            return orders
        }
    }
}
