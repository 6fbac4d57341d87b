// Measures every call into a plugin, and leaves the crumbs that say where a thread is: around a
// pick this costs about as much as a cheap strategy itself, so it is two readings of a counter and
// a few stores. What is over the budget is looked at with care, off that path.
// Whose fault a long call is: Sources/Decisions/2026-11-25-who-pays-for-a-long-call.md.

import Base
import CLinux
import Synchronization

/// The gauges of a process, one a thread. Must outlive every thread that holds one of them.
@safe
package final class CallGauges: @unchecked Sendable {
    /// Default of `plugins_budget`.
    package static let defaultBudget: Nanoseconds = 5_000_000

    private let fronts: UnsafeMutablePointer<CallGauge.Front>
    private let count: Int
    private let page: CrumbPage
    // Where the page is this object's own.
    private let memory: UnsafeMutableRawBufferPointer?
    private let fenced: @Sendable (Build) -> Void

    /// - Parameters:
    ///   - page: shared with the supervisor; nil: crumbs are left where nobody reads them.
    ///   - budget: see `setBudget`.
    ///   - onFence: a build was fenced for its overruns. Runs on the thread that overran, within
    ///     `end`: it should wake somebody and return.
    package init(
        workers: Int, page: CrumbPage? = nil, budget: Nanoseconds = CallGauges.defaultBudget,
        onFence: @escaping @Sendable (Build) -> Void = { _ in }
    ) {
        precondition(page.map { $0.workers == workers } ?? true, "a page for other workers")
        fenced = onFence
        count = ThreadRole.count(workers: workers)
        if let page {
            self.page = page
            unsafe memory = nil
        } else {
            let own = UnsafeMutableRawBufferPointer.allocate(
                byteCount: CrumbPage.bytesNeeded(workers: workers), alignment: 128)
            self.page = unsafe CrumbPage(memory: own, workers: workers)
            unsafe memory = own
        }
        unsafe fronts = .allocate(capacity: count)
        for line in 0..<count {
            let role = ThreadRole(line: line)
            unsafe (fronts + line).initialize(
                to: CallGauge.Front(crumb: self.page.crumb(role), role: role))
        }
        for line in 0..<count {
            unsafe fronts[line].owner = Unmanaged.passUnretained(self)
        }
        setBudget(budget)
    }

    deinit {
        unsafe fronts.deinitialize(count: count)
        unsafe fronts.deallocate()
        unsafe memory?.deallocate()
    }

    /// How long one call may take where traffic or probes wait for it: on the workers and the
    /// control thread. 0: as long as it likes, and nothing is fenced. May be set at any time; a
    /// call that is under way may be judged by either. [any]
    package func setBudget(_ budget: Nanoseconds) {
        let ticks = budget == 0 ? UInt64.max : max(Ticks.count(budget), 1)
        // What lies between the base and a call is uncertain: it has to be small beside the budget.
        let age = budget == 0 ? UInt64.max : Ticks.count(max(min(1_000_000, budget / 5), 50_000))
        for line in 0..<count {
            let isHeld = ThreadRole(line: line).isWaitedFor
            unsafe fronts[line].budget.store(isHeld ? ticks : .max, ordering: .relaxed)
            unsafe fronts[line].baseAge.store(isHeld ? age : .max, ordering: .relaxed)
        }
    }

    /// To be held by what runs on that thread.
    package func gauge(_ role: ThreadRole) -> CallGauge {
        precondition(role.line < count, "no such worker")
        return unsafe CallGauge(front: fronts + role.line)
    }

    /// The calling thread takes up `role`: it claims its line, gets a stack on which an overflow of
    /// its own can be caught, and `CallGauge.current` is its gauge. Undone by `detach` on the same
    /// thread. A thread that would have no such stack serves all the same: its overflow is then
    /// nobody's.
    package func attach(_ role: ThreadRole) {
        page.crumb(role).claim()
        _ = clinux_crash_stack_up()
        unsafe clinux_set_thread_note(gauge(role).front)
    }

    /// The calling thread ends, or calls no plugin any more.
    package func detach(_ role: ThreadRole) {
        clinux_set_thread_note(nil)
        clinux_crash_stack_down()
        page.crumb(role).giveUp()
    }

    func tell(_ build: Build) { fenced(build) }
}

/// A call that is under way.
@safe
package struct CallMark {
    fileprivate let tally: BuildTally
    fileprivate let function: PluginFunction
    fileprivate let start: UInt64
}

