// The admin thread: one loop over a listening socket and a few connections. It shares nothing with the
// workers; a client that is slow, hostile or one too many costs it a place, and nobody else anything.

import Base
import HTTP
import Net

/// That thread's, from its first turn to its last.
struct AdminLoop: ~Copyable {
    /// Enough for a few scrapers and people; the oldest that waits makes room for the newest.
    static let connectionLimit = 64
    /// What all answers under way may hold, beside the newest: a page of a very large configuration
    /// has a few megabytes. Who has been at it longest makes room.
    private static let answerLimit = 64 << 20
    /// Taken in one turn.
    private static let acceptsPerTurn = 16

    private let poller: Poller
    private let mailbox: AdminMailbox
    private let source: @Sendable () -> Snapshot
    private let timeouts: AdminTimeouts
    private var head: RequestHead
    private var listener: (fd: Int32, token: UInt64)?
    /// Only this machine may ask.
    private var isPrivate = true
    /// Descriptors are used up: the listener rests until then.
    private var restsUntil: Nanoseconds?
    private var connections: [UInt64: AdminConnection] = [:]
    /// Those with more to do, without an event that says so.
    private var pending: Set<UInt64> = []
    // Never used twice, so that a late event leads nowhere.
    private var nextToken: UInt64 = 1

    private static let wakeupToken: UInt64 = 0
    private static let rest: Nanoseconds = 200_000_000

    init(
        _ mailbox: AdminMailbox, timeouts: AdminTimeouts, source: @escaping @Sendable () -> Snapshot
    ) throws(SystemError) {
        poller = try Self.poller(mailbox.wakeup)
        head = RequestHead(
            limits: HeadLimits(target: 1024, head: AdminConnection.headLimit, fields: 100))
        self.mailbox = mailbox
        self.timeouts = timeouts
        self.source = source
    }

    private static func poller(_ wakeup: Wakeup) throws(SystemError) -> Poller {
        let poller = try Poller()
        guard poller.addLevel(wakeup.fd, token: wakeupToken) else { throw .last("epoll_ctl") }
        return poller
    }

    mutating func run() {
        while true {
            let due = pending
            pending = []
            let count = poller.wait(milliseconds: due.isEmpty ? patience(monotonicNow()) : 0)
            let now = monotonicNow()
            for index in 0..<count {
                let token = poller[index].token
                if token == Self.wakeupToken {
                    mailbox.wakeup.clear()
                } else if token == listener?.token {
                    accept(now)
                } else {
                    drive(token, now)
                }
            }
            for token in due { drive(token, now) }
            guard takeOrders(now) else { break }
            expire(now)
        }
        if let listener { IO.close(listener.fd) }
        listener = nil
        connections = [:]
    }

    /// Milliseconds until something is due.
    private func patience(_ now: Nanoseconds) -> Int32 {
        var due = connections.values.map(\.deadline).min() ?? .max
        if let restsUntil { due = min(due, restsUntil) }
        if due == .max { return -1 }
        return due <= now ? 0 : Int32(clamping: (due - now) / 1_000_000 + 1)
    }

    /// False: it is over.
    private mutating func takeOrders(_ now: Nanoseconds) -> Bool {
        let orders = mailbox.take()
        if let socket = orders.socket {
            // Who is connected already is answered, wherever it came in.
            if let listener {
                // The supervisor holds the same socket: closing ours does not take it off the poller.
                poller.remove(listener.fd)
                IO.close(listener.fd)
            }
            listener = socket.map { ($0.fd, token()) }
            isPrivate = socket?.isPrivate ?? true
            restsUntil = nil
            watch()
        }
        return !orders.isOver
    }

    private mutating func token() -> UInt64 {
        defer { nextToken += 1 }
        return nextToken
    }

    private func watch() {
        guard let listener, !poller.addLevel(listener.fd, token: listener.token) else { return }
        Log.error("the admin address cannot be watched: \(SystemError.last("epoll_ctl"))")
    }

    private mutating func expire(_ now: Nanoseconds) {
        if let until = restsUntil, until <= now {
            restsUntil = nil
            watch()
        }
        for (token, connection) in connections where connection.deadline <= now {
            connections[token] = nil
        }
    }

    // MARK: Connections

