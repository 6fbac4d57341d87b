// The rule `nothing-left-behind`: what a process has that outlives a call (threads, signal handlers,
// descriptors, children, the working directory), before a plugin is loaded and after it is retired.

import Balance
import Base
import CLinux
import CTrivet
import Glibc

enum Traces {
    private struct Signal: Equatable {
        var number: Int32
        var handler: UInt
        var flags: Int32
    }

    /// What is compared.
    private struct Snapshot {
        var threads: [String]
        var descriptors: [String]
        var signals: [Signal]
        var mask: [UInt8]
        var folder: String
        var creationMask: mode_t
        var environment: [String]

        init() {
            threads = Files.names(in: "/proc/self/task") ?? []
            descriptors = Traces.descriptors()
            signals = (Int32(1)..<65).compactMap { number in
                var action = sigaction()
                guard unsafe sigaction(number, nil, &action) == 0 else { return nil }
                // The handler comes first, whichever of the two kinds it is.
                let handler = unsafe withUnsafeBytes(of: &action) { bytes in
                    unsafe bytes.load(as: UInt.self)
                }
                return Signal(number: number, handler: handler, flags: action.sa_flags)
            }
            var set = sigset_t()
            unsafe sigemptyset(&set)
            unsafe pthread_sigmask(SIG_BLOCK, nil, &set)
            mask = unsafe withUnsafeBytes(of: &set) { bytes in unsafe Array(bytes) }
            folder = Files.link("/proc/self/cwd") ?? "?"
            creationMask = umask(0)
            _ = umask(creationMask)
            environment = []
            var at = unsafe clinux_environment()
            while let line = unsafe at?.pointee {
                unsafe environment.append(String(cString: line))
                unsafe at! += 1
            }
        }
    }

    /// Numbers with what they lead to, without the one that lists them.
    private static func descriptors() -> [String] {
        (Files.names(in: "/proc/self/fd") ?? []).compactMap { name in
            Files.link("/proc/self/fd/\(name)").map { "\(name) (\($0))" }
        }
    }

    static func judge(_ job: ConformanceJob, _ copy: String) throws(ConformanceEnd) -> String {
        let before = Snapshot()
        let library = try ConformanceChild.load(copy, job.file)
        switch job.kind {
        case .strategy:
            guard let kind = library.strategies.first(where: { $0.name == job.name }) else {
                throw .failed("strategy \"\(job.name)\" is gone when the file is loaded once more")
            }
            try live(StagedKind(kind: kind, options: job.options))
        case .check:
            guard let kind = library.checks.first(where: { $0.name == job.name }) else {
                throw .failed("check \"\(job.name)\" is gone when the file is loaded once more")
            }
            try StagedCheck(kind: kind, options: job.options).live()
        }
        ConformanceChild.doing("after destroy")
        try compare(before)
        return "no thread, handler, descriptor or child is left, nor anything else changed"
    }

    /// The life of an instance from create to destroy, with every function once at least.
    static func live(_ staged: StagedKind) throws(ConformanceEnd) {
        ConformanceChild.doing("between create and destroy")
        var random = SplitMix64(seed: 11)
        let worker = try StageWorker(staged, StagePool(5))
        let ring = RequestRing(16)
        for number in 0..<64 {
            _ = worker.begin(ring[number])
            worker.finish(until: 3, &random)
        }
        worker.finish(until: 0, &random)
        worker.pool.nodes.removeLast()
        try worker.changed(TRIVET_CHANGED_NODES)
        _ = worker.instance.describe()
        try worker.rebuild()
        for number in 0..<64 { _ = worker.begin(ring[number]) }
        worker.finish(until: 0, &random)
    }

    private static func compare(_ before: Snapshot) throws(ConformanceEnd) {
        var after = Snapshot()
        // A thread that was joined may be on its way out for a moment.
        for _ in 0..<200 where after.threads.count > before.threads.count {
            _ = poll(nil, 0, 5)
            after = Snapshot()
        }
        let threads = after.threads.count - before.threads.count
        if threads > 0 { throw .failed("\(threads) of its threads still run after destroy") }
        let new = after.descriptors.filter { !before.descriptors.contains($0) }
        if let one = new.first {
            throw .failed("\(new.count) descriptors are left open, such as \(one)")
        }
        let gone = before.descriptors.filter { !after.descriptors.contains($0) }
        if let one = gone.first {
            throw .failed("it closed descriptor \(one), which was not its own")
        }
        for (old, new) in zip(before.signals, after.signals) where old != new {
            throw .failed("what is done upon \(signalName(old.number)) was changed")
        }
        if before.mask != after.mask { throw .failed("the set of blocked signals was changed") }
        if before.folder != after.folder {
            throw .failed("the working directory was changed to \(after.folder)")
        }
        if before.creationMask != after.creationMask { throw .failed("the umask was changed") }
        if let one = after.environment.first(where: { !before.environment.contains($0) }) {
            throw .failed("the environment was changed: \(one.prefix(80))")
        }
        var status: Int32 = 0
        if unsafe waitpid(-1, &status, WNOHANG) >= 0 {
            throw .failed("a child process is left that nobody waited for")
        }
    }

    private static func signalName(_ number: Int32) -> String {
        guard let name = unsafe clinux_signal_name(number) else { return "signal \(number)" }
        return unsafe "SIG" + String(cString: name)
    }
}
