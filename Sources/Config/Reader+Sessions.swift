// How a pool's clients are told apart and kept: `session`, the cookie that carries what a strategy
// has a client keep, and `hash`, the key that strategies spread requests by.

import Base

extension Reader {
    /// Fewer bytes could be tried through by whoever holds one cookie.
    private static let leastSecret = 16

    mutating func session(_ node: JSONNode, _ pool: String) -> Session? {
        let what = "the session of \(pool)"
        guard
            let fields = object(
                node, what, keys: ["cookie", "secret", "max_age", "same_site", "secure"])
        else { return nil }
        let written = required(fields, "cookie")
        let name = written.flatMap { self.token($0, "the cookie of \(what)") }
        var session = Session(cookie: name ?? "")
        if let node = fields["secret"] { session.secrets = secrets(node, what) }
        session.maxAge = maxAge(fields)
        session.sameSite =
            choice(fields, "same_site", [("lax", .lax), ("strict", .strict), ("none", .none)])
            ?? session.sameSite
        session.secure = secure(fields) ?? session.secure
        judgeSecure(session, fields)
        return name == nil ? nil : session
    }

    /// What browsers would not keep, without a word to anybody.
    private mutating func judgeSecure(_ session: Session, _ fields: Fields) {
        if session.sameSite == .none, session.secure == .never {
            complain(
                fields["same_site"]?.place ?? fields.place,
                "\"same_site\" in \(fields.what) is \"none\", which browsers take from secure cookies "
                    + "only; expected \"secure\" not to be false")
        }
        let name = session.cookie.lowercased()
        for prefix in ["__host-", "__secure-"] where name.hasPrefix(prefix) {
            guard session.secure != .always else { continue }
            complain(
                fields["cookie"]?.place ?? fields.place,
                "the cookie \(quoted(session.cookie)) of \(fields.what) has a name that browsers take "
                    + "from secure cookies only; expected \"secure: true\" beside it")
        }
    }

    /// A text, or a list of two of them. What is wrong with one is said without showing it.
    private mutating func secrets(_ node: JSONNode, _ what: String) -> [String] {
        let elements: [JSONNode]
        switch node.kind {
        case .string: elements = [node]
        case .array(let list): elements = list
        default:
            mismatch(node, "the secret of \(what)", "a string, or a list of a new and an old one")
            return []
        }
        if elements.isEmpty {
            complain(
                node.place,
                "\(what) has an empty list of secrets; expected one or two, or no \"secret\" at all"
            )
        } else if elements.count > 2 {
            complain(
                elements[2].place,
                "\(what) has \(elements.count) secrets; expected at most 2, a new and an old one")
        }
        var result: [String] = []
        for element in elements {
            guard let secret = text(element, "a secret of \(what)") else { continue }
            guard secret.utf8.count >= Self.leastSecret else {
                complain(
                    element.place,
                    "a secret of \(what) has \(secret.utf8.count) bytes; expected at least "
                        + "\(Self.leastSecret), such as `openssl rand -hex 32` makes")
                continue
            }
            result.append(secret)
        }
        return result
    }

    private mutating func maxAge(_ fields: Fields) -> Nanoseconds? {
        guard let age = duration(fields, "max_age") else { return nil }
        guard age >= 1_000_000_000 else {
            complain(
                fields["max_age"]?.place ?? fields.place,
                "\"max_age\" in \(fields.what) is less than a second; expected at least \"1s\"")
            return nil
        }
        return age / 1_000_000_000 * 1_000_000_000
    }

    private mutating func secure(_ fields: Fields) -> Session.Secure? {
        guard let node = fields["secure"] else { return nil }
        switch node.kind {
        case .bool(let flag): return flag ? .always : .never
        case .string("auto"): return .auto
        case .string(let text):
            complain(
                node.place,
                "\"secure\" in \(fields.what) is \(quoted(text)); expected true, false or \"auto\"")
        default: mismatch(node, "\"secure\" in \(fields.what)", "true, false or \"auto\"")
        }
        return nil
    }

    mutating func hashKey(_ node: JSONNode, _ pool: String) -> HashKey? {
        let what = "the hash of \(pool)"
        let words = ["client", "path"]
        switch node.kind {
        case .string("client"): return .client
        case .string("path"): return .path
        case .string(let text) where text == "header" || text == "cookie":
            complain(
                node.place,
                "\(what) is \(quoted(text)), but of which? write { \(text): \"name\" }")
        case .string(let text):
            complain(
                node.place,
                "\(what) is \(quoted(text))"
                    + advice(
                        text, words + ["{ header: \"name\" }", "{ cookie: \"name\" }"], "expected"))
        case .object(let members):
            guard let fields = object(node, what, keys: ["header", "cookie"]) else { return nil }
            if members.count > 1, fields["header"] != nil, fields["cookie"] != nil {
                complain(node.place, "\(what) has both a header and a cookie; expected one of them")
            } else if let written = fields["header"] {
                return token(written, "the header of \(what)").map { .header($0.lowercased()) }
            } else if let written = fields["cookie"] {
                return token(written, "the cookie of \(what)").map { .cookie($0) }
            } else if members.isEmpty {
                complain(node.place, "\(what) is empty; expected \"header\" or \"cookie\" in it")
            }
        default:
            mismatch(
                node, what,
                "\"client\", \"path\", { header: \"name\" } or { cookie: \"name\" }")
        }
        return nil
    }

    /// A name of a cookie or header field: a token (RFC 9110 section 5.6.2) of at most 64 bytes.
    private mutating func token(_ node: JSONNode, _ what: String) -> String? {
        guard let text = text(node, what) else { return nil }
        let isToken = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
            }
        }
        guard isToken, text.utf8.count <= 64 else {
            complain(
                node.place,
                "\(what) is \(quoted(text)); expected a name of at most 64 letters, digits and "
                    + "!#$%&'*+-.^_`|~")
            return nil
        }
        return text
    }
}
