// A server of a few lines for one test: each connection on a thread of its own, with whatever manners
// the test gives it; and what a test needs to wait without sleeping.

import Base
import CLinux
import Glibc
import Net
import Synchronization

/// Listens on a port of the kernel's choice until it is gone.
final class TinyServer: Sendable {
    /// One connection, used by its own thread only.
    struct Connection: Sendable {
        let fd: Int32
        /// How many came before it.
        let number: Int
        private let stop: Wakeup

        init(fd: Int32, number: Int, stop: Wakeup) {
            self.fd = fd
            self.number = number
            self.stop = stop
        }

        /// What has come once `end` has: the bytes up to now, or less if the peer left.
        @discardableResult
        func read(until end: String = "\r\n\r\n") -> String {
            var bytes: [UInt8] = []
            let wanted = Array(end.utf8)
            while !bytes.suffix(wanted.count).elementsEqual(wanted) {
                var byte = [UInt8](repeating: 0, count: 1)
                switch unsafe byte.withUnsafeMutableBytes({ unsafe IO.read(fd, into: $0) }) {
                case .done: bytes.append(byte[0])
                case .wait where wait(POLLIN): continue
                case .wait, .closed, .failed: return String(decoding: bytes, as: UTF8.self)
                }
            }
            return String(decoding: bytes, as: UTF8.self)
        }

        /// False: the peer has left.
        @discardableResult
        func send(_ text: String) -> Bool {
            let bytes = Array(text.utf8)
            var sent = 0
            while sent < bytes.count {
                switch IO.send(fd, bytes.span.extracting(sent..<bytes.count)) {
                case .done(let count): sent += count
                case .wait: guard wait(POLLOUT) else { return false }
                case .closed, .failed: return false
                }
            }
            return true
        }

        /// Waits for the peer to leave. False: the test was over first.
        @discardableResult
        func awaitEnd() -> Bool {
            var room = [UInt8](repeating: 0, count: 4096)
            while true {
                switch unsafe room.withUnsafeMutableBytes({ unsafe IO.read(fd, into: $0) }) {
                case .done: continue
                case .wait: guard wait(POLLIN) else { return false }
                case .closed, .failed: return true
                }
            }
        }

        /// Waits for so long, or until the test is over: the manners of a slow node.
        func dawdle(milliseconds: Int32) -> Bool {
            var stop = pollfd(fd: stop.fd, events: Int16(POLLIN), revents: 0)
            return unsafe poll(&stop, 1, milliseconds) == 0
        }

        /// False: the test is over.
        private func wait(_ events: Int32) -> Bool {
            let both = [
                pollfd(fd: fd, events: Int16(events), revents: 0),
                pollfd(fd: stop.fd, events: Int16(POLLIN), revents: 0),
            ]
            var waiting = both
            let count = unsafe waiting.withUnsafeMutableBufferPointer {
                unsafe poll($0.baseAddress, 2, 20_000)
            }
            return count > 0 && waiting[1].revents == 0
        }
    }

    let port: UInt16
    private let listener: Int32
    private let stop: Wakeup
    private let threads = Guarded<[Thread]>([])
    private let taken = Atomic<Int>(0)

    /// Connections that were taken.
    var count: Int { taken.load(ordering: .acquiring) }
    var address: SocketAddress { SocketAddress(.v4Loopback, port: port) }

    init(_ manners: @escaping @Sendable (Connection) -> Void) throws {
        listener = try Socket.listen(SocketAddress(.v4Loopback, port: 0), shared: false)
        port = Socket.localAddress(listener)?.port ?? 0
        stop = try Wakeup()
        let (listener, stop) = (listener, stop)
        let accepting = try Thread("test-accept") { [unowned self] in
            var waiting = [
                pollfd(fd: listener, events: Int16(POLLIN), revents: 0),
                pollfd(fd: stop.fd, events: Int16(POLLIN), revents: 0),
            ]
            while true {
                _ = unsafe waiting.withUnsafeMutableBufferPointer {
                    unsafe poll($0.baseAddress, 2, -1)
                }
                if waiting[1].revents != 0 { return }
                guard case .connection(let fd, _) = Socket.accept(listener) else { continue }
                let number = taken.wrappingAdd(1, ordering: .acquiringAndReleasing).oldValue
                let connection = Connection(fd: fd, number: number, stop: stop)
                let serving = try? Thread("test-serve") {
                    manners(connection)
                    IO.close(fd)
                }
                if let serving { threads.withLock { $0.append(serving) } }
            }
        }
        threads.withLock { $0.append(accepting) }
    }

    /// Ends it and all its threads. Call once, at the end of the test.
    func end() {
        stop.signal()
        while let thread = threads.withLock({ $0.popLast() }) { thread.join() }
        IO.close(listener)
        stop.close()
    }

    /// Answers every request with the same.
    static func answering(_ reply: String) throws -> TinyServer {
        try TinyServer { connection in
            connection.read()
            connection.send(reply)
        }
    }

    static func response(_ status: Int, _ body: String = "") -> String {
        "HTTP/1.1 \(status) Whatever\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    /// A port of this machine at which nobody listens.
    static func deadAddress() throws -> SocketAddress {
        let listener = try Socket.listen(SocketAddress(.v4Loopback, port: 0), shared: false)
        defer { IO.close(listener) }
        return Socket.localAddress(listener) ?? SocketAddress(.v4Loopback, port: 1)
    }
}

/// Something that happens on one thread and is waited for on another.
final class Gate: Sendable {
    private let wakeup: Wakeup

    init() throws { wakeup = try Wakeup() }

    deinit { wakeup.close() }

    func ring() { wakeup.signal() }

    /// Waits until `condition` holds, looking whenever somebody rang, at most ten seconds.
    func await(_ condition: () -> Bool) -> Bool {
        let end = monotonicNow() + 10_000_000_000
        while !condition() {
            let now = monotonicNow()
            if now >= end { return false }
            var wait = pollfd(fd: wakeup.fd, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&wait, 1, Int32((end - now) / 1_000_000 + 1))
            wakeup.clear()
        }
        return true
    }
}

/// The lines of the whole process's log, of which a test looks for those of its own pool.
enum Lines {
    private static let all = Guarded<[String]>([])
    private static let started: Void = Log.start(
        level: .info, clock: { Timestamp(nanoseconds: 0) },
        sink: { line in all.withLock { $0.append(String(decoding: line, as: UTF8.self)) } })

    static func collect() { started }

    /// From the level on, without the moment and the newline.
    static func about(_ words: String) -> [String] {
        all.withLock { $0 }.filter { $0.contains(words) }
            .map { String($0.dropFirst(Timestamp.textLength + 1).dropLast()) }
    }
}
