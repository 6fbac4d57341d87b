// Where the private copies of plugins lie: a folder in which no name is ever used twice, since dlopen
// takes a name it has seen for the library it has. It is this process's own, and removed when that
// exits, or it is lent by a supervisor, in whose care copies outlive a balancer that crashes. What
// somebody who crashed left behind is swept by the next.

import Balance
import Base
import CLinux
import Glibc
import Synchronization

/// The one folder of the process, made when it is first needed.
package enum PrivateFolder {
    private struct Folder: Sendable {
        var path: String
        /// Holds a lock on the folder: who can take it knows that the owner is dead. -1: it is
        /// somebody else's.
        var lock: Int32
        var files: [String] = []
        var count = 0
    }

    private static let prefix = "trivet-plugins-"
    private static let folder = Guarded<Folder?>(nil)

    /// Writes a copy of `bytes` under a name that this process never used, and gives back its path.
    /// `name` is kept as the end of it, for back traces.
    static func keep(_ bytes: [UInt8], name: String) throws(Refusal) -> String {
        let path = try folder.withLock { (folder) throws(Refusal) -> String in
            var present: Folder
            if let folder { present = folder } else { present = try make() }
            present.count += 1
            let path = "\(present.path)/\(getpid())-\(present.count)-\(name)"
            present.files.append(path)
            folder = present
            return path
        }
        try Files.write(bytes, to: path)
        return path
    }

    /// Removes a copy that nothing has mapped. Its name is not used again.
    static func discard(_ path: String) {
        folder.withLock { folder in
            guard let index = folder?.files.firstIndex(of: path) else { return }
            folder?.files.remove(at: index)
            unsafe unlink(path)
        }
    }

    /// Makes the folder, for this process and those that it lends it to; its path. `owner`: whose it
    /// is to be, if this is root. [supervisor]
    package static func lend(to owner: uid_t?) throws(Refusal) -> String {
        let path = try folder.withLock { (folder) throws(Refusal) -> String in
            if let folder { return folder.path }
            let present = try make()
            folder = present
            return present.path
        }
        if let owner, geteuid() == 0, unsafe chown(path, owner, gid_t.max) != 0 {
            throw Refusal("the folder \(path) cannot be given away: \(systemWords(errno))")
        }
        return path
    }

    /// Copies go into this folder, which is somebody else's to remove. Before the first of them.
    package static func borrow(_ path: String) {
        folder.withLock { folder in
            if folder == nil { folder = Folder(path: path, lock: -1) }
        }
    }

    /// Removes what a process that is dead has left, but for `kept`. [supervisor]
    package static func sweep(process: pid_t, keeping kept: Set<String>) {
        folder.withLock { folder in
            guard let present = folder else { return }
            for name in Files.names(in: present.path) ?? [] where name.hasPrefix("\(process)-") {
                let path = "\(present.path)/\(name)"
                if !kept.contains(path) { unsafe unlink(path) }
            }
        }
    }

    /// Removes folder and copies. What is mapped stays mapped.
    static func remove() {
        folder.withLock { folder in
            guard let present = folder, present.lock >= 0 else { return }
            for name in Files.names(in: present.path) ?? [] {
                unsafe unlink("\(present.path)/\(name)")
            }
            unsafe rmdir(present.path)
            close(present.lock)
            folder = nil
        }
    }

    private static func make() throws(Refusal) -> Folder {
        var tried: [String] = []
        for base in bases() {
            guard isUsable(base) else { continue }
            sweep(base)
            for attempt in 0..<8 {
                var moment = timespec()
                unsafe clock_gettime(CLOCK_MONOTONIC, &moment)
                let path = "\(base)/\(prefix)\(getpid())-\(moment.tv_nsec)\(attempt)"
                guard unsafe mkdir(path, 0o700) == 0 else { break }
                let lock = lock(path)
                // Swept away between the two calls by another process: once more.
                guard let lock else { continue }
                atexit { PrivateFolder.remove() }
                return Folder(path: path, lock: lock)
            }
            tried.append(base)
        }
        throw Refusal(
            "no folder for private copies of plugins can be made"
                + (tried.isEmpty ? "" : " in \(tried.joined(separator: ", "))")
                + ": set TMPDIR to one that is writable and not mounted noexec")
    }

    private static func bases() -> [String] {
        [environment("XDG_RUNTIME_DIR"), "/run/trivet", environment("TMPDIR"), "/tmp"]
            .compactMap { $0 }.filter { $0.hasPrefix("/") }
    }

    private static func environment(_ name: String) -> String? {
        guard let value = unsafe getenv(name) else { return nil }
        return unsafe String(cString: value)
    }

    /// Writable, and code may be mapped from it: /run is often mounted noexec.
    private static func isUsable(_ base: String) -> Bool {
        var facts = statvfs()
        guard unsafe statvfs(base, &facts) == 0, unsafe access(base, W_OK | X_OK) == 0 else {
            return false
        }
        let noExec: UInt = 8  // ST_NOEXEC, a GNU extension that Swift does not see
        return facts.f_flag & noExec == 0
    }

    private static func lock(_ path: String) -> Int32? {
        let fd = unsafe clinux_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW, 0)
        guard fd >= 0 else { return nil }
        var facts = stat()
        guard flock(fd, LOCK_EX | LOCK_NB) == 0, unsafe fstat(fd, &facts) == 0,
            facts.st_uid == geteuid(), facts.st_nlink > 0, Files.sort(of: path) == .folder
        else {
            close(fd)
            return nil
        }
        return fd
    }

    /// Removes folders whose owners are dead: their lock is free.
    static func sweep(_ base: String) {
        for name in Files.names(in: base) ?? [] where name.hasPrefix(prefix) {
            let path = "\(base)/\(name)"
            guard let fd = lock(path) else { continue }
            for file in Files.names(in: path) ?? [] { unsafe unlink("\(path)/\(file)") }
            unsafe rmdir(path)
            close(fd)
        }
    }
}
