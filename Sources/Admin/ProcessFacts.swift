// What the kernel says about this process (proc(5)): its memory, descriptors and processor time. Asked
// when somebody wants to know, never kept.

import Glibc
import Net

package struct ProcessFacts: Equatable, Sendable {
    package var pid: Int32
    /// Nanoseconds since 1970, as far as the process noted it.
    package var started: UInt64
    package var uptime: UInt64 = 0
    package var residentBytes: UInt64 = 0
    package var openDescriptors: UInt64 = 0
    package var descriptorLimit: UInt64 = 0
    /// User and system together.
    package var cpuNanoseconds: UInt64 = 0

    package init(pid: Int32, started: UInt64) {
        self.pid = pid
        self.started = started
    }

    /// This process now. What the kernel does not say is 0.
    package static func own(started: UInt64) -> ProcessFacts {
        var facts = ProcessFacts(pid: getpid(), started: started)
        let now = wallNow()
        facts.uptime = now > started ? now - started : 0
        facts.residentBytes = residentPages() &* UInt64(max(0, sysconf(Int32(_SC_PAGESIZE))))
        facts.openDescriptors = countDescriptors()
        var limit = rlimit()
        if unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
            facts.descriptorLimit = UInt64(limit.rlim_cur)
        }
        var time = timespec()
        if unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0 {
            facts.cpuNanoseconds = UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
        }
        return facts
    }

    /// The second number of /proc/self/statm.
    private static func residentPages() -> UInt64 {
        let fd = unsafe open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { return 0 }
        defer { IO.close(fd) }
        var room = [UInt8](repeating: 0, count: 256)
        let outcome = unsafe room.withUnsafeMutableBytes { unsafe IO.read(fd, into: $0) }
        guard case .done(let count) = outcome else { return 0 }
        let numbers = room[..<count].split(separator: UInt8(ascii: " "))
        return numbers.count > 1 ? UInt64(String(decoding: numbers[1], as: UTF8.self)) ?? 0 : 0
    }

    private static func countDescriptors() -> UInt64 {
        guard let folder = unsafe opendir("/proc/self/fd") else { return 0 }
        defer { _ = unsafe closedir(folder) }
        var count: UInt64 = 0
        while unsafe readdir(folder) != nil { count += 1 }
        // Without ".", ".." and the one for this very look.
        return count > 3 ? count - 3 : 0
    }
}
