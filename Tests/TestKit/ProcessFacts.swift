// What the kernel tells of a running process: memory, descriptors, threads, children.

import CAllocations
import CLinux
import Glibc

/// Reads /proc at each call. Of a process that is gone: a failure.
package struct ProcessFacts: Sendable {
    package let pid: pid_t
    package init(_ pid: pid_t) { self.pid = pid }

    /// Resident memory (VmRSS).
    package func residentBytes() throws -> Int { try status("VmRSS:") * 1024 }

    /// What `ps` and `top` call it: the name of its first thread.
    package func name() throws -> String {
        String(decoding: try readFile("/proc/\(pid)/comm").dropLast(), as: UTF8.self)
    }

    /// Whether resident memory tells what a program uses. Not in a build for a sanitizer, which holds
    /// freed memory back and keeps books of its own.
    package static var isMemoryTelling: Bool { allocations_are_counted() }

    package func threadCount() throws -> Int { try status("Threads:") }

    /// Time that its threads which still run have spent on a processor. `thread`: that one's.
    package func cpuSeconds(thread: Int32? = nil) throws -> Double {
        let threads = try thread.map { ["\($0)"] } ?? Self.entries(of: "/proc/\(pid)/task")
        return try threads.reduce(0) { sum, thread in
            let text = try readFile("/proc/\(pid)/task/\(thread)/schedstat")
            let digits = String(decoding: text.prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self)
            return sum + (Double(digits) ?? 0) / 1e9
        }
    }

    /// Open descriptors.
    package func descriptorCount() throws -> Int {
        try Self.entries(of: "/proc/\(pid)/fd").count
    }

    package static func exists(_ pid: pid_t) -> Bool {
        guard let stat = try? readFile("/proc/\(pid)/stat") else { return false }
        // A zombie has ended; only nobody has asked yet.
        return Self.words(behindName: stat).first != "Z"
    }

    /// Processes that this one has started and that still run, in the order of their numbers.
    package func children() throws -> [pid_t] {
        try Self.entries(of: "/proc").compactMap { pid_t($0) }.filter { candidate in
            guard let stat = try? readFile("/proc/\(candidate)/stat") else { return false }
            let words = Self.words(behindName: stat)
            return words.count > 1 && words[0] != "Z" && words[1] == String(pid)
        }.sorted()
    }

    /// The words of `stat` from the state on: the name before it may contain anything.
    private static func words(behindName stat: [UInt8]) -> [Substring] {
        let text = String(decoding: stat, as: UTF8.self)
        guard let end = text.lastIndex(of: ")") else { return [] }
        return text[text.index(after: end)...].split(separator: " ")
    }

    private func status(_ name: String) throws -> Int {
        let text = String(decoding: try readFile("/proc/\(pid)/status"), as: UTF8.self)
        for line in text.split(separator: "\n") where line.hasPrefix(name) {
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            if words.count > 1, let number = Int(words[1]) { return number }
        }
        throw TestFailure("process \(pid) has no \(name) any more")
    }

    private static func entries(of path: String) throws -> [String] {
        guard let folder = unsafe opendir(path) else {
            throw TestFailure("\(path): \(errorWords(clinux_errno()))")
        }
        defer { _ = unsafe closedir(folder) }
        var names: [String] = []
        while let entry = unsafe readdir(folder) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) {
                    unsafe String(cString: $0)
                }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }
}
