// One connection of somebody who asks: its bytes, how far its answer has gone, and until when it may take
// for what it is at. Bounded in every direction; what it is told comes from AdminLoop.

import Base
import Net

/// How long a client may take. Nanoseconds.
package struct AdminTimeouts: Sendable {
    /// From its first byte to the end of a request's head.
    package var head: Nanoseconds = 5_000_000_000
    /// Without a byte, before its first request or after the last one.
    package var idle: Nanoseconds = 75_000_000_000
    /// To take a whole answer.
    package var answer: Nanoseconds = 30_000_000_000
    /// To end, after it was told that nothing more comes.
    package var leaving: Nanoseconds = 1_000_000_000

    package init() {}
}

/// The admin thread's.
final class AdminConnection {
    enum Phase {
        /// Nothing has come yet, or nothing since the last answer.
        case idle
        /// A part of a request has come.
        case head
        case answering
        /// All is said; what still comes is thrown away, so that no reset overtakes the answer.
        case leaving
    }

    enum Progress {
        case wait
        /// There is more to do, when others had their turn.
        case again
        case over
    }

    /// A whole request head at most.
    static let headLimit = 8192
    /// What one that is leaving may still send.
    private static let rubbishLimit = 65_536

    let fd: Int32
    let since: Nanoseconds
    private(set) var phase = Phase.idle
    private(set) var deadline: Nanoseconds
    private let timeouts: AdminTimeouts
    private var received: [UInt8] = []
    private var answer: [UInt8] = []
    private var sent = 0
    private var closesAfterwards = false
    /// The client says nothing more.
    private var hasEnded = false
    private var rubbish = 0

    init(fd: Int32, now: Nanoseconds, timeouts: AdminTimeouts) {
        self.fd = fd
        self.timeouts = timeouts
        since = now
        deadline = now &+ timeouts.idle
    }

    deinit { IO.close(fd) }

    /// Bytes of an answer that it has not taken yet.
    var unsent: Int { answer.count - sent }

    /// What a client said, to be answered.
    struct Request {
        /// How many of the received bytes it was.
        var length: Int
        var answer: [UInt8]
        var closes: Bool
    }

    /// Does what can be done now; at most one request is answered. `judge` looks at what has come and
    /// has an answer, or nil if that is no whole request yet.
    func drive(now: Nanoseconds, judge: ([UInt8]) -> Request?) -> Progress {
        if phase == .leaving { return leave() }
        if phase == .answering { return send(now) }
        while true {
            if !received.isEmpty {
                if let request = judge(received) {
                    received.removeFirst(request.length)
                    answer = request.answer
                    sent = 0
                    closesAfterwards = request.closes || (hasEnded && received.isEmpty)
                    phase = .answering
                    deadline = now &+ timeouts.answer
                    return send(now)
                }
                if hasEnded { return .over }
            }
            switch read() {
            case .done:
                if phase == .idle {
                    phase = .head
                    deadline = now &+ timeouts.head
                }
            case .wait: return .wait
            case .closed:
                hasEnded = true
                if received.isEmpty { return .over }
            case .failed: return .over
            }
        }
    }

    private func read() -> Transfer {
        var room = [UInt8](repeating: 0, count: Self.headLimit + 1 - received.count)
        let outcome = unsafe room.withUnsafeMutableBytes { unsafe IO.read(fd, into: $0) }
        if case .done(let count) = outcome { received += room[..<count] }
        return outcome
    }

    private func send(_ now: Nanoseconds) -> Progress {
        while sent < answer.count {
            switch IO.send(fd, answer.span.extracting(sent..<answer.count)) {
            case .done(let count): sent += count
            case .wait: return .wait
            case .closed, .failed: return .over
            }
        }
        answer = []
        sent = 0
        if closesAfterwards {
            Socket.endSending(fd)
            phase = .leaving
            deadline = now &+ timeouts.leaving
            return hasEnded ? .over : .again
        }
        phase = received.isEmpty ? .idle : .head
        deadline = now &+ (received.isEmpty ? timeouts.idle : timeouts.head)
        return .again
    }

    private func leave() -> Progress {
        var room = [UInt8](repeating: 0, count: 4096)
        while rubbish < Self.rubbishLimit {
            switch unsafe room.withUnsafeMutableBytes({ unsafe IO.read(fd, into: $0) }) {
            case .done(let count): rubbish += count
            case .wait: return .wait
            case .closed, .failed: return .over
            }
        }
        return .over
    }
}
