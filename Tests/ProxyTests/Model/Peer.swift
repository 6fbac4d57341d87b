// A non-blocking end of a connection that a script plays, client or node: every call says at once what
// came of it, so that the script and not the kernel's patience decides what happens next.

import Base
import Glibc
import Net
import TestKit

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
    /// Nil: plain.
    private var tls: TLSSession?
    private var desk: PeerDesk?
    private var isAgreed = false
    /// Of TLS: its end waits until what was sent is out.
    private var isClosing = false
    /// Something has moved that no script asked for.
    private var hasMoved = false

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

    var isOpen: Bool { fd >= 0 && !isClosing }

    /// Speaks TLS from here on.
    func secure(_ session: TLSSession?, _ desk: PeerDesk) {
        tls = session
        self.desk = desk
    }

    /// Goes on with the handshake. False: nothing can be said yet.
    private func isReady() -> Bool {
        guard let tls, !isAgreed else { return true }
        let before = tls.hasUnsent
        switch tls.handshake() {
        case .done:
            isAgreed = true
            hasMoved = true
        case .wait: hasMoved = hasMoved || before != tls.hasUnsent
        case .failed: return true
        }
        return isAgreed
    }

    /// Sends what TLS has kept, and whether anything has moved on its own since the last time.
    func settle() -> Bool {
        if fd >= 0, let tls, isReady(), tls.hasUnsent {
            _ = tls.flush()
            if !tls.hasUnsent { hasMoved = true }
        }
        if isClosing, !(tls?.hasUnsent ?? false) { shut() }
        defer { hasMoved = false }
        return hasMoved
    }

    /// How many of `bytes[range]` the kernel took; nil if the connection is broken.
    func send(_ bytes: [UInt8], _ range: Range<Int>) -> Int? {
        guard isOpen, !hasEndedSending else { return nil }
        if range.isEmpty { return 0 }
        guard isReady() else { return 0 }
        let part = bytes.span.extracting(range)
        switch tls?.send(part, Span(), Span()) ?? IO.send(fd, part) {
        case .done(let count): return count
        case .wait: return 0
        case .closed, .failed: return nil
        }
    }

    func receive(_ limit: Int) -> Received {
        guard isOpen else { return .end }
        guard isReady() else { return .nothing }
        if let tls, let desk { return desk.receive(tls, limit) }
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
        if let tls { tls.endSending() } else { Socket.endSending(fd) }
    }

    /// `reset` does nothing more on a local socket: there an end with bytes unread is a reset.
    func close(reset: Bool) {
        guard isOpen else { return }
        if reset {
            tls?.mute()
            Socket.resetOnClose(fd)
        } else if let tls, let desk {
            tls.sayGoodbye()
            if tls.hasUnsent {
                isClosing = true
                desk.closing.append(self)
                return
            }
        }
        shut()
    }

    /// Whatever waits, it ends.
    func abandon() {
        tls?.mute()
        shut()
    }

    private func shut() {
        guard fd >= 0 else { return }
        tls?.close()
        IO.close(fd)
        fd = -1
        isClosing = false
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

/// What peers with TLS share. One thread's.
final class PeerDesk {
    let desk = TLSDesk()
    let front: TLSFront
    let behind: TLSBehind
    /// Those that are closed once what they have said is out.
    var closing: [Peer] = []
    private var pool = BufferPool()

    init() throws {
        func file(_ name: String) throws -> TLSFile {
            TLSFile(name: name, bytes: try TestCertificates.bytes(name))
        }
        front = try TLSFront(
            [.init(certificate: file("web-ec.crt"), key: file("web-ec.key"))], clients: nil,
            tickets: TLSTickets(.none))
        behind = try TLSBehind(
            trust: .authorities(file("authority.crt")), certificate: nil, key: nil)
    }

    static let peer = TLSBehind.Peer(name: "web.example.com", isAddress: false)

    func receive(_ tls: TLSSession, _ limit: Int) -> Peer.Received {
        var buffer = Buffer()
        guard pool.lend(&buffer) else { return .nothing }
        defer { pool.reclaim(&buffer) }
        switch tls.receive(into: &buffer, limit: min(limit, Buffer.capacity)) {
        case .done:
            let bytes = buffer.bytes
            return .bytes(bytes.indices.map { bytes[$0] })
        case .wait: return .nothing
        case .closed: return .end
        case .failed: return .reset
        }
    }

    /// Whether anything has moved.
    func settle() -> Bool {
        var hasMoved = false
        for peer in closing { hasMoved = peer.settle() || hasMoved }
        closing.removeAll { $0.fd < 0 }
        return hasMoved
    }

    func end() {
        for peer in closing { peer.abandon() }
        closing = []
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
