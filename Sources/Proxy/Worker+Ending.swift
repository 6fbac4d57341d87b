// How exchanges and connections end: well, with an answer of our own, cut, or timed out. Every way out
// of an exchange goes through `settle`, which tells the pool, and `release`, which gives back what it
// held, so that nothing leaks whichever way it goes.

import Balance
import Base
import HTTP
import Net

extension Worker {
    // How long a client may go on sending after our last word, without a pause and in all.
    private static let lingerPause: UInt64 = 2_000_000_000
    // The same while the worker drains: everything is answered, and the process wants to leave.
    private static let drainPause: UInt64 = 200_000_000
    private static let lingerLimit: UInt64 = 30_000_000_000
    // How often it is read from before the other connections of the worker get their turn: 2 MiB.
    private static let lingerReads = 32

    /// Both bodies are through.
    mutating func finish(_ index: UInt32) {
        let exchange = exchanges.at(index)
        settle(index, .ok)
        let upstreamIndex = exchange.it.upstream
        let upstream = upstreams.at(upstreamIndex)
        // Reusable only if both sides have said all they had to, and nothing else.
        let isClean =
            exchange.it.upstreamStays && !upstream.it.isBound && exchange.it.up.isDone
            && upstream.it.link.isFlushed && upstream.it.link.isSilent(&kit)
        exchange.it.upstream = .max
        if isClean {
            keep(idle: upstreamIndex, of: exchange.it.node)
        } else {
            close(upstream: upstreamIndex)
        }
        let clientIndex = exchange.it.client
        let closes = exchange.it.closesClient
        // A client that wanted this to be its last request, and has sent nothing after it that a
        // plain close would meet unread, need not be waited for.
        let isLast = !exchange.it.clientStays && exchange.it.up.isDone
        release(index)
        if !closes {
            awaitRequest(clientIndex)
        } else if isLast && clients[clientIndex].link.mayClose() {
            close(client: clientIndex)
        } else {
            closeSoftly(clientIndex)
        }
    }

    /// The client may send its next request, or has done so already.
    private mutating func awaitRequest(_ index: UInt32) {
        let client = clients.at(index)
        if isLeaving(client) && client.it.link.input.isEmpty && !client.it.link.canRead {
            closeSoftly(index)
            return
        }
        client.it.phase = .head
        client.it.seen = 0
        client.it.link.rest(&kit)
        arm(index, after: listeners[Int(client.it.listener)].plan.idleTimeout)
        if !client.it.link.input.isEmpty || client.it.link.canRead { enqueue(client: index) }
    }

    /// Tells the pool how the attempt ended, once for each `began`.
    mutating func settle(_ index: UInt32, _ outcome: AttemptResult.Outcome) {
        let exchange = exchanges.at(index)
        guard exchange.it.isCounted else { return }
        exchange.it.isCounted = false
        let result = AttemptResult(
            outcome: outcome, status: UInt32(exchange.it.status), strategy: exchange.it.strategy,
            token: exchange.it.token, generation: exchange.it.generation,
            connectNs: exchange.it.connectNs,
            firstByteNs: exchange.it.firstByteAt > 0
                ? exchange.it.firstByteAt &- exchange.it.pickedAt : 0,
            totalNs: now &- exchange.it.pickedAt, bytesSent: exchange.it.up.moved,
            bytesReceived: exchange.it.down.moved, attempt: exchange.it.attempt,
            holdsPlace: exchange.it.holdsPlace)
        pools[UInt32(exchange.it.pool)].ended(exchange.it.node, result)
        if exchange.it.holdsPlace {
            exchange.it.holdsPlace = false
            callWaiter(Int(exchange.it.pool))
        }
    }

    /// The node has gone before its answer. Sent again where that is safe (RFC 9110 section 9.2.2).
    mutating func lost(_ index: UInt32) {
        let exchange = exchanges.at(index)
        let wasIdle = upstreams[exchange.it.upstream].wasIdle
        drop(upstreamOf: index)
        guard !exchange.it.responseStarted else {
            settle(index, .broken)
            cut(index)
            return
        }
        exchange.it.firstByteAt = 0
        let mayGoAgain = exchange.it.isReplayable && !exchange.it.interimSent
        if mayGoAgain && wasIdle && !exchange.it.metStaleConnection {
            // It closed an idle connection just as we used it, which is its right: the same node
            // again, on a new connection, and no failure of it.
            exchange.it.metStaleConnection = true
            connect(index)
            return
        }
        settle(index, .broken)
        exchange.it.nodeFailed()
        exchange.it.lastFailure = .lost
        tryAnother(index, if: mayGoAgain && mayRetry(exchange, wasSent: true))
    }

