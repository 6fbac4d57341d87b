// An exchange on its way: after any event on either side both directions move as far as they can.
// The request's body goes up, the response comes down; a tunnel is two bodies without end.

import Base
import HTTP
import Net

extension Worker {
    /// Moves what can be moved. The exchange may be over after it.
    mutating func drive(_ index: UInt32) {
        let exchange = exchanges.at(index)
        if exchange.it.phase == .connecting { return }
        if exchange.it.phase == .waiting {
            if exchange.it.isCalled || exchange.it.isOrphan {
                pickAndConnect(index, headIsParsed: false)
            }
            return
        }
        let before = exchange.it.progress
        if exchange.it.phase == .tunnel {
            driveTunnel(index)
            return
        }
        guard pumpUp(index) else { return }
        guard pumpDown(index) else { return }
        rearm(index, moved: exchange.it.progress != before)
    }

    /// Timers measure progress: how long no byte may move depends on what is awaited.
    private mutating func rearm(_ index: UInt32, moved: Bool) {
        let exchange = exchanges.at(index)
        let pool = settings[Int(exchange.it.pool)]
        let client = clients.at(exchange.it.client)
        let awaits = wait(of: exchange)
        let isFresh = exchange.it.awaits != awaits || client.it.deadline == 0
        guard moved || isFresh || !exchange.it.isArmed else { return }
        exchange.it.isArmed = true
        exchange.it.awaits = awaits
        switch awaits {
        case .progress: arm(exchange.it.client, after: pool.idleTimeout)
        case .answer: arm(exchange.it.client, after: pool.responseTimeout)
        case .room: arm(exchange.it.client, after: Self.standstill)
        }
    }

    // How long a node that has answered may take nothing of the rest of the request, while its answer
    // does not move either: a client that reads only after its upload would wait for ever.
    private static let standstill: UInt64 = 1_000_000_000

    private func wait(of exchange: Ref<Exchange>) -> Exchange.Wait {
        if exchange.it.answer == .awaited { return exchange.it.up.isDone ? .answer : .progress }
        if exchange.it.up.isDone || exchange.it.uploadAbandoned
            || upstreams[exchange.it.upstream].link.canWrite
        {
            return .progress
        }
        let answerMoves =
            exchange.it.answer == .streaming && clients[exchange.it.client].link.canWrite
        return answerMoves ? .progress : .room
    }

    /// The node is not going to take the rest of an upload: the client is still heard out.
    mutating func abandonUpload(_ index: UInt32) {
        let exchange = exchanges.at(index)
        exchange.it.uploadAbandoned = true
        exchange.it.isArmed = false
        drive(index)
    }

    /// The request's body. False: the exchange is over, or another attempt has begun.
    private mutating func pumpUp(_ index: UInt32) -> Bool {
        let exchange = exchanges.at(index)
        let upstream = upstreams.at(exchange.it.upstream)
        if exchange.it.uploadAbandoned { return discardUpload(index) }
        if exchange.it.up.isDone {
            if upstream.it.link.isFlushed { return true }
            if case .failed = upstream.it.link.flush(&kit) {
                return uploadRefused(index)
            }
            return true
        }
        let client = clients.at(exchange.it.client)
        switch exchange.it.up.pump(from: &client.it.link, to: &upstream.it.link, &kit) {
        case .wait, .finished: return true
        case .yield:
            enqueue(client: exchange.it.client)
            return true
        case .cutShort, .sourceFailed:
            clientGone(index)
            return false
        case .sinkFailed:
            return uploadRefused(index)
        case .malformed(let fault):
            if exchange.it.responseStarted {
                // One answer is enough: it goes on to its end, the request does not.
                exchange.it.uploadAbandoned = true
                return true
            }
            settle(index, .abandoned)
            fail(index, fault.status, fault.sentence)
            return false
        }
    }

    /// What the client still sends of a body that the node does not take. False: the exchange is over.
    private mutating func discardUpload(_ index: UInt32) -> Bool {
        let exchange = exchanges.at(index)
        let client = clients.at(exchange.it.client)
        switch exchange.it.up.discard(from: &client.it.link, &kit) {
        case .yield:
            enqueue(client: exchange.it.client)
            return true
        case .sourceFailed:
            clientGone(index)
            return false
        // Who has ended its side may still read.
        case .wait, .finished, .cutShort, .sinkFailed, .malformed: return true
        }
    }

