// A TCP client that sends what it is told, right or wrong, and waits for nothing without a deadline.
// Reading answers is in RawClient+Response.swift. One test's, one thread's.

import CLinux
import Glibc

/// One connection to 127.0.0.1. Closed when this goes.
package final class RawClient {
    package enum End: Equatable, Sendable {
        /// The other side has said its last byte.
        case closed
        /// It was torn down, and bytes may be lost.
        case reset
    }

    let fd: Int32
    /// Seconds that each call may take, unless it says otherwise.
    package var patience: Double
    /// What requests name where they name none themselves.
    package let host: String
    /// How the other side has ended the connection, once it has.
    package private(set) var end: End?
    /// Bytes that arrived and nobody asked for yet.
    package private(set) var unread: ArraySlice<UInt8> = []

    /// Connects.
    ///
    /// - Parameters:
    ///   - receiveBuffer: bytes the kernel takes in for a client that does not read; small for tests
    ///     of back-pressure.
    ///   - source: its own address, in 127.0.0.0/8: 127.0.0.1 is 0x7F000001.
    package init(
        port: UInt16, within seconds: Double = 10, receiveBuffer: Int32? = nil,
        host: String = "test.example", from source: UInt32 = 0x7F00_0001
    ) throws {
        let kind = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        let fd = Glibc.socket(AF_INET, Int32(kind), 0)
        self.fd = fd
        patience = seconds
        self.host = host
        guard fd >= 0 else { throw TestFailure("socket: \(errorWords(clinux_errno()))") }
        if var size = receiveBuffer {
            _ = unsafe setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, 4)
        }
        var on: Int32 = 1
        _ = unsafe setsockopt(fd, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
        if source != 0x7F00_0001 { try bind(to: source) }
        var address = loopback(port: port)
        let result = unsafe withUnsafePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if result != 0, clinux_errno() != EINPROGRESS {
            throw TestFailure("port \(port): \(errorWords(clinux_errno()))")
        }
        guard wait(for: POLLOUT, until: Deadline(seconds: seconds)) else {
            throw TestFailure("port \(port) does not answer within \(seconds) s")
        }
        var code: Int32 = 0
        var length: socklen_t = 4
        _ = unsafe getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length)
        guard code == 0 else { throw TestFailure("port \(port): \(errorWords(code))") }
    }

    /// Another address of 127.0.0.0/8, as if another client came.
    private func bind(to source: UInt32) throws {
        var address = loopback(port: 0)
        address.sin_addr.s_addr = source.bigEndian
        let result = unsafe withUnsafePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe Glibc.bind(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw TestFailure("bind: \(errorWords(clinux_errno()))") }
    }

    deinit { _ = close(fd) }

    /// Whether a connection can be made: for ports that are to be closed, or to open.
    package static func canConnect(to port: UInt16) -> Bool {
        (try? RawClient(port: port, within: 2)) != nil
    }

    // MARK: Sending

    /// Sends all of it.
    package func send(_ text: String) throws { try send(Array(text.utf8)) }

    package func send(_ bytes: [UInt8]) throws { try send(bytes[...]) }

    package func send(_ bytes: ArraySlice<UInt8>) throws {
        let deadline = Deadline(seconds: patience)
        var rest = bytes
        while !rest.isEmpty {
            switch sendSome(rest) {
            case .success(let n): rest = rest.dropFirst(n)
            case .failure(let error): throw error
            }
            if !rest.isEmpty, !wait(for: POLLOUT, until: deadline) {
                throw TestFailure("\(rest.count) bytes were not taken within \(patience) s")
            }
        }
    }

    /// Sends the first `n` bytes of the pattern, in any number of gigabytes. `patience` is for each
    /// 64 KiB.
    package func sendPattern(_ n: Int) throws {
        var left = n
        while left > 0 {
            let size = min(left, Pattern.period.count)
            try send(Pattern.period[..<size])
            left -= size
        }
    }

    /// Sends the pattern for as long as it is taken, and says how much that was: for tests of
    /// back-pressure.
    ///
    /// - Parameter quiet: seconds without a byte taken that mean no more will be.
    /// - Parameter limit: gives up here, with a failure: nothing holds the bytes back.
    package func sendPatternUntilStalled(quiet: Double = 1, limit: Int) throws -> Int {
        var sent = 0
        while sent < limit {
            let at = sent % Pattern.period.count
            let rest = Pattern.period[at...].prefix(limit - sent)
            sent += try sendSome(rest).get()
            if !wait(for: POLLOUT, until: Deadline(seconds: quiet)) { return sent }
        }
        throw TestFailure("all \(limit) bytes were taken, and nothing held them back")
    }

    private func sendSome(_ bytes: ArraySlice<UInt8>) -> Result<Int, TestFailure> {
        let n = unsafe bytes.withUnsafeBytes {
            unsafe Glibc.send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        if n >= 0 { return .success(n) }
        let code = clinux_errno()
        if code == EAGAIN || code == EINTR { return .success(0) }
        return .failure(TestFailure("send: \(errorWords(code))"))
    }

    /// Nothing has come, not even the peer's end.
    package var isOpen: Bool {
        var byte: UInt8 = 0
        return unsafe recv(fd, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)) < 0
            && errno == EAGAIN
    }

    /// Says that no more bytes will come from here.
    package func endSending() { _ = shutdown(fd, Int32(SHUT_WR)) }

    /// Tears the connection down: the other side sees a reset.
    package func reset() {
        var option = linger(l_onoff: 1, l_linger: 0)
        _ = unsafe setsockopt(
            fd, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        // Connecting to nothing is how a socket is dropped that deinit will close once more.
        var nothing = sockaddr()
        nothing.sa_family = sa_family_t(AF_UNSPEC)
        _ = unsafe connect(fd, &nothing, socklen_t(MemoryLayout<sockaddr>.size))
        end = .reset
    }

    // MARK: Reading

    /// The next bytes, whatever their number, or nil when the connection has ended: `end` says how.
    package func readSome(until deadline: Deadline? = nil) throws -> ArraySlice<UInt8>? {
        if unread.isEmpty, try !fill(until: deadline ?? Deadline(seconds: patience)) { return nil }
        defer { unread = [] }
        return unread
    }

    package func read(exactly n: Int) throws -> [UInt8] {
        let deadline = Deadline(seconds: patience)
        while unread.count < n {
            guard try fill(until: deadline) else {
                throw TestFailure("\(ending) after \(unread.count) of \(n) bytes: \(sample)")
            }
        }
        defer { unread = unread.dropFirst(n) }
        return Array(unread.prefix(n))
    }

    /// Up to and with `text`, as text.
    package func read(until text: String) throws -> String {
        let deadline = Deadline(seconds: patience)
        let wanted = Array(text.utf8)
        var searched = 0
        while true {
            let bytes = Array(unread)
            var at = searched
            while at + wanted.count <= bytes.count {
                if bytes[at] == wanted[0], bytes[at..<(at + wanted.count)] == wanted[...] {
                    unread = unread.dropFirst(at + wanted.count)
                    return String(decoding: bytes[..<(at + wanted.count)], as: UTF8.self)
                }
                at += 1
            }
            searched = at
            guard try fill(until: deadline) else {
                throw TestFailure("\(ending) before \(text.debugDescription) came: \(sample)")
            }
        }
    }

    /// All there is to come until the connection ends; `end` says how it did.
    package func readToEnd() throws -> [UInt8] {
        let deadline = Deadline(seconds: patience)
        while try fill(until: deadline) {}
        defer { unread = [] }
        return Array(unread)
    }

    /// Waits for the end of the connection; bytes before it are a failure.
    package func waitForEnd(within seconds: Double? = nil) throws -> End {
        if try unread.isEmpty && !fill(until: Deadline(seconds: seconds ?? patience)),
            let end
        {
            return end
        }
        throw TestFailure("bytes came where the connection was to end: \(sample)")
    }

    /// Makes sure that neither bytes nor the end come for this long.
    package func expectSilence(for seconds: Double) throws {
        guard unread.isEmpty, end == nil else {
            throw TestFailure("there was no silence but \(end.map { "\($0)" } ?? sample)")
        }
        if wait(for: POLLIN, until: Deadline(seconds: seconds)) {
            _ = try fill(until: Deadline(seconds: 0))
            throw TestFailure("the silence was broken by \(end.map { "\($0)" } ?? sample)")
        }
    }

    /// Reads more behind `unread`. False if the connection has ended.
    func fill(until deadline: Deadline) throws -> Bool {
        if end != nil { return false }
        var piece = [UInt8](repeating: 0, count: 65_536)
        while true {
            let n = unsafe piece.withUnsafeMutableBytes {
                unsafe recv(fd, $0.baseAddress, $0.count, 0)
            }
            if n > 0 {
                if unread.isEmpty { unread = piece[..<n] } else { unread += piece[..<n] }
                return true
            }
            if n == 0 {
                end = .closed
                return false
            }
            let code = clinux_errno()
            if code == ECONNRESET || code == EPIPE {
                end = .reset
                return false
            }
            guard code == EAGAIN || code == EINTR else {
                throw TestFailure("recv: \(errorWords(code))")
            }
            guard wait(for: POLLIN, until: deadline) else {
                throw TestFailure("nothing more came in time behind: \(sample)")
            }
        }
    }

    /// Takes bytes off the front of `unread`.
    func drop(_ n: Int) { unread = unread.dropFirst(n) }

    var ending: String { end == .reset ? "the connection was reset" : "the connection ended" }

    /// The beginning of what is unread, for failures.
    var sample: String {
        unread.isEmpty
            ? "(no bytes)" : String(decoding: unread.prefix(400), as: UTF8.self).debugDescription
    }

    private func wait(for event: Int32, until deadline: Deadline) -> Bool {
        var wait = pollfd(fd: fd, events: Int16(event), revents: 0)
        while true {
            let n = unsafe poll(&wait, 1, deadline.milliseconds)
            if n > 0 { return true }
            if n == 0, deadline.isOver { return false }
        }
    }
}
