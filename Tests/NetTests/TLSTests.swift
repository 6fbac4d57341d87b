// TLS between two ends in one thread, over a pair of sockets: who is answered with which certificate, who is
// believed, what is taken up again, and that bytes and their ends arrive as they were meant.

import Base
import Glibc
import TestKit
import Testing

@testable import Net

/// Two ends of a connection, each with its TLS.
private final class Conversation {
    let ends: (Int32, Int32)
    let (here, there) = (TLSDesk(), TLSDesk())
    let server: TLSSession
    let client: TLSSession
    var pool = BufferPool()

    init(
        _ front: TLSFront, _ behind: TLSBehind, peer: TLSBehind.Peer, former: TLSFormer? = nil,
        room: Int32? = nil
    ) throws {
        var ends: [Int32] = [-1, -1]
        let kind = Int32(
            SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        try #require(unsafe socketpair(AF_UNIX, kind, 0, &ends) == 0)
        self.ends = (ends[0], ends[1])
        if var room {
            for fd in ends {
                _ = unsafe setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, 4)
            }
        }
        server = try #require(front.session(fd: ends[0], desk: here))
        client = try #require(
            behind.session(fd: ends[1], peer: peer, former: former, desk: there))
    }

    deinit {
        // Without a goodbye OpenSSL gives a session up.
        client.close()
        server.close()
        close(ends.0)
        close(ends.1)
    }

    /// What came of it: of the client, then of the server.
    func shakeHands() -> (TLSSession.Handshake, TLSSession.Handshake) {
        var (one, other) = (TLSSession.Handshake.wait, TLSSession.Handshake.wait)
        for _ in 0..<20 where one == .wait || other == .wait {
            if one == .wait { one = client.handshake() }
            if other == .wait { other = server.handshake() }
        }
        return (one, other)
    }

    /// Says it all from one side to the other, and what arrives.
    func say(
        _ bytes: [UInt8], from sender: TLSSession, to receiver: TLSSession
    ) throws -> [UInt8] {
        var arrived: [UInt8] = []
        var buffer = Buffer()
        guard pool.lend(&buffer) else { throw TestFailure("no memory") }
        defer { pool.reclaim(&buffer) }
        var sent = 0
        for _ in 0..<100_000 where arrived.count < bytes.count {
            if sent < bytes.count {
                let rest = bytes.span.extracting(sent..<bytes.count)
                switch sender.send(rest, Span(), Span()) {
                case .done(let count): sent += count
                case .wait: break
                case .closed, .failed: throw TestFailure("it was not sent")
                }
            } else {
                _ = sender.flush()
            }
            buffer.clear()
            switch receiver.receive(into: &buffer, limit: Buffer.capacity) {
            case .done: for i in 0..<buffer.count { arrived.append(buffer.bytes[i]) }
            case .wait: continue
            case .closed, .failed: throw TestFailure("it did not arrive")
            }
        }
        return arrived
    }

    /// What the next read says.
    func next(_ receiver: TLSSession) -> Transfer {
        var buffer = Buffer()
        _ = pool.lend(&buffer)
        defer { pool.reclaim(&buffer) }
        return receiver.receive(into: &buffer, limit: 100)
    }
}

