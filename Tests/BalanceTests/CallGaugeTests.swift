// The gauge around calls into plugins: what is counted, who is charged, who is fenced. Where real
// time matters the calls are made long enough for it, and are never asked to be short.

import Base
import CLinux
import Glibc
import Synchronization
import TestKit
import Testing

@testable import Balance

@Suite struct ChargeTests {
    private static let ms: UInt64 = 1_000_000

    @Test("A call that was never interrupted pays all of its time")
    func whole() {
        // Asleep: no CPU time at all.
        #expect(
            CallGauge.charge(passed: 50 * Self.ms, cpu: 0, preemptions: 0, before: 0)
                == 50 * Self.ms)
    }

    @Test("A call in which the thread lost its core pays for what it has used")
    func interrupted() {
        #expect(
            CallGauge.charge(passed: 12 * Self.ms, cpu: 2 * Self.ms, preemptions: 1, before: 0)
                == 2 * Self.ms)
        // What the thread did before the call is not the plugin's.
        #expect(
            CallGauge.charge(
                passed: 12 * Self.ms, cpu: 2 * Self.ms, preemptions: 1, before: Self.ms) == Self.ms)
        #expect(
            CallGauge.charge(
                passed: 12 * Self.ms, cpu: 2 * Self.ms, preemptions: 1, before: 9 * Self.ms) == 0)
    }

    @Test("A call that computes for long pays, interrupted or not, and never more than it took")
    func computing() {
        #expect(
            CallGauge.charge(
                passed: 30 * Self.ms, cpu: 21 * Self.ms, preemptions: 3, before: Self.ms)
                == 20 * Self.ms)
        #expect(
            CallGauge.charge(passed: 7 * Self.ms, cpu: 9 * Self.ms, preemptions: 1, before: 0)
                == 7 * Self.ms)
    }
}

@Suite struct StrikeTests {
    private static let second: UInt64 = 1_000_000_000

    private func build() -> Build { testBuild(id: 0xF3) }

    private func overrun(
        _ at: Double, _ function: PluginFunction = .pick, _ role: ThreadRole = .worker(0)
    ) -> Build.Overrun {
        Build.Overrun(
            function: function, role: role, took: 52_000_000, budget: 5_000_000,
            at: UInt64(at * 1e9))
    }

    @Test("Five long calls within a minute fence a build, and it is said why")
    func five() {
        let build = build()
        for at in [1.0, 2, 3, 4] { #expect(!build.note(overrun(at))) }
        #expect(build.fenceReason == nil)
        #expect(!build.tally(.worker(1)).isFenced)
        #expect(build.note(overrun(50)))
        #expect(
            build.fenceReason
                == "5 calls within a minute took longer than plugins_budget (5 ms), the last one, "
                + "pick on worker 0, 52 ms")
        #expect(build.tally(.worker(1)).isFenced)
        #expect(build.tally(.control).isFenced)
        // Once is enough.
        #expect(!build.note(overrun(51)))
        #expect(build.read().strikes == 5)
    }

