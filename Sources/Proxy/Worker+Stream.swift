// Connections of `tcp` listeners: a node is picked for each, and bytes go both ways until both ends are
// done. With routes, the first message of a TLS client is waited for and looked at, never ended. No
// byte is lost to a node that cannot be reached: another one gets the connection.

import Balance
import Base
import HTTP
import Net

extension Worker {
    /// A client of a `tcp` listener is there.
    mutating func welcomeStream(_ index: UInt32) {
        let listening = listeners[Int(clients[index].listener)]
        if listening.plan.routes.isEmpty {
            _ = clientHello.parse(clients.at(index).it.link.input.bytes)
            beginStream(index)
        } else {
            clients.at(index).it.phase = .hello
            arm(index, after: listening.plan.headerTimeout)
            readHello(index)
        }
    }

    /// Reads until it is known whom a TLS client asks for.
    mutating func readHello(_ index: UInt32) {
        let client = clients.at(index)
        while true {
            if client.it.link.input.count > client.it.seen {
                client.it.seen = client.it.link.input.count
                if clientHello.parse(client.it.link.input.bytes) != .incomplete {
                    client.it.seen = 0
                    beginStream(index)
                    return
                }
            }
            guard readsMore(index) else { return }
        }
    }

    /// Reads more of what a client begins with. False: there is nothing now, or the client has left, and is
    /// closed.
    mutating func readsMore(_ index: UInt32) -> Bool {
        switch clients.at(index).it.link.fill(&kit) {
        case .more: return true
        case .wait: return false
        case .ended, .failed:
            close(client: index)
            return false
        }
    }

    /// Finds the pool, and a node of it. What the client has sent so far was looked at, and lies in its
    /// input.
    private mutating func beginStream(_ index: UInt32) {
        let client = clients.at(index)
        let (room, length) = (clientHello.room, clientHello.length)
        let root: [1 of UInt8] = [UInt8(ascii: "/")]
        let routes = listeners[Int(client.it.listener)].plan.routes
        let pool = routes.pool(
            host: room.span.extracting(0..<length), path: root.span, &kit.scratch,
            &kit.tail)
        guard let pool else {
            if log.isOn {
                let note = noteStream()
                log.note(note, reason: "no route leads from this name to a pool")
                log.write(note, LogLine(client: client.it.address, status: 404))
            }
            close(client: index)
            return
        }
        let made = exchanges.insert(Exchange(streamOf: index, pool: UInt16(pool), now: now))
        client.it.phase = .exchange
        client.it.exchange = made.index
        client.it.hasServed = true
        if log.isOn { exchanges.at(made.index).it.note = noteStream() }
        budgets[pool].noteRequest(now: now)
        pickAndConnect(made.index, headIsParsed: true)
    }

    /// For the log: what was asked for is a name, or nothing.
    private mutating func noteStream() -> UInt32 {
        let (room, length) = (clientHello.room, clientHello.length)
        let method: [3 of UInt8] = [UInt8(ascii: "T"), UInt8(ascii: "C"), UInt8(ascii: "P")]
        let nothing: [1 of UInt8] = [UInt8(ascii: "-")]
        return log.note(
            method: method.span,
            target: length == 0
                ? nothing.span : room.span.extracting(0..<length))
    }

    /// What strategies are told of a connection: the client, and the name that it asks for.
    mutating func askForStream(
        _ view: Ref<PoolView>, _ exchange: Ref<Exchange>, _ client: Ref<Client>
    ) -> PickOutcome {
        var address: [46 of UInt8] = .init(repeating: 0)
        let written = client.it.address.text(into: &address)
        let clientText = address.span.extracting(0..<written)
        let tried = exchange.it.tried
        let affinity = affinities.at(UInt32(exchange.it.pool))
        let (room, length) = (clientHello.room, clientHello.length)
        let nothing = Span<UInt8>()
        return view.it.pick(
            PickFacts(
                method: nothing, target: nothing,
                authority: room.span.extracting(0..<length), client: clientText,
                bytes: nothing, fields: Span(),
                tried: tried.span.extracting(0..<exchange.it.triedCount), session: nothing,
                sessionNode: PickFacts.noNode,
                hash: streamHash(affinity, clientText: clientText, seed: view.it.seed),
                attempt: exchange.it.attempt, flags: log.isOn ? PickFacts.explain : 0))
    }

    /// The node has taken the connection.
    mutating func openStream(_ index: UInt32) {
        let exchange = exchanges.at(index)
        let client = clients.at(exchange.it.client)
        exchange.it.phase = .tunnel
        exchange.it.firstByteAt = now
        client.it.seen = 0
        watchPeers(exchange)
        introduce(client, to: upstreams.at(exchange.it.upstream), of: exchange)
        arm(exchange.it.client, after: settings[Int(exchange.it.pool)].tunnelTimeout)
        driveTunnel(index)
    }

    /// Whoever has vanished without a word is noticed by the kernel: tunnels have no timeout of their own.
    mutating func watchPeers(_ exchange: Ref<Exchange>) {
        Socket.keepAlive(clients[exchange.it.client].link.fd)
        Socket.keepAlive(upstreams[exchange.it.upstream].link.fd)
    }

    /// No node takes the connection: the client sees it broken, since there is nobody to say why.
    mutating func failStream(_ index: UInt32, _ status: UInt16) {
        settle(index, .broken)
        exchanges.at(index).it.status = status
        cut(index)
    }
}
