// The page of crumbs: what one side writes, the other reads; who is guilty; who is stuck.

import CLinux
import Glibc
import Testing

@testable import Balance

@Suite struct CrumbPageTests {
    @Test("The supervisor sees which plugin a thread is inside, and that it is out again")
    func inAndOut() throws {
        let page = Page(workers: 2)
        let crumb = page.page.crumb(.worker(1))
        #expect(page.reader.standings().isEmpty)
        crumb.claim()
        crumb.enter(build: 77, .pick, pool: 5)
        let inside = try #require(page.reader.standings().first)
        #expect(page.reader.standings().count == 1)
        #expect(inside.role == .worker(1))
        #expect(inside.thread == UInt64(clinux_gettid()))
        #expect(inside.build == 77)
        #expect(inside.function == .pick)
        #expect(inside.pool == 5)
        #expect(inside.sequence == 1)
        #expect(inside.mark == nil)
        #expect(inside.what == "pick on worker 1")
        crumb.leave()
        #expect(page.reader.standings().map(\.build) == [nil])
        crumb.enter(build: 78, .result, pool: 0)
        #expect(page.reader.standings().map(\.sequence) == [2])
        crumb.giveUp()
        #expect(page.reader.standings().isEmpty)
    }

    @Test("Each thread has a line of its own")
    func lines() {
        let page = Page(workers: 2)
        let roles: [ThreadRole] = [.main, .control, .loader, .worker(0), .worker(1)]
        for (index, role) in roles.enumerated() {
            let crumb = page.page.crumb(role)
            crumb.claim()
            crumb.enter(build: UInt64(index + 1), .create, pool: 0)
        }
        #expect(page.reader.standings().map(\.role) == roles)
        #expect(page.reader.standings().map(\.build) == [1, 2, 3, 4, 5])
    }

    @Test("A new balancer does not inherit the faults of the old one")
    func anew() {
        let page = Page(workers: 1)
        page.page.crumb(.worker(0)).claim()
        page.words[CrumbLayout.Header.strayFault] = UInt64(SIGSEGV)
        #expect(page.reader.strayMark == .signal(SIGSEGV))
        _ = unsafe CrumbPage(memory: page.memory, workers: 1)
        #expect(page.reader.standings().isEmpty)
        #expect(page.reader.strayMark == nil)
    }

    @Test("Memory that holds no page, or one of another layout, is not believed")
    func unsound() {
        let page = Page(workers: 1)
        #expect(unsafe CrumbReader(memory: UnsafeRawBufferPointer(page.memory)) != nil)
        let short = unsafe UnsafeRawBufferPointer(rebasing: page.memory[0..<256])
        #expect(unsafe CrumbReader(memory: short) == nil)
        #expect(
            unsafe CrumbReader(memory: UnsafeRawBufferPointer(start: nil, count: 0)) == nil)
        page.words[CrumbLayout.Header.version] = 99
        #expect(unsafe CrumbReader(memory: UnsafeRawBufferPointer(page.memory)) == nil)
        page.words[CrumbLayout.Header.version] = CrumbLayout.version
        page.words[CrumbLayout.Header.lines] = .max
        #expect(unsafe CrumbReader(memory: UnsafeRawBufferPointer(page.memory)) == nil)
        page.words[CrumbLayout.Header.lines] = 4
        page.words[CrumbLayout.Header.magic] = 0
        #expect(unsafe CrumbReader(memory: UnsafeRawBufferPointer(page.memory)) == nil)
    }
}

@Suite struct CrashVerdictTests {
    private static let idle = Standing(role: .control, thread: 9)
    private static func inside(
        _ build: UInt64, _ worker: Int, mark: CrashMark? = nil
    ) -> Standing {
        Standing(
            role: .worker(worker), thread: UInt64(10 + worker), build: build, function: .pick,
            mark: mark)
    }

    private func judge(
        _ end: ProcessEnd, _ standings: [Standing], wasAsked: Bool = false,
        stuck: [Standing] = [], stray: CrashMark? = nil
    ) -> CrashVerdict {
        CrashVerdict(
            after: end, wasAsked: wasAsked, stuck: stuck, standings: standings, stray: stray)
    }

    @Test("The build on the faulting thread's line is guilty, not the one that ran beside it")
    func marked() {
        let crashed = Self.inside(2, 1, mark: .signal(SIGSEGV))
        let standings = [Self.idle, Self.inside(1, 0), crashed]
        #expect(judge(.killed(signal: SIGSEGV), standings) == .guilty([crashed]))
        // Also if somebody killed what was dying, or it had been told to leave.
        #expect(judge(.killed(signal: SIGKILL), standings) == .guilty([crashed]))
        #expect(judge(.exited(0), standings, wasAsked: true) == .guilty([crashed]))
    }

