// Log lines for the operator: a moment, a level, one line of text. Where they go and what time it
// is, the command says once at start; until then they are dropped. Not the access log, and not for
// the path of a request: a line allocates and takes a lock.

import Synchronization

/// The one log of the process. Thread safe.
package enum Log {
    package enum Level: UInt8, Comparable, Sendable, CaseIterable {
        case error, warning, info, debug

        /// As the configuration and the lines spell it.
        package var name: String {
            switch self {
            case .error: "error"
            case .warning: "warn"
            case .info: "info"
            case .debug: "debug"
            }
        }

        package init?(name: String) {
            guard let level = Self.allCases.first(where: { $0.name == name }) else { return nil }
            self = level
        }

        package static func < (a: Level, b: Level) -> Bool { a.rawValue < b.rawValue }
    }

    private struct Setup: Sendable {
        var level = Level.info
        var clock: @Sendable () -> Timestamp = { Timestamp(nanoseconds: 0) }
        var sink: (@Sendable ([UInt8]) -> Void)?
    }

    private static let setup = Guarded(Setup())

    /// From here on lines up to `level` go to `sink`, each with its newline, one call at a time. The
    /// sink must not log.
    package static func start(
        level: Level, clock: @escaping @Sendable () -> Timestamp,
        sink: @escaping @Sendable ([UInt8]) -> Void
    ) {
        setup.withLock { $0 = Setup(level: level, clock: clock, sink: sink) }
    }

    /// Lines above `level` are dropped from here on.
    package static func setLevel(_ level: Level) {
        setup.withLock { $0.level = level }
    }

    /// Whether a line of this level would be written: for lines that are dear to make.
    package static func writes(_ level: Level) -> Bool {
        setup.withLock { $0.sink != nil && level <= $0.level }
    }

    /// One line. What would break it (a newline in a plugin's text, an escape sequence in a name off
    /// the wire) is written as `\u{a}`, so that nobody forges a line or paints the terminal.
    package static func write(_ level: Level, _ line: String) {
        setup.withLock { setup in
            guard let sink = setup.sink, level <= setup.level else { return }
            sink(format(setup.clock(), level, line))
        }
    }

    package static func error(_ line: String) { write(.error, line) }
    package static func warning(_ line: String) { write(.warning, line) }
    package static func info(_ line: String) { write(.info, line) }
    package static func debug(_ line: String) { write(.debug, line) }

    /// `2026-11-24T20:18:38.123Z info  node octopus/node1 up -> draining: ...`
    static func format(_ now: Timestamp, _ level: Level, _ line: String) -> [UInt8] {
        var text = now.description + " " + level.name
        for _ in level.name.utf8.count..<6 { text += " " }
        for scalar in line.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .lineSeparator, .paragraphSeparator:
                text += "\\u{" + String(scalar.value, radix: 16) + "}"
            default:
                text.unicodeScalars.append(scalar)
            }
        }
        return Array(text.utf8) + [UInt8(ascii: "\n")]
    }
}