/// One thread's gauge: a pointer, free to copy. Only the thread that has attached may use it.
@safe
package struct CallGauge: @unchecked Sendable {
    @unsafe struct Front: ~Copyable {
        let crumb: Crumb
        let role: ThreadRole
        /// In ticks; `.max`: none.
        let budget = Atomic<UInt64>(.max)
        /// How old the base may be when a call begins, in ticks.
        let baseAge = Atomic<UInt64>(.max)
        var base = Base()
        /// Set before any thread sees it, and read only when something is wrong.
        var owner: Unmanaged<CallGauges>?

        init(crumb: Crumb, role: ThreadRole) {
            unsafe self.crumb = crumb
            unsafe self.role = role
        }
    }

    /// What the kernel knew of the thread at one moment.
    struct Base {
        var ticks: UInt64 = 0
        var clock: Nanoseconds = 0
        var cpu: Nanoseconds = 0
        var preemptions: UInt64 = 0

        /// Two system calls: about half a microsecond.
        static func now() -> Base {
            Base(
                ticks: clinux_ticks(), clock: clinux_monotonic_ns(), cpu: clinux_thread_cpu_ns(),
                preemptions: clinux_thread_preemptions())
        }
    }

    fileprivate let front: UnsafeMutablePointer<Front>

    fileprivate init(front: UnsafeMutablePointer<Front>) {
        unsafe self.front = unsafe front
    }

    /// Of the calling thread, if it has attached to any.
    package static var current: CallGauge? {
        guard let note = unsafe clinux_thread_note() else { return nil }
        return unsafe CallGauge(front: note.assumingMemoryBound(to: Front.self))
    }

    package var role: ThreadRole { unsafe front.pointee.role }

    /// The thread goes into a plugin. Followed by `end`, and not by another `begin`. `tally`: of
    /// the build that is called, and of this thread.
    @inline(__always)
    package func begin(_ tally: BuildTally, _ function: PluginFunction, pool: UInt32) -> CallMark {
        unsafe front.pointee.crumb.enter(build: tally.build, function, pool: pool)
        var start = clinux_ticks()
        if unsafe start &- front.pointee.base.ticks
            > front.pointee.baseAge.load(ordering: .relaxed)
        {
            start = rebase()
        }
        return CallMark(tally: tally, function: function, start: start)
    }

    /// It is out again.
    @inline(__always)
    package func end(_ mark: CallMark) {
        let took = clinux_ticks() &- mark.start
        unsafe front.pointee.crumb.leave()
        if unsafe took > front.pointee.budget.load(ordering: .relaxed) {
            overrun(mark, took)
        } else {
            mark.tally.countCall(ticks: took)
        }
    }

    @inline(never)
    private func rebase() -> UInt64 {
        unsafe front.pointee.base = Base.now()
        return clinux_ticks()
    }

    @inline(never)
    private func overrun(_ mark: CallMark, _ took: UInt64) {
        let base = unsafe front.pointee.base
        let now = Base.now()
        unsafe front.pointee.base = now
        // Counters of two cores may differ on a bad machine. The clock's do not.
        let passed = min(Ticks.nanoseconds(took), now.clock &- base.clock)
        mark.tally.countCall(ticks: Ticks.count(passed))
        let budget = unsafe Ticks.nanoseconds(front.pointee.budget.load(ordering: .relaxed))
        guard passed > budget else { return }
        let charged = Self.charge(
            passed: passed, cpu: now.cpu &- base.cpu,
            preemptions: now.preemptions &- base.preemptions,
            before: Ticks.nanoseconds(mark.start &- base.ticks))
        guard charged > budget else { return mark.tally.add(BuildTally.excused, 1) }
        mark.tally.add(BuildTally.overruns, 1)
        let build = mark.tally.owner
        let wasFenced = build.note(
            Build.Overrun(
                function: mark.function, role: role, took: charged, budget: budget, at: now.clock))
        if wasFenced { unsafe front.pointee.owner?.takeUnretainedValue().tell(build) }
    }

    /// What a call pays. In doubt less than it took: that a plugin is slow will show again.
    ///
    /// - Parameters:
    ///   - passed: from its begin to its end.
    ///   - cpu: that the thread has used from the base to the end.
    ///   - preemptions: of the thread, in the same time.
    ///   - before: from the base to the begin.
    static func charge(
        passed: Nanoseconds, cpu: Nanoseconds, preemptions: UInt64, before: Nanoseconds
    ) -> Nanoseconds {
        preemptions == 0 ? passed : min(passed, cpu - min(cpu, before))
    }
}

extension CallGauge {
    /// Loads a library, of which nothing is known yet but the build's id (0 counts as 1, as with
    /// Build): crumbs of the calling thread for its constructors and its entry function, measured
    /// by nobody. On a thread without a gauge `body` is just carried out.
    package static func loading<Answer, Problem: Error>(
        build: UInt64, _ body: () throws(Problem) -> Answer
    ) throws(Problem) -> Answer {
        guard let gauge = current else { return try body() }
        unsafe gauge.front.pointee.crumb.enter(build: max(build, 1), .entry, pool: 0)
        defer { unsafe gauge.front.pointee.crumb.leave() }
        return try body()
    }
}

extension Build {
    /// A call off the path of a request (create, destroy, save, describe, probe, ...), measured by
    /// the gauge of the calling thread; on a thread without one (a test, a tool) just made. `body`
    /// makes the one foreign call. Not nested.
    package func call<Answer>(
        _ function: PluginFunction, pool: Int = 0, _ body: () -> Answer
    ) -> Answer {
        guard let gauge = CallGauge.current else { return body() }
        let mark = gauge.begin(
            tally(gauge.role), function, pool: UInt32(truncatingIfNeeded: pool))
        defer { gauge.end(mark) }
        return body()
    }
}
