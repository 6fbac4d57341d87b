// Who a connection is for, said before anything else: heard of proxies in front that are believed, and told
// to nodes that want to know (the PROXY protocol, Net/ProxyHeader.swift).

import Base
import Net

extension Worker {
    /// Reads the header that a proxy in front sends first, and goes on with whoever it speaks for.
    mutating func readGreeting(_ index: UInt32) {
        let client = clients.at(index)
        while true {
            let outcome = ProxyHeader.parse(client.it.link.input.bytes)
            switch outcome {
            case .complete(let ends, let length):
                client.it.link.input.consume(length)
                if let ends { meet(ends, client) }
                enter(index)
                return
            case .invalid(let sentence):
                complain(of: client, sentence)
                close(client: index)
                return
            case .incomplete: break
            }
            guard readsMore(index) else { return }
        }
    }

    /// The connection is somebody else's from here on, who is believed only if it is a proxy itself.
    private mutating func meet(_ ends: ProxyHeader.Ends, _ client: Ref<Client>) {
        client.it.address = ends.source
        client.it.port = ends.sourcePort
        client.it.isSecure = ends.isSecure
        var isTrusted = false
        for range in listeners[Int(client.it.listener)].plan.trusted
        where range.contains(ends.source) {
            isTrusted = true
        }
        client.it.isTrusted = isTrusted
    }

    private mutating func enter(_ index: UInt32) {
        let client = clients.at(index)
        let listening = listeners[Int(client.it.listener)]
        if listening.plan.isStream {
            welcomeStream(index)
        } else if listening.plan.front != nil {
            beginHandshake(index)
        } else {
            client.it.phase = .head
            arm(index, after: listening.plan.headerTimeout)
            readHead(index)
        }
    }

    private func complain(of client: Ref<Client>, _ sentence: StaticString) {
        guard greetings.pass(now: now) != nil else { return }
        let plan = listeners[Int(client.it.listener)].plan
        Log.warning(
            "listener \(plan.name): a connection of the trusted proxy \(client.it.peer) begins with "
                + "\(sentence), and is closed; such connections are told of every 10 s")
    }

    /// Tells a node whom a new connection is for, if its pool says so: goes out with what comes next.
    mutating func introduce(
        _ client: Ref<Client>, to upstream: Ref<Upstream>, of exchange: Ref<Exchange>
    ) {
        guard let version = settings[Int(exchange.it.pool)].proxyHeader, !upstream.it.isBound else {
            return
        }
        upstream.it.isBound = true
        var ends: ProxyHeader.Ends?
        if let here = Socket.localAddress(client.it.link.fd), let target = here.ip {
            ends = ProxyHeader.Ends(
                source: client.it.address, sourcePort: client.it.port, target: target,
                targetPort: here.port)
        }
        // Version 1 has no word for them.
        let facts =
            version == .v1
            ? nil
            : client.it.link.transport.tls?.facts
                ?? (client.it.isSecure ? ProxyHeader.TLSFacts() : nil)
        _ = kit.scratch.write { ProxyHeader.write(ends, version, facts: facts, to: &$0) }
    }
}
