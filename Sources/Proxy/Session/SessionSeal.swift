// The value of a session cookie: what a client is to bring back, masked and signed, so that it can
// neither read nor write it. No sockets, no clock, no allocation; why it looks as it does is in
// Decisions/2026-11-25-session-cookies.md.
//
//   offset  bytes
//        0      1  version: 1
//        1      1  what is in it: 1 a node, 2 bytes of a strategy, 3 both
//        2      4  when it expires, in seconds since 1970, big-endian
//        6      8  nonce
//       14      n  8 bytes of node id if there is a node, then up to 64 of a strategy: masked
//     14+n     16  the first half of an HMAC over all before it
//
// Written as base64url without padding (RFC 4648 section 5).

import Base

/// What a strategy has a client carry: up to 64 bytes.
package struct Carried {
    package static let limit = 64
    package private(set) var bytes: [64 of UInt8] = .init(repeating: 0)
    package private(set) var count = 0

    package init() {}

    /// What is beyond the limit is left out: it was refused where it came from.
    package init(_ source: Span<UInt8>) {
        count = min(source.count, Self.limit)
        for index in 0..<count { bytes[index] = source[index] }
    }

    var isEmpty: Bool { count == 0 }

    mutating func append(_ byte: UInt8) {
        guard count < Self.limit else { return }
        bytes[count] = byte
        count += 1
    }

    package func isSame(as other: Span<UInt8>) -> Bool {
        guard count == other.count else { return false }
        for index in 0..<count where bytes[index] != other[index] { return false }
        return true
    }
}

/// What is sealed into a value.
package struct SessionContent {
    /// Nil: it names none.
    package var node: UInt64?
    package var carried = Carried()
    /// Seconds since 1970 at which it is worth nothing any more.
    package var expiry: UInt32 = 0

    package init(node: UInt64? = nil, carried: Carried = Carried(), expiry: UInt32 = 0) {
        self.node = node
        self.carried = carried
        self.expiry = expiry
    }
}

/// A value that was opened.
package struct OpenedSession {
    package var content: SessionContent
    /// Signed with the older of two secrets.
    package var isOld: Bool
}

/// A value as it goes to a client.
package struct SessionValue {
    /// 14 + 8 + 64 + 16 bytes make 136 characters.
    static let limit = 136
    package fileprivate(set) var text: [136 of UInt8] = .init(repeating: 0)
    package fileprivate(set) var count = 0
}