    private mutating func accept(_ now: Nanoseconds) {
        guard let listener else { return }
        for _ in 0..<Self.acceptsPerTurn {
            switch Socket.accept(listener.fd) {
            case .connection(let fd, _):
                if connections.count >= Self.connectionLimit { makeRoom() }
                let token = token()
                let connection = AdminConnection(fd: fd, now: now, timeouts: timeouts)
                guard poller.add(fd, token: token) else { continue }
                connections[token] = connection
            case .gone: continue
            case .wait: return
            case .exhausted, .failed:
                poller.remove(listener.fd)
                restsUntil = now &+ Self.rest
                return
            }
        }
    }

    /// The one that has waited longest for its client goes; one that is being answered only if there
    /// is no other.
    private mutating func makeRoom() {
        let victim = connections.min {
            let (a, b) = ($0.value, $1.value)
            let (first, second) = (a.phase == .answering, b.phase == .answering)
            return first == second ? a.since < b.since : !first
        }
        if let victim { connections[victim.key] = nil }
    }

    private mutating func dropHoarders() {
        var held = connections.values.reduce(0) { $0 + $1.unsent }
        while held > Self.answerLimit {
            let oldest = connections.filter { $0.value.unsent > 0 }.min {
                $0.value.deadline < $1.value.deadline
            }
            guard let oldest else { return }
            held -= oldest.value.unsent
            connections[oldest.key] = nil
        }
    }

    private mutating func drive(_ token: UInt64, _ now: Nanoseconds) {
        guard let connection = connections[token] else { return }
        switch connection.drive(now: now, judge: { judge($0) }) {
        case .wait: break
        case .again: pending.insert(token)
        case .over: connections[token] = nil
        }
    }

    // MARK: Answers

    /// What is to be said to what has come; nil: it is not whole.
    private mutating func judge(_ bytes: [UInt8]) -> AdminConnection.Request? {
        switch head.parse(bytes.span) {
        case .incomplete: return nil
        case .invalid(let fault):
            return AdminConnection.Request(
                length: bytes.count,
                answer: Answer.sentence(
                    fault.status, fault.sentence.description, closes: true, headOnly: false),
                closes: true)
        case .complete(let length):
            let path = String(decoding: bytes[head.path.indices], as: UTF8.self)
            // A body is not read, so nothing can follow it.
            let closes = !head.keepAlive || head.framing.hasBody
            guard !isPrivate || isOwnName(bytes.span.extracting(head.authority.indices)) else {
                return AdminConnection.Request(
                    length: length,
                    answer: Answer.sentence(
                        421, "this is asked for by its IP address, or as localhost", closes: true,
                        headOnly: head.method == .head), closes: true)
            }
            return answer(path, length: length, closes: closes)
        }
    }

    /// A page in somebody's browser can have a name of its own lead here (DNS rebinding), and would read
    /// what it may not see. It cannot have the browser name an address instead.
    private func isOwnName(_ authority: Span<UInt8>) -> Bool {
        // An HTTP/1.0 client names nobody, and is no browser.
        if authority.isEmpty { return true }
        let text = [UInt8](capacity: authority.count) { out in
            for i in 0..<authority.count { out.append(authority[i]) }
        }
        var host = String(decoding: text, as: UTF8.self).lowercased()[...]
        if host.hasPrefix("["), let end = host.firstIndex(of: "]") {
            host = host[host.index(after: host.startIndex)..<end]
        } else if let colon = host.lastIndex(of: ":") {
            host = host[..<colon]
        }
        if host.hasSuffix(".") { host = host.dropLast() }
        return IPAddress(String(host)) != nil || host == "localhost"
            || host.hasSuffix(".localhost")
    }

    private mutating func answer(
        _ path: String, length: Int, closes: Bool
    ) -> AdminConnection.Request {
        func request(_ answer: [UInt8], closes: Bool) -> AdminConnection.Request {
            AdminConnection.Request(length: length, answer: answer, closes: closes)
        }
        let headOnly = head.method == .head
        guard let page = Page(path: path) else {
            return request(
                Answer.sentence(
                    404, "nothing is here; there are /metrics and /state", closes: closes,
                    headOnly: headOnly), closes: closes)
        }
        guard head.method == .get || headOnly else {
            return request(
                Answer.sentence(
                    405, "this can only be read: GET and HEAD", fields: "Allow: GET, HEAD\r\n",
                    closes: true, headOnly: false), closes: true)
        }
        dropHoarders()
        return request(
            Answer.bytes(
                status: 200, contentType: page.contentType, body: page.text(source),
                closes: closes, headOnly: headOnly), closes: closes)
    }
}
