// A folder for the files of one test, which goes with it.

import CLinux
import Glibc

/// A private folder in the system's place for such; removed with all that is in it when this goes.
@safe
package final class TemporaryFolder: Sendable {
    package let path: String

    package init() throws {
        let place = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp"
        var template = Array((place + "/trivet-test-XXXXXX").utf8CString)
        let made = unsafe template.withUnsafeMutableBufferPointer {
            unsafe mkdtemp($0.baseAddress!) != nil
        }
        guard made else { throw TestFailure("mkdtemp in \(place): \(errorWords(clinux_errno()))") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { Self.remove(path) }

    /// Writes a file and says its path. `name` may lie in folders, which are made.
    @discardableResult
    package func write(_ text: String, to name: String) throws -> String {
        try write(Array(text.utf8), to: name)
    }

    @discardableResult
    package func write(_ bytes: [UInt8], to name: String) throws -> String {
        var folder = path
        for part in name.split(separator: "/").dropLast() {
            folder += "/" + part
            _ = unsafe mkdir(folder, 0o755)
        }
        let file = path + "/" + name
        let fd = unsafe clinux_open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard fd >= 0 else { throw TestFailure("\(file): \(errorWords(clinux_errno()))") }
        defer { _ = close(fd) }
        var rest = bytes[...]
        while !rest.isEmpty {
            let n = unsafe rest.withUnsafeBytes { unsafe Glibc.write(fd, $0.baseAddress, $0.count) }
            guard n > 0 else { throw TestFailure("\(file): \(errorWords(clinux_errno()))") }
            rest = rest.dropFirst(n)
        }
        return file
    }

    /// Copies a file, with its permissions, under its own name or another.
    @discardableResult
    package func copy(_ file: String, as name: String? = nil) throws -> String {
        let own = file.split(separator: "/").last.map(String.init) ?? "copy"
        let copy = try write(readFile(file), to: name ?? own)
        _ = unsafe chmod(copy, 0o755)
        return copy
    }

    private static func remove(_ path: String) {
        guard let folder = unsafe opendir(path) else {
            _ = unsafe unlink(path)
            return
        }
        while let entry = unsafe readdir(folder) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) {
                    unsafe String(cString: $0)
                }
            }
            guard name != ".", name != ".." else { continue }
            let child = path + "/" + name
            var status = stat()
            // A link is removed, not what it leads to.
            if unsafe lstat(child, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
                remove(child)
            } else {
                _ = unsafe unlink(child)
            }
        }
        _ = unsafe closedir(folder)
        _ = unsafe rmdir(path)
    }
}

/// All of a file, also of one that the kernel makes up and that has no size.
package func readFile(_ path: String) throws -> [UInt8] {
    let fd = unsafe clinux_open(path, O_RDONLY | O_CLOEXEC, 0)
    guard fd >= 0 else { throw TestFailure("\(path): \(errorWords(clinux_errno()))") }
    defer { _ = close(fd) }
    var all: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 65_536)
    while true {
        let n = unsafe piece.withUnsafeMutableBytes {
            unsafe read(fd, $0.baseAddress, $0.count)
        }
        if n < 0, clinux_errno() == EINTR { continue }
        guard n >= 0 else { throw TestFailure("\(path): \(errorWords(clinux_errno()))") }
        if n == 0 { return all }
        all += piece[..<n]
    }
}