    /// The node has the whole request and says nothing: as little is known of what it did as of one that
    /// has gone, so that the same may be sent again.
    private mutating func answerIsLate(_ index: UInt32) {
        let exchange = exchanges.at(index)
        drop(upstreamOf: index)
        settle(index, .timedOut)
        exchange.it.nodeFailed()
        exchange.it.lastFailure = .late
        let mayGoAgain = exchange.it.isReplayable && !exchange.it.interimSent
        tryAnother(index, if: mayGoAgain && mayRetry(exchange, wasSent: true))
    }

    /// After a failed attempt: another node's turn, or the client is told.
    mutating func tryAnother(_ index: UInt32, if isAllowed: Bool) {
        guard isAllowed else {
            giveUp(index)
            return
        }
        exchanges.at(index).it.metStaleConnection = false
        pickAndConnect(index, headIsParsed: false)
    }

    /// No other node is to be tried: the last one's failure is what the client is told of.
    mutating func giveUp(_ index: UInt32) {
        switch exchanges[index].lastFailure {
        case .unreachable: fail(index, 502, "the node could not be reached")
        case .connectTimedOut: fail(index, 504, "the node did not take the connection in time")
        case .lost: fail(index, 502, "the node closed the connection before it answered")
        case .late: fail(index, 504, "the node did not answer in time")
        case .insecure: fail(index, 502, "no TLS could be agreed on with the node")
        }
    }

    /// The client is gone, or has broken off its request: nobody is there to be answered.
    mutating func clientGone(_ index: UInt32) {
        let exchange = exchanges.at(index)
        settle(index, exchange.it.phase == .tunnel ? .ok : .abandoned)
        if exchange.it.status == 0 { exchange.it.status = 499 }
        let client = exchange.it.client
        drop(upstreamOf: index)
        release(index)
        close(client: client)
    }

    /// The response has begun and cannot be finished: the client must see that it is not whole.
    mutating func cut(_ index: UInt32) {
        let exchange = exchanges.at(index)
        let client = exchange.it.client
        drop(upstreamOf: index)
        exchange.it.wasCut = true
        release(index)
        clients[client].link.transport.resetOnClose()
        close(client: client)
    }

    /// Ends an exchange with an answer of our own.
    mutating func fail(_ index: UInt32, _ status: UInt16, _ sentence: StaticString) {
        let exchange = exchanges.at(index)
        if exchange.it.isStream {
            failStream(index, status)
            return
        }
        guard !exchange.it.responseStarted else {
            cut(index)
            return
        }
        settle(index, .broken)
        drop(upstreamOf: index)
        exchange.it.status = status
        let clientIndex = exchange.it.client
        let asHead = exchange.it.method == .head
        // A body that was not read whole cannot be told from a next request.
        let client = clients.at(clientIndex)
        let stays = exchange.it.clientStays && exchange.it.up.isDone && !isLeaving(client)
        client.it.link.input.consume(exchange.it.headLength)
        exchange.it.headLength = 0
        release(index)
        reject(clientIndex, status, sentence, stays: stays, asHead: asHead)
    }

    /// Answers a client that has no exchange (any more).
    mutating func reject(
        _ index: UInt32, _ status: UInt16, _ sentence: StaticString, stays: Bool, asHead: Bool
    ) {
        kit.scratch.clear()
        dateLine.set(second: UInt64(wallSeconds()))
        _ = kit.scratch.write {
            CannedResponse.write(
                status: status, sentence: sentence, close: !stays, headOnly: asHead,
                date: dateLine.span, to: &$0)
        }
        goOn(index, stays: stays)
    }

    /// An answer of our own lies in the scratch: it goes out, and the client may go on or not.
    mutating func goOn(_ index: UInt32, stays: Bool) {
        let client = clients.at(index)
        if case .failed = client.it.link.sendScratch(&kit) {
            close(client: index)
        } else if stays {
            awaitRequest(index)
        } else {
            closeSoftly(index)
        }
    }

    /// Gives back what an exchange holds, writes its line in the log, and ends it.
    private mutating func release(_ index: UInt32) {
        leaveQueue(index)
        var exchange = exchanges.remove(index)
        if exchange.note != .max {
            let pool = names[Int(exchange.pool)]
            let node = exchange.row == .max ? "" : nodeNames[Int(exchange.row)]
            let line = LogLine(
                client: clients[exchange.client].address, pool: pool.pool, node: node,
                strategy: pool.strategy(exchange.strategy),
                status: exchange.status, wasCut: exchange.wasCut,
                attempts: exchange.picks,
                received: exchange.up.moved, sent: exchange.down.moved,
                connect: exchange.connectNs,
                firstByte: exchange.firstByteAt > 0
                    ? exchange.firstByteAt &- exchange.startedAt : 0,
                total: now &- exchange.startedAt)
            log.write(exchange.note, line)
        }
        exchange.up.end(&kit)
        exchange.down.end(&kit)
        endSession(exchange.session)
        clients[exchange.client].exchange = .max
    }

