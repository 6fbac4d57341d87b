// Asks a running Trivet at its admin address, and waits: for commands that want to know one thing. Not a
// client for anything else.

import Base
import CLinux
import Config
import Glibc
import Net

struct AdminClient {
    let address: HostPort
    /// For all of it together.
    private static let limit: Nanoseconds = 10_000_000_000
    /// What `/state` of the largest configuration stays well below.
    private static let sizeLimit = 256 << 20

    /// The process id of the supervisor that serves there.
    func supervisor() throws(Failure) -> pid_t {
        let answer = try get("/state")
        let found = JSON.find(Array("/supervisor_pid".utf8).span, in: answer.span)
        guard case .number(let number) = found, let process = pid_t(exactly: number), process > 0
        else { throw .system("what answers at \(address) is no Trivet") }
        return process
    }

    /// The body of a good answer.
    func get(_ path: String) throws(Failure) -> [UInt8] {
        let deadline = monotonicNow() &+ Self.limit
        let socket = try connect(until: deadline)
        defer { withExtendedLifetime(socket) {} }
        let request = "GET \(path) HTTP/1.1\r\nHost: \(address)\r\nConnection: close\r\n\r\n"
        guard IO.writeAll(socket.number, Array(request.utf8).span) else { throw silence(errno) }
        var heard: [UInt8] = []
        while heard.count < Self.sizeLimit {
            switch readSome(socket.number, into: &heard) {
            case .done: continue
            case .wait: try wait(for: POLLIN, socket.number, until: deadline)
            case .failed(let code): throw silence(code)
            case .closed:
                guard let body = Self.body(of: heard) else {
                    throw .system("what answers at \(address) is no Trivet")
                }
                return body
            }
        }
        throw .system("what answers at \(address) does not come to an end")
    }

    private func connect(until deadline: Nanoseconds) throws(Failure) -> Descriptor {
        guard case .ip(let ip, let port) = address, port != 0 else {
            throw .input(["the admin address \(address) does not say where Trivet can be asked"])
        }
        // Who listens everywhere listens on the loopback.
        let target =
            ip == .v4Any ? .v4Loopback : ip == .v6Any ? IPAddress(high: 0, low: 1) : ip
        switch Socket.connect(SocketAddress(target, port: port)) {
        case .connected(let fd): return Descriptor(fd)
        case .failed(let code): throw silence(code)
        case .started(let fd):
            let socket = Descriptor(fd)
            defer { withExtendedLifetime(socket) {} }
            try wait(for: POLLOUT, fd, until: deadline)
            let code = Socket.error(fd)
            if code != 0 { throw silence(code) }
            return socket
        }
    }

    private func wait(
        for events: Int32, _ fd: Int32, until deadline: Nanoseconds
    ) throws(Failure) {
        while true {
            let now = monotonicNow()
            guard now < deadline else { throw silence(ETIMEDOUT) }
            var one = pollfd(fd: fd, events: Int16(events), revents: 0)
            if unsafe poll(&one, 1, Int32((deadline - now) / 1_000_000 + 1)) > 0 { return }
        }
    }

    private func silence(_ code: Int32) -> Failure {
        .system("no Trivet answers at the admin address \(address)", code: code)
    }

    /// Nil unless it is a whole answer of 200.
    private static func body(of answer: [UInt8]) -> [UInt8]? {
        guard answer.starts(with: Array("HTTP/1.1 200 ".utf8)) else { return nil }
        let end = Array("\r\n\r\n".utf8)
        guard let start = answer.indices.first(where: { answer[$0...].starts(with: end) }) else {
            return nil
        }
        return Array(answer[(start + 4)...])
    }
}
