// Readiness: one epoll set, owned by one thread. Descriptors are registered once, edge-triggered and
// for both directions; whoever owns them remembers what is ready until a call says `wait`. So a
// connection costs one epoll_ctl in its life. io_uring was measured and gave nothing (decision note).

import Base
import CLinux
import Glibc

/// What happened to a descriptor.
package struct Event {
    /// What it was registered with.
    package let token: UInt64
    let bits: UInt32

    private static let gone = EPOLLHUP.rawValue | EPOLLERR.rawValue

    package var readable: Bool {
        bits & (EPOLLIN.rawValue | EPOLLRDHUP.rawValue | Self.gone) != 0
    }
    package var writable: Bool { bits & (EPOLLOUT.rawValue | Self.gone) != 0 }
    /// The peer will send nothing more; it may still read.
    package var peerEnded: Bool { bits & EPOLLRDHUP.rawValue != 0 }
    /// The connection is gone in both directions, or failed.
    package var broken: Bool { bits & Self.gone != 0 }
}

@safe
package struct Poller: ~Copyable {
    private let fd: Int32
    // 256 events a wait: enough that a busy loop shares one call among many connections.
    private let events: UnsafeMutablePointer<epoll_event>
    private static let room = 256

    package init() throws(SystemError) {
        fd = try SystemError.check("epoll_create1") { epoll_create1(Int32(EPOLL_CLOEXEC)) }
        unsafe events = .allocate(capacity: Self.room)
        unsafe events.initialize(repeating: epoll_event(), count: Self.room)
    }

    deinit {
        IO.close(fd)
        unsafe events.deallocate()
    }

    /// Registers a descriptor for the rest of its life; closing it ends that. False: an errno is set.
    package func add(_ fd: Int32, token: UInt64) -> Bool {
        control(
            fd, EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue,
            token)
    }

    /// Registers a descriptor for reading that reports for as long as there is something: listening
    /// sockets, of which one turn need not take everybody, and wake-ups.
    package func addLevel(_ fd: Int32, token: UInt64) -> Bool {
        control(fd, EPOLLIN.rawValue, token)
    }

    package func remove(_ fd: Int32) {
        _ = epoll_ctl(self.fd, EPOLL_CTL_DEL, fd, nil)
    }

    private func control(_ fd: Int32, _ bits: UInt32, _ token: UInt64) -> Bool {
        clinux_epoll_add(self.fd, fd, bits, token) == 0
    }

    /// Waits for events, at most `milliseconds` (negative: as long as it takes), and says how many
    /// came: `self[0 ..< count]`.
    package func wait(milliseconds: Int32) -> Int {
        let n = unsafe clinux_epoll_wait(fd, events, Int32(Self.room), milliseconds)
        return max(0, Int(n))  // EINTR: an empty turn
    }

    package subscript(i: Int) -> Event {
        precondition(i >= 0 && i < Self.room, "no such event")
        return unsafe Event(
            token: clinux_epoll_data(events + i), bits: clinux_epoll_events(events + i))
    }
}

/// Wakes a poller from another thread. [any]
package struct Wakeup: Sendable {
    package let fd: Int32

    package init() throws(SystemError) {
        fd = try SystemError.check("eventfd") {
            eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        }
    }

    package func signal() {
        _ = eventfd_write(fd, 1)
    }

    /// Forgets what was signalled: by the thread that was woken.
    package func clear() {
        var value: eventfd_t = 0
        _ = unsafe eventfd_read(fd, &value)
    }

    package func close() { IO.close(fd) }
}
