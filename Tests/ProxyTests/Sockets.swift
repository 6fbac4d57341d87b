// A client and a node with plain blocking sockets, for tests of a single worker. Whole processes are
// driven by TestKit.

import Base
import Glibc
import Net

struct Broken: Error, CustomStringConvertible {
    let description: String
    init(_ text: String) { description = text }
}

/// A blocking connection with a deadline of 10 s on every wait. One thread's at a time.
final class Conversation: @unchecked Sendable {
    let fd: Int32
    private var pending: [UInt8] = []

    init(port: UInt16) throws {
        fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let connected = unsafe withUnsafeBytes(of: &address) {
            unsafe connect(
                fd, $0.assumingMemoryBound(to: sockaddr.self).baseAddress!,
                socklen_t(MemoryLayout<sockaddr_in>.size))
        }
        guard connected == 0 else { throw Broken("connect: \(errorText(errno))") }
        setPatience()
    }

    init(accepted fd: Int32) {
        self.fd = fd
        setPatience()
    }

    deinit { close(fd) }

    private func setPatience() {
        var patience = timeval(tv_sec: 10, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        unsafe setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, size)
        unsafe setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, size)
    }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let n = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.send(
                    fd, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard n > 0 else { throw Broken("send: \(errorText(errno))") }
            sent += n
        }
    }

    func endSending() { shutdown(fd, Int32(SHUT_WR)) }

    /// Closing will reset the connection.
    func resetOnClose() { Socket.resetOnClose(fd) }

    /// Sends until the peer takes no more for `milliseconds`, or it fails; how many bytes went.
    func sendWhileTaken(_ limit: Int, quiet milliseconds: Int32) -> Int {
        let block = [UInt8](repeating: 0x61, count: 65_536)
        var sent = 0
        while sent < limit {
            var wait = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
            guard unsafe poll(&wait, 1, milliseconds) == 1 else { break }
            let n = unsafe Glibc.send(
                fd, block, min(block.count, limit - sent), Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)
            )
            if n < 0 && errno == EAGAIN { continue }
            guard n > 0 else { break }
            sent += n
        }
        return sent
    }

    /// More bytes, or false at the end.
    private func more() throws -> Bool {
        var block = [UInt8](repeating: 0, count: 65_536)
        let n = unsafe recv(fd, &block, block.count, 0)
        guard n >= 0 else { throw Broken("receive: \(errorText(errno))") }
        pending += block[..<n]
        return n > 0
    }

    /// Everything up to and with `mark`.
    func read(until mark: String) throws -> String {
        let mark = Array(mark.utf8)
        var from = 0
        while true {
            while from + mark.count <= pending.count {
                if pending[from..<from + mark.count].elementsEqual(mark) {
                    let found = Array(pending[..<(from + mark.count)])
                    pending.removeFirst(found.count)
                    return String(decoding: found, as: UTF8.self)
                }
                from += 1
            }
            guard try more() else {
                throw Broken("it ended after: \(String(decoding: pending, as: UTF8.self))")
            }
        }
    }

    func read(count: Int) throws -> [UInt8] {
        while pending.count < count {
            guard try more() else { throw Broken("it ended after \(pending.count) bytes") }
        }
        let found = Array(pending[..<count])
        pending.removeFirst(count)
        return found
    }

    /// All there is until the peer ends.
    func readAll() throws -> String {
        while try more() {}
        defer { pending = [] }
        return String(decoding: pending, as: UTF8.self)
    }

    /// A response with a Content-Length: its head and body.
    func response() throws -> (head: String, body: String) {
        let head = try read(until: "\r\n\r\n")
        var length = 0
        for line in head.split(separator: "\r\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2, parts[0].lowercased() == "content-length" {
                length = Int(parts[1].drop { $0 == " " })!
            }
        }
        return (head, String(decoding: try read(count: length), as: UTF8.self))
    }
}

/// A node whose every connection is served by `serve` on a thread of its own.
final class TestNode: Sendable {
    let port: UInt16
    private let listener: Int32
    private let thread: Thread

    init(_ serve: @escaping @Sendable (Conversation) throws -> Void) throws {
        let address = SocketAddress(.v4Loopback, port: 0)
        let listener = try Socket.listen(address, shared: false)
        self.listener = listener
        port = Socket.localAddress(listener)!.port
        _ = fcntl(listener, F_SETFL, 0)
        thread = try Thread("node") {
            while true {
                // Not for the children of other tests: an end would wait for theirs.
                guard case .connection(let fd, _) = Socket.accept(listener) else { return }
                _ = fcntl(fd, F_SETFL, 0)
                let conversation = try? Thread("conversation") {
                    try? serve(Conversation(accepted: fd))
                }
                conversation?.detach()
            }
        }
    }

    deinit {
        Socket.end(listener)
        thread.join()
        close(listener)
    }

    /// Answers every request without a body with `answer`, on connections that stay.
    static func answering(_ answer: String) throws -> TestNode {
        try TestNode { conversation in
            while true {
                _ = try conversation.read(until: "\r\n\r\n")
                try conversation.send(answer)
            }
        }
    }
}
