// From a client's bytes to a node: the head is read and judged, the pool is found by host and path,
// the pool's strategies pick, and a connection is taken from the idle ones or made anew.

import Balance
import Base
import HTTP
import Net

extension Worker {
    /// Reads until a head is whole, and begins its exchange.
    mutating func readHead(_ index: UInt32) {
        let client = clients.at(index)
        let head = requestHead(of: client)
        // The end of an earlier answer goes first; who does not take it gets no further ones.
        let unsent = client.it.link.output.count
        switch client.it.link.flush(&kit) {
        case .done: break
        case .wait:
            if client.it.link.output.count < unsent {
                arm(index, after: listeners[Int(client.it.listener)].plan.idleTimeout)
            }
            return
        case .failed:
            close(client: index)
            return
        }
        while true {
            if !client.it.link.input.isEmpty {
                let outcome = head.it.parse(client.it.link.input.bytes, seen: client.it.seen)
                switch outcome {
                case .complete(let length):
                    // What came before a reset can still be read, but nobody is there for an answer.
                    if client.it.link.isBroken {
                        close(client: index)
                        return
                    }
                    client.it.seen = 0
                    begin(index, headLength: length)
                    return
                case .invalid(let fault):
                    refuseUnread(index, fault.status, fault.sentence)
                    return
                case .incomplete:
                    if client.it.seen == 0 {
                        let listening = listeners[Int(client.it.listener)]
                        arm(index, after: listening.plan.headerTimeout)
                    }
                    client.it.seen = client.it.link.input.count
                }
            }
            switch client.it.link.fill(&kit) {
            case .more: continue
            case .wait:
                if isLeaving(client) && client.it.hasServed && client.it.seen == 0 {
                    closeSoftly(index)
                }
                return
            case .ended, .failed:
                close(client: index)
                return
            }
        }
    }

    /// The head that was just parsed lies at the front of the client's input.
    private mutating func begin(_ index: UInt32, headLength: Int) {
        let client = clients.at(index)
        let head = requestHead(of: client)
        let bytes = client.it.link.input.bytes
        if head.it.method == .options && head.it.maxForwards == 0 {
            // RFC 9110 section 7.6.2: such a question is for the last proxy it reaches.
            refuse(index, headLength, 200, "answered by the balancer, as Max-Forwards asks")
            return
        }
        let pool = listeners[Int(client.it.listener)].plan.routes.pool(
            host: bytes.extracting(head.it.authority.indices),
            path: bytes.extracting(head.it.path.indices), &kit.scratch, &kit.tail)
        if pool == nil, let port = listeners[Int(client.it.listener)].plan.redirectPort {
            redirect(index, headLength, port)
            return
        }
        guard let pool else {
            refuse(index, headLength, 404, "no route leads from this host and path to a pool")
            return
        }
        let made = exchanges.insert(
            Exchange(
                client: index, pool: UInt16(pool), head: head.it, headLength: headLength,
                now: now))
        client.it.phase = .exchange
        client.it.exchange = made.index
        client.it.hasServed = true
        if log.isOn {
            exchanges.at(made.index).it.note = log.note(
                method: bytes.extracting(head.it.methodRange.indices),
                target: bytes.extracting(head.it.target.indices))
        }
        budgets[pool].noteRequest(now: now)
        pickAndConnect(made.index, headIsParsed: true)
    }

    /// Has the pool's strategies pick a node and goes there.
    mutating func pickAndConnect(_ index: UInt32, headIsParsed: Bool) {
        let exchange = exchanges.at(index)
        let client = clients.at(exchange.it.client)
        if exchange.it.isOrphan {
            fail(index, 503, "the pool is no longer configured")
            return
        }
        if !headIsParsed { parseAgain(client, exchange) }
        let view = pools.at(UInt32(exchange.it.pool))
        if view.it.hasLimits && overtakes(exchange) {
            wait(index)
            return
        }
        var outcome = ask(view, exchange, client)
        if outcome == .full && announce(exchange) { outcome = ask(view, exchange, client) }
        exchange.it.pickedAt = now
        if outcome == .full {
            wait(index)
            return
        }
        if exchange.it.isCalled { answerCall(exchange) }
        switch outcome {
        case .node(let node, let token, let strategy):
            if exchange.it.hasTried(node) {
                // No other node is left to try.
                view.it.givePlaceBack(node)
                if view.it.hasLimits { callWaiter(Int(exchange.it.pool)) }
                giveUp(index)
                return
            }
            exchange.it.node = node
            exchange.it.row = view.it.row(node)
            exchange.it.token = token
            exchange.it.strategy = strategy
            exchange.it.generation = view.it.generation
            exchange.it.addressIndex = 0
            exchange.it.isCounted = true
            exchange.it.holdsPlace = view.it.hasLimit(node)
            exchange.it.picks += 1
            view.it.began(node)
            if exchange.it.note != .max {
                view.it.withLastReason { log.note(exchange.it.note, reason: $0) }
            }
            reachNode(index, headIsParsed: true)
        case .refused:
            fail(index, 503, "the pool's strategy let no node take this request")
        case .noneAlive:
            fail(index, 503, "no node of the pool is up")
        case .full:
            break  // It waits.
        }
    }

