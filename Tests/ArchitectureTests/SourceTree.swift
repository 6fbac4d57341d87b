// The repository as files: found from this source file's own place, read with plain system calls.

import Glibc

/// Access to the sources that this test was built from.
enum SourceTree {
    /// The repository's folder: three up from here.
    static let root: String = {
        var parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
        parts.removeLast(3)
        return parts.joined(separator: "/")
    }()

    struct Unreadable: Error, CustomStringConvertible {
        let path: String
        var description: String { "\(path) cannot be read" }
    }

    /// Names in a folder, without "." and "..".
    static func entries(of folder: String) throws -> [String] {
        guard let directory = unsafe opendir(root + "/" + folder) else {
            throw Unreadable(path: folder)
        }
        defer { unsafe closedir(directory) }
        var names: [String] = []
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) {
                    unsafe String(cString: $0)
                }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Paths of files below a folder, hidden and built ones left out.
    static func files(in folder: String, ending: String) throws -> [String] {
        var found: [String] = []
        for name in try entries(of: folder) where !name.hasPrefix(".") {
            let path = folder + "/" + name
            var info = stat()
            guard unsafe stat(root + "/" + path, &info) == 0 else { continue }
            if info.st_mode & S_IFMT == S_IFDIR {
                found += try files(in: path, ending: ending)
            } else if name.hasSuffix(ending) {
                found.append(path)
            }
        }
        return found
    }

    static func text(of path: String) throws -> String {
        guard let file = unsafe fopen(root + "/" + path, "r") else { throw Unreadable(path: path) }
        defer { unsafe fclose(file) }
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 65_536)
        while true {
            let n = unsafe fread(&block, 1, block.count, file)
            if n == 0 { break }
            bytes += block[..<n]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The modules a file imports.
    static func imports(of path: String) -> [String] {
        guard let text = try? text(of: path) else { return [] }
        // What stands in a text of several lines is no import of this file.
        var isCode = true
        return text.split(separator: "\n").compactMap { line in
            let marks = line.split(separator: "\"\"\"", omittingEmptySubsequences: false).count - 1
            if marks % 2 == 1 { isCode.toggle() }
            guard isCode else { return nil }
            let words = line.split(separator: " ")
            guard let at = words.firstIndex(of: "import"), at <= 1, at + 1 < words.count,
                at == 0 || words[0].hasPrefix("@") || words[0] == "package"
            else { return nil }
            return String(words[at + 1].split(separator: ".")[0])
        }
    }
}