    @Test("A kill from outside fences nobody, whoever was running")
    func outside() {
        for signal in [SIGKILL, SIGTERM, SIGSEGV] {
            #expect(
                judge(.killed(signal: signal), [Self.inside(1, 0)])
                    == .nobody(.outside(signal: signal)))
        }
    }

    @Test("A crash of Trivet's own fences nobody, whoever was running")
    func own() {
        let crashed = Standing(role: .worker(1), thread: 11, mark: .signal(SIGSEGV))
        #expect(
            judge(.killed(signal: SIGSEGV), [Self.inside(1, 0), crashed])
                == .nobody(.own(.worker(1))))
        let left = Standing(role: .main, thread: 8, mark: .exit)
        #expect(judge(.exited(3), [left, Self.inside(1, 0)]) == .nobody(.own(.main)))
        #expect(
            judge(.killed(signal: SIGSEGV), [Self.inside(1, 0)], stray: .signal(SIGSEGV))
                == .nobody(.stray))
    }

    @Test("An exit without a mark is the only running build's, and nobody's if there are two")
    func unmarkedExit() {
        #expect(
            judge(.exited(0), [Self.idle, Self.inside(1, 0)]) == .guilty([Self.inside(1, 0)]))
        #expect(
            judge(.exited(0), [Self.inside(1, 0), Self.inside(1, 1)])
                == .guilty([Self.inside(1, 0)]))
        #expect(
            judge(.exited(0), [Self.inside(1, 0), Self.inside(2, 1)])
                == .nobody(.unclear(inside: 2)))
        #expect(judge(.exited(0), [Self.idle]) == .nobody(.unclear(inside: 0)))
    }

    @Test("A balancer that leaves because it was told to accuses nobody")
    func asked() {
        #expect(judge(.exited(0), [Self.inside(1, 0)], wasAsked: true) == .nobody(.asked))
        #expect(
            judge(.killed(signal: SIGKILL), [Self.inside(1, 0)], wasAsked: true)
                == .nobody(.asked))
    }

    @Test("Whoever the balancer was killed for is guilty of the kill")
    func stuck() {
        let standing = Self.inside(4, 0)
        #expect(
            judge(.killed(signal: SIGKILL), [standing, Self.inside(5, 1)], stuck: [standing])
                == .guilty([standing]))
    }

    @Test("Every verdict can be said in words")
    func words() {
        #expect(
            judge(.exited(0), [Self.inside(1, 0, mark: .exit)]).explanation
                == "it happened inside pick on worker 0")
        #expect(judge(.exited(0), []).explanation.hasPrefix("no plugin is fenced"))
    }
}

@Suite struct StuckWatchTests {
    private static let second: UInt64 = 1_000_000_000

    private func inside(_ sequence: UInt64, build: UInt64? = 1, thread: UInt64 = 5) -> Standing {
        Standing(
            role: .worker(0), thread: thread, build: build, function: .pick, sequence: sequence)
    }

    /// Observes every quarter of a second, from a second to `until` seconds, and says when the
    /// first was stuck, in seconds.
    private func firstStuck(until: Double, _ standing: (Double) -> Standing) -> Double? {
        var watch = StuckWatch()
        var now = 1.0
        while now <= until {
            let moment = UInt64(now * 1_000_000_000)
            if !watch.observe([standing(now)], at: moment).isEmpty { return now }
            now += 0.25
        }
        return nil
    }

    @Test("A call that does not come back is noticed after three seconds")
    func stuck() {
        #expect(firstStuck(until: 10) { _ in inside(7) } == 4)
    }

    @Test("A thread that is always inside a plugin, but in call after call, is not stuck")
    func busy() {
        #expect(firstStuck(until: 20) { now in inside(UInt64(now * 100)) } == nil)
        // 2.5 s each.
        #expect(firstStuck(until: 20) { now in inside(UInt64(now / 2.5)) } == nil)
    }

    @Test("A thread that waits for events is not stuck, however long")
    func idle() {
        #expect(firstStuck(until: 20) { _ in inside(7, build: nil) } == nil)
    }

    @Test("Another balancer's thread begins anew")
    func otherThread() {
        #expect(firstStuck(until: 5) { now in inside(1, thread: now < 3 ? 5 : 6) } == nil)
    }

    @Test("Time in which the observer did not run accuses nobody")
    func gap() {
        var watch = StuckWatch()
        #expect(watch.observe([inside(1)], at: Self.second).isEmpty)
        #expect(watch.observe([inside(1)], at: 100 * Self.second).isEmpty)
        #expect(watch.observe([inside(1)], at: 101 * Self.second).isEmpty)
        // Nor does a clock that went back.
        #expect(watch.observe([inside(1)], at: 50 * Self.second).isEmpty)
    }
}

/// A page in this process's own memory, never freed before its last use.
@safe
private final class Page {
    let memory: UnsafeMutableRawBufferPointer
    let page: CrumbPage
    let reader: CrumbReader
    let words: SharedWords

    init(workers: Int) {
        unsafe memory = .allocate(
            byteCount: CrumbPage.bytesNeeded(workers: workers), alignment: 128)
        page = unsafe CrumbPage(memory: memory, workers: workers)
        reader = unsafe CrumbReader(memory: UnsafeRawBufferPointer(memory)).unsafelyUnwrapped
        words = unsafe SharedWords(memory)
    }

    deinit { unsafe memory.deallocate() }
}
