// The shared page that says which plugin each thread of the balancer is inside, so that a process
// that outlives the balancer can name the guilty one. The supervisor and the balancer both map it.
// Here are its layout and its writers; CrumbReader reads it, CrashVerdict judges what was read, and
// CLinux's crash handler marks the line of a thread that faults.

import CLinux
import Synchronization

/// The functions of a plugin, as lines and messages name them. Numbers are part of the layout.
package enum PluginFunction: UInt32, CaseIterable, Sendable {
    /// Loading the file, its constructors with it, and the entry function.
    case entry = 1
    case create = 2
    case destroy = 3
    case pick = 4
    case update = 5
    case result = 6
    case save = 7
    case load = 8
    case describe = 9
    case probe = 10
    case judge = 11
    case retire = 12

    /// Called again and again while a plugin serves, on a thread that everybody waits for.
    var recurs: Bool {
        switch self {
        case .pick, .update, .result, .probe, .judge: true
        case .entry, .create, .destroy, .save, .load, .describe, .retire: false
        }
    }
}

/// The threads of a balancer that call plugins, each with a line of its own.
package enum ThreadRole: Hashable, Sendable, CustomStringConvertible {
    case main
    case control
    case loader
    case worker(Int)

    /// Lines of a balancer with so many workers.
    static func count(workers: Int) -> Int { 3 + workers }

    var line: Int {
        switch self {
        case .main: 0
        case .control: 1
        case .loader: 2
        case .worker(let index): 3 + index
        }
    }

    init(line: Int) {
        switch line {
        case 0: self = .main
        case 1: self = .control
        case 2: self = .loader
        default: self = .worker(line - 3)
        }
    }

    /// Whether traffic or probes wait while this thread is inside a plugin.
    var isWaitedFor: Bool {
        switch self {
        case .control, .worker: true
        case .main, .loader: false
        }
    }

    package var description: String {
        switch self {
        case .main: "the main thread"
        case .control: "the control thread"
        case .loader: "the loader thread"
        case .worker(let index): "worker \(index)"
        }
    }
}

/// Places in the page, in words of 8 bytes, little-endian as the machine is. Two builds of trivet
/// may meet in one page (a supervisor that was not replaced with its balancer), so any change here
/// is a new `version`.
enum CrumbLayout {
    static let magic: UInt64 = 0x424D_5243_5456_5254  // "TRVTCRMB"
    static let version: UInt64 = 1

    enum Header {
        static let words = 16
        static let magic = 0
        static let version = 1
        static let lines = 2
        /// A fault or an exit on a thread that has no line.
        static let strayFault = 3
    }

    /// Two cache lines, since processors fetch them in pairs: no thread slows another one down.
    enum Line {
        static let words = 16
        /// gettid() of its thread; 0: nobody's.
        static let thread = 0
        /// 0: inside no plugin.
        static let build = 1
        /// The function in the low half, the pool in the high one. Only meant while `build` is not
        /// 0.
        static let call = 2
        /// Counts calls.
        static let sequence = 3
        /// See `CrashMark`; 0: none.
        static let fault = 4
    }

    static func words(lines: Int) -> Int { Header.words + lines * Line.words }
}

/// What the crash handler leaves on a line.
package enum CrashMark: Equatable, Sendable {
    case signal(Int32)
    /// It called exit(3) or quick_exit(3).
    case exit

    init?(word: UInt64) {
        switch word {
        case 0: return nil
        case CLINUX_CRASH_EXIT: self = .exit
        default: self = .signal(Int32(truncatingIfNeeded: word))
        }
    }
}

