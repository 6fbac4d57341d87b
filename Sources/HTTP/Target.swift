// The request target in its forms (RFC 9112 section 3.2) and the authority syntax that it shares
// with the Host field. Looks only: nothing is decoded, collapsed or lower-cased here, since a node
// must see the very path that the client sent.

import Base

/// A request target, taken apart. All ranges lie in the same span as the target.
struct Target {
    /// Without the query. Empty when an absolute-form has no path: that is "/" ("*" for OPTIONS).
    var path = ByteRange.empty
    /// The path and the query: what an origin-form carries.
    var origin = ByteRange.empty
    /// Empty but in absolute-form.
    var authority = ByteRange.empty

    /// Takes `bytes[start..<end]` apart, whose bytes are visible ASCII without "#". A sentence says
    /// what is wrong with it.
    ///
    /// What RFC 3986 does not allow in a path or a query but clients send all the same (such as `|`
    /// or `[`) goes on unchanged: no reader of it takes it for the end of something.
    mutating func read(
        _ bytes: Span<UInt8>, _ start: Int, _ end: Int, query: Int, method: Method
    ) -> StaticString? {
        let first = bytes[start]
        if first == UInt8(ascii: "/") {
            path = ByteRange(start, query)
            origin = ByteRange(start, end)
            return nil
        }
        if first == UInt8(ascii: "*"), end - start == 1 {
            guard method == .options else { return "the target * with a method other than OPTIONS" }
            path = ByteRange(start, end)
            origin = path
            return nil
        }
        // The authority-form belongs to CONNECT, which is refused for what it is.
        if method == .connect { return nil }
        var index: Int
        if end - start >= 7, isWord(bytes, start, start + 7, "http://") {
            index = start + 7
        } else if end - start >= 8, isWord(bytes, start, start + 8, "https://") {
            index = start + 8
        } else {
            return "a target that is neither a path nor an http or https address"
        }
        let host = index
        while index < end, bytes[index] != UInt8(ascii: "/"), bytes[index] != UInt8(ascii: "?") {
            index += 1
        }
        // User information is an error here too: "@" is no part of a host (RFC 9110 section 4.2.4).
        guard isAuthority(bytes, host, index) else { return "a target with a malformed host" }
        authority = ByteRange(host, index)
        path = ByteRange(index, max(index, query))
        origin = ByteRange(index, end)
        return nil
    }
}

/// Whether `bytes[start..<end]` is a host with an optional port, as http and https have it: RFC 3986
/// section 3.2 without user information, and never empty, since both schemes forbid an empty host
/// (RFC 9110 section 4.2.1).
func isAuthority(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Bool {
    guard start < end, end - start <= authorityLimit else { return false }
    var index = start
    if bytes[index] == UInt8(ascii: "[") {
        index += 1
        var colons = 0
        while index < end, bytes[index] != UInt8(ascii: "]") {
            // IPv6 with an embedded IPv4 address; no zones (RFC 9110 4.2.1), no future versions.
            let byte = bytes[index]
            if byte == colon { colons += 1 }
            guard byte == colon || byte == UInt8(ascii: ".") || hexValue(byte) < 16 else {
                return false
            }
            index += 1
        }
        guard index < end, colons >= 2, colons <= 7, index - start <= 46 else { return false }
        index += 1
    } else {
        index = endOfName(bytes, index, end)
        while index < end, bytes[index] != colon {
            if bytes[index] == UInt8(ascii: "%") {
                guard index + 2 < end, hexValue(bytes[index + 1]) < 16,
                    hexValue(bytes[index + 2]) < 16
                else { return false }
                index += 3
                continue
            }
            guard isNameCharacter(bytes[index]) else { return false }
            index += 1
        }
        guard index > start else { return false }
    }
    if index == end { return true }
    guard bytes[index] == colon else { return false }
    index += 1
    // The port may be empty by the grammar; when it is not, it is a port.
    guard index < end else { return true }
    guard end - index <= 5, let port = decimal(bytes, index, end) else { return false }
    return port <= 65_535
}

/// Bytes of a host with its port. A name in the DNS has at most 253; ":65535" has 6.
let authorityLimit = 300
