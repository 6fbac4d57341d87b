// A request by the second opinion: RFC 9112, 3 (the line), 3.2 (Host and the target), 6 (the body).

package struct StrictRequest: Equatable {
    package let method: [UInt8]
    package let target: [UInt8]
    /// The minor version: 0 or 1.
    package let minor: Int
    package let fields: [StrictField]
    package let framing: StrictFraming
    /// Of a chunked one: what was in the chunks.
    package let body: [UInt8]
    package let trailers: [StrictField]
    /// The bytes of the head, and of the whole message.
    package let headLength: Int
    package let length: Int

    /// The first message in the bytes. Others may follow it; whoever wants exactly one compares `length`.
    package init(_ bytes: [UInt8]) throws(Refusal) {
        var reading = Reading(bytes)
        let parts = try reading.line().split(separator: 0x20, omittingEmptySubsequences: false)
        guard parts.count == 3 else { throw Refusal("a request line without its three parts") }
        method = Array(parts[0])
        guard isToken(method) else { throw Refusal("a method that is no token") }
        target = Array(parts[1])
        minor = try minorVersion(parts[2])
        try checkTarget(target, method: method)
        fields = try reading.fields()
        headLength = reading.at
        try checkHost(fields, minor: minor)
        switch try Coding(fields, minor: minor) {
        case .none:
            (framing, body, trailers) = (.none, [], [])
        case .length(let count):
            (framing, body, trailers) = (.length(count), try reading.take(count), [])
        case .chunked:
            framing = .chunked
            (body, trailers) = try reading.chunked()
        }
        length = reading.at
    }

    package func values(_ name: String) -> [[UInt8]] {
        fields.filter { $0.isNamed(name) }.map(\.value)
    }
}

/// What the fields say about the body (RFC 9112, 6.1 to 6.3), the same for both kinds of message.
enum Coding {
    case none
    case length(Int)
    case chunked

    init(_ fields: [StrictField], minor: Int) throws(Refusal) {
        let codings = fields.filter { $0.isNamed("transfer-encoding") }.map(\.value)
        let lengths = fields.filter { $0.isNamed("content-length") }.map(\.value)
        if !codings.isEmpty {
            guard minor == 1 else { throw Refusal("a transfer coding in HTTP/1.0") }
            guard lengths.isEmpty else { throw Refusal("both a length and a transfer coding") }
            guard codings.count == 1, elements(of: codings[0]) == [Array("chunked".utf8)] else {
                throw Refusal("a transfer coding that is not chunked alone")
            }
            self = .chunked
        } else if !lengths.isEmpty {
            guard lengths.count == 1 else { throw Refusal("several lengths") }
            let digits = lengths[0]
            guard !digits.isEmpty, digits.allSatisfy({ (0x30...0x39).contains($0) }),
                let length = Int(String(decoding: digits, as: UTF8.self))
            else { throw Refusal("a length that is no number") }
            self = .length(length)
        } else {
            self = .none
        }
    }
}

/// Of a list, in lower case; empty ones count for nothing (RFC 9110, 5.6.1.2).
private func elements(of list: [UInt8]) -> [[UInt8]] {
    let isBlank = { (byte: UInt8) in byte == 0x20 || byte == 0x09 }
    return lowercased(list).split(separator: 0x2C)
        .map { $0.drop(while: isBlank).reversed().drop(while: isBlank).reversed() }
        .filter { !$0.isEmpty }
}

private func isURIByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
    default: Array("-._~!$&'()*+,;=:@%/?".utf8).contains(byte)
    }
}

/// One of the four forms (RFC 9112, 3.2). CONNECT is none of a load balancer's, so the authority form is
/// refused with it. Of RFC 3986 only the set of bytes is looked at, not that two digits follow a percent
/// sign; visible bytes that it lacks (`"<>[\]^`{|}`) are let through in path and query, as servers do.
private func checkTarget(_ target: [UInt8], method: [UInt8]) throws(Refusal) {
    guard method != Array("CONNECT".utf8) else { throw Refusal("CONNECT") }
    guard target.allSatisfy({ (0x21...0x7E).contains($0) && $0 != 0x23 }) else {
        throw Refusal("a byte that no target may have")
    }
    if target == [0x2A] {
        guard method == Array("OPTIONS".utf8) else { throw Refusal("an asterisk for \(method)") }
    } else if target.first == 0x2F {
        return
    } else {
        let text = String(decoding: target, as: UTF8.self)
        let lower = text.lowercased()
        let schemes = ["http://", "https://"]
        guard let scheme = schemes.first(where: { lower.hasPrefix($0) }) else {
            throw Refusal("a target of no known form")
        }
        let authority = target.dropFirst(scheme.utf8.count).prefix { $0 != 0x2F && $0 != 0x3F }
        // RFC 9110, 4.2.1: an empty host is invalid, and user information is not to be sent (4.2.4).
        guard !authority.isEmpty, isHost(Array(authority)) else {
            throw Refusal("an absolute target without a host")
        }
    }
}

/// RFC 9112, 3.2: exactly one in HTTP/1.1; one that is no `uri-host [":" port]` is refused in any.
private func checkHost(_ fields: [StrictField], minor: Int) throws(Refusal) {
    let hosts = fields.filter { $0.isNamed("host") }.map(\.value)
    guard hosts.count <= 1 else { throw Refusal("several hosts") }
    guard hosts.count == 1 || minor == 0 else { throw Refusal("no host") }
    // An empty one is what is sent where the target has no authority.
    if let host = hosts.first, !host.isEmpty, !isHost(host) { throw Refusal("a host that is none") }
}

/// uri-host [ ":" port ] (RFC 3986, 3.2.2 and 3.2.3), not empty.
package func isHost(_ text: [UInt8]) -> Bool {
    var port: ArraySlice<UInt8> = []
    if text.first == 0x5B {
        guard let close = text.firstIndex(of: 0x5D), close > 1 else { return false }
        let inside = text[1..<close]
        guard
            inside.allSatisfy({
                hexadecimal($0) != nil || $0 == 0x3A || $0 == 0x2E
            }), inside.contains(0x3A)
        else { return false }
        port = text[(close + 1)...]
    } else {
        let name = text.prefix { $0 != 0x3A }
        guard !name.isEmpty,
            name.allSatisfy({ isURIByte($0) && $0 != 0x2F && $0 != 0x3F && $0 != 0x40 })
        else { return false }
        port = text[name.endIndex...]
    }
    guard !port.isEmpty else { return true }
    guard port.first == 0x3A else { return false }
    return port.dropFirst().allSatisfy { (0x30...0x39).contains($0) }
}

/// 0, or 1 for all later ones: they are spoken to as the highest that is known (RFC 9110 section 2.5).
func minorVersion(_ word: ArraySlice<UInt8>) throws(Refusal) -> Int {
    guard word.count == 8, word.starts(with: "HTTP/1.".utf8), let digit = word.last,
        (0x30...0x39).contains(digit)
    else { throw Refusal("another version than 1.x") }
    return digit == 0x30 ? 0 : 1
}