/// A page as the balancer lays it out. Its memory must outlive the process's last thread.
@safe
package struct CrumbPage: @unchecked Sendable {
    private let words: SharedWords
    package let workers: Int

    package static func bytesNeeded(workers: Int) -> Int {
        CrumbLayout.words(lines: ThreadRole.count(workers: workers)) * 8
    }

    /// Lays out `memory` (at least `bytesNeeded`, aligned to 128 bytes; a mapping is) anew: what an
    /// earlier balancer left there is gone. Once, before threads claim their lines.
    package init(memory: UnsafeMutableRawBufferPointer, workers: Int) {
        precondition(
            memory.count >= Self.bytesNeeded(workers: workers), "the page of crumbs is too small")
        typealias H = CrumbLayout.Header
        words = unsafe SharedWords(memory)
        self.workers = workers
        let lines = ThreadRole.count(workers: workers)
        words[H.magic] = 0
        for word in 1..<CrumbLayout.words(lines: lines) { words[word] = 0 }
        words[H.version] = CrumbLayout.version
        words[H.lines] = UInt64(lines)
        words.release(H.magic, CrumbLayout.magic)
    }

    package func crumb(_ role: ThreadRole) -> Crumb {
        precondition(role.line < ThreadRole.count(workers: workers), "no such worker")
        return unsafe Crumb(line: words.address(Self.word(role)))
    }

    /// From here on faults and exits of this process mark their lines. Once a process, before
    /// threads are started. Tests that crash on purpose are no place for it.
    package func installCrashHandler() throws(Refusal) {
        typealias L = CrumbLayout.Line
        var page = unsafe clinux_crash_page()
        unsafe page.lines = UnsafeMutableRawPointer(words.address(CrumbLayout.Header.words))
        unsafe page.line_stride = L.words * 8
        unsafe page.line_count = ThreadRole.count(workers: workers)
        unsafe page.tid_offset = L.thread * 8
        unsafe page.fault_offset = L.fault * 8
        unsafe page.stray_fault = UnsafeMutableRawPointer(
            words.address(CrumbLayout.Header.strayFault)
        ).assumingMemoryBound(to: UInt64.self)
        let code = unsafe clinux_crash_install(&page)
        if code != 0 {
            throw Refusal("the crash handler cannot be installed (error number \(code))")
        }
    }

    private static func word(_ role: ThreadRole) -> Int {
        CrumbLayout.Header.words + role.line * CrumbLayout.Line.words
    }
}

/// One thread's line, as that thread writes it: a pointer, so that a call costs four stores.
@safe
package struct Crumb: @unchecked Sendable {
    private let line: UnsafeMutablePointer<Atomic<UInt64>>

    init(line: UnsafeMutablePointer<Atomic<UInt64>>) {
        unsafe self.line = unsafe line
    }

    /// Makes it the calling thread's.
    package func claim() {
        typealias L = CrumbLayout.Line
        store(L.build, 0)
        store(L.fault, 0)
        store(L.thread, UInt64(clinux_gettid()))
    }

    /// The calling thread ends, or has no use for it any more.
    package func giveUp() {
        store(CrumbLayout.Line.build, 0)
        store(CrumbLayout.Line.thread, 0)
    }

    /// The calling thread goes into a plugin; followed by `leave`, not by another `enter`.
    /// `build`: not 0. [its thread]
    @inline(__always)
    package func enter(build: UInt64, _ function: PluginFunction, pool: UInt32) {
        typealias L = CrumbLayout.Line
        // First, so that a reader notices that what it reads belongs to two calls.
        unsafe store(L.sequence, line[L.sequence].load(ordering: .relaxed) &+ 1)
        clinux_compiler_barrier()
        store(L.call, UInt64(pool) << 32 | UInt64(function.rawValue))
        // Last, so that the line is whole when it says that there is something in it. A fault is
        // taken on the thread that stored: program order is all that the crash handler needs.
        clinux_compiler_barrier()
        store(L.build, build)
        clinux_compiler_barrier()
    }

    /// It is out again. [its thread]
    @inline(__always)
    package func leave() {
        clinux_compiler_barrier()
        store(CrumbLayout.Line.build, 0)
    }

    @inline(__always)
    private func store(_ word: Int, _ value: UInt64) {
        unsafe line[word].store(value, ordering: .relaxed)
    }
}
