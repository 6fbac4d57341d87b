// The names of fields that mean something to a proxy, recognised by length and first letter before
// any full comparison, since most fields of a head are none of them.

/// What a field is to a proxy.
enum FieldKind: UInt8 {
    /// End-to-end and nothing to us.
    case other
    case host, contentLength, transferEncoding, connection, keepAlive, proxyConnection, te, trailer
    case upgrade, expect, maxForwards, http2Settings
    case forwarded, forwardedFor, forwardedProto, forwardedHost
    /// Whom a certificate of the client is for, which is ours to say.
    case clientSubject
    /// End-to-end; of a response, ours to say where it is configured.
    case strictTransport
    /// End-to-end; ours to add to a response that lacks it.
    case date
    /// End-to-end, but one of the cookies in it may be our own.
    case cookie
    /// Any field that a Connection field of the same head lists (RFC 9110 section 7.6.1).
    case listed

    /// The kind of the field name `bytes[start..<end]`, all of which are token characters.
    init(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) {
        self = .other
        let first = bytes[start] | 0x20
        switch end - start {
        case 2:
            if first == 0x74, matchesFolded(bytes, start, "te") { self = .te }
        case 4:
            if first == 0x68, matchesFolded(bytes, start, "host") { self = .host }
            if first == 0x64, matchesFolded(bytes, start, "date") { self = .date }
        case 6:
            if first == 0x65, matchesFolded(bytes, start, "expect") { self = .expect }
            if first == 0x63, matchesFolded(bytes, start, "cookie") { self = .cookie }
        case 7:
            if first == 0x75, matchesFolded(bytes, start, "upgrade") { self = .upgrade }
            if first == 0x74, matchesFolded(bytes, start, "trailer") { self = .trailer }
        case 9:
            if first == 0x66, matchesFolded(bytes, start, "forwarded") { self = .forwarded }
        case 10:
            if first == 0x63, matchesFolded(bytes, start, "connection") { self = .connection }
            if first == 0x6B, matchesFolded(bytes, start, "keep-alive") { self = .keepAlive }
        case 12:
            if first == 0x6D, matchesFolded(bytes, start, "max-forwards") { self = .maxForwards }
        case 14:
            if first == 0x63, matchesFolded(bytes, start, "content-length") {
                self = .contentLength
            }
            if first == 0x68, matchesFolded(bytes, start, "http2-settings") {
                self = .http2Settings
            }
        case 15:
            if first == 0x78, matchesFolded(bytes, start, "x-forwarded-for") {
                self = .forwardedFor
            }
        case 16:
            if first == 0x70, matchesFolded(bytes, start, "proxy-connection") {
                self = .proxyConnection
            }
            if first == 0x78, matchesFolded(bytes, start, "x-forwarded-host") {
                self = .forwardedHost
            }
        case 17:
            if first == 0x74, matchesFolded(bytes, start, "transfer-encoding") {
                self = .transferEncoding
            }
            if first == 0x78, matchesFolded(bytes, start, "x-forwarded-proto") {
                self = .forwardedProto
            }
        case 21:
            if first == 0x78, Self.isClientSubject(bytes, start) { self = .clientSubject }
        case 25:
            if first == 0x73, matchesFolded(bytes, start, "strict-transport-security") {
                self = .strictTransport
            }
        default: break
        }
    }

    /// Also with underscores, since to a node that makes variables of names they are the same.
    private static func isClientSubject(_ bytes: Span<UInt8>, _ start: Int) -> Bool {
        let name: StaticString = "x-client-cert-subject"
        for index in 0..<name.utf8CodeUnitCount {
            let wanted = unsafe name.utf8Start[index]
            let byte = bytes[start + index]
            let folded = byte == UInt8(ascii: "_") ? UInt8(ascii: "-") : byte | 0x20
            guard folded == wanted else { return false }
        }
        return true
    }

    /// Whether a Connection field that lists such a field takes it out. It does for what we know
    /// nothing of. What frames, routes or describes the message on its way is ours to write or to
    /// keep: a client must not be able to make a node miss it by naming it there. What is
    /// hop-by-hop by itself goes anyway.
    var canBeListed: Bool {
        self == .other || self == .trailer || self == .cookie || self == .date
            || self == .strictTransport
    }
}

/// Whether a field of this name may go on in a trailer section. Not those that frame, route,
/// authenticate or control the message, or that say how to read its content (RFC 9110 section
/// 6.5.1, with the list of RFC 7230 section 4.1.2), nor what is hop-by-hop or ours to set: a
/// recipient that merges trailers into the header section would be led astray by them.
func isAllowedInTrailer(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Bool {
    guard FieldKind(bytes, start, end) == .other else { return false }
    switch end - start {
    case 3: return !matchesFolded(bytes, start, "age") && !matchesFolded(bytes, start, "via")
    case 4: return !matchesFolded(bytes, start, "vary")
    case 5: return !matchesFolded(bytes, start, "range")
    case 6: return !matchesFolded(bytes, start, "pragma")
    case 7:
        return !matchesFolded(bytes, start, "expires") && !matchesFolded(bytes, start, "warning")
    case 8:
        return !matchesFolded(bytes, start, "location") && !matchesFolded(bytes, start, "if-match")
            && !matchesFolded(bytes, start, "if-range")
    case 10: return !matchesFolded(bytes, start, "set-cookie")
    case 11: return !matchesFolded(bytes, start, "retry-after")
    case 12: return !matchesFolded(bytes, start, "content-type")
    case 13:
        return !matchesFolded(bytes, start, "authorization")
            && !matchesFolded(bytes, start, "cache-control")
            && !matchesFolded(bytes, start, "if-none-match")
            && !matchesFolded(bytes, start, "content-range")
    case 16:
        return !matchesFolded(bytes, start, "content-encoding")
            && !matchesFolded(bytes, start, "www-authenticate")
            && !matchesFolded(bytes, start, "x-forwarded-port")
    case 17: return !matchesFolded(bytes, start, "if-modified-since")
    case 18: return !matchesFolded(bytes, start, "proxy-authenticate")
    case 19:
        return !matchesFolded(bytes, start, "proxy-authorization")
            && !matchesFolded(bytes, start, "if-unmodified-since")
    default: return true
    }
}
