// What the command says to the person before it: answers on standard output, complaints and log lines
// on standard error. Colour only where somebody looks.

import Base
import CLinux
import Glibc
import Net

/// One line on standard output.
func say(_ text: String) { IO.writeAll(STDOUT_FILENO, Array((text + "\n").utf8).span) }

/// One line on standard error.
func complain(_ text: String) { IO.writeAll(STDERR_FILENO, Array((text + "\n").utf8).span) }

/// Says what a failure says, each sentence on its own line, and gives back the exit code.
func report(_ failure: Failure) -> Int32 {
    for sentence in failure.sentences { complain(sentence) }
    return failure.reason.rawValue
}

/// Log lines go to standard error from here on, whole lines, one write each.
func startLog(level: Log.Level = .info) {
    Log.start(level: level) {
        Timestamp(nanoseconds: wallNow())
    } sink: { line in
        IO.writeAll(STDERR_FILENO, line.span)
    }
}

/// A descriptor on which a person may be looking.
struct Terminal {
    let descriptor: Int32
    let isTerminal: Bool
    let hasColour: Bool

    init(_ descriptor: Int32) {
        self.descriptor = descriptor
        let kind = unsafe getenv("TERM").map { unsafe String(cString: $0) } ?? "dumb"
        isTerminal = isatty(descriptor) == 1 && kind != "dumb"
        // https://no-color.org: any value but the empty one.
        let refusal = unsafe getenv("NO_COLOR").map { unsafe String(cString: $0) } ?? ""
        hasColour = isTerminal && refusal.isEmpty
    }

    /// Columns and rows as of now; what a terminal traditionally has where it does not say.
    var size: (columns: Int, rows: Int) {
        var size = winsize()
        guard unsafe clinux_ioctl_winsize(descriptor, &size) == 0, size.ws_col > 0 else {
            return (80, 24)
        }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    enum Style: String {
        case bold = "1"
        case dim = "2"
        case red = "31"
        case green = "32"
        case yellow = "33"
    }

    func styled(_ text: String, _ style: Style) -> String {
        hasColour ? "\u{1B}[\(style.rawValue)m\(text)\u{1B}[0m" : text
    }

    func write(_ text: String) -> Bool { IO.writeAll(descriptor, Array(text.utf8).span) }
}
