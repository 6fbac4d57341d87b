// Connections to nodes: made, waited for, tried at each address of a name in turn, kept while idle.

import Base
import Net

extension Worker {
    // A node that closes idle connections does so after 60 s or more, usually; we are first.
    private static let idleLimit: UInt64 = 55_000_000_000

    /// Starts to connect to the picked node, at the address whose turn it is.
    mutating func connect(_ index: UInt32) {
        let exchange = exchanges.at(index)
        let pool = settings[Int(exchange.it.pool)]
        let node = Int(exchange.it.row)
        var shortage: Int32 = 0
        var mayMakeRoom = true
        while let address = addresses.address(node, exchange.it.addressIndex) {
            switch Socket.connect(address) {
            case .connected(let fd):
                guard adopt(fd, index, isConnected: true) else { return }
                if pool.behind == nil {
                    sendHead(index, headIsParsed: false)
                } else {
                    arm(exchange.it.client, after: pool.connectTimeout)
                    beginHandshake(with: exchange.it.upstream)
                }
                return
            case .started(let fd):
                guard adopt(fd, index, isConnected: false) else { return }
                exchange.it.phase = .connecting
                exchange.it.isArmed = false
                arm(exchange.it.client, after: pool.connectTimeout)
                return
            case .failed(let code):
                let isShortage = Socket.isShortage(code)
                // An idle connection makes room for one that is needed.
                if isShortage && mayMakeRoom && closeOldestIdle() {
                    mayMakeRoom = false
                    continue
                }
                if isShortage { shortage = code }
                exchange.it.addressIndex += 1
            }
        }
        if shortage == 0 {
            nodeUnreachable(index, timedOut: false)
        } else {
            cannotConnect(index, shortage)
        }
    }

    /// No connection can be made for want of something on this side, which is no fault of the node.
    private mutating func cannotConnect(_ index: UInt32, _ code: Int32) {
        if let kept = shared.room.complainOfConnecting(now: now) {
            Log.warning(
                "connections to nodes cannot be made: \(errorText(code)); \(shared.room.count) of "
                    + "clients and to nodes are open"
                    + (kept == 0 ? "" : " (\(kept) times since the last such line)"))
        }
        settle(index, .abandoned)
        fail(index, 503, "the balancer is short of connections, descriptors or memory")
    }

    /// False: no connection to a node is idle.
    private mutating func closeOldestIdle() -> Bool {
        var found: UInt32 = .max
        var row = 0
        for list in 0..<idle.count where idle[list].oldest != .max {
            let oldest = idle[list].oldest
            if found == .max || upstreams[oldest].idleSince < upstreams[found].idleSince {
                found = oldest
                row = list
            }
        }
        guard found != .max else { return false }
        idle[row].remove(found, in: upstreams)
        close(upstream: found)
        return true
    }

    private mutating func adopt(_ fd: Int32, _ index: UInt32, isConnected: Bool) -> Bool {
        let exchange = exchanges.at(index)
        let handle = upstreams.insert(
            Upstream(
                fd: fd, pool: exchange.it.pool, row: exchange.it.row, isConnected: isConnected,
                client: exchange.it.client))
        exchange.it.upstream = handle.index
        shared.room.enter()
        if poller.add(fd, token: Token(.upstream, handle).packed) { return true }
        cannotConnect(index, SystemError.last("epoll_ctl").code)
        return false
    }

    /// A connect that was under way has ended, one way or the other.
    mutating func connectEnded(_ upstreamIndex: UInt32) {
        let upstream = upstreams.at(upstreamIndex)
        let index = clients.at(upstream.it.client).it.exchange
        let exchange = exchanges.at(index)
        guard upstream.it.link.transport.isPlain else {
            shakeHands(with: upstreamIndex)
            return
        }
        guard Socket.error(upstream.it.link.fd) == 0 else {
            connectFailed(index)
            return
        }
        guard upstream.it.link.canWrite else { return }
        if settings[Int(upstream.it.pool)].behind != nil {
            beginHandshake(with: upstreamIndex)
            return
        }
        upstream.it.isConnected = true
        exchange.it.connectNs = now &- exchange.it.pickedAt
        sendHead(index, headIsParsed: false)
    }

    /// This address did not answer: the next one of the name, or another node.
    mutating func connectFailed(
        _ index: UInt32, timedOut: Bool = false, insecure: Bool = false
    ) {
        let exchange = exchanges.at(index)
        drop(upstreamOf: index)
        exchange.it.addressIndex += 1
        if addresses.address(Int(exchange.it.row), exchange.it.addressIndex) != nil {
            connect(index)
        } else {
            nodeUnreachable(index, timedOut: timedOut, insecure: insecure)
        }
    }

    /// No address of the node took the connection. Not a byte of the request has left, so another
    /// node is tried whatever the request is.
    private mutating func nodeUnreachable(
        _ index: UInt32, timedOut: Bool, insecure: Bool = false
    ) {
        let exchange = exchanges.at(index)
        settle(index, timedOut ? .timedOut : .connectFailed)
        exchange.it.nodeFailed()
        exchange.it.lastFailure =
            insecure ? .insecure : timedOut ? .connectTimedOut : .unreachable
        tryAnother(index, if: mayRetry(exchange, wasSent: false))
    }

    /// A connection whose exchange is over and that can carry another.
    mutating func keep(idle upstreamIndex: UInt32, of node: UInt32) {
        let upstream = upstreams.at(upstreamIndex)
        let list = Int(upstream.it.row)
        guard upstream.it.row != .max else {
            // The node is gone.
            close(upstream: upstreamIndex)
            return
        }
        // No more than were ever of use at one time lately: requests with a body bring a connection
        // each, and would pile them up.
        let inFlight = Int(pools[UInt32(upstream.it.pool)].inFlight(node))
        guard idle[list].count + inFlight < idle[list].peak, !isDraining else {
            close(upstream: upstreamIndex)
            return
        }
        keepFormer(upstream)
        upstream.it.client = .max
        upstream.it.wasIdle = true
        upstream.it.idleSince = now
        upstream.it.link.rest(&kit)
        idle[list].push(upstreamIndex, in: upstreams)
    }

    /// An idle connection that the node has ended, or on which it speaks unasked.
    mutating func drop(idle upstreamIndex: UInt32) {
        let upstream = upstreams.at(upstreamIndex)
        // The end of a response's own events may still come in: a write edge means nothing.
        guard upstream.it.link.canRead else { return }
        idle[Int(upstream.it.row)].remove(upstreamIndex, in: upstreams)
        close(upstream: upstreamIndex)
    }

    mutating func sweepIdle() {
        for pool in 0..<settings.count {
            let view = pools.at(UInt32(pool))
            for node in 0..<UInt32(view.it.nodeCount) {
                idle[Int(view.it.row(node))].decay(inFlight: Int(view.it.inFlight(node)))
            }
        }
        for list in 0..<idle.count {
            while idle[list].oldest != .max {
                let oldest = idle[list].oldest
                guard now &- upstreams[oldest].idleSince >= Self.idleLimit else { break }
                idle[list].remove(oldest, in: upstreams)
                close(upstream: oldest)
            }
        }
    }

    /// Takes the connection to the node from an exchange and closes it.
    mutating func drop(upstreamOf index: UInt32) {
        let exchange = exchanges.at(index)
        guard exchange.it.upstream != .max else { return }
        close(upstream: exchange.it.upstream)
        exchange.it.upstream = .max
    }

    mutating func close(upstream index: UInt32) {
        keepFormer(upstreams.at(index))
        var upstream = upstreams.remove(index)
        upstream.link.close(&kit)
        descriptorCameFree()
    }
}