/// The keys of one pool's cookie. Plain bytes: copying it retains nothing.
package struct SessionSeal: Sendable {
    private static let version: UInt8 = 1
    private static let hasNode: UInt8 = 1
    private static let hasCarried: UInt8 = 2
    private static let headLength = 14
    private static let tagLength = 16

    /// What comes out of one secret: two keys that have nothing to do with each other, nor with those
    /// of another pool or cookie.
    private struct Keys {
        let sign: HMAC
        let mask: HMAC

        init(secret: [UInt8], pool: String, cookie: String) {
            let master = HMAC(key: secret.span)
            func derived(_ purpose: String) -> HMAC {
                // Names have no zero byte, so no two sets of them read the same.
                let label = Array("trivet session 1\0\(purpose)\0\(pool)\0\(cookie)".utf8)
                let key = master.code(label.span)
                return HMAC(key: key.span)
            }
            sign = derived("sign")
            mask = derived("mask")
        }
    }

    private let newest: Keys
    private let older: Keys
    private let isRotating: Bool

    /// `secrets`: one or two; the first signs.
    package init(secrets: [[UInt8]], pool: String, cookie: String) {
        precondition(
            !secrets.isEmpty && secrets.count <= 2, "judged when the configuration is read")
        newest = Keys(secret: secrets[0], pool: pool, cookie: cookie)
        isRotating = secrets.count == 2
        older = isRotating ? Keys(secret: secrets[1], pool: pool, cookie: cookie) : newest
    }

    /// Four compressions of SHA-256 for a node alone, up to nine for all there can be. A nonce is used
    /// once; it is no secret.
    package func seal(_ content: borrowing SessionContent, nonce: UInt64) -> SessionValue {
        var bytes: [102 of UInt8] = .init(repeating: 0)
        bytes[0] = Self.version
        bytes[1] =
            (content.node == nil ? 0 : Self.hasNode)
            | (content.carried.isEmpty ? 0 : Self.hasCarried)
        for index in 0..<4 {
            bytes[2 + index] = UInt8(truncatingIfNeeded: content.expiry >> UInt32(24 - 8 * index))
        }
        for index in 0..<8 {
            bytes[6 + index] = UInt8(truncatingIfNeeded: nonce >> UInt64(56 - 8 * index))
        }
        var end = Self.headLength
        if let node = content.node {
            for index in 0..<8 {
                bytes[end + index] = UInt8(truncatingIfNeeded: node >> UInt64(56 - 8 * index))
            }
            end += 8
        }
        for index in 0..<content.carried.count {
            bytes[end] = content.carried.bytes[index]
            end += 1
        }
        Self.mask(&bytes, upTo: end, with: newest.mask)
        let tag = newest.sign.code(bytes.span.extracting(0..<end))
        for index in 0..<Self.tagLength { bytes[end + index] = tag[index] }
        end += Self.tagLength
        var value = SessionValue()
        var room = value.text.mutableSpan
        let count = Base64URL.encode(bytes.span.extracting(0..<end), into: &room)
        value.count = count
        return value
    }

    /// Nil for what was not sealed with one of the secrets for this pool and cookie, is damaged in any
    /// bit, or has expired. What is forged costs two compressions, four while secrets rotate.
    package func open(_ text: Span<UInt8>, now: UInt32) -> OpenedSession? {
        guard text.count <= SessionValue.limit else { return nil }
        var bytes: [102 of UInt8] = .init(repeating: 0)
        var room = bytes.mutableSpan
        guard let count = Base64URL.decode(text, into: &room),
            count > Self.headLength + Self.tagLength,
            bytes[0] == Self.version
        else { return nil }
        let end = count - Self.tagLength
        var isOld = false
        if !Self.isSigned(bytes, end, by: newest.sign) {
            guard isRotating, Self.isSigned(bytes, end, by: older.sign) else { return nil }
            isOld = true
        }
        // Signed by us: what follows fails for expiry alone, or for another version's mistake.
        var content = SessionContent()
        for index in 0..<4 { content.expiry = content.expiry << 8 | UInt32(bytes[2 + index]) }
        guard content.expiry > now else { return nil }
        Self.mask(&bytes, upTo: end, with: isOld ? older.mask : newest.mask)
        var at = Self.headLength
        if bytes[1] & Self.hasNode != 0 {
            guard end >= at + 8 else { return nil }
            var node: UInt64 = 0
            for index in 0..<8 { node = node << 8 | UInt64(bytes[at + index]) }
            content.node = node
            at += 8
        }
        guard (end > at) == (bytes[1] & Self.hasCarried != 0) else { return nil }
        while at < end {
            content.carried.append(bytes[at])
            at += 1
        }
        return OpenedSession(content: content, isOld: isOld)
    }

    private static func isSigned(_ bytes: borrowing [102 of UInt8], _ end: Int, by key: HMAC)
        -> Bool
    {
        let tag = key.code(bytes.span.extracting(0..<end))
        return isSameInConstantTime(
            tag.span.extracting(0..<tagLength), bytes.span.extracting(end..<end + tagLength))
    }

    /// Adds the key stream of the nonce to the payload, or takes it off again.
    private static func mask(_ bytes: inout [102 of UInt8], upTo end: Int, with key: HMAC) {
        var question: [9 of UInt8] = .init(repeating: 0)
        for index in 0..<8 { question[index] = bytes[6 + index] }
        var at = headLength
        while at < end {
            let stream = key.code(question.span)
            for index in 0..<min(32, end - at) { bytes[at + index] ^= stream[index] }
            at += 32
            question[8] += 1
        }
    }
}