    /// The node takes no more of the request; it may still have answered why.
    private mutating func uploadRefused(_ index: UInt32) -> Bool {
        let exchange = exchanges.at(index)
        exchange.it.uploadAbandoned = true
        upstreams[exchange.it.upstream].link.canRead = true
        return true
    }

    /// The response. False: the exchange is over, or another attempt has begun.
    private mutating func pumpDown(_ index: UInt32) -> Bool {
        let exchange = exchanges.at(index)
        let client = clients.at(exchange.it.client)
        var heads = 0
        while exchange.it.answer == .awaited {
            // A node that sends interim responses without end does not hold up the others.
            if heads == 16 {
                enqueue(client: exchange.it.client)
                return true
            }
            heads += 1
            switch readAnswer(index) {
            case .waits: return true
            case .goesOn: break
            case .over: return false
            }
            if exchange.it.phase == .tunnel {
                driveTunnel(index)
                return false
            }
        }
        let upstream = upstreams.at(exchange.it.upstream)
        if exchange.it.answer == .streaming {
            switch exchange.it.down.pump(from: &upstream.it.link, to: &client.it.link, &kit) {
            case .wait: return true
            case .yield:
                enqueue(client: exchange.it.client)
                return true
            case .finished: exchange.it.answer = .done
            case .cutShort, .sourceFailed, .malformed:
                settle(index, .broken)
                cut(index)
                return false
            case .sinkFailed:
                clientGone(index)
                return false
            }
        }
        if exchange.it.wantsRest && !upstream.it.link.peerEnding {
            if case .failed = client.it.link.flush(&kit) {
                clientGone(index)
                return false
            }
            return true
        }
        finish(index)
        return false
    }

    private enum Reading {
        case waits
        case goesOn
        case over
    }

    /// Reads the response's head, interim ones first (RFC 9110 section 15.2).
    private mutating func readAnswer(_ index: UInt32) -> Reading {
        let exchange = exchanges.at(index)
        let upstream = upstreams.at(exchange.it.upstream)
        if upstream.it.link.input.isEmpty {
            exchange.it.answerSeen = 0
            switch upstream.it.link.fill(&kit) {
            case .more: break
            case .wait: return .waits
            case .ended, .failed:
                lost(index)
                return .over
            }
        }
        if exchange.it.firstByteAt == 0 { exchange.it.firstByteAt = now }
        while true {
            let outcome = responseHead.parse(
                upstream.it.link.input.bytes, requestMethod: exchange.it.method,
                upgradePassed: exchange.it.wantsWebSocket, seen: exchange.it.answerSeen)
            switch outcome {
            case .complete(let length):
                exchange.it.answerSeen = 0
                return forwardHead(index, length)
            case .invalid(let fault):
                settle(index, .broken)
                fail(index, fault.status, fault.sentence)
                return .over
            case .incomplete:
                exchange.it.answerSeen = upstream.it.link.input.count
                switch upstream.it.link.fill(&kit) {
                case .more: continue
                case .wait: return .waits
                case .ended, .failed:
                    lost(index)
                    return .over
                }
            }
        }
    }

    /// The parsed head goes to the client, together with what of the body is at hand.
    private mutating func forwardHead(_ index: UInt32, _ length: Int) -> Reading {
        let exchange = exchanges.at(index)
        let client = clients.at(exchange.it.client)
        let upstream = upstreams.at(exchange.it.upstream)
        let isInterim = responseHead.isInterim
        let framing = responseHead.framing(forClientMinorVersion: exchange.it.minorVersion)
        // An answer before the request's body is through: what the client still sends is not taken
        // for another request.
        let isEarly = !exchange.it.up.isDone
        let closes =
            !exchange.it.clientStays || framing == .untilClose || isEarly
            || isLeaving(client)
        if !isInterim || exchange.it.minorVersion > 0 {
            let facts = ResponseFacts(
                clientMinorVersion: exchange.it.minorVersion,
                closeConnection: closes && !responseHead.upgradeAccepted, framing: framing,
                passUpgrade: responseHead.upgradeAccepted,
                strictTransport: listeners[Int(client.it.listener)].plan.strictTransport)
            let bytes = upstream.it.link.input.bytes
            if isInterim { setCookie.clear() } else { prepareCookie(exchange) }
            dateLine.set(second: UInt64(wallSeconds()))
            let fits = kit.scratch.write {
                responseHead.writeForwarded(
                    bytes, facts: facts, adding: setCookie.span, date: dateLine.span, to: &$0)
            }
            guard fits else {
                kit.scratch.clear()
                settle(index, .broken)
                fail(index, 502, "the response's header fields are too long to be forwarded")
                return .over
            }
            if isInterim {
                exchange.it.interimSent = true
            } else {
                exchange.it.responseStarted = true
            }
        }
        upstream.it.link.input.consume(length)
        if isInterim {
            if case .failed = client.it.link.sendScratch(&kit) {
                clientGone(index)
                return .over
            }
            return .goesOn
        }
        exchange.it.status = responseHead.status
        dropHead(exchange, client)
        if responseHead.upgradeAccepted {
            exchange.it.answer = .streaming
            return beginTunnel(index) ? .goesOn : .over
        }
        exchange.it.closesClient = closes
        exchange.it.upstreamStays = responseHead.keepAlive
        exchange.it.down = BodyStream(from: responseHead.framing, chunked: framing == .chunked)
        if exchange.it.down.isDone {
            exchange.it.answer = .done
            if case .failed = client.it.link.sendScratch(&kit) {
                clientGone(index)
                return .over
            }
        } else {
            exchange.it.answer = .streaming
        }
        return .goesOn
    }

