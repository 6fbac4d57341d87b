// Session persistence as users and operators see it: clients keep their nodes, over crashes and changes
// of the secret, and neither side is told what is not its business.

import Base
import CLinux
import Glibc
import TestKit
import Testing

@Suite("Clients keep their nodes")
struct SessionTests {
    private func cluster(_ session: String, health: Bool = true) throws -> Cluster {
        try Cluster(
            health: health ? #"{ check: "octopus", interval: "100ms", timeout: "2s" }"# : nil,
            strategy: #"["sticky", "round-robin"]"#, pool: "session: \(session),",
            top: #"pid_file: "trivet.pid","#)
    }

    private static let secret = #"{ cookie: "TRIVET", secret: "a secret of 26 characters." }"#

    /// The name and value that the answer's only Set-Cookie gives.
    private func cookie(_ answer: Response) throws -> String {
        let all = answer.head.values("Set-Cookie").filter { $0.hasPrefix("TRIVET=") }
        guard all.count == 1 else { throw TestFailure("\(all.count) session cookies") }
        return String(all[0].prefix { $0 != ";" })
    }

    @Test("a client keeps its node over 20 requests, on any connection", .timeLimit(.minutes(10)))
    func keeps() throws {
        let cluster = try cluster(Self.secret)
        let first = try cluster.client().get("/")
        let cookie = try cookie(first)
        let node = try #require(first.node)
        for _ in 0..<20 {
            let next = try cluster.client().get("/", fields: [("Cookie", cookie)])
            #expect(next.node == node)
            #expect(next.head.values("Set-Cookie") == [])
        }
        // Who has no session has its turn.
        let client = try cluster.client()
        let others = try Set((0..<6).compactMap { _ in try client.get("/").node })
        #expect(others.count == 3)
    }

    @Test("the node sees every cookie but that one", .timeLimit(.minutes(10)))
    func unseen() throws {
        let cluster = try cluster(Self.secret)
        let client = try cluster.client()
        let cookie = try cookie(client.get("/"))
        let echo = try client.get("/echo", fields: [("Cookie", "a=\"b c\"; \(cookie);d=e=f; x")])
        #expect(echo.text.contains("\r\nCookie: a=\"b c\";d=e=f; x\r\n"))
        let alone = try client.get("/echo", fields: [("Cookie", cookie)])
        #expect(!alone.text.contains("Cookie"))
    }

    @Test("a client whose node dies gets another, and stays there", .timeLimit(.minutes(10)))
    func nodeGone() throws {
        let cluster = try cluster(Self.secret)
        let client = try cluster.client()
        let first = try client.get("/")
        let node = try #require(cluster.nodes.first { $0.name == first.node })
        try node.kill()
        let second = try client.get("/", fields: [("Cookie", try cookie(first))])
        #expect(second.status == 200 && second.node != node.name)
        let moved = try cookie(second)
        for _ in 0..<10 {
            let next = try client.get("/", fields: [("Cookie", moved)])
            #expect(next.node == second.node)
        }
    }

    @Test(
        "a client whose node drains keeps it, and new ones go elsewhere", .timeLimit(.minutes(10)))
    func draining() throws {
        let cluster = try cluster(Self.secret)
        let client = try cluster.client()
        let first = try client.get("/")
        let node = try #require(cluster.nodes.first { $0.name == first.node })
        let end = cluster.logEnd
        try node.set(state: "draining")
        try cluster.trivet.process.waitForLine(
            containing: "octopus/\(node.name): up -> draining", from: end)
        let cookie = try cookie(first)
        for _ in 0..<5 {
            #expect(try client.get("/", fields: [("Cookie", cookie)]).node == node.name)
            #expect(try client.get("/").node != node.name)
        }
    }

    @Test("a cookie names no node, in clear text or behind its encoding", .timeLimit(.minutes(10)))
    func nameless() throws {
        let cluster = try cluster(Self.secret)
        let client = try cluster.client()
        var values: Set<String> = []
        for _ in 0..<12 {
            let answer = try client.get("/")
            let value = Array(try cookie(answer).dropFirst("TRIVET=".count).utf8)
            var bytes = [UInt8](repeating: 0, count: value.count)
            var room = bytes.mutableSpan
            let count = try #require(Base64URL.decode(value.span, into: &room))
            bytes = Array(bytes[..<count])
            let name = try #require(answer.node)
            let port = try #require(cluster.nodes.first { $0.name == name }).port
            let id = hash64("octopus\0\(name)")
            let names: [[UInt8]] = [
                Array(name.utf8), Array("\(port)".utf8),
                (0..<8).map { UInt8(truncatingIfNeeded: id >> UInt64(56 - 8 * $0)) },
                (0..<8).map { UInt8(truncatingIfNeeded: id >> UInt64(8 * $0)) },
            ]
            for name in names {
                #expect(!contains(bytes, name) && !contains(value, name))
            }
            values.insert(String(decoding: value, as: UTF8.self))
        }
        #expect(values.count == 12)
    }

    private func contains(_ bytes: [UInt8], _ part: [UInt8]) -> Bool {
        (0...max(0, bytes.count - part.count)).contains { bytes[$0...].starts(with: part) }
    }

    @Test("the secret can be changed without losing a session", .timeLimit(.minutes(10)))
    func rotation() throws {
        let (old, new) = (#""the old secret, 26 letters""#, #""the new secret, 26 letters""#)
        /// What clients with these cookies get from a Trivet of its own with these secrets.
        func answers(_ secrets: String, _ cookies: [String?]) throws -> [Response] {
            let cluster = try cluster("{ cookie: \"TRIVET\", secret: \(secrets) }", health: false)
            return try cookies.map { cookie in
                try cluster.client().get("/", fields: cookie.map { [("Cookie", $0)] } ?? [])
            }
        }
        let first = try answers(old, [nil])[0]
        let given = try cookie(first)
        // Both are known: the session holds, and moves to the new one.
        let renewed = try answers("[\(new), \(old)]", [given])[0]
        #expect(renewed.node == first.node)
        let moved = try cookie(renewed)
        #expect(moved != given)
        // The old one is gone, and what it signed with it.
        let last = try answers(new, [moved, given])
        #expect(last[0].node == first.node)
        #expect(last[0].head.values("Set-Cookie") == [])
        #expect(last[1].head.values("Set-Cookie").count == 1)
    }

    @Test("sessions survive reloads, of which one changes the secret", .timeLimit(.minutes(10)))
    func reloads() throws {
        let made = #"{ cookie: "TRIVET" }"#
        let given = #"{ cookie: "TRIVET", secret: "a secret of 26 characters." }"#
        let both =
            #"{ cookie: "TRIVET", secret: ["the new secret, 26 letters", "#
            + #""a secret of 26 characters."] }"#
        let cluster = try cluster(made, health: false)
        let client = try cluster.client()
        /// Serves with another session setting.
        func reload(_ before: String, _ after: String) throws {
            let file = cluster.trivet.folder.path + "/trivet.json5"
            let text = String(decoding: try readFile(file), as: UTF8.self)
            let place = try #require(text.range(of: before))
            try cluster.trivet.folder.write(
                text[..<place.lowerBound] + after + text[place.upperBound...], to: "trivet.json5")
            let outcome = try Trivet.run(["reload", file])
            #expect(outcome.exit == .code(0), "\(outcome.output + outcome.error)")
        }
        let first = try client.get("/")
        let cookie = try cookie(first)
        // What Trivet has made up for itself, it keeps.
        let stricter = #"{ cookie: "TRIVET", same_site: "strict" }"#
        try reload(made, stricter)
        let second = try client.get("/", fields: [("Cookie", cookie)])
        #expect(second.node == first.node && second["Set-Cookie"] == nil)
        try reload(stricter, given)
        // Nothing signed it before this one: the session begins anew.
        let third = try client.get("/", fields: [("Cookie", cookie)])
        let anew = try self.cookie(third)
        try reload(given, both)
        let fourth = try client.get("/", fields: [("Cookie", anew)])
        #expect(fourth.node == third.node)
        let renewed = try self.cookie(fourth)
        let fifth = try client.get("/", fields: [("Cookie", renewed)])
        #expect(fifth.node == third.node && fifth["Set-Cookie"] == nil)
    }

    @Test("a secret that nobody configured survives the balancer's death", .timeLimit(.minutes(10)))
    func balancerDies() throws {
        let cluster = try cluster(#"{ cookie: "TRIVET", max_age: "1h", same_site: "strict" }"#)
        let first = try cluster.client().get("/")
        #expect(
            try #require(first["Set-Cookie"])
                .hasSuffix("; Path=/; HttpOnly; SameSite=Strict; Max-Age=3600"))
        let cookie = try cookie(first)
        let end = cluster.logEnd
        _ = kill(try cluster.balancer().pid, SIGKILL)
        try cluster.trivet.process.waitForLine(containing: "serving: ", from: end)
        for _ in 0..<5 {
            let next = try cluster.client().get("/", fields: [("Cookie", cookie)])
            #expect(next.node == first.node)
            #expect(next["Set-Cookie"] == nil)
        }
    }
}
