// The crash handler in real processes that end in every way a plugin can end one: the right line is
// marked, and the process ends by the same signal as without the handler.

import CLinux
import Glibc
import TestKit
import Testing

@testable import Balance

@Suite struct CrashHandlerTests {
    static let guilty: UInt64 = 0xABCD_EF01_2345_6789

    @Test(
        "A plugin that faults is named, and the process ends by its signal",
        arguments: [
            ("segv", SIGSEGV), ("overflow", SIGSEGV), ("abort", SIGABRT), ("raise-trap", SIGTRAP),
            ("divide", SIGFPE),
        ])
    func faults(how: String, signal: Int32) throws {
        for place in ["worker", "main"] {
            let trial = try Trial(how, on: place)
            #expect(try trial.end() == .signal(signal), "\(trial.child.transcript())")
            let marked = trial.page.standings().filter { $0.mark != nil }
            #expect(marked.map(\.mark) == [.signal(signal)], "\(how) on \(place)")
            #expect(marked.map(\.build) == [Self.guilty])
            #expect(trial.verdict(.killed(signal: signal)).builds == [Self.guilty])
        }
    }

    @Test("A trap of the Swift compiler's names its plugin")
    func compilerTrap() throws {
        let trial = try Trial("trap", on: "worker")
        guard case .signal(let signal) = try trial.end() else {
            Issue.record("\(trial.child.transcript())")
            return
        }
        #expect([SIGILL, SIGTRAP].contains(signal))
        #expect(trial.verdict(.killed(signal: signal)).builds == [Self.guilty])
    }

    @Test(
        "A plugin that ends the process by an exit is named",
        arguments: [("exit", Int32(0)), ("quick-exit", 5)])
    func exits(how: String, code: Int32) throws {
        let trial = try Trial(how, on: "worker")
        #expect(try trial.end() == .code(code), "\(trial.child.transcript())")
        let marked = trial.page.standings().filter { $0.mark != nil }
        #expect(marked.map(\.mark) == [.exit])
        #expect(marked.map(\.role) == [.worker(1)])
        #expect(trial.verdict(.exited(code)).builds == [Self.guilty])
    }

    @Test("An exit that passes every hook by is that of the one plugin that was running")
    func silentExit() throws {
        let trial = try Trial("_exit", on: "worker")
        #expect(try trial.end() == .code(6), "\(trial.child.transcript())")
        #expect(trial.page.standings().allSatisfy { $0.mark == nil })
        #expect(trial.verdict(.exited(6)).builds == [Self.guilty])
    }

    @Test("A fault of Trivet's own is not blamed on a plugin")
    func ownFault() throws {
        let trial = try Trial("segv", on: "worker", build: 0)
        #expect(try trial.end() == .signal(SIGSEGV), "\(trial.child.transcript())")
        #expect(trial.verdict(.killed(signal: SIGSEGV)) == .nobody(.own(.worker(1))))
    }

    @Test("A fault on a thread that calls no plugin is not blamed on whoever runs meanwhile")
    func strayFault() throws {
        let trial = try Trial("segv", on: "stray")
        #expect(try trial.end() == .signal(SIGSEGV), "\(trial.child.transcript())")
        #expect(trial.page.strayMark == .signal(SIGSEGV))
        #expect(trial.verdict(.killed(signal: SIGSEGV)) == .nobody(.stray))
    }

    @Test(
        "A signal from outside fences nobody, whichever it is",
        arguments: [SIGKILL, SIGTERM, SIGSEGV, SIGABRT])
    func fromOutside(signal: Int32) throws {
        let trial = try Trial("wait", on: "worker")
        try trial.child.waitForLine(containing: "ready")
        trial.child.signal(signal)
        #expect(try trial.end() == .signal(signal), "\(trial.child.transcript())")
        #expect(trial.page.standings().allSatisfy { $0.mark == nil })
        #expect(trial.page.strayMark == nil)
        #expect(
            trial.verdict(.killed(signal: signal)) == .nobody(.outside(signal: signal)))
    }

    @Test("A child that a plugin forks marks nothing with its exit")
    func forked() throws {
        let trial = try Trial("child-exits", on: "worker")
        try trial.child.waitForLine(containing: "ready")
        #expect(trial.page.standings().allSatisfy { $0.mark == nil })
        #expect(trial.page.strayMark == nil)
    }

    @Test("Whoever traced crashes before still does, and sees the address of the fault")
    func chained() throws {
        let trial = try Trial("segv", on: "worker", isTraced: true)
        #expect(try trial.end() == .signal(SIGSEGV), "\(trial.child.transcript())")
        #expect(trial.child.lines.map(\.text) == ["traced \(SIGSEGV) at 8"])
        #expect(trial.verdict(.killed(signal: SIGSEGV)).builds == [Self.guilty])
    }
}

extension CrashVerdict {
    /// Of the guilty.
    var builds: [UInt64] {
        guard case .guilty(let standings) = self else { return [] }
        return standings.compactMap(\.build)
    }
}

/// A process that ends itself, and the page that it shares with the test.
@safe
private final class Trial {
    let child: Child
    let page: CrumbReader
    private let folder: TemporaryFolder
    private let memory: UnsafeMutableRawBufferPointer

    init(
        _ how: String, on place: String, build: UInt64 = CrashHandlerTests.guilty,
        isTraced: Bool = false
    ) throws {
        folder = try TemporaryFolder()
        let file = try folder.write([UInt8](repeating: 0, count: 65_536), to: "page")
        let fd = unsafe clinux_open(file, O_RDWR | O_CLOEXEC, 0)
        defer { _ = close(fd) }
        let mapped = unsafe mmap(nil, 65_536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
        unsafe memory = UnsafeMutableRawBufferPointer(start: mapped, count: 65_536)
        _ = unsafe CrumbPage(memory: memory, workers: 2)
        page = try #require(unsafe CrumbReader(memory: UnsafeRawBufferPointer(memory)))
        typealias L = CrumbLayout.Line
        let places = [
            CrumbLayout.Header.words, L.words, ThreadRole.count(workers: 2), L.thread, L.fault,
            CrumbLayout.Header.strayFault, L.build,
        ]
        let bytes = places.enumerated().map { $0 == 2 ? $1 : $1 * 8 }
        child = try Child(
            try Self.build(in: folder.path),
            [file] + bytes.map(String.init) + [how, place, String(build)]
                + (isTraced ? ["traced"] : []))
    }

    deinit { _ = unsafe munmap(memory.baseAddress, memory.count) }

    func end() throws -> Child.Exit { try child.waitForEnd(within: 60) }

    func verdict(_ end: ProcessEnd) -> CrashVerdict {
        CrashVerdict(
            after: end, wasAsked: false, stuck: [], standings: page.standings(),
            stray: page.strayMark)
    }

    private static func build(in folder: String) throws -> String {
        let program = folder + "/crash-trial"
        let here = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast()
        let root = here.dropLast(2).joined(separator: "/")
        let compiler = try Child(
            "/usr/bin/env",
            [
                "cc", "-std=gnu11", "-O0", "-Wall", "-Wextra", "-Werror", "-pthread",
                "-I", root + "/Sources/CLinux/include", "-o", program,
                here.joined(separator: "/") + "/Fixtures/crash-trial.c",
                root + "/Sources/CLinux/crash.c",
            ])
        guard try compiler.waitForEnd(within: 120) == .code(0) else {
            throw TestFailure("crash-trial.c does not compile: \(compiler.transcript())")
        }
        return program
    }
}