    /// The request's head is no longer needed: nothing will be sent again.
    private mutating func dropHead(_ exchange: Ref<Exchange>, _ client: Ref<Client>) {
        client.it.link.input.consume(exchange.it.headLength)
        exchange.it.headLength = 0
        if client.it.link.input.isEmpty { kit.buffers.reclaim(&client.it.link.input) }
    }

    // MARK: Tunnels

    /// The node speaks WebSocket from here on (RFC 6455 section 4), and so does the client.
    private mutating func beginTunnel(_ index: UInt32) -> Bool {
        let exchange = exchanges.at(index)
        let client = clients.at(exchange.it.client)
        exchange.it.phase = .tunnel
        exchange.it.up = BodyStream(from: .untilClose, chunked: false)
        exchange.it.down = BodyStream(from: .untilClose, chunked: false)
        exchange.it.closesClient = true
        if case .failed = client.it.link.sendScratch(&kit) {
            clientGone(index)
            return false
        }
        watchPeers(exchange)
        arm(exchange.it.client, after: settings[Int(exchange.it.pool)].tunnelTimeout)
        return true
    }

    /// Moves bytes both ways; an end on one side is passed on to the other, which may still speak.
    mutating func driveTunnel(_ index: UInt32) {
        let exchange = exchanges.at(index)
        let client = clients.at(exchange.it.client)
        let upstream = upstreams.at(exchange.it.upstream)
        let before = exchange.it.up.moved &+ exchange.it.down.moved
        if !exchange.it.up.isDone {
            let outcome = exchange.it.up.pump(from: &client.it.link, to: &upstream.it.link, &kit)
            guard goesOn(index, outcome, fromClient: true) else { return }
        }
        if !exchange.it.down.isDone {
            let outcome = exchange.it.down.pump(from: &upstream.it.link, to: &client.it.link, &kit)
            guard goesOn(index, outcome, fromClient: false) else { return }
        }
        // A side that has ended is not read from, so that its reset would go unnoticed.
        let isOver =
            exchange.it.up.isDone && (exchange.it.down.isDone || client.it.link.isBroken)
            || exchange.it.down.isDone && upstream.it.link.isBroken
        if isOver {
            settle(index, .ok)
            endTunnel(index)
            return
        }
        if exchange.it.up.moved &+ exchange.it.down.moved != before {
            arm(exchange.it.client, after: settings[Int(exchange.it.pool)].tunnelTimeout)
        }
    }

    private mutating func goesOn(
        _ index: UInt32, _ outcome: BodyStream.Outcome, fromClient: Bool
    ) -> Bool {
        let exchange = exchanges.at(index)
        switch outcome {
        case .wait: return true
        case .yield:
            enqueue(client: exchange.it.client)
            return true
        case .finished:
            if fromClient {
                upstreams.at(exchange.it.upstream).it.link.endSending()
            } else {
                clients.at(exchange.it.client).it.link.endSending()
            }
            return true
        case .cutShort, .sourceFailed, .sinkFailed, .malformed:
            settle(index, .ok)
            endTunnel(index, isBroken: true)
            return false
        }
    }
}