    /// Has the pool pick for the request that was parsed last, whose bytes lie in the client's input.
    private mutating func ask(
        _ view: Ref<PoolView>, _ exchange: Ref<Exchange>, _ client: Ref<Client>
    ) -> PickOutcome {
        if exchange.it.isStream { return askForStream(view, exchange, client) }
        let head = requestHead(of: client)
        var room: [46 of UInt8] = .init(repeating: 0)
        let length = client.it.address.text(into: &room)
        let bytes = client.it.link.input.bytes
        let tried = exchange.it.tried
        let affinity = affinities.at(UInt32(exchange.it.pool))
        let opened = openSession(affinity, exchange, client, head)
        let carried = opened?.content.carried ?? Carried()
        let facts = PickFacts(
            method: bytes.extracting(head.it.methodRange.indices),
            target: bytes.extracting(head.it.target.indices),
            authority: bytes.extracting(head.it.authority.indices),
            client: room.span.extracting(0..<length), bytes: bytes, fields: head.it.fields,
            tried: tried.span.extracting(0..<exchange.it.triedCount),
            session: carried.bytes.span.extracting(0..<carried.count),
            sessionNode: opened?.content.node.map { view.it.find(id: $0) } ?? PickFacts.noNode,
            hash: keyHash(
                affinity, client, head, clientText: room.span.extracting(0..<length),
                seed: view.it.seed),
            attempt: exchange.it.attempt, flags: log.isOn ? PickFacts.explain : 0)
        let outcome = view.it.pick(facts)
        if affinity.it.hasSession {
            noteSession(affinity, exchange, client, head, opened, view)
        } else if view.it.lastPickSticks || view.it.lastPickCarries {
            noteNoSession(affinity, pool: names[Int(exchange.it.pool)].pool)
        }
        return outcome
    }

    /// Takes an idle connection to the picked node where that is safe, else makes one.
    mutating func reachNode(_ index: UInt32, headIsParsed: Bool) {
        let exchange = exchanges.at(index)
        let pool = settings[Int(exchange.it.pool)]
        let list = Int(exchange.it.row)
        idle[list].noteUse(Int(pools[UInt32(exchange.it.pool)].inFlight(exchange.it.node)))
        // An idle connection may be closed by the node at this very moment. A request that can be
        // sent again survives that; any other goes out on a connection that was never idle.
        let mayReuse =
            (exchange.it.isReplayable || pool.reusesAlways && !exchange.it.isStream)
            && !exchange.it.metStaleConnection && pool.proxyHeader == nil
        if mayReuse && idle[list].newest != .max {
            let taken = idle[list].newest
            idle[list].remove(taken, in: upstreams)
            upstreams[taken].client = exchange.it.client
            exchange.it.upstream = taken
            sendHead(index, headIsParsed: headIsParsed)
        } else {
            connect(index)
        }
    }

    /// Sends the request's head, and what of its body is at hand, on a connection that is made.
    mutating func sendHead(_ index: UInt32, headIsParsed: Bool) {
        let exchange = exchanges.at(index)
        if exchange.it.isStream {
            openStream(index)
            return
        }
        let client = clients.at(exchange.it.client)
        let upstream = upstreams.at(exchange.it.upstream)
        let head = requestHead(of: client)
        if !headIsParsed { parseAgain(client, exchange) }
        exchange.it.phase = .running
        // Every attempt has the whole of its time.
        exchange.it.isArmed = false
        var facts = ForwardingFacts(
            client: client.it.address, secure: client.it.isSecure,
            trusted: client.it.isTrusted,
            passUpgrade: exchange.it.wantsWebSocket)
        if head.it.authority.isEmpty {
            // An HTTP/1.0 client named no host: the node is told its own address.
            let address = addresses.address(Int(exchange.it.row), exchange.it.addressIndex)
            facts.node = address?.ip
            facts.nodePort = address?.port ?? 80
        }
        let bytes = client.it.link.input.bytes
        let affinity = affinities.at(UInt32(exchange.it.pool))
        let hidden = affinity.it.cookie.span.extracting(
            first: exchange.it.session.hasCookie ? affinity.it.cookie.count : 0)
        introduce(client, to: upstream, of: exchange)
        let subject = client.it.link.transport.tls?.subject ?? []
        let fits = kit.scratch.write {
            head.it.writeForwarded(
                bytes, facts: facts, without: hidden, subject: subject.span, to: &$0)
        }
        guard fits else {
            kit.scratch.clear()
            settle(index, .abandoned)
            fail(index, 431, "the request's header fields are too long to be forwarded")
            return
        }
        if exchange.it.up.isDone {
            if case .failed = upstream.it.link.sendScratch(&kit) {
                lost(index)
                return
            }
        } else {
            // From here on the request cannot be sent again: its head is no longer needed.
            client.it.link.input.consume(exchange.it.headLength)
            exchange.it.headLength = 0
        }
        drive(index)
    }

    /// The request's head lies at the front of the input until it can no longer be needed: it parses
    /// as it did before.
    private mutating func parseAgain(_ client: Ref<Client>, _ exchange: Ref<Exchange>) {
        if exchange.it.isStream {
            _ = clientHello.parse(client.it.link.input.bytes)
            return
        }
        _ = requestHead(of: client).it.parse(client.it.link.input.bytes)
    }

    /// The head that requests of this client are parsed into: one for each listener and its limits.
    func requestHead(of client: Ref<Client>) -> Ref<RequestHead> {
        requestHeads.at(UInt32(client.it.listener))
    }
}
