// What goes out beside a session's value, and when a value is replaced.

import Base
import Config
import Testing

@testable import Proxy

@Suite("Session cookies and their attributes")
struct AffinityTests {
    private static let now: UInt32 = 1_800_000_000

    private func affinity(
        age: Nanoseconds? = nil, site: Session.SameSite = .lax, secure: Session.Secure = .never
    ) -> Affinity {
        var session = Session(cookie: "S")
        session.maxAge = age
        session.sameSite = site
        session.secure = secure
        return Affinity(session: session, hashKey: nil, pool: "p", spare: [1, 2, 3])
    }

    private func line(_ affinity: Affinity, secure: Bool = false) -> String {
        var line = SetCookieLine()
        let content = SessionContent(node: 7, expiry: 1)
        line.write(affinity, affinity.seal.seal(content, nonce: 1), secure: secure)
        let bytes = line.span.indices.map { line.span[$0] }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test("the browser is told how to keep it")
    func attributes() {
        #expect(line(affinity()).hasPrefix("Set-Cookie: S="))
        #expect(line(affinity()).hasSuffix("; Path=/; HttpOnly; SameSite=Lax\r\n"))
        #expect(
            line(affinity(age: 3_600_000_000_000, site: .strict), secure: true)
                .hasSuffix("; Path=/; HttpOnly; SameSite=Strict; Max-Age=3600; Secure\r\n"))
    }

    @Test("the longest line there can be fits")
    func longest() {
        var session = Session(cookie: String(repeating: "x", count: 64))
        session.maxAge = 365 * 86_400_000_000_000
        session.sameSite = .strict
        let affinity = Affinity(session: session, hashKey: nil, pool: "p", spare: [1])
        let carried = [UInt8](repeating: 0xFF, count: 64)
        let content = SessionContent(node: .max, carried: Carried(carried.span), expiry: .max)
        var line = SetCookieLine()
        let value = affinity.seal.seal(content, nonce: .max)
        #expect(value.count == 136)
        line.write(affinity, value, secure: true)
        #expect(line.count == 12 + 64 + 1 + 136 + 53 + 8 + 2)
    }

    @Test("Secure follows the configuration, and SameSite=None whatever it says")
    func secure() {
        let auto = affinity(secure: .auto)
        #expect(!auto.isAlwaysSecure && auto.isSecureByClient)
        #expect(affinity(secure: .always).isAlwaysSecure)
        #expect(!affinity(secure: .never).isAlwaysSecure)
        #expect(affinity(site: .none, secure: .auto).isAlwaysSecure)
    }

    @Test(
        "a value is renewed in the second half of its life, or when its secret is the old one",
        arguments: [
            (100, false, false), (51, false, false), (50, false, false), (49, false, true),
            (1, false, true), (100, true, true), (103, false, false), (151, false, true),
        ] as [(UInt32, Bool, Bool)])
    func stale(left: UInt32, isOld: Bool, expected: Bool) {
        let opened = OpenedSession(
            content: SessionContent(node: 7, expiry: Self.now + left), isOld: isOld)
        #expect(affinity(age: 100_000_000_000).isStale(opened, now: Self.now) == expected)
    }

    @Test("without a max_age the signature ends after a day all the same")
    func standardLife() {
        #expect(affinity().life == 86_400)
        #expect(affinity(age: 2_000_000_000).life == 2)
    }
}
