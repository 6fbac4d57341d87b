// Taking connections, and no longer taking them. Accepting takes turns with everything else, rests
// while descriptors are short, and ends without resetting who has been queued by the kernel already.

import Base
import Net

extension Worker {
    // Between two looks whether clients can be taken again, unless a connection ends before.
    private static let acceptRest: UInt64 = 100_000_000
    // As many as the kernel queues (`Socket.listen`), and as many again that come meanwhile: who
    // storms a listener does not keep it from ending.
    private static let lastTakes = 8192

    /// Takes who waits at a listener, but not so many that others wait for long.
    mutating func accept(_ listener: Int) {
        // The event may be older than this turn's reload, and the descriptor closed.
        guard listeners[listener].fd >= 0 else { return }
        for _ in 0..<64 {
            guard shared.room.isThere else {
                restAccepting(0)
                return
            }
            guard takeOne(listener) else { return }
        }
    }

    /// False when there is nobody left, or nobody can be taken.
    private mutating func takeOne(_ listener: Int) -> Bool {
        switch Socket.accept(listeners[listener].fd) {
        case .connection(let fd, let peer):
            welcome(fd, peer, listener)
            return true
        case .gone: return true
        case .wait: return false
        case .exhausted(let code), .failed(let code):
            restAccepting(code)
            return false
        }
    }

    private mutating func welcome(_ fd: Int32, _ peer: SocketAddress, _ listener: Int) {
        // A local socket's clients have no address; they count as this machine.
        let address = peer.ip ?? .v4Loopback
        var isTrusted = false
        for range in listeners[listener].plan.trusted where range.contains(address) {
            isTrusted = true
        }
        let entry = listeners[listener].plan.connections.enter(address, isExempt: isTrusted)
        switch entry.verdict {
        case .welcome: break
        case .refused(let reason): complain(reason, listener, of: address)
        case .dropped(let reason):
            complain(reason, listener, of: address)
            IO.close(fd)
            return
        }
        shared.room.enter()
        let handle = clients.insert(
            Client(
                fd: fd, listener: UInt16(listener), address: address, port: peer.port,
                isTrusted: isTrusted, entry: entry))
        guard poller.add(fd, token: Token(.client, handle).packed) else {
            close(client: handle.index)
            return
        }
        let isStream = listeners[listener].plan.isStream
        switch entry.verdict {
        // Who would have to be told by TLS is not worth a handshake now.
        case .refused where isStream || listeners[listener].plan.front != nil:
            close(client: handle.index)
        case .welcome where isTrusted && listeners[listener].plan.readsProxyHeader:
            clients.at(handle.index).it.phase = .greeting
            arm(handle.index, after: listeners[listener].plan.headerTimeout)
        case .welcome where isStream:
            welcomeStream(handle.index)
        case .welcome where listeners[listener].plan.front != nil:
            beginHandshake(handle.index)
        case .refused(.full):
            reject(
                handle.index, 503, "the listener has as many connections as it may have",
                stays: false, asHead: false)
        case .refused(.crowded):
            reject(
                handle.index, 429, "this client has as many connections as one may have",
                stays: false, asHead: false)
        case .welcome, .dropped:
            arm(handle.index, after: listeners[listener].plan.headerTimeout)
        }
    }

    private func complain(
        _ reason: ConnectionCount.Reason, _ listener: Int, of client: IPAddress
    ) {
        let plan = listeners[listener].plan
        plan.connections.complain(reason, listener: plan.name, of: client, now: now)
    }

    /// Level-triggered listeners would spin while nobody can be taken: they are left out until a
    /// connection ends, or for a moment. `code`: what the system said, or 0 if nothing was tried
    /// because the rest is for nodes.
    private mutating func restAccepting(_ code: Int32) {
        // Draining leaves the listeners one by one: some are closed already.
        guard !isDraining else { return }
        acceptRestsUntil = now &+ Self.acceptRest
        for listening in listeners where listening.fd >= 0 { poller.remove(listening.fd) }
        guard let kept = shared.room.complainOfAccepting(now: now) else { return }
        let why =
            code == 0
            ? "of the \(shared.room.limit) descriptors the others are for nodes" : errorText(code)
        Log.warning(
            "no connections are taken until others end: \(shared.room.count) of clients and to "
                + "nodes are open; \(why)"
                + (kept == 0 ? "" : " (\(kept) times since the last such line)"))
    }

    mutating func resumeAccepting() {
        guard !isDraining else {
            acceptRestsUntil = 0
            return
        }
        guard shared.room.isThere else {
            acceptRestsUntil = now &+ Self.acceptRest
            return
        }
        acceptRestsUntil = 0
        for i in 0..<listeners.count where listeners[i].fd >= 0 {
            _ = poller.addLevel(listeners[i].fd, token: Token.listener(i).packed)
        }
    }

    /// A connection of this worker has ended: who waits may have its place, with the next turn.
    mutating func descriptorCameFree() {
        shared.room.leave()
        if acceptRestsUntil > 0 { acceptRestsUntil = now }
    }

    /// Stops taking connections.
    mutating func beginDrain() {
        isDraining = true
        for i in 0..<listeners.count where listeners[i].fd >= 0 { stopListening(i) }
        letGo()
    }

    /// Who waits in the kernel's queue is still taken, then the socket leaves its group by shutdown,
    /// since closing it alone would reset those queued meanwhile.
    mutating func stopListening(_ listener: Int) {
        takeAll(listener)
        poller.remove(listeners[listener].fd)
        Socket.end(listeners[listener].fd)
        takeAll(listener)
        IO.close(listeners[listener].fd)
        listeners[listener].fd = -1
    }

    private mutating func takeAll(_ listener: Int) {
        for _ in 0..<Self.lastTakes {
            guard takeOne(listener) else { return }
        }
    }
}
