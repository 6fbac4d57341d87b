// `trivet demo`: three nodes, a balancer before them, and what to try. Everything it starts ends with
// it. The nodes are DemoNode's, the balancer is the one that `trivet run` starts.

import Balance
import Base
import CLinux
import Glibc
import Net

enum DemoCommand {
    static func run(_ words: Words) throws(Failure) -> Int32 {
        let port = try number(words, "--port", in: 0...65_535)
        let workers = try number(words, "--workers", in: 1...64) ?? 2
        clinux_ignore_signal(SIGPIPE)
        let signals = try SignalSource([SIGINT, SIGTERM, SIGHUP, SIGQUIT])
        let stage = DemoStage()
        defer { stage.clear() }
        try stage.build(port: port.map { UInt16($0) }, workers: workers)
        return try Demo(stage, signals).run()
    }

    private static func number(
        _ words: Words, _ option: String, in range: ClosedRange<Int>
    ) throws(Failure) -> Int? {
        guard let text = words.options[option] else { return nil }
        guard let number = Int(text), range.contains(number) else {
            throw Commands.demoSyntax.wrong(
                "\(option) has to be a number from \(range.lowerBound) to \(range.upperBound), "
                    + "not \"\(text)\"")
        }
        return number
    }
}

/// A demo whose processes run: watches them, shows what happens, and ends.
private final class Demo {
    private let stage: DemoStage
    private let signals: SignalSource
    private let screen: DemoScreen
    /// Of the balancer's log, what is no whole line yet.
    private var unfinished: [UInt8] = []
    private var serves = false
    private var board: BoardMemory?

    /// Milliseconds between two pictures: four a second are calm, and soon enough.
    private static let frame = 250
    /// Milliseconds in which a balancer has to start. It takes about 100.
    private static let patience = 30_000

    init(_ stage: DemoStage, _ signals: SignalSource) {
        self.stage = stage
        self.signals = signals
        screen = DemoScreen(Terminal(STDOUT_FILENO))
    }

    /// Runs until somebody ends it; the exit code.
    func run() throws(Failure) -> Int32 {
        while true {
            let watched = [signals.descriptor, stage.log.number, stage.supervisor.handle.number]
            let wait = serves ? (screen.isLive ? Self.frame : -1) : Self.patience
            let heard = waitForReading(watched, milliseconds: wait)
            if heard.contains(0), signals.next() != nil {
                screen.end()
                say("leaving")
                stage.leave(hurriedBy: signals)
                return 0
            }
            if heard.contains(1) { try takeLog() }
            // Its log comes first: it says why.
            if heard == [2] {
                screen.end()
                throw .system("the balancer has ended by itself; see the lines above")
            }
            if heard.isEmpty, !serves { throw .system("the balancer does not start") }
            if serves, screen.isLive, !show() { return 0 }
        }
    }

    private func takeLog() throws(Failure) {
        guard case .done = readSome(stage.log.number, into: &unfinished) else {
            // Its end: from here on only the supervisor's own end is to be awaited.
            stage.silenceLog()
            return
        }
        while let end = unfinished.firstIndex(of: UInt8(ascii: "\n")) {
            let line = String(decoding: unfinished[..<end], as: UTF8.self)
            unfinished.removeSubrange(...end)
            if !serves, line.contains("serving: ") { try begin() }
            screen.note(line)
        }
    }

    /// The balancer serves: says what there is and what to try.
    private func begin() throws(Failure) {
        serves = true
        stage.removeFolder()
        board = try BoardMemory(
            stage.board, count: BoardMemory.size(of: stage.board), writes: false)
        screen.begin(stage.introduction(Terminal(STDOUT_FILENO)))
    }

    /// False if nobody is there to look any more.
    private func show() -> Bool {
        stage.reapNodes()
        guard let board else { return true }
        // Anew each time: a balancer that was started anew lays it out anew.
        let rows =
            unsafe BoardReader(memory: UnsafeRawBufferPointer(board.bytes))?.rows() ?? []
        return screen.draw(rows, processes: stage.nodes.map(\.process), now: monotonicNow())
    }
}
