// Files as the loader needs them: read whole, written whole, listed, removed. Blocking, for the
// loader and start-up only; the loop's own calls are in Net, which this module does not see.

import Balance
import CLinux
import Glibc

/// The words of the system for an errno.
func systemWords(_ code: Int32) -> String {
    guard let text = unsafe strerror(code) else { return "error \(code)" }
    return unsafe String(cString: text)
}

/// Repeats a call that a signal interrupted.
func uninterrupted<Result: FixedWidthInteger>(_ call: () -> Result) -> Result {
    while true {
        let result = call()
        if result != -1 || errno != EINTR { return result }
    }
}

enum Files {
    /// A plugin beyond this is a mistake; the largest honest ones have some tens of megabytes.
    static let sizeLimit = 512 << 20

    /// The whole of a regular file.
    static func read(_ path: String) throws(Refusal) -> [UInt8] {
        try readStamped(path).bytes
    }

    /// The same with what will tell that it has not changed since; nil if nothing can, because it
    /// changes right now, or did so a moment ago.
    static func readStamped(
        _ path: String
    ) throws(Refusal) -> (bytes: [UInt8], stamp: FileStamp?) {
        let fd = uninterrupted { unsafe clinux_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0) }
        guard fd >= 0 else { throw Refusal("\(path) cannot be read: \(systemWords(errno))") }
        defer { close(fd) }
        var facts = stat()
        guard unsafe fstat(fd, &facts) == 0 else {
            throw Refusal("\(path) cannot be read: \(systemWords(errno))")
        }
        guard facts.st_mode & S_IFMT == S_IFREG else {
            throw Refusal("\(path) is not a file, but a plugin has to be one")
        }
        let size = Int(facts.st_size)
        guard size <= sizeLimit else {
            throw Refusal("\(path) has \(size >> 20) MiB, more than any plugin needs")
        }
        var failure: Int32 = 0
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            count = 0
            while count < size {
                let n = uninterrupted {
                    unsafe Glibc.read(fd, buffer.baseAddress! + count, size - count)
                }
                if n < 0 { failure = errno }
                // Less than its size: somebody shortens it right now; the ELF look says so.
                if n <= 0 { break }
                count += n
            }
        }
        guard failure == 0 else { throw Refusal("\(path) cannot be read: \(systemWords(failure))") }
        let before = FileStamp(facts)
        guard unsafe fstat(fd, &facts) == 0, before == FileStamp(facts), before.isSettled else {
            return (bytes, nil)
        }
        return (bytes, before)
    }

    /// Makes a new file for this user alone.
    static func write(_ bytes: [UInt8], to path: String) throws(Refusal) {
        let fd = uninterrupted {
            unsafe clinux_open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        }
        guard fd >= 0 else { throw Refusal("\(path) cannot be made: \(systemWords(errno))") }
        defer { close(fd) }
        var written = 0
        while written < bytes.count {
            let n = unsafe bytes.withUnsafeBytes { buffer in
                uninterrupted {
                    unsafe Glibc.write(fd, buffer.baseAddress! + written, bytes.count - written)
                }
            }
            guard n > 0 else { throw Refusal("\(path) cannot be written: \(systemWords(errno))") }
            written += n
        }
    }

    /// Names in a folder, sorted; nil if it cannot be read.
    static func names(in folder: String) -> [String]? {
        guard let stream = unsafe opendir(folder) else { return nil }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { field in
                unsafe field.withMemoryRebound(to: CChar.self, capacity: 256) {
                    unsafe String(cString: $0)
                }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    enum Sort { case file, folder, other, missing }

    static func sort(of path: String) -> Sort {
        var facts = stat()
        guard unsafe stat(path, &facts) == 0 else { return .missing }
        switch facts.st_mode & S_IFMT {
        case S_IFREG: return .file
        case S_IFDIR: return .folder
        default: return .other
        }
    }

    /// Which file a path leads to, so that two paths to one file are noticed.
    struct Identity: Hashable {
        var device: UInt64
        var inode: UInt64

        init?(_ path: String) {
            var facts = stat()
            guard unsafe stat(path, &facts) == 0 else { return nil }
            device = UInt64(facts.st_dev)
            inode = UInt64(facts.st_ino)
        }
    }

    /// Where a symbolic link leads.
    static func link(_ path: String) -> String? {
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
            let n = unsafe buffer.withMemoryRebound(to: CChar.self) {
                unsafe readlink(path, $0.baseAddress!, 4096)
            }
            count = max(0, n)
        }
        return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
    }

    static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    static func name(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return path }
        return String(path[path.index(after: slash)...])
    }
}
