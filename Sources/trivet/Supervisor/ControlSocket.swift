// Where `trivet reload` reaches a running supervisor and waits for the outcome: a local socket with a
// name made of the process id, in no folder, so that nothing is left behind. A signal says the same,
// but hears no answer.

import CLinux
import Glibc
import Net

/// What became of a reload, as it goes over the socket: a digit that is the exit code, then lines.
enum ReloadOutcome: Equatable {
    case done(String)
    case refused([String])

    var bytes: [UInt8] {
        switch self {
        case .done(let sentence): Array("0\(sentence)\n".utf8)
        case .refused(let sentences): Array("1\(sentences.joined(separator: "\n"))\n".utf8)
        }
    }

    init?(_ bytes: [UInt8]) {
        guard bytes.last == UInt8(ascii: "\n") else { return nil }
        let text = String(decoding: bytes.dropFirst().dropLast(), as: UTF8.self)
        switch bytes.first {
        case UInt8(ascii: "0"): self = .done(text)
        case UInt8(ascii: "1"):
            self = .refused(text.split(separator: "\n").map(String.init))
        default: return nil
        }
    }
}

/// The supervisor's end. Whoever connects asks for a reload by that: it is one of our own user, or root.
final class ControlSocket {
    private let listener: Descriptor
    private var callers: [Descriptor] = []
    /// How many of them, from the first, asked before the reload under way began: it is theirs. Who
    /// asked later waits for the next one, which reads the files again.
    private var served = 0
    // Who connects and never reads must not fill the supervisor's table.
    private static let callerLimit = 64

    static func address(of process: pid_t) -> SocketAddress? {
        SocketAddress(abstract: "trivet/\(process)")
    }

    /// Nil if there can be none: signals work without.
    init?() {
        guard let address = Self.address(of: getpid()),
            let fd = try? Socket.listen(address, shared: false, backlog: 16)
        else { return nil }
        listener = Descriptor(fd)
    }

    var watched: [Int32] { [listener.number] }

    /// Takes who waits; true if that was anybody who may ask.
    func hasCaller() -> Bool {
        var isAny = false
        while case .connection(let fd, _) = Socket.accept(listener.number) {
            let caller = Descriptor(fd)
            guard callers.count < Self.callerLimit, Self.mayAsk(fd) else { continue }
            callers.append(caller)
            isAny = true
        }
        return isAny
    }

    private static func mayAsk(_ fd: Int32) -> Bool {
        var user: uid_t = 0
        return unsafe clinux_peer_user(fd, &user) == 0 && (user == 0 || user == geteuid())
    }

    /// A reload begins: it is for all who have asked by now.
    func begin() { served = callers.count }

    /// Tells them what came of it.
    func answer(_ outcome: ReloadOutcome) {
        for caller in callers.prefix(served) {
            _ = IO.writeAll(caller.number, outcome.bytes.span)
            withExtendedLifetime(caller) {}
        }
        callers.removeFirst(served)
        served = 0
    }
}
