// A plugin's library in this process: mapped from its private copy, its entry called, its tables
// checked. Runs in the trial child first and in the host after. Nothing is ever unmapped: the Swift
// runtime keeps pointers into every library it has seen.

import Balance
import CLinux
import CTrivet
import Glibc

/// One mapped plugin and what it offers. Lives for ever, as its library does.
package struct Library: Sendable {
    package let origin: PluginOrigin
    /// The build that it is of, as the host watches over it.
    package let build: Build
    /// Its private copy, which stays for as long as it is mapped.
    package let copy: String
    private let retireCall: (@convention(c) () -> Void)?
    package let strategies: [StrategyKind]
    package let checks: [CheckKind]

    /// Names that one table may list; more is a missing null at its end.
    private static let tableLimit = 1024

    /// Maps `path`. `file` is how the operator knows it; every refusal begins with it.
    static func load(path: String, file: String, content: Content) throws(Refusal) -> Library {
        try CallGauge.loading(build: content.build) { () throws(Refusal) -> Library in
            try loadHere(path: path, file: file, content: content)
        }
    }

    /// Which build a library is of, in which generation of plugins it is loaded, and for how many
    /// workers.
    package struct Content: Sendable {
        package var build: UInt64
        package var generation = 0
        package var workers = 1
    }

    private static func loadHere(
        path: String, file: String, content: Content
    ) throws(Refusal) -> Library {
        guard let handle = unsafe dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
            let words = unsafe dlerror().map { unsafe String(cString: $0) } ?? "no reason given"
            throw Refusal("\(file) \(explain(words, path: path))")
        }
        guard let symbol = unsafe dlsym(handle, TRIVET_PLUGIN_ENTRY) else {
            throw Refusal(
                "\(file) does not export \(TRIVET_PLUGIN_ENTRY), so it is no Trivet plugin")
        }
        typealias Entry =
            @convention(c) (
                UnsafePointer<trivet_host>?, UnsafeMutablePointer<trivet_error>?
            ) -> UnsafePointer<trivet_plugin>?
        let entry = unsafe unsafeBitCast(symbol, to: Entry.self)
        let host = PluginHost(
            label: file, pool: "", plugin: "", worker: 0, clock: WorkerClock(), metrics: Metrics(),
            seed: 0)
        let (table, sentence) = unsafe PluginHost.callEntry(host) { unsafe entry($0, $1) }
        guard let table = unsafe table else {
            throw Refusal("\(file) refuses: \(sentence.isEmpty ? "it does not say why" : sentence)")
        }
        do throws(Refusal) {
            return unsafe try Library(table: table, file: file, content: content, copy: path)
        } catch {
            throw Refusal("\(file) is unusable: \(error.sentence)")
        }
    }

    private init(
        table: UnsafePointer<trivet_plugin>, file: String, content: Content, copy: String
    ) throws(Refusal) {
        self.copy = copy
        let least =
            unsafe (MemoryLayout<trivet_plugin>.offset(of: \.checks) ?? 0)
            + MemoryLayout<UnsafeRawPointer>.size
        let size = unsafe Int(table.pointee.size)
        guard size >= least, size <= 1 << 16 else {
            throw Refusal("its table says it has \(size) bytes, where at least \(least) are needed")
        }
        let origin = unsafe PluginOrigin(file: file, table: table)
        build = Build(
            id: content.build, origin: origin, generation: content.generation,
            workers: content.workers)
        var strategies: [StrategyKind] = []
        var checks: [CheckKind] = []
        if let list = unsafe table.pointee.strategies {
            var index = 0
            while let entry = unsafe list[index] {
                let kind = unsafe try StrategyKind(table: entry, origin: origin, build: build)
                guard !strategies.contains(where: { $0.name == kind.name }) else {
                    throw Refusal("it offers strategy \"\(kind.name)\" twice")
                }
                strategies.append(kind)
                index += 1
                guard index < Self.tableLimit else {
                    throw Refusal("its list of strategies has no null at its end")
                }
            }
        }
        if let list = unsafe table.pointee.checks {
            var index = 0
            while let entry = unsafe list[index] {
                let kind = unsafe try CheckKind(table: entry, origin: origin, build: build)
                guard !checks.contains(where: { $0.name == kind.name }) else {
                    throw Refusal("it offers check \"\(kind.name)\" twice")
                }
                checks.append(kind)
                index += 1
                guard index < Self.tableLimit else {
                    throw Refusal("its list of checks has no null at its end")
                }
            }
        }
        guard !strategies.isEmpty || !checks.isEmpty else {
            throw Refusal("it offers neither a strategy nor a check")
        }
        self.origin = origin
        self.strategies = strategies
        self.checks = checks
        let end =
            unsafe (MemoryLayout<trivet_plugin>.offset(of: \.retire) ?? 0)
            + MemoryLayout<UnsafeRawPointer>.size
        retireCall = unsafe size >= end ? table.pointee.retire : nil
    }

    /// Tells the library that nothing of it is used any more. Once, after its last instance. [loader]
    package func retire() {
        guard let retireCall else { return }
        build.call(.retire) { retireCall() }
    }

    /// What the next process would need of it.
    package var facts: BuildFacts {
        let strategies = strategies.map {
            PluginOffer(kind: .strategy, name: $0.name, summary: $0.summary, options: $0.options)
        }
        let checks = checks.map {
            PluginOffer(kind: .check, name: $0.name, summary: $0.summary, options: $0.options)
        }
        return BuildFacts(
            build: build.id, file: origin.file, label: build.label, copy: copy,
            offers: strategies + checks)
    }

    /// What dlopen complains about, in our words. It writes "PATH: undefined symbol: NAME", or
    /// "LIBRARY: cannot open shared object file: No such file or directory".
    static func explain(_ words: String, path: String) -> String {
        if let name = rest(of: words, after: "undefined symbol: ") {
            let symbol = name.prefix { $0 != "," && $0 != " " }
            return "needs the symbol \"\(symbol)\", which nothing here provides"
        }
        if words.contains(": cannot open shared object file"), !words.hasPrefix(path) {
            return "needs the library \(words.prefix { $0 != ":" }), which cannot be found"
        }
        let bare = words.hasPrefix(path + ": ") ? String(words.dropFirst(path.count + 2)) : words
        return "cannot be loaded: \(bare)"
    }

    private static func rest(of text: String, after mark: String) -> Substring? {
        var tail = Substring(text)
        while !tail.isEmpty {
            if tail.hasPrefix(mark) { return tail.dropFirst(mark.count) }
            tail = tail.dropFirst()
        }
        return nil
    }
}