    @Test("A long call now and then fences nobody")
    func rarely() {
        let build = build()
        for step in 0..<100 { #expect(!build.note(overrun(Double(step) * 16))) }
        #expect(!build.isFenced)
    }

    @Test("Long calls that do not recur are no reason for a fence")
    func once() {
        let build = build()
        for step in 0..<20 { #expect(!build.note(overrun(Double(step), .save))) }
        #expect(!build.isFenced)
    }

    @Test("One change that all workers are told of is one strike")
    func update() {
        let build = build()
        for worker in 0..<2 { #expect(!build.note(overrun(1, .update, .worker(worker)))) }
        #expect(build.read().strikes == 1)
        for at in [10.0, 20, 30] { #expect(!build.note(overrun(at, .update))) }
        #expect(build.note(overrun(40, .update)))
    }

    @Test("A fence keeps its first reason")
    func first() {
        let build = build()
        #expect(build.fence(reason: "crashed"))
        #expect(!build.fence(reason: "slow"))
        #expect(build.fenceReason == "crashed")
    }

    @Test("A build is named as an operator can find it")
    func names() {
        let build = build()
        #expect(build.idText == "00000000000000f3")
        #expect(build.label == "plugin scripted 1.2 (build 00000000000000f3, libscripted.so)")
        #expect(testBuild(id: 0).id == 1)
    }
}

@Suite struct CallGaugeTests {
    @Test("Calls and the time in them are counted, over all threads")
    func counting() throws {
        let gauges = CallGauges(workers: 2)
        let build = testBuild(id: 5)
        for worker in 0..<2 {
            let gauge = gauges.gauge(.worker(worker))
            for _ in 0..<100 {
                gauge.end(gauge.begin(build.tally(.worker(worker)), .pick, pool: 0))
            }
        }
        let gauge = gauges.gauge(.loader)
        let from = clinux_monotonic_ns()
        let mark = gauge.begin(build.tally(.loader), .create, pool: 0)
        spin(nanoseconds: 20_000_000)
        gauge.end(mark)
        let passed = clinux_monotonic_ns() - from
        let reading = build.read()
        #expect(reading.calls == 201)
        #expect(reading.longest >= 19_900_000)
        #expect(reading.longest <= passed + passed / 100)
        #expect(reading.nanoseconds >= reading.longest)
        // The loader is not waited for.
        #expect(reading.overruns == 0)
        build.tally(.worker(0)).countBadAnswer()
        #expect(build.read().badAnswers == 1)
    }

    @Test("A strategy that sleeps is fenced with its fifth pick, and the host is told once")
    func sleeping() {
        let told = Guarded<[UInt64]>([])
        let gauges = CallGauges(workers: 1) { build in told.withLock { $0.append(build.id) } }
        let build = testBuild(id: 6)
        let gauge = gauges.gauge(.worker(0))
        let tally = build.tally(.worker(0))
        // On a machine that interrupts even those who sleep, some of these naps are excused.
        var naps = 0
        while !tally.isFenced && naps < 500 {
            let mark = gauge.begin(tally, .pick, pool: 0)
            usleep(8000)
            gauge.end(mark)
            naps += 1
        }
        let reading = build.read()
        #expect(tally.isFenced)
        #expect(reading.overruns == 5)
        #expect(reading.overruns + reading.excused == UInt64(naps))
        #expect(told.withLock { $0 } == [6])
        #expect(build.fenceReason?.contains("pick on worker 0") == true)
    }

    @Test("A strategy that computes for too long is charged")
    func computing() {
        let gauges = CallGauges(workers: 1)
        let build = testBuild(id: 7)
        let gauge = gauges.gauge(.worker(0))
        let mark = gauge.begin(build.tally(.worker(0)), .pick, pool: 0)
        // By the CPU's time, so that a busy machine cannot excuse it.
        let from = clinux_thread_cpu_ns()
        while clinux_thread_cpu_ns() - from < 20_000_000 {}
        gauge.end(mark)
        #expect(build.read().overruns == 1)
        #expect(build.read().excused == 0)
    }

    @Test("A strategy whose thread lost its core meanwhile is not charged")
    func interrupted() throws {
        try withRivals {
            let gauges = CallGauges(workers: 1)
            let build = testBuild(id: 8)
            let gauge = gauges.gauge(.worker(0))
            let tally = build.tally(.worker(0))
            // Gives its core away again and again; nearly all of the time is that of the others.
            try eventually("a call that was interrupted", within: 60) {
                let mark = gauge.begin(tally, .pick, pool: 0)
                let from = clinux_monotonic_ns()
                let cpu = clinux_thread_cpu_ns()
                while clinux_monotonic_ns() - from < 12_000_000 { sched_yield() }
                let used = clinux_thread_cpu_ns() - cpu
                gauge.end(mark)
                // Alone on the core after all: says nothing.
                guard used < 4_000_000 else { return nil as Bool? }
                #expect(build.read().excused > 0)
                return true
            }
        }
    }

    @Test("Without a budget nobody is charged")
    func noBudget() {
        let gauges = CallGauges(workers: 1, budget: 0)
        let build = testBuild(id: 9)
        let gauge = gauges.gauge(.worker(0))
        let mark = gauge.begin(build.tally(.worker(0)), .pick, pool: 0)
        usleep(20_000)
        gauge.end(mark)
        #expect(build.read().overruns == 0)
        gauges.setBudget(1_000_000)
        let next = gauge.begin(build.tally(.worker(0)), .pick, pool: 0)
        let from = clinux_thread_cpu_ns()
        while clinux_thread_cpu_ns() - from < 10_000_000 {}
        gauge.end(next)
        #expect(build.read().overruns == 1)
    }

    @Test("A thread that has attached leaves crumbs in every cold call, and others none")
    func attached() throws {
        let memory = UnsafeMutableRawBufferPointer.allocate(
            byteCount: CrumbPage.bytesNeeded(workers: 1), alignment: 128)
        defer { unsafe memory.deallocate() }
        let page = unsafe CrumbPage(memory: memory, workers: 1)
        let reader = try #require(unsafe CrumbReader(memory: UnsafeRawBufferPointer(memory)))
        let gauges = CallGauges(workers: 1, page: page)
        let build = testBuild(id: 10)
        #expect(CallGauge.current == nil)
        #expect(build.call(.create) { reader.standings().count } == 0)
        gauges.attach(.loader)
        let inside = build.call(.create, pool: 3) { reader.standings() }
        #expect(inside.map(\.role) == [.loader])
        #expect(inside.map(\.build) == [10])
        #expect(inside.map(\.function) == [.create])
        #expect(inside.map(\.pool) == [3])
        #expect(reader.standings().map(\.build) == [nil])
        let loading = CallGauge.loading(build: 11) { reader.standings() }
        #expect(loading.map(\.build) == [11])
        #expect(loading.map(\.function) == [.entry])
        #expect(reader.standings().map(\.build) == [nil])
        gauges.detach(.loader)
        #expect(reader.standings().isEmpty)
        #expect(CallGauge.current == nil)
        #expect(build.read().calls == 1)
    }

    @Test("The counter's pace is that of the clock")
    func pace() {
        let (ticks, clock) = (clinux_ticks(), clinux_monotonic_ns())
        spin(nanoseconds: 20_000_000)
        let passed = Double(clinux_monotonic_ns() - clock)
        let counted = Double(Ticks.nanoseconds(clinux_ticks() - ticks))
        // An interruption between the two readings shifts this; two hundredths are not missed.
        #expect(abs(counted / passed - 1) < 0.5)
        #expect(abs(Int(Ticks.nanoseconds(Ticks.count(5_000_000))) - 5_000_000) <= 1)
    }
}

private func testBuild(id: UInt64) -> Build {
    Build(
        id: id,
        origin: PluginOrigin(file: "/some/libscripted.so", plugin: "scripted", version: "1.2"),
        generation: 1, workers: 2)
}

private func spin(nanoseconds: UInt64) {
    let from = clinux_monotonic_ns()
    while clinux_monotonic_ns() - from < nanoseconds {}
}

/// Runs `body` while eight threads a core compute as fast as they can.
private func withRivals(_ body: () throws -> Void) throws {
    final class Race: Sendable {
        let isOver = Atomic<Bool>(false)
        let running = Atomic<Int>(0)
    }
    let race = Race()
    defer {
        race.isOver.store(true, ordering: .relaxed)
        while race.running.load(ordering: .acquiring) > 0 { sched_yield() }
    }
    for _ in 0..<8 * max(1, Int(clinux_cores())) {
        race.running.wrappingAdd(1, ordering: .acquiringAndReleasing)
        try startThread {
            while !race.isOver.load(ordering: .relaxed) {}
            race.running.wrappingSubtract(1, ordering: .acquiringAndReleasing)
        }
    }
    try body()
}
