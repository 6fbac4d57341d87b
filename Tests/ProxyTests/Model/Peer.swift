// A non-blocking end of a connection that a script plays, client or node: every call says at once what
// came of it, so that the script and not the kernel's patience decides what happens next.

import Base
import Glibc
import Net

/// One thread's.
final class Peer {
    enum Received: Equatable {
        case bytes([UInt8])
        case nothing
        case end
        case reset
    }

    private(set) var fd: Int32
    private(set) var hasEndedSending = false

    init(_ fd: Int32) { self.fd = fd }

    deinit { close(reset: true) }

    /// Nil if nobody listens there.
    static func connect(to address: SocketAddress) -> Peer? {
        switch Socket.connect(address) {
        case .connected(let fd), .started(let fd): Peer(fd)
        case .failed: nil
        }
    }

    /// Nil if nobody waits.
    static func accept(_ listener: Int32) -> Peer? {
        if case .connection(let fd, _) = Socket.accept(listener) { Peer(fd) } else { nil }
    }

    var isOpen: Bool { fd >= 0 }

    /// How many of `bytes[range]` the kernel took; nil if the connection is broken.
    func send(_ bytes: [UInt8], _ range: Range<Int>) -> Int? {
        guard isOpen, !hasEndedSending else { return nil }
        if range.isEmpty { return 0 }
        switch IO.send(fd, bytes.span.extracting(range)) {
        case .done(let count): return count
        case .wait: return 0
        case .closed, .failed: return nil
        }
    }

    func receive(_ limit: Int) -> Received {
        guard isOpen else { return .end }
        var room = [UInt8](repeating: 0, count: limit)
        switch unsafe room.withUnsafeMutableBytes({ unsafe IO.read(fd, into: $0) }) {
        case .done(let count):
            room.removeLast(limit - count)
            return .bytes(room)
        case .wait: return .nothing
        case .closed: return .end
        case .failed: return .reset
        }
    }

    func endSending() {
        guard isOpen, !hasEndedSending else { return }
        hasEndedSending = true
        Socket.endSending(fd)
    }

    /// `reset` does nothing more on a local socket: there an end with bytes unread is a reset.
    func close(reset: Bool) {
        guard isOpen else { return }
        if reset { Socket.resetOnClose(fd) }
        IO.close(fd)
        fd = -1
    }

    /// Has the kernel hold few bytes on their way, so that little moves at a time. TCP with windows
    /// smaller than its segments would wait for timers: a listener gives its connections small ones.
    static func shrink(_ fd: Int32, isLocal: Bool) {
        set(fd, SOL_SOCKET, SO_SNDBUF, isLocal ? 2048 : 8192)
        set(fd, SOL_SOCKET, SO_RCVBUF, isLocal ? 2048 : 32_768)
        if !isLocal { set(fd, Int32(IPPROTO_TCP), TCP_MAXSEG, 1400) }
    }

    private static func set(_ fd: Int32, _ level: Int32, _ name: Int32, _ value: Int32) {
        var value = value
        _ = unsafe setsockopt(fd, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
    }
}

/// Bytes that tell from which body they are, and from where in it.
enum Noise {
    static let longest = 1 << 18
    private static let all: [UInt8] = {
        var random = SplitMix64(seed: 7)
        return (0..<1 << 20).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }()

    private static func start(_ body: Int) -> Int { body &* 4099 % (1 << 19) }

    static func bytes(of body: Int, _ range: Range<Int>) -> ArraySlice<UInt8> {
        all[start(body) + range.lowerBound..<start(body) + range.upperBound]
    }

    /// Whether `piece` is what stands at `offset` of the body.
    static func holds(_ piece: [UInt8], of body: Int, at offset: Int) -> Bool {
        offset + piece.count <= longest
            && bytes(of: body, offset..<offset + piece.count).elementsEqual(piece)
    }
}
