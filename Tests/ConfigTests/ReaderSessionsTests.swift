// Sessions and hash keys: what is meant is understood, and what would not work is said.

import Base
import Testing

@testable import Config

@Suite struct ReaderSessionsTests {
    private static let secret = "0123456789abcdef"
    private static let what = #"the session of the pool "p""#

    @Test func `a session has sensible ways of its own`() throws {
        let session = try #require(try onlyPool(withPoolKeys("session: { cookie: 'S' }")).session)
        #expect(session.cookie == "S")
        #expect(session.secrets == [])
        #expect(session.maxAge == nil)
        #expect(session.sameSite == .lax)
        #expect(session.secure == .auto)
    }

    @Test func `everything about a session can be said`() throws {
        let pool = try onlyPool(
            withPoolKeys(
                "session: { cookie: '__Host-S', secret: ['\(Self.secret)', 'fedcba9876543210'], "
                    + "max_age: '1.7s', same_site: 'none', secure: true }"))
        let session = try #require(pool.session)
        #expect(session.secrets == [Self.secret, "fedcba9876543210"])
        #expect(session.maxAge == 1_000_000_000)
        #expect(session.sameSite == .none)
        #expect(session.secure == .always)
    }

    @Test func `a pool has neither unless it is asked for`() throws {
        let pool = try onlyPool(withPoolKeys("retries: 1"))
        #expect(pool.session == nil)
        #expect(pool.hashKey == nil)
    }

    @Test(arguments: [
        ("7", "t:2:14: \(what) is a number; expected an object"),
        ("{}", "t:2:14: \(what) has no \"cookie\""),
        (
            "{ cokie: 'S', cookie: 'S' }",
            "t:2:16: unknown key \"cokie\" in \(what); did you mean \"cookie\"? known: cookie, secret, max_age, same_site, secure"
        ),
        (
            "{ cookie: 'a b' }",
            "t:2:24: the cookie of \(what) is \"a b\"; expected a name of at most 64 letters, digits and !#$%&'*+-.^_`|~"
        ),
        (
            "{ cookie: 'S', secret: 'tooshort' }",
            "t:2:37: a secret of \(what) has 8 bytes; expected at least 16, such as `openssl rand -hex 32` makes"
        ),
        (
            "{ cookie: 'S', secret: 7 }",
            "t:2:37: the secret of \(what) is a number; expected a string, or a list of a new and an old one"
        ),
        (
            "{ cookie: 'S', secret: [] }",
            "t:2:37: \(what) has an empty list of secrets; expected one or two, or no \"secret\" at all"
        ),
        (
            "{ cookie: 'S', secret: ['\(secret)','\(secret)','\(secret)'] }",
            "t:2:76: \(what) has 3 secrets; expected at most 2, a new and an old one"
        ),
        (
            "{ cookie: 'S', max_age: '900ms' }",
            "t:2:38: \"max_age\" in \(what) is less than a second; expected at least \"1s\""
        ),
        (
            "{ cookie: 'S', same_site: 'Lax' }",
            "t:2:40: \"same_site\" in \(what) is \"Lax\"; did you mean \"lax\"? expected: lax, strict, none"
        ),
        (
            "{ cookie: 'S', secure: 'yes' }",
            "t:2:37: \"secure\" in \(what) is \"yes\"; expected true, false or \"auto\""
        ),
        (
            "{ cookie: 'S', same_site: 'none', secure: false }",
            "t:2:40: \"same_site\" in \(what) is \"none\", which browsers take from secure cookies only; expected \"secure\" not to be false"
        ),
        (
            "{ cookie: '__Host-S' }",
            "t:2:24: the cookie \"__Host-S\" of \(what) has a name that browsers take from secure cookies only; expected \"secure: true\" beside it"
        ),
    ])
    func `a session that could not work is named`(written: String, sentence: String) {
        #expect(complaints(withPoolKeys("session: \(written)")) == [sentence])
    }

    @Test func `a secret is never shown`() {
        for written in ["'geheimgeheim'", "['geheimgeheim', 7]", "'geheim\\u0007geheimgeheim'"] {
            let said = complaints(withPoolKeys("session: { cookie: 'S', secret: \(written) }"))
            #expect(!said.isEmpty)
            for sentence in said { #expect(!sentence.contains("geheim")) }
        }
    }

    @Test(arguments: [
        ("'client'", HashKey.client), ("'path'", .path),
        ("{ header: 'X-User' }", .header("x-user")),
        ("{ cookie: 'Id' }", .cookie("Id")),
    ])
    func `a hash key is where it is said to be`(written: String, key: HashKey) throws {
        #expect(try onlyPool(withPoolKeys("hash: \(written)")).hashKey == key)
    }

    @Test(arguments: [
        (
            "'paht'",
            "is \"paht\"; did you mean \"path\"? expected: client, path, { header: \"name\" }, { cookie: \"name\" }"
        ),
        ("'header'", "is \"header\", but of which? write { header: \"name\" }"),
        ("{}", "is empty; expected \"header\" or \"cookie\" in it"),
        (
            "{ header: 'a', cookie: 'b' }", "has both a header and a cookie; expected one of them"
        ),
        (
            "7",
            "is a number; expected \"client\", \"path\", { header: \"name\" } or { cookie: \"name\" }"
        ),
    ])
    func `a hash key that could not work is named`(written: String, sentence: String) {
        #expect(
            complaints(withPoolKeys("hash: \(written)")) == [
                "t:2:11: the hash of the pool \"p\" \(sentence)"
            ])
    }

    @Test func `names in a hash key are tokens`() {
        #expect(
            complaints(withPoolKeys("hash: { header: 'x user' }")) == [
                "t:2:21: the header of the hash of the pool \"p\" is \"x user\"; expected a name of at most 64 letters, digits and !#$%&'*+-.^_`|~"
            ])
        #expect(
            complaints(withPoolKeys("hash: { haeder: 'a' }")) == [
                "t:2:13: unknown key \"haeder\" in the hash of the pool \"p\"; did you mean \"header\"? known: header, cookie"
            ])
    }
}