@Suite("TLS, both ends of it", .enabled(if: TLS.isThere)) struct TLSTests {
    private func file(_ name: String) throws -> TLSFile {
        TLSFile(name: name, bytes: try TestCertificates.bytes(name))
    }

    private func pair(_ name: String) throws -> TLSFront.Pair {
        .init(certificate: try file("\(name).crt"), key: try file("\(name).key"))
    }

    private func front(
        _ names: [String], clients: TLSFront.Clients? = nil, tickets: TLSTickets? = nil
    ) throws -> TLSFront {
        try TLSFront(
            names.map(pair), clients: clients, tickets: tickets ?? TLSTickets(.none))
    }

    private func behind(_ certificate: String? = nil) throws -> TLSBehind {
        try TLSBehind(
            trust: .authorities(try file("authority.crt")),
            certificate: try certificate.map { try file("\($0).crt") },
            key: try certificate.map { try file("\($0).key") })
    }

    private func peer(_ name: String, _ pins: [[UInt8]] = []) -> TLSBehind.Peer {
        .init(name: name, isAddress: false, fingerprints: pins)
    }

    @Test(
        "a conversation: what is said arrives, however little the sockets take",
        arguments: [nil, 4096])
    func conversation(_ room: Int32?) throws {
        let talk = try Conversation(
            try front(["web-ec"]), try behind(), peer: peer("web.example.com"), room: room)
        #expect(talk.shakeHands() == (.done, .done))
        #expect(talk.client.version == "TLSv1.3")
        let text = (0..<700_000).map { UInt8(truncatingIfNeeded: $0 &* 7 ^ $0 >> 8) }
        #expect(try talk.say(text, from: talk.client, to: talk.server) == text)
        #expect(try talk.say(text, from: talk.server, to: talk.client) == text)
        #expect(talk.here.isClean && talk.there.isClean)
    }

    @Test("small pieces go as one record")
    func oneRecord() throws {
        let talk = try Conversation(
            try front(["web-ec"]), try behind(), peer: peer("web.example.com"))
        #expect(talk.shakeHands() == (.done, .done))
        _ = talk.next(talk.client)  // tickets
        let (head, body, end): ([UInt8], [UInt8], [UInt8]) = ([1, 2, 3], [4, 5], [6])
        #expect(talk.server.send(head.span, body.span, end.span) == .done(6))
        var raw = [UInt8](repeating: 0, count: 1000)
        let count = unsafe recv(talk.ends.1, &raw, raw.count, 0)
        // Header, payload, its kind and the tag.
        #expect(count == 5 + 6 + 1 + 16)
    }

    @Test(
        "a client gets the certificate of the name it asks for",
        arguments: [
            ("web.example.com", "CN=web.example.com"), ("a.wild.example.com", "CN=wild"),
            ("A.WILD.example.com", "CN=wild"), ("a.b.wild.example.com", "CN=web.example.com"),
            ("wild.example.com", "CN=web.example.com"), ("unknown", "CN=web.example.com"),
        ])
    func names(_ name: String, _ subject: String) throws {
        let anybody = try TLSBehind(trust: .anybody, certificate: nil, key: nil)
        let talk = try Conversation(try front(["web-ec", "wild"]), anybody, peer: peer(name))
        #expect(talk.shakeHands() == (.done, .done))
        #expect(talk.client.peerSubject == subject)
    }

    @Test("who is not known by its certificate is not spoken to, and it is said why")
    func verification() throws {
        let cases: [(String, String, String)] = [
            ("node", "other.example.com", "CN=node.example.com is not accepted: hostname mismatch"),
            (
                "expired", "node.example.com",
                "expired.example.com is not accepted: certificate has expired"
            ),
            (
                "self", "self.example.com",
                "self.example.com is not accepted: self-signed certificate"
            ),
        ]
        for (name, asked, sentence) in cases {
            let talk = try Conversation(try front([name]), try behind(), peer: peer(asked))
            #expect(talk.shakeHands().0 == .failed)
            #expect(
                talk.client.reason.lowercased().contains(sentence.lowercased()),
                "\(talk.client.reason)")
        }
        let stranger = try TLSBehind(
            trust: .authorities(try file("stranger.crt")), certificate: nil, key: nil)
        let talk = try Conversation(try front(["node"]), stranger, peer: peer("node.example.com"))
        #expect(talk.shakeHands().0 == .failed)
        #expect(
            talk.client.reason.contains("unable to get local issuer certificate"),
            "\(talk.client.reason)")
    }

    @Test("an address is known by the address in the certificate")
    func addresses() throws {
        for (address, isGood) in [("127.0.0.1", true), ("127.0.0.2", false)] {
            let talk = try Conversation(
                try front(["node"]), try behind(),
                peer: .init(name: address, isAddress: true))
            #expect(talk.shakeHands().0 == (isGood ? .done : .failed))
        }
    }

    @Test("a pinned certificate is believed whatever else it is, and no other one")
    func pins() throws {
        let pin = try #require(SHA256.bytes(ofHex: TestCertificates.fingerprint("self.crt")))
        let good = try Conversation(
            try front(["self"]), try behind(), peer: peer("node.example.com", [pin]))
        #expect(good.shakeHands() == (.done, .done))
        // Whom the authority knows is no less a stranger.
        let bad = try Conversation(
            try front(["node"]), try behind(), peer: peer("node.example.com", [pin]))
        #expect(bad.shakeHands().0 == .failed)
        #expect(bad.client.reason.contains("is not pinned"))
        // Nor is there anything left for whoever uses the desk next.
        #expect(bad.there.isClean)
    }

    @Test("clients show who they are where that is asked for")
    func clientCertificates() throws {
        let authority = try file("authority.crt")
        for isRequired in [true, false] {
            let front = try front(
                ["web-ec"], clients: .init(authorities: authority, isRequired: isRequired))
            let known = try Conversation(
                front, try behind("client"), peer: peer("web.example.com"))
            #expect(known.shakeHands() == (.done, .done))
            #expect(
                String(decoding: known.server.subject, as: UTF8.self)
                    == "O=Trivet\\, the tests,CN=Client One")
            // A resumed handshake shows no certificate, and it is known all the same.
            #expect(try known.say([1], from: known.server, to: known.client) == [1])
            let again = try Conversation(
                front, try behind("client"), peer: peer("web.example.com"),
                former: known.client.former)
            known.client.close()
            #expect(again.shakeHands() == (.done, .done))
            #expect(again.client.isResumed)
            #expect(again.server.subject == known.server.subject)
            let facts = again.server.facts
            #expect(String(decoding: facts.commonName, as: UTF8.self) == "Client One")
            #expect(facts.hasCertificate && facts.isResumed && facts.version == "TLSv1.3")
            let unknown = try Conversation(front, try behind(), peer: peer("web.example.com"))
            #expect(unknown.shakeHands().1 == (isRequired ? .failed : .done))
            #expect(unknown.server.subject.isEmpty)
            let false_ = try Conversation(
                front, try behind("self"), peer: peer("web.example.com"))
            #expect(false_.shakeHands().1 == .failed)
        }
    }

    @Test("what was judged by some rules is not taken for what others would have said")
    func rules() throws {
        let (behind, other) = (try behind(), try behind())
        let talk = try Conversation(try front(["web-ec"]), behind, peer: peer("web.example.com"))
        #expect(talk.shakeHands() == (.done, .done))
        #expect(talk.client.wasJudged(by: behind, as: peer("web.example.com")))
        #expect(!talk.client.wasJudged(by: other, as: peer("web.example.com")))
        #expect(!talk.client.wasJudged(by: behind, as: peer("node.example.com")))
        #expect(!talk.client.wasJudged(by: behind, as: peer("web.example.com", [[1]])))
    }

    // MARK: Sessions

    private func root(_ byte: UInt8, period: UInt64 = 100) -> TicketRoot {
        TicketRoot(bytes: [UInt8](repeating: byte, count: 32), period: period)
    }

    /// A first connection's session.
    private func former(_ front: TLSFront, _ behind: TLSBehind) throws -> TLSFormer {
        let talk = try Conversation(front, behind, peer: peer("web.example.com"))
        #expect(talk.shakeHands() == (.done, .done))
        #expect(!talk.client.isResumed)
        #expect(try talk.say([1], from: talk.server, to: talk.client) == [1])
        let former = try #require(talk.client.former)
        return former
    }

    @Test("a session is taken up by another front with the same keys, and by no other")
    func resumption() throws {
        let behind = try behind()
        let period = Guarded<UInt64>(100)
        func ring(_ byte: UInt8) -> TLSTickets {
            TLSTickets(root(byte)) { period.withLock { $0 } }
        }
        let first = try front(["web-ec"], tickets: ring(1))
        // A worker, or a balancer that took the place of one that died.
        let second = try front(["web-ec"], tickets: ring(1))
        let stranger = try front(["web-ec"], tickets: ring(2))
        let former = try former(first, behind)
        for (front, period_, isTaken) in [
            (second, 100, true), (stranger, 100, false), (second, 101, true), (second, 102, false),
        ] as [(TLSFront, UInt64, Bool)] {
            period.withLock { $0 = period_ }
            let talk = try Conversation(
                front, behind, peer: peer("web.example.com"), former: former)
            #expect(talk.shakeHands() == (.done, .done))
            #expect(talk.client.isResumed == isTaken, "period \(period_)")
        }
    }

    @Test("whoever takes a session up gets another ticket for the next time")
    func chain() throws {
        let front = try front(["web-ec"], tickets: TLSTickets(root(1)) { 100 })
        let behind = try behind()
        var former = try former(front, behind)
        for _ in 0..<5 {
            let talk = try Conversation(
                front, behind, peer: peer("web.example.com"), former: former)
            #expect(talk.shakeHands() == (.done, .done))
            #expect(talk.client.isResumed)
            #expect(try talk.say([1], from: talk.server, to: talk.client) == [1])
            let next = try #require(talk.client.former)
            #expect(unsafe next.handle != former.handle)
            former = next
        }
    }

    @Test("a root goes forward one way, and skips years in no time")
    func roots() {
        var root = root(1)
        root.advance(to: 99)
        #expect(root == self.root(1))
        var other = root
        root.advance(to: 103)
        for period in 101...103 { other.advance(to: UInt64(period)) }
        #expect(root == other)
        #expect(root.bytes != self.root(1).bytes)
        root.advance(to: 1 << 60)
        #expect(root.period == 1 << 60)
    }

    @Test("a ticket of a listener that asks nobody who he is opens none that does")
    func policies() throws {
        let tickets = TLSTickets(root(1)) { 100 }
        let open = try front(["web-ec"], tickets: tickets)
        let strict = try front(
            ["web-ec"], clients: .init(authorities: try file("authority.crt"), isRequired: true),
            tickets: tickets)
        let behind = try behind()
        let former = try former(open, behind)
        let talk = try Conversation(
            strict, behind, peer: peer("web.example.com"), former: former)
        #expect(talk.shakeHands().1 == .failed)
    }

    // MARK: Ends

    @Test("an end that was meant is one, and a connection that breaks is none")
    func ends() throws {
        let front = try front(["web-ec"])
        let behind = try behind()
        let good = try Conversation(front, behind, peer: peer("web.example.com"))
        #expect(good.shakeHands() == (.done, .done))
        good.server.endSending()
        #expect(good.next(good.client) == .closed)
        // The other direction goes on.
        #expect(try good.say([1, 2], from: good.client, to: good.server) == [1, 2])
        let bad = try Conversation(front, behind, peer: peer("web.example.com"))
        #expect(bad.shakeHands() == (.done, .done))
        shutdown(bad.ends.0, Int32(SHUT_WR))
        #expect(bad.next(bad.client) == .failed(EPROTO))
        let mute = try Conversation(front, behind, peer: peer("web.example.com"))
        #expect(mute.shakeHands() == (.done, .done))
        mute.server.mute()
        mute.server.close()
        shutdown(mute.ends.0, Int32(SHUT_WR))
        #expect(mute.next(mute.client) == .failed(EPROTO))
    }

    @Test("what came before a connection broke is not lost with it")
    func whole() throws {
        let talk = try Conversation(
            try front(["web-ec"]), try behind(), peer: peer("web.example.com"))
        #expect(talk.shakeHands() == (.done, .done))
        _ = talk.next(talk.client)  // tickets
        let text: [UInt8] = [1, 2, 3]
        #expect(talk.server.send(text.span, Span(), Span()) == .done(3))
        // Both ways: the alert that the reader answers with has nowhere to go.
        shutdown(talk.ends.0, Int32(SHUT_RDWR))
        #expect(talk.next(talk.client) == .done(3))
        guard case .failed = talk.next(talk.client) else {
            Issue.record("it looks whole")
            return
        }
    }

    @Test("an end that waits for room comes when there is some")
    func lateEnd() throws {
        let talk = try Conversation(
            try front(["web-ec"]), try behind(), peer: peer("web.example.com"), room: 4096)
        #expect(talk.shakeHands() == (.done, .done))
        let text = [UInt8](repeating: 7, count: 60_000)
        guard case .done(let sent) = talk.server.send(text.span, Span(), Span()) else {
            Issue.record("nothing was sent")
            return
        }
        #expect(talk.server.hasUnsent)
        talk.server.endSending()
        var arrived = 0
        var buffer = Buffer()
        _ = talk.pool.lend(&buffer)
        defer { talk.pool.reclaim(&buffer) }
        reading: for _ in 0..<10_000 {
            buffer.clear()
            switch talk.client.receive(into: &buffer, limit: Buffer.capacity) {
            case .done(let count): arrived += count
            case .wait: _ = talk.server.flush()
            case .closed: break reading
            case .failed:
                Issue.record("cut off")
                return
            }
        }
        #expect(arrived == sent)
        #expect(!talk.server.hasUnsent)
    }

    @Test("what a proxy's header was read together with belongs to the handshake")
    func early() throws {
        let talk = try Conversation(
            try front(["web-ec"]), try behind(), peer: peer("web.example.com"))
        #expect(talk.client.handshake() == .wait)
        var hello = [UInt8](repeating: 0, count: 4096)
        let count = unsafe recv(talk.ends.0, &hello, hello.count, 0)
        talk.server.begin(with: hello.span.extracting(0..<count))
        #expect(talk.shakeHands() == (.done, .done))
    }

    @Test("who speaks something else is told apart")
    func otherwise() throws {
        let talk = try Conversation(
            try front(["web-ec"]), try behind(), peer: peer("web.example.com"))
        let request = Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
        let sent = unsafe send(talk.ends.1, request, request.count, 0)
        #expect(sent == request.count)
        #expect(talk.server.handshake() == .failed)
        #expect(talk.server.metPlainHTTP)
        // No alert goes out, which an HTTP client could not read.
        var byte: UInt8 = 0
        let answered = unsafe recv(talk.ends.1, &byte, 1, 0)
        #expect(answered == -1)
    }

    // MARK: Files

    @Test("files that do not fit are refused, and named")
    func files() throws {
        func refusal(_ pair: TLSFront.Pair) throws -> String {
            do {
                _ = try TLSFront([pair], clients: nil, tickets: TLSTickets(.none))
            } catch {
                return error.sentence
            }
            throw TestFailure("it was taken")
        }
        var wrong = try pair("web-ec")
        wrong.key = try file("wild.key")
        #expect(try refusal(wrong) == "wild.key is not the key of the certificate in web-ec.crt")
        wrong.key = try file("web-ec.crt")
        #expect(try refusal(wrong).hasPrefix("web-ec.crt holds no private key that can be read ("))
        wrong = try pair("web-ec")
        wrong.certificate = TLSFile(name: "empty.crt", bytes: [])
        #expect(try refusal(wrong).hasPrefix("empty.crt holds no certificate that can be read ("))
        wrong.certificate = TLSFile(name: "noise.crt", bytes: (0..<5000).map { UInt8($0 & 255) })
        #expect(try refusal(wrong).hasPrefix("noise.crt holds no certificate that can be read ("))
        let old = try front(["expired"])
        #expect(old.notices == ["the certificate in expired.crt has expired"])
    }
}
