// Sessions on the wire: a client keeps its node, the node never sees the cookie, and no cookie that
// was not ours is believed.

import Balance
import Base
import CTrivet
import Config
import Net
import Testing

@testable import Proxy

@Suite struct WorkerSessionTests {
    init() { Lines.collect() }

    private static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    /// Nodes that answer with their number and the head that came to them.
    private func echoing(_ number: Int) throws -> TestNode {
        try TestNode { conversation in
            while true {
                let head = try conversation.read(until: "\r\n\r\n")
                if head.contains("Content-Length: 5") { _ = try conversation.read(count: 5) }
                let body = head.hasPrefix("HEAD") ? "" : "\(number)\r\n\(head)"
                try conversation.send(
                    "HTTP/1.1 200 OK\r\nX-Node: \(number)\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
                        + body)
            }
        }
    }

    private func affinity(
        secrets: [String] = ["0123456789abcdef"], age: Nanoseconds? = nil,
        secure: Session.Secure = .auto, pool: String = "pool", key: HashKey? = nil
    ) -> Affinity {
        var session = Session(cookie: "S")
        session.secrets = secrets
        session.maxAge = age
        session.secure = secure
        return Affinity(session: session, hashKey: key, pool: pool, spare: [])
    }

    /// A setup of three nodes, and one client.
    @safe
    private final class Stage {
        let nodes: [TestNode]
        let strategy = StickyStrategy()
        let worker: WorkerFixture
        let client: Conversation

        init(
            _ affinity: Affinity, nodes: [TestNode], trusted: [AddressRange] = [],
            ports: [UInt16]? = nil
        ) throws {
            self.nodes = nodes
            worker = try WorkerFixture(
                nodes: ports ?? nodes.map(\.port), trusted: trusted, affinity: affinity,
                strategy: try strategy.kind())
            client = try Conversation(port: worker.port)
        }

        /// One exchange: who served it, what the node saw, and the cookie line if one came.
        func ask(
            _ path: String = "/", _ fields: String = "", method: String = "GET"
        ) throws -> (node: Int, seen: String, cookie: String?) {
            try client.send("\(method) \(path) HTTP/1.1\r\nHost: a\r\n\(fields)\r\n")
            let head: String
            let body: String
            if method == "HEAD" {
                head = try client.read(until: "\r\n\r\n")
                body = ""
            } else {
                (head, body) = try client.response()
            }
            let lines = head.split(separator: "\r\n").map(String.init)
            let node = lines.first { $0.hasPrefix("X-Node: ") }?.dropFirst("X-Node: ".count)
            let cookies = lines.filter { $0.hasPrefix("Set-Cookie: ") }
            #expect(cookies.count <= 1)
            return (node.flatMap { Int($0) } ?? 0, body, cookies.first)
        }

        /// Leaves, and looks that nothing was left behind.
        func end() { #expect(worker.leave() == 0) }
    }

    private func value(_ line: String?) throws -> String {
        let line = try #require(line)
        let rest = try #require(line.split(separator: "=", maxSplits: 1).last)
        return String(rest.prefix { $0 != ";" })
    }

    private func stage(_ affinity: Affinity? = nil) throws -> Stage {
        try Stage(
            affinity ?? self.affinity(), nodes: [try echoing(1), try echoing(2), try echoing(3)])
    }

    @Test("a client keeps its node, and is given its cookie once")
    func keepsItsNode() throws {
        let stage = try stage()
        let first = try stage.ask()
        #expect(try value(first.cookie).utf8.count == 51)
        #expect(try #require(first.cookie).hasSuffix("; Path=/; HttpOnly; SameSite=Lax"))
        let cookie = "Cookie: S=\(try value(first.cookie))\r\n"
        for _ in 0..<20 {
            let next = try stage.ask("/", cookie)
            #expect(next.node == first.node)
            #expect(next.cookie == nil)
            #expect(!next.seen.lowercased().contains("cookie"))
        }
        // Without it, the others have their turn.
        let others = try Set((0..<6).map { _ in try stage.ask().node })
        #expect(others == [1, 2, 3])
        stage.end()
    }

    @Test("other cookies reach the node byte for byte")
    func otherCookies() throws {
        let stage = try stage()
        let given = try value(try stage.ask().cookie)
        let seen = try stage.ask("/", "Cookie: a=\"x y\";S=\(given);  b=c=d; SS=1\r\n").seen
        #expect(seen.contains("\r\nCookie: a=\"x y\";  b=c=d; SS=1\r\n"))
        // One that is not good is not the node's business either.
        #expect(!(try stage.ask("/", "Cookie: S=forged\r\n").seen.contains("forged")))
        stage.end()
    }

    @Test("an upload keeps its node too, and the answer to HEAD carries the cookie")
    func otherMethods() throws {
        let stage = try stage()
        let head = try stage.ask("/", method: "HEAD")
        let cookie = "Cookie: S=\(try value(head.cookie))\r\n"
        try stage.client.send(
            "POST / HTTP/1.1\r\nHost: a\r\n\(cookie)Content-Length: 5\r\n\r\nhello")
        let answer = try stage.client.response()
        #expect(answer.head.contains("X-Node: \(head.node)\r\n"))
        #expect(!answer.head.contains("Set-Cookie"))
        stage.end()
    }

