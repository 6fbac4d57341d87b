// What the demo shows: on a terminal a table of the nodes, drawn in place, over the last lines of the
// log; elsewhere the log lines as they come, which say every change of a node's state.

import Balance
import Base
import Glibc
import Net

final class DemoScreen {
    private let terminal: Terminal
    /// Lines that the last picture took.
    private var height = 0
    private var hasBegun = false
    private var log: [String] = []
    /// Requests per node at earlier pictures, the oldest first, for the rate.
    private var past: [(moment: Nanoseconds, picks: [UInt64])] = []

    private static let logLines = 5
    /// The rate is over the last second: enough to be calm, short enough to be true.
    private static let window: Nanoseconds = 1_000_000_000

    init(_ terminal: Terminal) { self.terminal = terminal }

    /// Whether pictures are drawn.
    var isLive: Bool { terminal.isTerminal }

    /// Says what stands above everything from here on.
    func begin(_ introduction: String) {
        hasBegun = true
        // The cursor would flicker about the table.
        _ = terminal.write(introduction + "\n" + (isLive ? "\u{1B}[?25l" : ""))
    }

    /// A line of the balancer's log.
    func note(_ line: String) {
        if isLive && hasBegun {
            log.append(line)
            if log.count > Self.logLines { log.removeFirst() }
        } else {
            say(line)
        }
    }

    /// Leaves the last picture standing, and the terminal as it was.
    func end() {
        if isLive && hasBegun { _ = terminal.write("\u{1B}[?25h\n") }
        hasBegun = false
    }

    /// Draws a picture over the last one. `processes`: of the nodes, in the order of the rows; nil:
    /// dead. False if the terminal is gone.
    func draw(_ rows: [BoardRow], processes: [pid_t?], now: Nanoseconds) -> Bool {
        let (columns, height) = terminal.size
        var lines = table(rows, processes, now: now)
        if !log.isEmpty { lines.append("") }
        // A line that wraps would count as two.
        lines += log.map { terminal.styled(cut($0, columns - 1), .dim) }
        lines = Array(lines.prefix(max(1, height - 1)))
        var text = self.height > 0 ? "\r\u{1B}[\(self.height)A" : "\r"
        for line in lines { text += line + "\u{1B}[K\n" }
        self.height = lines.count
        return terminal.write(text + "\u{1B}[J")
    }

    private func table(
        _ rows: [BoardRow], _ processes: [pid_t?], now: Nanoseconds
    ) -> [String] {
        let rates = rates(rows.map(\.picks), now: now)
        let columns = terminal.size.columns
        var lines = [
            terminal.styled(
                cut(
                    "node    process  state       requests    /s  in flight  failed  "
                        + "first byte    for  why", columns - 1), .bold)
        ]
        for (index, row) in rows.enumerated() {
            let process = index < processes.count ? processes[index].map { "\($0)" } ?? "dead" : ""
            let start = padded(row.name, to: 8) + padded(process, to: 9)
            let state = padded(row.state.name, to: 10)
            let figures =
                right("\(row.picks)", 10) + right("\(rates[index])", 6)
                + right("\(row.inFlight)", 11)
                + right("\(row.failures)", 8) + right(latency(row.latency), 12)
                + right(age(now, row.since), 7) + "  "
            let room = columns - 1 - start.count - state.count - figures.count
            lines.append(
                start + terminal.styled(state, style(row.state)) + figures + cut(row.reason, room))
        }
        return lines
    }

    private func style(_ state: NodeState) -> Terminal.Style {
        switch state {
        case .up: .green
        case .degraded, .draining: .yellow
        case .down: .red
        }
    }

    /// Requests per second of each node.
    private func rates(_ picks: [UInt64], now: Nanoseconds) -> [UInt64] {
        // The counters of another board are no past of this one.
        if past.last.map({ $0.picks.count != picks.count }) == true { past = [] }
        past.append((now, picks))
        while past.count > 2, now &- past[1].moment >= Self.window { past.removeFirst() }
        let first = past[0]
        let time = max(1, now &- first.moment)
        return picks.indices.map { index in
            let more = picks[index] > first.picks[index] ? picks[index] - first.picks[index] : 0
            return (more * 1_000_000_000 + time / 2) / time
        }
    }

    private func latency(_ nanoseconds: UInt64) -> String {
        if nanoseconds == 0 { return "-" }
        let micros = nanoseconds / 1000
        return micros < 10_000 ? "\(micros) µs" : "\(micros / 1000) ms"
    }

    private func age(_ now: Nanoseconds, _ since: Nanoseconds) -> String {
        let seconds = since == 0 || since > now ? 0 : (now - since) / 1_000_000_000
        return seconds < 120 ? "\(seconds) s" : "\(seconds / 60) min"
    }

    private func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }

    /// The first `columns` characters, none that would move the cursor.
    private func cut(_ text: String, _ columns: Int) -> String {
        String(text.filter { $0 >= " " && $0 != "\u{7F}" }.prefix(max(0, columns)))
    }
}
