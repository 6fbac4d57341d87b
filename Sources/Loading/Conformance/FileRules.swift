// The rule `tables`: what a file says of itself, seen twice, from two private copies. Whether the tables
// can be used at all, Library, StrategyKind and CheckKind judge; here is what they let pass.

import Balance
import CLinux
import CTrivet
import Glibc

enum FileRules {
    static func tables(_ job: ConformanceJob) throws(ConformanceEnd) -> String {
        guard job.copies.count == 2 else { throw .failed("two copies are needed") }
        let first = try ConformanceChild.load(job.copies[0], job.file)
        ConformanceChild.say(.plugin(first.origin.plugin, first.origin.version))
        // Told early, so that the other rules are tried even if this one has something to say.
        for kind in first.strategies { ConformanceChild.say(.offer(.strategy, kind.name)) }
        for kind in first.checks { ConformanceChild.say(.offer(.check, kind.name)) }
        try judge(first)
        let table = unsafe try tablePointer(job.copies[0])
        unsafe try judge(table, job.copies[0])
        ConformanceChild.doing("while it was loaded a second time, from another copy")
        let second = try ConformanceChild.load(job.copies[1], job.file)
        let isSame =
            listing(first) == listing(second)
            && first.origin.plugin == second.origin.plugin
            && first.origin.version == second.origin.version
        if !isSame { throw .failed("it offers something else when it is loaded a second time") }
        if unsafe table == (try tablePointer(job.copies[1])) {
            throw .failed("two loads of it share one table, where each has to have its own")
        }
        ConformanceChild.doing("in retire")
        // Nothing was made, so nothing is left.
        unsafe retire(table)
        return "offers \(count(first.strategies.count, "strategy", "strategies")) and "
            + "\(count(first.checks.count, "check", "checks"))"
    }

    private static func count(_ number: Int, _ one: String, _ many: String) -> String {
        "\(number) \(number == 1 ? one : many)"
    }

    private static func listing(_ library: Library) -> [[String]] {
        library.strategies.map {
            ["strategy", $0.name, $0.summary] + $0.options.flatMap { [$0.name, $0.summary] }
        }
            + library.checks.map {
                ["check", $0.name, $0.summary] + $0.options.flatMap { [$0.name, $0.summary] }
            }
    }

    private static func judge(_ library: Library) throws(ConformanceEnd) {
        if library.origin.plugin.isEmpty { throw .failed("the plugin has no name") }
        if library.origin.version.isEmpty { throw .failed("the plugin has no version") }
        for kind in library.strategies {
            try judge("strategy \"\(kind.name)\"", kind.summary, kind.options)
            if unsafe kind.table.pointee.flags != 0 {
                throw .failed("strategy \"\(kind.name)\" sets flags, where there are none yet")
            }
            // Read as the whole struct of this version below; a shorter one is an older plugin's.
            if unsafe Int(kind.table.pointee.size) > MemoryLayout<trivet_strategy>.size {
                throw .failed(
                    "the table of strategy \"\(kind.name)\" says it is longer than version 1.\(TRIVET_ABI_MINOR) has it"
                )
            }
        }
        for kind in library.checks {
            try judge("check \"\(kind.name)\"", kind.summary, kind.options)
            if unsafe kind.table.pointee.flags != 0 {
                throw .failed("check \"\(kind.name)\" sets flags, where there are none yet")
            }
            if unsafe Int(kind.table.pointee.size) > MemoryLayout<trivet_check>.size {
                throw .failed(
                    "the table of check \"\(kind.name)\" says it is longer than version 1.\(TRIVET_ABI_MINOR) has it"
                )
            }
        }
    }

    private static func judge(
        _ what: String, _ summary: String, _ options: [PluginOption]
    ) throws(ConformanceEnd) {
        if summary.isEmpty { throw .failed("\(what) has no summary, which plugin list shows") }
        for option in options {
            if option.summary.isEmpty {
                throw .failed("option \"\(option.name)\" of \(what) has no summary")
            }
            let isPlain = option.name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x22 }
            if !isPlain {
                throw .failed("\(what) has an option that no one can write: \(option.name)")
            }
        }
    }

    private static func judge(
        _ table: UnsafePointer<trivet_plugin>, _ copy: String
    ) throws(ConformanceEnd) {
        let flags = unsafe table.pointee.flags
        if flags & ~TRIVET_PLUGIN_UNLOADABLE != 0 {
            throw .failed("the plugin sets flags that version 1.\(TRIVET_ABI_MINOR) does not have")
        }
        if unsafe table.pointee.abi_minor > TRIVET_ABI_MINOR {
            throw .warned(
                unsafe "built with version 1.\(table.pointee.abi_minor) of the header, newer than this Trivet's 1.\(TRIVET_ABI_MINOR)"
            )
        }
        if flags & TRIVET_PLUGIN_UNLOADABLE != 0,
            LoadedObject.all().contains(where: { $0.name == copy && $0.needs("libswiftCore.so") })
        {
            throw .failed(
                "the plugin says that it may be unmapped (TRIVET_PLUGIN_UNLOADABLE), but it contains Swift, which may not"
            )
        }
    }

    /// The table of a copy that is loaded.
    private static func tablePointer(
        _ copy: String
    ) throws(ConformanceEnd) -> UnsafePointer<trivet_plugin> {
        typealias Entry =
            @convention(c) (
                UnsafePointer<trivet_host>?, UnsafeMutablePointer<trivet_error>?
            ) -> UnsafePointer<trivet_plugin>?
        guard let handle = unsafe dlopen(copy, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD),
            let symbol = unsafe dlsym(handle, TRIVET_PLUGIN_ENTRY)
        else { throw .failed("its entry is gone") }
        let entry = unsafe unsafeBitCast(symbol, to: Entry.self)
        let host = StageHost(seed: 0)
        let (table, sentence) = unsafe try SentenceRoom().hear {
            unsafe entry(host.table, $0)
        }
        withExtendedLifetime(host) {}
        guard let table = unsafe table else {
            throw .failed("its entry refuses the second call: \(sentence)")
        }
        return unsafe table
    }

    private static func retire(_ table: UnsafePointer<trivet_plugin>) {
        let reach =
            unsafe (MemoryLayout<trivet_plugin>.offset(of: \.retire) ?? 0)
            + MemoryLayout<UnsafeRawPointer>.size
        if unsafe Int(table.pointee.size) >= reach { unsafe table.pointee.retire?() }
    }
}
