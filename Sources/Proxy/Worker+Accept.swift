// Taking connections, and no longer taking them. Accepting takes turns with everything else, rests
// when descriptors run out, and ends without resetting who has been queued by the kernel already.

import Base
import Net

extension Worker {
    /// Takes who waits at a listener, but not so many that others wait for long.
    mutating func accept(_ listener: Int) {
        for _ in 0..<64 {
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
        case .exhausted(let code):
            restAccepting(code)
            return false
        case .failed(let code):
            if !isDraining && listeners[listener].fd >= 0 {
                Log.error("worker \(index) cannot accept connections: \(errorText(code))")
            }
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
        let handle = clients.insert(
            Client(fd: fd, listener: UInt16(listener), address: address, isTrusted: isTrusted))
        let isWelcome = listeners[listener].plan.connections.enter()
        guard poller.add(fd, token: Token(.client, handle).packed) else {
            close(client: handle.index)
            return
        }
        guard isWelcome else {
            reject(
                handle.index, 503, "the listener has as many connections as it may have",
                stays: false, asHead: false)
            return
        }
        arm(handle.index, after: listeners[listener].plan.headerTimeout)
    }

    /// Level-triggered listeners would spin while nobody can be taken: they are left out for a second.
    private mutating func restAccepting(_ code: Int32) {
        // Draining leaves the listeners one by one: some are closed already.
        guard acceptRestsUntil == 0 && !isDraining else { return }
        Log.warning(
            "worker \(index) takes no connections for a second: \(errorText(code))"
                + " (\(clients.count) clients, \(upstreams.count) connections to nodes)")
        acceptRestsUntil = now &+ 1_000_000_000
        for listening in listeners where listening.fd >= 0 { poller.remove(listening.fd) }
    }

    mutating func resumeAccepting() {
        acceptRestsUntil = 0
        guard !isDraining else { return }
        for i in 0..<listeners.count where listeners[i].fd >= 0 {
            _ = poller.addLevel(listeners[i].fd, token: Token.listener(i).packed)
        }
    }

    /// Stops taking connections.
    mutating func beginDrain() {
        isDraining = true
        for i in 0..<listeners.count where listeners[i].fd >= 0 { stopListening(i) }
        letGo { _ in true }
    }

    /// Who waits in the kernel's queue is still taken, then the socket leaves its group by shutdown,
    /// since closing it alone would reset those queued meanwhile.
    mutating func stopListening(_ listener: Int) {
        while takeOne(listener) {}
        poller.remove(listeners[listener].fd)
        Socket.end(listeners[listener].fd)
        while takeOne(listener) {}
        IO.close(listeners[listener].fd)
        listeners[listener].fd = -1
    }

    /// Clients of a listener that no longer serves: who has sent something by now is served. Who is
    /// between requests and silent is let go; a newcomer gets a second to say what it came for.
    mutating func letGo(where isMeant: (borrowing Client) -> Bool) {
        for index in 0..<UInt32(clients.capacity) where clients.isLive(index: index) {
            let client = clients.at(index)
            guard client.it.phase == .head && client.it.seen == 0 && isMeant(client.it) else {
                continue
            }
            client.it.link.canRead = true
            if !client.it.hasServed { arm(index, after: 1_000_000_000) }
            enqueue(client: index)
        }
    }

    /// Whether a client is to be let go between two requests.
    func isLeaving(_ client: Ref<Client>) -> Bool {
        isDraining || listeners[Int(client.it.listener)].plan.isLeaving
    }
}
