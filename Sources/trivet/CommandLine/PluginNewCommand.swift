// `trivet plugin new`: writes the folder of a new plugin. All or nothing: what cannot be written
// whole is taken away again.

import Balance
import CLinux
import Glibc
import Loading
import Net

enum PluginNewCommand {
    static func run(_ words: Words) throws(Failure) -> Int32 {
        let name = words.operands[0]
        if let fault = NewPlugin.fault(in: name) {
            throw .commandLine("trivet plugin new: a plugin cannot be called \"\(name)\": \(fault)")
        }
        let plugin = NewPlugin(
            name: name, language: words.options["--c"] == nil ? .swift : .c,
            kind: words.options["--check"] == nil ? .strategy : .check,
            sdk: try SDKPlace.find(words.options["--sdk"]))
        try refuseWhatIsBundled(plugin)
        let folder = (words.options["--into"].map { $0 + "/" } ?? "") + name
        let files = plugin.files(header: try SDKPlace.header(in: plugin.sdk))
        try write(files, to: folder)
        let language = plugin.language == .swift ? "Swift, with the SDK in \(plugin.sdk)" : "C"
        say(
            """
            \(folder): the \(plugin.noun) "\(name)" in \(language)

                cd \(folder)
                ./build && \(plugin.testCommand)
                trivet plugin check plugins/\(plugin.library)
                trivet check trivet.json5

            README.md there says how to run it.
            """)
        return 0
    }

    /// A file that offers the name of a bundled plugin could never be loaded.
    private static func refuseWhatIsBundled(_ plugin: NewPlugin) throws(Failure) {
        let loader = PluginLoader(files: PluginFile.bundled())
        let report: TrialReport
        do throws(Refusal) {
            report = try loader.trial(uses: [])
        } catch {
            throw .system(error.sentence)
        }
        loader.discard(report)
        let kind: OfferKind = plugin.kind == .strategy ? .strategy : .check
        let isTaken = report.offer(kind, plugin.name) != nil
        if isTaken {
            throw .input([
                "a \(plugin.noun) called \"\(plugin.name)\" comes with Trivet; choose another name"
            ])
        }
    }

    private static func write(_ files: [TemplateFile], to folder: String) throws(Failure) {
        guard unsafe mkdir(folder, 0o777) == 0 else {
            if errno == EEXIST {
                throw .input(["\(folder) exists already; choose another name or place"])
            }
            throw .system("the folder \(folder) cannot be made", code: errno)
        }
        var made: [(path: String, isFolder: Bool)] = [(folder, true)]
        do throws(Failure) {
            for file in files { try write(file, to: folder, &made) }
        } catch {
            for (path, isFolder) in made.reversed() {
                _ = unsafe isFolder ? rmdir(path) : unlink(path)
            }
            throw error
        }
    }

    private static func write(
        _ file: TemplateFile, to folder: String, _ made: inout [(path: String, isFolder: Bool)]
    ) throws(Failure) {
        var path = folder
        for part in file.path.split(separator: "/").dropLast() {
            path += "/" + part
            if unsafe mkdir(path, 0o777) == 0 {
                made.append((path, true))
            } else if errno != EEXIST {
                throw .system("the folder \(path) cannot be made", code: errno)
            }
        }
        path = "\(folder)/\(file.path)"
        let descriptor = try Descriptor.open(
            path, O_WRONLY | O_CREAT | O_EXCL, mode: file.isProgram ? 0o777 : 0o666,
            what: "the file")
        made.append((path, false))
        let isWhole = withExtendedLifetime(descriptor) {
            IO.writeAll(descriptor.number, Array(file.text.utf8).span)
        }
        if !isWhole { throw .system("\(path) cannot be written", code: errno) }
    }
}
