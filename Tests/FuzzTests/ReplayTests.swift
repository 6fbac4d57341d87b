// Every seed of the fuzzers, and with them all that was ever found, through the same functions without
// libFuzzer. One target at a time: those of plugins answer from what all of the process share.

import FuzzTargets
import Glibc
import Testing

@Suite("What the fuzzers know", .serialized)
struct ReplayTests {
    @Test(
        "no input that once broke something breaks it again", arguments: FuzzTarget.all.map(\.name))
    func replay(name: String) throws {
        let target = try #require(FuzzTarget.named(name))
        let folder = Seeds.root + "/" + name
        let files = try Seeds.files(of: folder)
        #expect(!files.isEmpty, "there are no seeds in \(folder)")
        for file in files {
            let bytes = try Seeds.bytes(of: folder + "/" + file)
            do { try target.run(bytes) } catch { Issue.record("\(file): \(error)") }
            // Cut at each place, since that is where readers stop in the middle of something.
            for end in stride(from: 0, to: min(bytes.count, 256), by: 3) {
                do { try target.run(Array(bytes[..<end])) } catch {
                    Issue.record("\(file), its first \(end) bytes: \(error)")
                }
            }
        }
    }

    @Test("every folder of seeds has its target")
    func folders() throws {
        for folder in try Seeds.files(of: Seeds.root) {
            #expect(FuzzTarget.named(folder) != nil, "Tests/Fuzz/Seeds/\(folder) is nobody's")
        }
    }
}

/// The files of Tests/Fuzz/Seeds, found from this file's own place.
enum Seeds {
    static let root: String = {
        var parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
        parts.removeLast(2)
        return parts.joined(separator: "/") + "/Fuzz/Seeds"
    }()

    struct Unreadable: Error { let path: String }

    static func files(of folder: String) throws -> [String] {
        guard let directory = unsafe opendir(folder) else { throw Unreadable(path: folder) }
        defer { unsafe closedir(directory) }
        var names: [String] = []
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) {
                    unsafe String(cString: $0)
                }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }

    static func bytes(of path: String) throws -> [UInt8] {
        guard let file = unsafe fopen(path, "r") else { throw Unreadable(path: path) }
        defer { unsafe fclose(file) }
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = unsafe fread(&block, 1, block.count, file)
            if count == 0 { return bytes }
            bytes += block[..<count]
        }
    }
}
