// Which files are looked at: the bundled plugins, and what the configuration names. Paths only;
// whether they are any good, the ELF look and the trial say.

import Balance

/// One file that may be a plugin.
package struct PluginFile: Equatable, Sendable {
    package var path: String
    package var isBundled: Bool

    package init(path: String, isBundled: Bool) {
        self.path = path
        self.isBundled = isBundled
    }

    /// The plugins that come with Trivet: `libtrivet-*.so` in the folder of the binary, and every
    /// `.so` in `../lib/trivet/plugins` from there. Empty where there are none.
    package static func bundled(besides binary: String = "/proc/self/exe") -> [PluginFile] {
        let folder = Files.folder(of: Files.link(binary) ?? binary)
        let beside = (Files.names(in: folder) ?? [])
            .filter { $0.hasPrefix("libtrivet-") && $0.hasSuffix(".so") }
            .map { "\(folder)/\($0)" }
        let installed = Files.folder(of: folder) + "/lib/trivet/plugins"
        let there = (Files.names(in: installed) ?? [])
            .filter(isPlugin)
            .map { "\(installed)/\($0)" }
        return (beside + there).filter { Files.sort(of: $0) == .file }
            .map { PluginFile(path: $0, isBundled: true) }
    }

    /// What the configuration names: files as they are, and every `.so` of a folder (not of folders
    /// in it), in the order of names. A path that leads nowhere is refused.
    package static func named(_ paths: [String]) throws(Refusal) -> [PluginFile] {
        var files: [PluginFile] = []
        for path in paths {
            switch Files.sort(of: path) {
            case .missing:
                throw Refusal(
                    "\(path) does not exist, but plugins has to name folders or .so files")
            case .folder:
                guard let names = Files.names(in: path) else {
                    throw Refusal("the folder \(path) cannot be read")
                }
                for name in names where isPlugin(name) {
                    files.append(PluginFile(path: "\(path)/\(name)", isBundled: false))
                }
            case .file, .other:
                files.append(PluginFile(path: path, isBundled: false))
            }
        }
        return files
    }

    /// Whether a file of a folder is meant: neither hidden nor something half done, which has another
    /// end to its name.
    package static func isPlugin(_ name: String) -> Bool {
        name.hasSuffix(".so") && !name.hasPrefix(".")
    }

    /// What a bundled file offers by its own name; it may offer more.
    var bundledName: Substring? {
        let name = Files.name(of: path)
        guard isBundled, name.hasPrefix("libtrivet-"), name.hasSuffix(".so") else { return nil }
        return name.dropFirst("libtrivet-".count).dropLast(".so".count)
    }

    /// A file that a canary names as its build. Whatever folder it lies in, it is nothing else then.
    package static func candidate(_ path: String) throws(Refusal) -> PluginFile {
        switch Files.sort(of: path) {
        case .missing: throw Refusal("\(path) does not exist, but is named as a canary's build")
        case .folder: throw Refusal("\(path) is a folder, but a canary's build is one .so file")
        case .file, .other: return PluginFile(path: path, isBundled: false)
        }
    }

    /// The same files without those that another path before them leads to already.
    static func unique(_ files: [PluginFile], besides others: [PluginFile]) -> [PluginFile] {
        var seen = Set(others.compactMap { Files.Identity($0.path) })
        return files.filter { file in
            guard let identity = Files.Identity(file.path) else { return true }
            return seen.insert(identity).inserted
        }
    }
}
