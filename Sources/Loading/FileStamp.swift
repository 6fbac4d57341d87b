// Whether a file is still what it was, without reading it: for files that were read before, and for
// those that are watched. It says nothing about what is in them.

import Balance
import Glibc

/// One state of one file. Any change of its content, its name or its owner gives another, unless
/// somebody turns the clock back.
package struct FileStamp: Hashable, Sendable {
    private var device: UInt64
    private var inode: UInt64
    private var size: Int64
    /// Wall-clock nanoseconds, as the file system writes them.
    private var modified: Int64
    private var changed: Int64

    init(_ facts: stat) {
        device = UInt64(facts.st_dev)
        inode = UInt64(facts.st_ino)
        size = Int64(facts.st_size)
        modified = Self.nanoseconds(facts.st_mtim)
        changed = Self.nanoseconds(facts.st_ctim)
    }

    /// Of the file that a path leads to; nil if to none.
    init?(_ path: String) {
        var facts = stat()
        guard unsafe stat(path, &facts) == 0 else { return nil }
        self.init(facts)
    }

    /// Whether the next change is sure to give another stamp. File systems write times from a clock
    /// that ticks every 10 ms at most, or every second or two where they keep no fractions: two
    /// changes within a tick look like one.
    var isSettled: Bool {
        var now = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &now)
        let tick: Int64 = changed % 1_000_000_000 == 0 ? 2_100_000_000 : 50_000_000
        return changed < Self.nanoseconds(now) - tick
    }

    private static func nanoseconds(_ time: timespec) -> Int64 {
        Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
    }
}

/// How the plugin files that a configuration names look from outside, at one moment.
package struct PluginPicture: Equatable, Sendable {
    // Files that do not exist, and folders that cannot be read, stand for themselves.
    private var stamps: [String: FileStamp?] = [:]

    package static func isFolder(_ path: String) -> Bool { Files.sort(of: path) == .folder }

    /// `paths`: folders and files, as for PluginFile.named.
    package init(_ paths: [String]) {
        for path in paths {
            guard Self.isFolder(path) else {
                stamps[path] = .some(FileStamp(path))
                continue
            }
            guard let names = Files.names(in: path) else {
                stamps[path] = .some(nil)
                continue
            }
            // That it is there: an empty folder is not a missing one.
            stamps["\(path)/"] = .some(nil)
            for name in names where PluginFile.isPlugin(name) {
                stamps["\(path)/\(name)"] = .some(FileStamp("\(path)/\(name)"))
            }
        }
    }
}
