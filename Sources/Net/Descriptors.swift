// How many descriptors this process may have open, and what they are there for. The limit is raised to
// what the system allows once, before anything is opened; what is left for connections is worked out
// when the workers are made.

import CLinux
import Glibc

package enum Descriptors {
    private static var resource: __rlimit_resource_t {
        __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    }

    /// Descriptors that may be open at one time.
    package static var limit: Int {
        var limit = rlimit()
        guard unsafe getrlimit(resource, &limit) == 0 else { return 1024 }
        return Int(clamping: limit.rlim_cur)
    }

    /// Raises the limit to what this process may raise it to; children inherit it. Where `wanted` is
    /// more, and this process has the privilege, to that: who set a lower one is overruled only by who
    /// asked for connections in so many words.
    package static func raise(for wanted: Int = 0) {
        var limit = rlimit()
        guard unsafe getrlimit(resource, &limit) == 0 else { return }
        if limit.rlim_max < UInt(clamping: wanted) {
            // More than fs.nr_open is refused to everybody.
            let more = UInt(clamping: min(wanted, mostOfAll))
            var raised = rlimit(rlim_cur: more, rlim_max: more)
            if more > limit.rlim_max, unsafe setrlimit(resource, &raised) == 0 { return }
        }
        limit.rlim_cur = limit.rlim_max
        _ = unsafe setrlimit(resource, &limit)
    }

    /// What the kernel gives anybody, at the most.
    private static var mostOfAll: Int {
        let fd = unsafe clinux_open("/proc/sys/fs/nr_open", O_RDONLY | O_CLOEXEC, 0)
        guard fd >= 0 else { return 0 }
        defer { IO.close(fd) }
        var text = [UInt8](repeating: 0, count: 32)
        guard
            case .done(let count) = unsafe text.withUnsafeMutableBytes({
                unsafe IO.read(fd, into: $0)
            })
        else { return 0 }
        return Int(String(decoding: text[..<count].prefix { $0 &- 48 < 10 }, as: UTF8.self)) ?? 0
    }

    /// Those that are open, as far as that can be seen at once: the kernel gives the lowest number that
    /// is free, so all below it are in use.
    package static func inUse() -> Int {
        let lowest = clinux_fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)
        guard lowest >= 0 else { return 3 }
        IO.close(lowest)
        return Int(lowest)
    }
}

/// What a limit of descriptors is divided into.
package struct DescriptorPlan: Equatable, Sendable {
    /// No client is taken while as many connections, of clients and to nodes, are open.
    package let clients: Int
    /// Beyond that, connections to nodes, so that who was taken can be served.
    package let nodes: Int
    /// Pipes at one time, two descriptors each. Without one a body is copied.
    package let pipes: Int

    /// - Parameter own: what the process has open without any traffic.
    package init(limit: Int, own: Int) {
        // The admin interface, probes, and the files of a reload.
        let slack = min(128, limit / 8)
        let free = max(0, limit - own - slack)
        nodes = free / 8
        pipes = free / 16
        clients = max(1, free - nodes - 2 * pipes)
    }
}
