// TLS is agreed on, with clients and with nodes: begun, waited for, and told of when it comes to nothing. After
// it a connection is like any other.

import Base
import HTTP
import Net

/// A worker's handshakes with clients.
struct HandshakeCount {
    // How often it is told that there are too many, or that some came to nothing, in nanoseconds.
    private static let pause: UInt64 = 10_000_000_000

    /// In progress, by listener.
    private var underway: [Int] = []
    private(set) var failures = 0
    private var reason = ""
    private var told = 0
    private var toldAt: UInt64 = 0

    func count(_ listener: Int) -> Int { listener < underway.count ? underway[listener] : 0 }

    mutating func enter(_ listener: Int) {
        while underway.count <= listener { underway.append(0) }
        underway[listener] += 1
    }

    mutating func leave(_ listener: Int) { underway[listener] -= 1 }

    mutating func noteFailure(_ reason: String) {
        failures += 1
        self.reason = reason
    }

    /// When there is something to tell; 0: there is nothing.
    var due: UInt64 { failures > told ? (toldAt == 0 ? 1 : toldAt &+ Self.pause) : 0 }

    /// What there is to tell now: how many came to nothing since the last time, and why the last one did.
    mutating func tell(now: UInt64) -> (count: Int, reason: String)? {
        guard failures > told, now >= due else { return nil }
        defer {
            told = failures
            toldAt = now
        }
        return (failures - told, reason)
    }
}

/// What a node gave to take up a session, and under which name it was known then.
struct Former {
    let former: TLSFormer
    let peer: TLSBehind.Peer
    /// Which pool's rules have judged it.
    let behind: TLSBehind
}

extension Worker {
    // MARK: Clients

    /// A client of a listener with TLS is there; what it has sent after a PROXY header lies in its input.
    mutating func beginHandshake(_ index: UInt32) {
        let client = clients.at(index)
        let listener = Int(client.it.listener)
        let limit = listeners[listener].plan.handshakes
        guard handshakes.count(listener) < limit else {
            failed(
                client, "\(limit) are in progress on this worker, the limit (max_handshakes)")
            close(client: index)
            return
        }
        guard let front = listeners[listener].plan.front,
            let session = front.session(fd: client.it.link.fd, desk: kit.desk)
        else {
            close(client: index)
            return
        }
        session.begin(with: client.it.link.input.bytes)
        client.it.link.input.clear()
        client.it.link.rest(&kit)
        client.it.link.transport.secure(session)
        client.it.phase = .handshake
        handshakes.enter(listener)
        arm(index, after: listeners[listener].plan.handshakeTimeout)
        shakeHands(index)
    }

    mutating func shakeHands(_ index: UInt32) {
        let client = clients.at(index)
        guard let session = client.it.link.transport.tls else { return }
        switch session.handshake() {
        case .wait: return
        case .done:
            handshakes.leave(Int(client.it.listener))
            listeners[Int(client.it.listener)].plan.connections.note(
                session.isResumed ? .resumed : .full)
            client.it.phase = .head
            client.it.isSecure = true
            // The first request may have come along, and lies where no event will tell of it.
            client.it.link.canRead = true
            arm(index, after: listeners[Int(client.it.listener)].plan.headerTimeout)
            readHead(index)
        case .failed:
            failed(client, session.reason)
            if session.metPlainHTTP {
                handshakes.leave(Int(client.it.listener))
                client.it.phase = .head
                client.it.link.transport.dropSecurity()
                reject(
                    index, 400, "this port is for https, and the request came without TLS",
                    stays: false, asHead: false)
            } else {
                close(client: index)
            }
        }
    }

    /// A client's handshake has come to nothing.
    mutating func failed(_ client: Ref<Client>, _ reason: String) {
        handshakes.noteFailure(reason)
        listeners[Int(client.it.listener)].plan.connections.note(.failed)
    }

    /// Failed handshakes are the clients' and strangers' doing, and many: told of now and then.
    mutating func tellOfHandshakes() {
        guard let (count, reason) = handshakes.tell(now: now) else { return }
        Log.info(
            "\(count) TLS handshake\(count == 1 ? "" : "s") with clients came to nothing on worker "
                + "\(self.index); the last one: \(reason)")
    }

    // MARK: Nodes

    /// The connection to a node is made: TLS comes first, but for the word whom it is for.
    mutating func beginHandshake(with upstreamIndex: UInt32) {
        let upstream = upstreams.at(upstreamIndex)
        let index = clients.at(upstream.it.client).it.exchange
        let exchange = exchanges.at(index)
        // A reload may have taken the node meanwhile: nobody knows any more how it is known.
        let row = Int(exchange.it.row)
        guard row < peers.count, let peer = peers[row],
            let behind = settings[Int(exchange.it.pool)].behind
        else {
            connectFailed(index)
            return
        }
        upstream.it.isConnected = false
        exchange.it.phase = .connecting
        introduce(clients.at(exchange.it.client), to: upstream, of: exchange)
        guard upstream.it.link.sendScratch(&kit) == .done else {
            connectFailed(index)
            return
        }
        var taken: TLSFormer?
        if let former = formers[row], former.peer == peer, former.behind === behind {
            taken = former.former
        }
        guard
            let session = behind.session(
                fd: upstream.it.link.fd, peer: peer, former: taken, desk: kit.desk)
        else {
            connectFailed(index)
            return
        }
        upstream.it.link.transport.secure(session)
        shakeHands(with: upstreamIndex)
    }

    mutating func shakeHands(with upstreamIndex: UInt32) {
        let upstream = upstreams.at(upstreamIndex)
        let index = clients.at(upstream.it.client).it.exchange
        guard let session = upstream.it.link.transport.tls else { return }
        switch session.handshake() {
        case .wait: return
        case .done:
            upstream.it.isConnected = true
            upstream.it.link.canRead = true
            exchanges.at(index).it.connectNs = now &- exchanges[index].pickedAt
            sendHead(index, headIsParsed: false)
        case .failed:
            let row = Int(exchanges[index].row)
            if row < formers.count {
                // What it is not known by any more is not offered again.
                formers[row] = nil
                tell(of: row, session.reason)
            }
            connectFailed(index, insecure: true)
        }
    }

    private func tell(of row: Int, _ reason: String) {
        guard insecurities.pass(now: now) != nil else { return }
        Log.warning(
            "node \(nodeNames[row]): no TLS could be agreed on: \(reason) (such failures are told of "
                + "every 10 s)")
    }

    /// What the node has given by now is what the next connection takes up.
    mutating func keepFormer(_ upstream: Ref<Upstream>) {
        guard !upstream.it.hasLeftFormer, let session = upstream.it.link.transport.tls else {
            return
        }
        upstream.it.hasLeftFormer = true
        let row = Int(upstream.it.row)
        guard upstream.it.row != .max, upstream.it.isConnected, let peer = peers[row],
            let behind = settings[Int(upstream.it.pool)].behind,
            // What was judged by other rules, before a reload, says nothing under these.
            session.wasJudged(by: behind, as: peer), let former = session.former
        else { return }
        formers[row] = Former(former: former, peer: peer, behind: behind)
    }
}