    @Test("a pool without a wish to stick gives no cookie, and one without a session never does")
    func noWish() throws {
        let stage = try stage()
        #expect(try stage.ask("/free").cookie == nil)
        stage.end()
        let plain = try self.stage(Affinity(session: nil, hashKey: nil, pool: "pool", spare: []))
        #expect(try plain.ask().cookie == nil)
        #expect(try plain.ask("/", "Cookie: S=1\r\n").seen.contains("\r\nCookie: S=1\r\n"))
        // The operator is told, once.
        #expect(Lines.about("a strategy wants to keep clients").count == 1)
        plain.end()
    }

    @Test("a forged, foreign or expired cookie is no cookie, and is replaced")
    func notBelieved() throws {
        let stage = try stage()
        let mine = affinity()
        let now = UInt32(wallSeconds())
        func sealed(_ affinity: Affinity, _ expiry: UInt32) -> String {
            let content = SessionContent(node: 2, expiry: expiry)
            let value = affinity.seal.seal(content, nonce: 5)
            return String(decoding: (0..<value.count).map { value.text[$0] }, as: UTF8.self)
        }
        let good = sealed(mine, now + 80_000)
        #expect(try stage.ask("/", "Cookie: S=\(good)\r\n").node == 2)
        #expect(stage.strategy.last.node == 1)
        for bad in [
            sealed(mine, now - 1), sealed(affinity(pool: "other"), now + 80_000),
            sealed(affinity(secrets: ["fedcba9876543210"]), now + 80_000), "", "A",
            String(good.dropLast()), String(repeating: "A", count: 5000),
        ] {
            let answer = try stage.ask("/", "Cookie: S=\(bad)\r\n")
            #expect(stage.strategy.last == StickyStrategy.Seen())
            #expect(answer.cookie != nil)
        }
        // A good one behind a few bad ones counts; they cannot be any number.
        let several = "Cookie: S=a; S=b; x=y\r\nCookie: S=\(good)\r\n"
        #expect(try stage.ask("/", several).node == 2)
        #expect(try stage.ask("/", "Cookie: S=a; S=b; S=c; S=d; S=\(good)\r\n").cookie != nil)
        stage.end()
    }

    private func wallSeconds() -> UInt64 { wallNow() / 1_000_000_000 }

    @Test("a cookie is renewed in the second half of its life, and for a new secret")
    func renewed() throws {
        let stage = try stage(
            affinity(secrets: ["new new new new!", "old old old old!"], age: 1_000_000_000_000))
        func sealed(_ secrets: [String], left: UInt32) -> String {
            let content = SessionContent(node: 2, expiry: UInt32(wallSeconds()) + left)
            let value = affinity(secrets: secrets).seal.seal(content, nonce: 5)
            return String(decoding: (0..<value.count).map { value.text[$0] }, as: UTF8.self)
        }
        let fresh = sealed(["new new new new!"], left: 900)
        #expect(try stage.ask("/", "Cookie: S=\(fresh)\r\n").cookie == nil)
        for stale in [
            sealed(["new new new new!"], left: 400), sealed(["old old old old!"], left: 900),
        ] {
            let answer = try stage.ask("/", "Cookie: S=\(stale)\r\n")
            #expect(answer.node == 2)
            #expect(try #require(answer.cookie).hasSuffix("; Max-Age=1000"))
            let renewed = try value(answer.cookie)
            let next = try stage.ask("/", "Cookie: S=\(renewed)\r\n")
            #expect(next.node == 2 && next.cookie == nil)
        }
        stage.end()
    }

    @Test("a client whose node is gone gets another, and a cookie for that one")
    func nodeGone() throws {
        let nodes = [try echoing(1), try echoing(2)]
        let stage = try Stage(affinity(), nodes: nodes)
        let first = try stage.ask()
        let cookie = "Cookie: S=\(try value(first.cookie))\r\n"
        stage.worker.board.publish(pool: 0, node: first.node - 1, state: .down, since: 2)
        stage.worker.shared.wakeups[0].signal()
        let second = try stage.ask("/", cookie)
        #expect(second.node == 3 - first.node)
        let moved = "Cookie: S=\(try value(second.cookie))\r\n"
        stage.worker.board.publish(pool: 0, node: first.node - 1, state: .up, since: 3)
        stage.worker.shared.wakeups[0].signal()
        #expect(try stage.ask("/", moved).node == second.node)
        stage.end()
    }

