// Reads the page of crumbs from the outside: the supervisor, after the balancer has ended and every
// now and then before. It trusts nothing in the memory, and writes nothing.

import Synchronization

/// Where one thread stood.
package struct Standing: Equatable, Sendable {
    package var role: ThreadRole
    /// gettid().
    package var thread: UInt64
    /// Nil: inside no plugin.
    package var build: UInt64?
    /// Nil where the page names a function that this build of trivet does not know.
    package var function: PluginFunction?
    package var pool: Int
    /// Counts the calls of this thread.
    package var sequence: UInt64
    package var mark: CrashMark?

    package init(
        role: ThreadRole, thread: UInt64, build: UInt64? = nil, function: PluginFunction? = nil,
        pool: Int = 0, sequence: UInt64 = 0, mark: CrashMark? = nil
    ) {
        self.role = role
        self.thread = thread
        self.build = build
        self.function = function
        self.pool = pool
        self.sequence = sequence
        self.mark = mark
    }

    /// "pick on worker 1"
    package var what: String { "\(function.map { "\($0)" } ?? "a call") on \(role)" }
}

/// A view of a page that somebody else may be writing.
@safe
package struct CrumbReader {
    private let words: SharedWords
    private let lines: Int

    /// Nil if there is no page (of this layout) in `memory`, which must outlive the reader.
    package init?(memory: UnsafeRawBufferPointer) {
        typealias H = CrumbLayout.Header
        guard let base = memory.baseAddress, UInt(bitPattern: base) % 8 == 0,
            memory.count / 8 >= H.words
        else { return nil }
        // Never written through: the mapping may be read-only.
        words = unsafe SharedWords(UnsafeMutableRawBufferPointer(mutating: memory))
        guard words.acquire(H.magic) == CrumbLayout.magic, words[H.version] == CrumbLayout.version,
            let lines = Int(exactly: words[H.lines]), lines > 0, lines <= 1 << 16,
            CrumbLayout.words(lines: lines) <= words.count
        else { return nil }
        self.lines = lines
    }

    /// A fault or an exit on a thread that has no line: not one that calls plugins.
    package var strayMark: CrashMark? {
        CrashMark(word: words[CrumbLayout.Header.strayFault])
    }

    /// All threads that have a line, in the order of the page.
    package func standings() -> [Standing] { (0..<lines).compactMap(standing) }

    private func standing(_ line: Int) -> Standing? {
        typealias L = CrumbLayout.Line
        let at = CrumbLayout.Header.words + line * L.words
        let thread = words[at + L.thread]
        guard thread != 0 else { return nil }
        var standing = Standing(role: ThreadRole(line: line), thread: thread)
        // While it is written again and again, any of the calls is as true as another; but not half
        // of one and half of the next. Where that does not succeed, it says that no plugin is
        // inside: such a thread is neither dead nor stuck.
        for _ in 0..<100 {
            let before = words.acquire(at + L.sequence)
            let build = words.acquire(at + L.build)
            let call = words.acquire(at + L.call)
            guard words[at + L.sequence] == before else { continue }
            standing.sequence = before
            if build != 0 {
                standing.build = build
                standing.function = PluginFunction(rawValue: UInt32(truncatingIfNeeded: call))
                standing.pool = Int(call >> 32)
            }
            break
        }
        standing.mark = CrashMark(word: words[at + L.fault])
        return standing
    }
}
