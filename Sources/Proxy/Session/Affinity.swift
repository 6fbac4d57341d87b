// What makes requests of a pool belong together, as a worker needs it: the session cookie with its keys,
// and the key that is hashed. Made from the configuration off the workers, then only read.

import Base
import Config

/// Of one pool. Read by its worker in place; copying it would retain its texts.
struct Affinity: Sendable {
    enum Key: UInt8, Sendable { case none, client, path, header, cookie }

    /// How long a session is good for where the configuration sets no `max_age`: a working day and the
    /// night after it, and no browser that is never closed carries one for ever.
    static let standardLife: UInt32 = 24 * 3600

    /// Whether the pool has a session cookie. Without it nothing below but the key means anything.
    let hasSession: Bool
    let cookie: [UInt8]
    let seal: SessionSeal
    /// Seconds from a signature to its expiry.
    let life: UInt32
    /// What stands behind every value: `; Path=/; HttpOnly; SameSite=Lax; Max-Age=3600`.
    let attributes: [UInt8]
    let isAlwaysSecure: Bool
    /// Secure where the client came by TLS.
    let isSecureByClient: Bool

    let key: Key
    /// Of the header, in lower case, or of the cookie.
    let keyName: [UInt8]

    /// That a strategy wished a session where there is none was said, by this worker at least.
    var hasTold = false

    /// A pool that keeps nobody and hashes nothing.
    static let none = Affinity(session: nil, hashKey: nil, pool: "", spare: [])

    /// `spare`: the secret of pools that are configured without one.
    init(_ pool: Pool, spare: [UInt8]) {
        self.init(session: pool.session, hashKey: pool.hashKey, pool: pool.name, spare: spare)
    }

    init(session: Session?, hashKey: HashKey?, pool: String, spare: [UInt8]) {
        hasSession = session != nil
        let written = session?.secrets.map { Array($0.utf8) } ?? []
        seal = SessionSeal(
            secrets: written.isEmpty ? [spare] : written, pool: pool,
            cookie: session?.cookie ?? "")
        cookie = Array((session?.cookie ?? "").utf8)
        life = session?.maxAge.map { UInt32($0 / 1_000_000_000) } ?? Self.standardLife
        let site =
            switch session?.sameSite ?? .lax {
            case .lax: "Lax"
            case .strict: "Strict"
            case .none: "None"
            }
        let age = session?.maxAge == nil ? "" : "; Max-Age=\(life)"
        attributes = Array("; Path=/; HttpOnly; SameSite=\(site)\(age)".utf8)
        let secure = session?.secure ?? .never
        // Browsers take SameSite=None from secure cookies only.
        isAlwaysSecure = secure == .always || session?.sameSite == Session.SameSite.none
        isSecureByClient = secure == .auto
        switch hashKey {
        case nil: (key, keyName) = (.none, [])
        case .client: (key, keyName) = (.client, [])
        case .path: (key, keyName) = (.path, [])
        case .header(let name): (key, keyName) = (.header, Array(name.utf8))
        case .cookie(let name): (key, keyName) = (.cookie, Array(name.utf8))
        }
    }

    /// Whether a value that is still good is to be replaced: it has less than half of its life left,
    /// was signed with the older secret, or lives longer than is now configured. A clock of another
    /// balancer that is a little ahead is no reason.
    func isStale(_ session: borrowing OpenedSession, now: UInt32) -> Bool {
        let left = UInt64(session.content.expiry &- now)
        return session.isOld || left < UInt64(life) / 2 || left > UInt64(life) * 3 / 2
    }
}

/// What an exchange remembers of its session until its answer begins.
struct SessionNote {
    /// The client sent a cookie of that name, good or not: the node does not get to see it.
    var hasCookie = false
    /// The client sent a good one that names a node: `node`.
    var namesNode = false
    /// The client is to stick to the node that serves it in the end.
    var sticks = false
    /// The client is to carry what `carried` says.
    var carries = false
    /// What the client has is not good enough, whichever node serves.
    var isDue = false
    /// The cookie is for secure connections only.
    var isSecure = false
    /// The slot of what is carried; `.max`: nothing.
    var carried: UInt32 = .max
    var node: UInt64 = 0

    var wishesSession: Bool { sticks || carries }
}

/// One Set-Cookie line (RFC 6265 section 4.1), written where it lies.
struct SetCookieLine {
    // "Set-Cookie: ", a name of 64, "=", a value of 136, attributes of 53 and "; Secure", CR and LF.
    private var bytes: [320 of UInt8] = .init(repeating: 0)
    private(set) var count = 0

    /// Empty: no line.
    var span: Span<UInt8> {
        @_lifetime(borrow self)
        get { bytes.span.extracting(0..<count) }
    }

    mutating func clear() { count = 0 }

    mutating func write(
        _ affinity: borrowing Affinity, _ value: borrowing SessionValue, secure: Bool
    ) {
        count = 0
        add("Set-Cookie: ")
        add(affinity.cookie.span)
        add("=")
        add(value.text.span.extracting(0..<value.count))
        add(affinity.attributes.span)
        if secure { add("; Secure") }
        add("\r\n")
    }

    private mutating func add(_ text: Span<UInt8>) {
        for index in 0..<text.count { bytes[count + index] = text[index] }
        count += text.count
    }

    private mutating func add(_ text: StaticString) {
        for index in 0..<text.utf8CodeUnitCount {
            bytes[count + index] = unsafe text.utf8Start[index]
        }
        count += text.utf8CodeUnitCount
    }
}