    @Test("a client whose node drains keeps it")
    func nodeDrains() throws {
        let stage = try stage()
        let first = try stage.ask()
        let cookie = "Cookie: S=\(try value(first.cookie))\r\n"
        stage.worker.board.publish(pool: 0, node: first.node - 1, state: .draining, since: 2)
        stage.worker.shared.wakeups[0].signal()
        for _ in 0..<3 { #expect(try stage.ask("/", cookie).node == first.node) }
        for _ in 0..<6 { #expect(try stage.ask().node != first.node) }
        stage.end()
    }

    @Test("the cookie names the node that served in the end, after others failed")
    func retried() throws {
        let bad = try TestNode { conversation in
            _ = try conversation.read(until: "\r\n\r\n")
            conversation.resetOnClose()
        }
        let good = try echoing(2)
        let stage = try Stage(affinity(), nodes: [bad, good])
        for _ in 0..<4 {
            let answer = try stage.ask("/both?x")
            #expect(answer.node == 2)
            let cookie = "Cookie: S=\(try value(answer.cookie))\r\n"
            let next = try stage.ask("/", cookie)
            #expect(next.node == 2 && next.cookie == nil)
            #expect(stage.strategy.last.node == 1)
        }
        stage.end()
    }

    @Test("what a strategy has a client carry comes back to it, along with its node")
    func carried() throws {
        let stage = try stage()
        let longest = String(repeating: "x", count: 64)
        let first = try stage.ask("/carry?\(longest)")
        let cookie = "Cookie: S=\(try value(first.cookie))\r\n"
        #expect(try stage.ask("/carry?\(longest)", cookie).cookie == nil)
        #expect(stage.strategy.last.session == longest)
        #expect(stage.strategy.last.node == TRIVET_NO_NODE)
        // Another strategy's wish beside it: both are kept.
        let both = "Cookie: S=\(try value(try stage.ask("/", cookie).cookie))\r\n"
        #expect(try stage.ask("/free", both).cookie == nil)
        #expect(stage.strategy.last.session == longest)
        #expect(stage.strategy.last.node != TRIVET_NO_NODE)
        let other = "Cookie: S=\(try value(try stage.ask("/carry?zone=b", both).cookie))\r\n"
        #expect(try stage.ask("/free", other).cookie == nil)
        #expect(stage.strategy.last.session == "zone=b")
        #expect(stage.strategy.last.node != TRIVET_NO_NODE)
        // More than a cookie has room for is not cut to something else.
        #expect(try stage.ask("/carry?x\(longest)").cookie == nil)
        stage.end()
    }

    @Test("Secure where a believed proxy had the TLS, and where it is asked for")
    func secure() throws {
        let proxy = [try #require(AddressRange("127.0.0.0/8"))]
        let https = "X-Forwarded-Proto: https\r\n"
        func line(_ secure: Session.Secure, _ trusted: [AddressRange], _ fields: String) throws
            -> Bool
        {
            let stage = try Stage(
                affinity(secure: secure), nodes: [try echoing(1)], trusted: trusted)
            defer { stage.end() }
            return try #require(try stage.ask("/", fields).cookie).hasSuffix("; Secure")
        }
        #expect(try line(.auto, proxy, https))
        #expect(try !line(.auto, proxy, "X-Forwarded-Proto: http\r\n"))
        #expect(try !line(.auto, [], https))
        #expect(try line(.always, [], ""))
        #expect(try !line(.never, proxy, https))
    }

    @Test("answers of our own and interim ones set no cookie")
    func noCookie() throws {
        let hinting = try TestNode { conversation in
            while true {
                _ = try conversation.read(until: "\r\n\r\n")
                try conversation.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + Self.ok)
            }
        }
        let stage = try Stage(affinity(), nodes: [hinting])
        try stage.client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(!(try stage.client.read(until: "\r\n\r\n").contains("Set-Cookie")))
        #expect(try stage.client.response().head.contains("Set-Cookie"))
        stage.worker.board.publish(pool: 0, node: 0, state: .down, since: 2)
        stage.worker.shared.wakeups[0].signal()
        try stage.client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        let refusal = try stage.client.response()
        #expect(refusal.head.hasPrefix("HTTP/1.1 503"))
        #expect(!refusal.head.contains("Set-Cookie"))
        stage.end()
    }

    @Test(
        "strategies are given the hash of what the pool names, and 0 where there is none",
        arguments: [
            (HashKey.client, "/", "", "127.0.0.1"), (.path, "/a/b?c", "", "/a/b"),
            (.header("x-user"), "/", "X-USER: me\r\nx-user: you\r\n", "me"),
            (.header("x-user"), "/", "X-Use: me\r\n", nil),
            (.header("x-user"), "/", "X-User:\r\n", nil),
            (.cookie("id"), "/", "Cookie: ID=1; id=42\r\n", "42"),
            (.cookie("id"), "/", "Cookie: id=\r\n", nil), (.cookie("id"), "/", "", nil),
            (nil, "/", "", nil),
        ] as [(HashKey?, String, String, String?)])
    func hashed(key: HashKey?, path: String, fields: String, hashed: String?) throws {
        let stage = try Stage(
            Affinity(session: nil, hashKey: key, pool: "pool", spare: []), nodes: [try echoing(1)])
        _ = try stage.ask(path, fields)
        let seed = hash64("pool")
        #expect(stage.strategy.last.hash == hashed.map { hash64($0, seed: seed) } ?? 0)
        stage.end()
    }
}
