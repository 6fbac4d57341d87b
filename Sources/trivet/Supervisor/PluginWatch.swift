// `plugins_watch`: notices that plugin files have changed, and that they are done changing. inotify(7)
// says when to look, the stamps of the files say what is so: a lost event, or a file system that sends
// none, costs a second. It reloads nothing itself.

import Base
import Config
import Glibc
import Loading
import Net

/// Watches what `plugins` of one configuration names. Times are monotonic nanoseconds. [supervisor]
final class PluginWatch {
    /// Nothing may have moved for so long before files are taken.
    static let quiet: Nanoseconds = 300_000_000
    /// How often to look without being told.
    private static let glance: Nanoseconds = 1_000_000_000
    /// A file that was begun is somebody's to finish, unless nothing of it has moved for so long.
    private static let writerLimit: Nanoseconds = 10_000_000_000
    /// Between two readings of events: a log that is written in the same folder is not our concern.
    private static let pause: Nanoseconds = 50_000_000

    private static let mask = UInt32(
        IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE | IN_MODIFY
            | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

    private struct Folder {
        var path: String
        /// Named files in it; every plugin is meant besides if it is named itself.
        var names: Set<String> = []
        var isWhole = false
    }

    private struct Writing: Hashable {
        var folder: Int32
        var name: String
    }

    let paths: [String]
    /// Nil if the system has none left.
    private let source: Descriptor?
    /// By the watch's number.
    private var folders: [Int32: Folder] = [:]
    /// The files as they were when they were last read, or were about to be.
    private var taken: PluginPicture
    private var seen: PluginPicture
    /// When something moved last.
    private var movedAt: Nanoseconds = 0
    /// Files that were begun, and when something of them moved last.
    private var writers: [Writing: Nanoseconds] = [:]
    private var nextLook: Nanoseconds = 0
    private var nextReading: Nanoseconds = 0

    /// The watch for a configuration whose plugins are about to be read: nil if it wants none, `old` if
    /// that one watches the same.
    static func following(_ configuration: Configuration, _ old: PluginWatch?) -> PluginWatch? {
        guard configuration.pluginsWatch, !configuration.plugins.isEmpty else { return nil }
        let paths = configuration.plugins.map { configuration.resolve($0.value) }
        if let old, old.paths == paths { return old }
        return PluginWatch(paths)
    }

    /// `paths`: folders and files. As they are now, they are as good as read.
    init(_ paths: [String]) {
        self.paths = paths
        let number = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
        source = number < 0 ? nil : Descriptor(number)
        if number < 0 {
            Log.warning("plugins_watch: \(errorText(errno)): changes are noticed a little later")
        }
        taken = PluginPicture(paths)
        seen = taken
        rewatch()
    }

    /// What wakes it.
    func watched(at now: Nanoseconds) -> [Int32] {
        guard let source, now >= nextReading else { return [] }
        return [source.number]
    }

    /// Milliseconds until it wants to be asked again.
    func patience(at now: Nanoseconds) -> Int {
        let due = nextReading > now ? min(nextLook, nextReading) : nextLook
        return due <= now ? 0 : Int((due - now + 999_999) / 1_000_000)
    }

    /// Somebody is about to read the files, for whatever reason.
    func note() {
        taken = PluginPicture(paths)
        seen = taken
    }

    /// Whether there is something to be read, and nobody is writing any more. Says so once.
    func isDue(at now: Nanoseconds) -> Bool {
        if now >= nextReading, hasNews(at: now) {
            movedAt = now
            nextLook = now
        }
        guard now >= nextLook else { return false }
        rewatch()
        let picture = PluginPicture(paths)
        if picture != seen {
            seen = picture
            movedAt = now
        }
        writers = writers.filter { now &- $0.value < Self.writerLimit }
        nextLook = now &+ Self.glance
        guard seen != taken, writers.isEmpty else { return false }
        guard now &- movedAt >= Self.quiet else {
            nextLook = movedAt &+ Self.quiet
            return false
        }
        taken = seen
        return true
    }

    // MARK: inotify

    /// Watches the folders that there are now: one may have gone, come back, or be another one. For
    /// one that is watched already this changes nothing.
    private func rewatch() {
        guard let source else { return }
        var wanted: [String: Folder] = [:]
        for path in paths {
            if PluginPicture.isFolder(path) {
                wanted[path, default: Folder(path: path)].isWhole = true
            } else {
                let slash = path.lastIndex(of: "/")
                let name = String(path[(slash.map(path.index(after:)) ?? path.startIndex)...])
                let parent = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
                wanted[parent, default: Folder(path: parent)].names.insert(name)
            }
        }
        var present: [Int32: Folder] = [:]
        for folder in wanted.values {
            let number = unsafe inotify_add_watch(source.number, folder.path, Self.mask)
            guard number >= 0 else { continue }
            // Two paths may lead to one folder.
            present[number, default: folder].names.formUnion(folder.names)
            if folder.isWhole { present[number]?.isWhole = true }
        }
        for number in folders.keys where present[number] == nil {
            _ = inotify_rm_watch(source.number, number)
            writers = writers.filter { $0.key.folder != number }
        }
        folders = present
    }

    /// Reads all events; whether any of them is about a plugin.
    private func hasNews(at now: Nanoseconds) -> Bool {
        guard let source else { return false }
        var hasNews = false
        var room = [UInt8](repeating: 0, count: 16_384)
        while true {
            let n = unsafe room.withUnsafeMutableBytes { bytes in
                unsafe read(source.number, bytes.baseAddress, bytes.count)
            }
            guard n > 0 else { return hasNews }
            nextReading = now &+ Self.pause
            // `struct inotify_event`: watch, mask, cookie, length of the name, the name and zeros.
            var at = 0
            while at + 16 <= n {
                let (folder, mask, length) = unsafe room.withUnsafeBytes { bytes in
                    unsafe (
                        bytes.loadUnaligned(fromByteOffset: at, as: Int32.self),
                        bytes.loadUnaligned(fromByteOffset: at + 4, as: UInt32.self),
                        Int(bytes.loadUnaligned(fromByteOffset: at + 12, as: UInt32.self))
                    )
                }
                let end = min(n, at + 16 + length)
                let name = String(
                    decoding: room[(at + 16)..<end].prefix { $0 != 0 }, as: UTF8.self)
                if take(mask, folder: folder, name: name, at: now) { hasNews = true }
                at = end
            }
        }
    }

    private func take(
        _ mask: UInt32, folder number: Int32, name: String, at now: Nanoseconds
    ) -> Bool {
        func says(_ events: Int32) -> Bool { mask & UInt32(events) != 0 }
        // Events were lost, or a folder is not what it was: look.
        if says(IN_Q_OVERFLOW | IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF) { return true }
        guard let folder = folders[number],
            folder.names.contains(name) || (folder.isWhole && PluginFile.isPlugin(name))
        else { return false }
        let writing = Writing(folder: number, name: name)
        if says(IN_MODIFY) || (says(IN_CREATE) && isBegun("\(folder.path)/\(name)")) {
            writers[writing] = now
        } else {
            writers[writing] = nil
        }
        return true
    }

    /// Whether a file that has just come was made to be written: a link to one is whole at once.
    private func isBegun(_ path: String) -> Bool {
        var facts = stat()
        return unsafe lstat(path, &facts) == 0 && facts.st_mode & S_IFMT == S_IFREG
            && facts.st_nlink == 1
    }
}