    /// A tunnel's end is the end of both connections. `isBroken`: neither side is to take what it has for
    /// the whole.
    mutating func endTunnel(_ index: UInt32, isBroken: Bool = false) {
        let client = exchanges[index].client
        if isBroken {
            clients[client].link.transport.resetOnClose()
            upstreams[exchanges[index].upstream].link.transport.resetOnClose()
        }
        drop(upstreamOf: index)
        release(index)
        close(client: client)
    }

    /// Our last word is said, or waits in `output`: the client gets time to read it.
    mutating func closeSoftly(_ index: UInt32) {
        let client = clients.at(index)
        client.it.phase = .lingering
        client.it.lingerUntil = now &+ Self.lingerLimit
        kit.buffers.reclaim(&client.it.link.input)
        arm(index, after: isDraining ? Self.drainPause : Self.lingerPause)
        linger(index)
    }

    /// Sends what is left to say, says goodbye, and reads into nowhere until the client does too. It
    /// reads from the first: a client may take nothing until it has sent all of its request.
    mutating func linger(_ index: UInt32) {
        let client = clients.at(index)
        let unsent = client.it.link.output.count
        let flushed = client.it.link.flush(&kit)
        if case .failed = flushed {
            close(client: index)
            return
        }
        if client.it.link.output.count < unsent { client.it.lingerUntil = now &+ Self.lingerLimit }
        if flushed == .done && !client.it.saidGoodbye {
            client.it.saidGoodbye = true
            client.it.link.endSending()
        }
        guard now < client.it.lingerUntil else {
            close(client: index)
            return
        }
        for _ in 0..<Self.lingerReads {
            switch client.it.link.fill(&kit) {
            case .more: client.it.link.input.clear()
            case .wait:
                kit.buffers.reclaim(&client.it.link.input)
                var pause = isDraining ? Self.drainPause : Self.lingerPause
                if flushed == .wait { pause = Self.lingerLimit }
                arm(index, after: min(pause, client.it.lingerUntil &- now))
                return
            case .ended where flushed == .wait:
                // It will send no more, and may still read.
                arm(index, after: client.it.lingerUntil &- now)
                return
            case .ended, .failed:
                close(client: index)
                return
            }
        }
        kit.buffers.reclaim(&client.it.link.input)
        arm(index, after: Self.lingerPause)
        enqueue(client: index)
    }

    /// A client's patience, or ours with it or its node, has ended.
    mutating func timedOut(_ index: UInt32) {
        let client = clients.at(index)
        switch client.it.phase {
        case .head:
            if client.it.seen > 0 {
                refuseUnread(index, 408, "the request's header fields did not arrive in time")
            } else {
                close(client: index)
            }
        case .handshake:
            failed(client, "it took too long")
            close(client: index)
        case .greeting, .hello, .lingering:
            close(client: index)
        case .exchange:
            exchangeTimedOut(client.it.exchange)
        }
    }

    private mutating func exchangeTimedOut(_ index: UInt32) {
        let exchange = exchanges.at(index)
        switch exchange.it.phase {
        case .waiting:
            traffics[Int(exchange.it.pool)].queue.noteExpired()
            fail(index, 503, "no node had a place for this request in time")
        case .connecting:
            connectFailed(index, timedOut: true)
        case .tunnel:
            settle(index, .ok)
            endTunnel(index)
        case .running:
            if exchange.it.awaits == .room {
                abandonUpload(index)
            } else if exchange.it.answer == .done {
                // Its answer it has; the rest of its upload it does not send, or the node not take.
                finish(index)
            } else if exchange.it.responseStarted {
                // Who did not move? A client that takes nothing says nothing about the node.
                let clientWaits = clients[exchange.it.client].link.canWrite
                settle(index, clientWaits ? .timedOut : .abandoned)
                cut(index)
            } else if exchange.it.up.isDone {
                answerIsLate(index)
            } else if !upstreams[exchange.it.upstream].link.canWrite {
                settle(index, .timedOut)
                fail(index, 504, "the node did not take the request's body in time")
            } else {
                settle(index, .abandoned)
                fail(index, 408, "the request's body did not arrive in time")
            }
        }
    }

    mutating func close(client index: UInt32) {
        wheel.cancel(index)
        var client = clients.remove(index)
        if client.phase == .handshake { handshakes.leave(Int(client.listener)) }
        listeners[Int(client.listener)].plan.connections.leave(
            client.peer, client.entry)
        client.link.close(&kit)
        descriptorCameFree()
    }

    /// The worker leaves: whatever is still open is closed.
    mutating func closeEverything() {
        if !isDraining {
            for listening in listeners where listening.fd >= 0 { IO.close(listening.fd) }
        }
        for index in 0..<UInt32(clients.capacity) where clients.isLive(index: index) {
            let client = clients.at(index)
            if client.it.phase == .exchange {
                settle(client.it.exchange, .abandoned)
                cut(client.it.exchange)
            } else {
                close(client: index)
            }
        }
        for index in 0..<UInt32(upstreams.capacity) where upstreams.isLive(index: index) {
            close(upstream: index)
        }
    }
}
