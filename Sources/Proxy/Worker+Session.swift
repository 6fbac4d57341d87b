// Sessions and hash keys on the way of a request: the client's cookie is opened before the pick, what
// the strategies wish is noted behind it, and the answer takes a new cookie along where one is due. What
// is in a cookie, and how it is signed, is Session/SessionSeal.swift.

import Balance
import Base
import HTTP
import Net
import Synchronization

/// Pools whose strategies wished a session where there is none, and of which that was said.
private let told = Guarded<Set<String>>([])

extension Worker {
    // A client may have several cookies of one name; each that is looked at costs two compressions, so
    // a request cannot have us look at any number.
    private static let looks = 4

    /// The session of the request that was parsed last: the first of its cookies that is good.
    mutating func openSession(
        _ affinity: Ref<Affinity>, _ exchange: Ref<Exchange>, _ client: Ref<Client>,
        _ head: Ref<RequestHead>
    ) -> OpenedSession? {
        exchange.it.session.hasCookie = false
        guard affinity.it.hasSession, head.it.hasCookies else { return nil }
        let bytes = client.it.link.input.bytes
        for look in 0..<Self.looks {
            guard let value = head.it.cookie(bytes, named: affinity.it.cookie.span, look) else {
                break
            }
            exchange.it.session.hasCookie = true
            let opened = affinity.it.seal.open(
                bytes.extracting(value.indices), now: wallSeconds())
            if let opened { return opened }
        }
        return nil
    }

    /// Notes what the pick just made wishes for its client, for `prepareCookie`.
    mutating func noteSession(
        _ affinity: Ref<Affinity>, _ exchange: Ref<Exchange>, _ client: Ref<Client>,
        _ head: Ref<RequestHead>, _ opened: OpenedSession?, _ view: Ref<PoolView>
    ) {
        var note = SessionNote()
        note.hasCookie = exchange.it.session.hasCookie
        note.carried = exchange.it.session.carried
        note.sticks = view.it.lastPickSticks
        note.carries = view.it.lastPickCarries
        // Served elsewhere this once, since its node is full: it stays that node's.
        if view.it.lastPickWasDiverted, opened?.content.node != nil { note.sticks = false }
        var carried = Carried()
        if let opened {
            if let node = opened.content.node {
                note.namesNode = true
                note.node = node
            }
            carried = opened.content.carried
            if note.wishesSession { note.isDue = affinity.it.isStale(opened, now: wallSeconds()) }
        } else {
            note.isDue = true
        }
        if note.carries {
            view.it.withLastSession { given in
                guard !carried.isSame(as: given) else { return }
                note.isDue = true
                carried = Carried(given)
            }
        }
        // What one strategy had the client carry is not lost because another has it stick.
        let isKept = note.wishesSession && !carried.isEmpty
        if isKept && note.carried == .max {
            note.carried = carrieds.insert(carried).index
        } else if isKept {
            carrieds.at(note.carried).it = carried
        } else if note.carried != .max {
            _ = carrieds.remove(note.carried)
            note.carried = .max
        }
        if note.wishesSession {
            // A proxy in front that is believed may have had the TLS.
            note.isSecure =
                affinity.it.isAlwaysSecure
                || affinity.it.isSecureByClient
                    && (client.it.isSecure
                        || client.it.isTrusted
                            && head.it.saysHTTPS(client.it.link.input.bytes))
        }
        exchange.it.session = note
    }

    /// Says once that what a strategy wishes has no effect.
    func noteNoSession(_ affinity: Ref<Affinity>, pool: @autoclosure () -> String) {
        guard !affinity.it.hasTold else { return }
        affinity.it.hasTold = true
        let pool = pool()
        guard told.withLock({ $0.insert(pool).inserted }) else { return }
        Log.warning(
            "pool \(pool): a strategy wants to keep clients on their nodes, but the pool has no "
                + "\"session\": they are not kept")
    }

    /// Writes the line that gives the client its session into `setCookie`, or none if it has what it
    /// needs. For the final head of the answer of the node that serves.
    mutating func prepareCookie(_ exchange: Ref<Exchange>) {
        setCookie.clear()
        let note = exchange.it.session
        // A reload since the pick may have taken the pool or the node away, and with it the wish.
        guard note.wishesSession, !exchange.it.isOrphan, exchange.it.node != .max else { return }
        let affinity = affinities.at(UInt32(exchange.it.pool))
        guard affinity.it.hasSession else { return }
        let serving = pools.at(UInt32(exchange.it.pool)).it.id(of: exchange.it.node)
        let isElsewhere = note.sticks && !(note.namesNode && note.node == serving)
        guard note.isDue || isElsewhere else { return }
        var content = SessionContent()
        content.node = note.sticks ? serving : note.namesNode ? note.node : nil
        if note.carried != .max { content.carried = carrieds[note.carried] }
        content.expiry = wallSeconds() &+ affinity.it.life
        let value = affinity.it.seal.seal(content, nonce: nonces.next())
        setCookie.write(affinity.it, value, secure: note.isSecure)
    }

    /// Gives back what an exchange that ends has its client carry.
    mutating func endSession(_ note: SessionNote) {
        if note.carried != .max { _ = carrieds.remove(note.carried) }
    }

    /// The hash of what the pool's strategies spread requests by; 0 if there is no such thing in the
    /// request. An empty value is none.
    func keyHash(
        _ affinity: Ref<Affinity>, _ client: Ref<Client>, _ head: Ref<RequestHead>,
        clientText: Span<UInt8>, seed: UInt64
    ) -> UInt64 {
        let bytes = client.it.link.input.bytes
        let range: ByteRange
        switch affinity.it.key {
        case .none: return 0
        case .client: return Self.hash(clientText, seed)
        case .path:
            // An absolute-form without a path means "/".
            if head.it.path.isEmpty {
                let root: [1 of UInt8] = [UInt8(ascii: "/")]
                return Self.hash(root.span, seed)
            }
            range = head.it.path
        case .header:
            guard let value = head.it.value(bytes, of: affinity.it.keyName.span) else { return 0 }
            range = value
        case .cookie:
            guard let value = head.it.cookie(bytes, named: affinity.it.keyName.span) else {
                return 0
            }
            range = value
        }
        return range.isEmpty ? 0 : Self.hash(bytes.extracting(range.indices), seed)
    }

    /// The same for a connection, which has an address and nothing else.
    func streamHash(
        _ affinity: Ref<Affinity>, clientText: Span<UInt8>, seed: UInt64
    ) -> UInt64 {
        if case .client = affinity.it.key { Self.hash(clientText, seed) } else { 0 }
    }

    /// Never 0, which stands for no key.
    private static func hash(_ bytes: Span<UInt8>, _ seed: UInt64) -> UInt64 {
        let hash = hash64(bytes, seed: seed)
        return hash == 0 ? 1 : hash
    }

    /// Seconds since 1970. Asked for at most once a turn, and only in turns that need it.
    mutating func wallSeconds() -> UInt32 {
        if wallReadAt != now {
            wallReadAt = now
            wall = UInt32(truncatingIfNeeded: wallNow() / 1_000_000_000)
        }
        return wall
    }
}
