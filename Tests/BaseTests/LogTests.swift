// Log lines: what an operator greps for, and what nobody may smuggle in. There is one log in a process, and
// other tests read it: each of these has a process of its own.

import Base
import Synchronization
import Testing

@testable import Base

@Suite struct LogTests {
    fileprivate final class Lines: Sendable {
        let all = Guarded<[String]>([])
        func start(_ level: Log.Level) {
            Log.start(
                level: level, clock: { Timestamp(nanoseconds: 1_795_551_518_123_000_000) },
                sink: { bytes in
                    self.all.withLock { $0.append(String(decoding: bytes, as: UTF8.self)) }
                })
        }
        var taken: [String] { all.withLock { $0 } }
    }

    @Test func `a line has the moment, the level and the text in columns`() async {
        await #expect(processExitsWith: .success) {
            let lines = Lines()
            lines.start(.debug)
            Log.info("node octopus/node1 up -> draining: maintenance mode")
            Log.warning("b")
            Log.error("c")
            Log.debug("d")
            #expect(
                lines.taken == [
                    "2026-11-24T20:18:38.123Z info  node octopus/node1 up -> draining: maintenance mode\n",
                    "2026-11-24T20:18:38.123Z warn  b\n", "2026-11-24T20:18:38.123Z error c\n",
                    "2026-11-24T20:18:38.123Z debug d\n",
                ])
        }
    }

    @Test func `levels above the one that was asked for are dropped`() async {
        await #expect(processExitsWith: .success) {
            let lines = Lines()
            lines.start(.warning)
            Log.info("no")
            Log.warning("yes")
            #expect(Log.writes(.error))
            #expect(!Log.writes(.info))
            Log.setLevel(.info)
            Log.info("now")
            #expect(lines.taken.map { $0.dropFirst(25) } == ["warn  yes\n", "info  now\n"])
        }
    }

    @Test func `text off the wire can forge no line and paint no terminal`() async {
        await #expect(processExitsWith: .success) {
            let lines = Lines()
            lines.start(.info)
            Log.info("a\nb\r\u{1B}[31m\u{2028}\u{85}é")
            let written = lines.taken.map { $0.dropFirst(31) }
            #expect(written == ["a\\u{a}b\\u{d}\\u{1b}[31m\\u{2028}\\u{85}é\n"])
        }
    }

    @Test func `levels are named as configurations name them`() {
        #expect(Log.Level.allCases.map(\.name) == ["error", "warn", "info", "debug"])
        #expect(Log.Level(name: "warn") == .warning)
        #expect(Log.Level(name: "loud") == nil)
    }
}
