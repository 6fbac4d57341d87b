// The differential targets: what Trivet would forward of a message, with its body as the stream would
// write it, is read again by Trivet and by the second opinion. It must be one message, whole, that means
// what was received; and what the second opinion refuses must not have been forwarded at all.

import Base
import HTTP
import StrictHTTP

/// Which of a message's fields never go on, whatever it is.
private let hopByHop: Set<String> = [
    "connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade",
    "http2-settings", "content-length",
]
/// What a Connection field may name without making it disappear: written anew, or kept (the reason
/// stands at FieldKind.canBeListed).
private let unlistable: Set<String> = ["host", "expect", "max-forwards"]

private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

/// What Connection fields name.
private func listed(_ fields: [StrictField]) -> Set<String> {
    var names: Set<String> = []
    for field in fields where field.isNamed("connection") {
        for part in field.value.split(separator: 0x2C) {
            var name = Array(part.drop { $0 == 0x20 || $0 == 0x09 })
            while let last = name.last, last == 0x20 || last == 0x09 { name.removeLast() }
            names.insert(text(lowercased(name)))
        }
    }
    return names.subtracting(unlistable)
}

/// The body as it goes on: a length as it is, chunks with sizes of our own.
private func rechunked(_ bytes: [UInt8], _ choices: inout Choices) -> [UInt8]? {
    var result: [UInt8] = []
    var decoder = ChunkedDecoder()
    var start = 0
    while true {
        let span = bytes.span.extracting(start..<bytes.count)
        switch decoder.next(span) {
        case .data(let range, let consumed):
            var at = start + Int(range.start)
            let end = start + Int(range.end)
            while at < end {
                let count = min(end - at, 1 + choices.next(64))
                result += written(capacity: 18) {
                    writeChunkHeader(count, to: &$0)
                    return true
                }!
                result += bytes[at..<at + count] + [0x0D, 0x0A]
                at += count
            }
            start += consumed
        case .end(let trailers, _):
            let rest = Array(bytes[start...])
            guard
                let last = written(
                    capacity: 512 + 2 * rest.count,
                    { writeTrailers(rest.span, trailers, to: &$0) })
            else { return nil }
            return result + last
        case .more, .invalid: return nil
        }
    }
}

func forwardRequest(_ bytes: [UInt8]) throws(Finding) {
    var head = RequestHead()
    guard case .complete(let length) = head.parse(bytes.span) else { return }
    var choices = Choices(bytes)
    let rest = Array(bytes[length...])
    let body: [UInt8]
    switch head.framing {
    case .none: body = []
    case .untilClose: throw Finding("a request that ends with the connection")
    case .length(let count):
        guard count <= UInt64(rest.count) else { return }
        body = Array(rest[..<Int(count)])
    case .chunked:
        guard let chunks = rechunked(rest, &choices) else { return }
        body = chunks
    }
    // The empty lines that old clients send (RFC 9112, 2.2) are no part of the message.
    let message = Array(bytes.drop { $0 == 0x0D || $0 == 0x0A })
    let received: StrictRequest
    do throws(Refusal) { received = try StrictRequest(message) } catch {
        throw Finding("forwarded, though the second opinion refuses it for \(error)")
    }
    for trusted in [false, true] {
        let facts = ForwardingFacts(
            client: IPAddress(v4: 0xC000_0207), secure: choices.next(2) == 1, trusted: trusted,
            passUpgrade: choices.next(2) == 1, node: IPAddress(v4: 0xC000_0201))
        guard
            let line = written(
                capacity: length + 512,
                { head.writeForwarded(bytes.span, facts: facts, to: &$0) })
        else { throw Finding("a head that takes more than 512 bytes beyond what it had") }
        let sent = line + body
        let forwarded: StrictRequest
        do throws(Refusal) { forwarded = try StrictRequest(sent) } catch {
            throw Finding("forwards what the second opinion refuses for \(error): \(shown(sent))")
        }
        try expect(forwarded.length == sent.count, "forwards more than one request: \(shown(sent))")
        try compare(forwarded, received, trusted: trusted, upgrades: facts.passUpgrade, sent)
        var again = RequestHead()
        try expect(
            again.parse(sent.span) == .complete(length: line.count),
            "does not take what it forwards: \(shown(sent))")
        try expect(again.framing == head.framing, "forwards another framing: \(shown(sent))")
    }
}

private func compare(
    _ forwarded: StrictRequest, _ received: StrictRequest, trusted: Bool, upgrades: Bool,
    _ sent: [UInt8]
) throws(Finding) {
    try expect(forwarded.method == received.method, "another method: \(shown(sent))")
    try expect(forwarded.body == received.body, "another body: \(shown(sent))")
    try expect(forwarded.framing == received.framing, "another framing: \(shown(sent))")
    try expect(forwarded.minor == 1, "another version than ours: \(shown(sent))")
    // An absolute target goes as its path, its host as the Host (RFC 9112, 3.2.2).
    var target = received.target
    var host = received.values("host").first ?? Array("192.0.2.1".utf8)
    if target.first != 0x2F, target != [0x2A] {
        let past = text(lowercased(Array(target.prefix(8)))) == "https://" ? 8 : 7
        let behind = Array(target[past...])
        host = Array(behind.prefix { $0 != 0x2F && $0 != 0x3F })
        target = Array(behind.dropFirst(host.count))
        if target.isEmpty {
            target = received.method == Array("OPTIONS".utf8) ? [0x2A] : [0x2F]
        } else if target.first == 0x3F {
            target = [0x2F] + target
        }
    }
    try expect(forwarded.target == target, "another target: \(shown(sent))")
    try expect(forwarded.values("host") == [host], "another host: \(shown(sent))")
    let gone = listed(received.fields)
    func goes(_ field: StrictField) -> Bool {
        let name = text(lowercased(field.name))
        if hopByHop.contains(name) || name == "host" { return false }
        if name.hasPrefix("x-forwarded-") {
            if ["x-forwarded-proto", "x-forwarded-host"].contains(name) { return trusted }
            if name == "x-forwarded-for" { return false }
        }
        if name == "forwarded" { return trusted }
        if name == "expect" { return received.minor == 1 }
        if name == "max-forwards" { return received.method != Array("OPTIONS".utf8) }
        return !gone.contains(name)
    }
    // What we write ourselves stands at the end, in this order, so a prefix of the rest is compared.
    let wanted = received.fields.filter(goes)
    let ours = forwarded.fields.filter { !$0.isNamed("host") && !$0.isNamed("content-length") }
    try expect(
        Array(ours.prefix(wanted.count)) == wanted,
        "other fields, or in another order: \(shown(sent))")
    let connections = forwarded.values("connection").map(text)
    try expect(
        connections.isEmpty || (upgrades && connections == ["Upgrade"]),
        "a Connection field that is not ours: \(shown(sent))")
    let added: Set<String> = [
        "transfer-encoding", "max-forwards", "connection", "upgrade", "x-forwarded-for",
        "x-forwarded-proto", "x-forwarded-host",
    ]
    for field in ours.dropFirst(wanted.count) {
        try expect(
            added.contains(text(lowercased(field.name))),
            "a field that nobody sent: \(shown(sent))")
    }
    for trailer in forwarded.trailers {
        try expect(received.trailers.contains(trailer), "a trailer that nobody sent")
        let name = text(lowercased(trailer.name))
        try expect(
            !hopByHop.contains(name) && name != "host", "a trailer that frames: \(shown(sent))")
    }
}

func forwardResponse(_ bytes: [UInt8]) throws(Finding) {
    for (method, name) in [(Method.get, "GET"), (.head, "HEAD")] {
        for minor: UInt8 in [1, 0] {
            try forwardResponse(bytes, method, name, toMinor: minor)
        }
    }
}

private func forwardResponse(
    _ bytes: [UInt8], _ method: Method, _ name: String, toMinor minor: UInt8
) throws(Finding) {
    var head = ResponseHead()
    guard case .complete(let length) = head.parse(bytes.span, requestMethod: method) else { return }
    var choices = Choices(bytes)
    let rest = Array(bytes[length...])
    let framing = head.framing(forClientMinorVersion: minor)
    let plain: [UInt8]
    var body: [UInt8]
    switch head.framing {
    case .none: (plain, body) = ([], [])
    case .length(let count):
        guard count <= UInt64(rest.count) else { return }
        plain = Array(rest[..<Int(count)])
        body = plain
    case .untilClose:
        plain = rest
        body = rest
        if framing == .chunked {
            body = Array("\(String(rest.count, radix: 16))\r\n".utf8) + rest + [0x0D, 0x0A]
            body = (rest.isEmpty ? [] : body) + Array("0\r\n\r\n".utf8)
        }
    case .chunked:
        let read = ReadBody(rest) { rest.count }
        guard read.isWhole, let chunks = rechunked(rest, &choices) else { return }
        plain = read.body
        body = framing == .chunked ? chunks : plain
    }
    let facts = ResponseFacts(
        clientMinorVersion: minor, closeConnection: choices.next(2) == 1, framing: framing,
        passUpgrade: false)
    guard
        let line = written(
            capacity: length + 256 + 16,
            { head.writeForwarded(bytes.span, facts: facts, to: &$0) })
    else { throw Finding("a head that takes more than 256 bytes beyond what it had") }
    let sent = line + body
    let forwarded: StrictResponse
    do throws(Refusal) { forwarded = try StrictResponse(sent, to: name) } catch {
        throw Finding("forwards what the second opinion refuses for \(error): \(shown(sent))")
    }
    try expect(forwarded.length == sent.count, "forwards more than one answer: \(shown(sent))")
    try expect(forwarded.body == plain, "another body: \(shown(sent))")
    try expect(forwarded.status == Int(head.status), "another status: \(shown(sent))")
    try expect(
        forwarded.framing != .untilClose || forwarded.values("connection") == [Array("close".utf8)],
        "a body up to the close on a connection that stays: \(shown(sent))")
    var again = ResponseHead()
    try expect(
        again.parse(sent.span, requestMethod: method) == .complete(length: line.count),
        "does not take what it forwards: \(shown(sent))")

    // Where the second opinion reads the original at all, it reads the same. It takes less than
    // Trivet does of a node: an empty reason needs its space, and no length goes with a 204.
    guard let received = try? StrictResponse(bytes, to: name) else { return }
    try expect(received.body == plain, "another body than was received: \(shown(sent))")
    try expect(received.reason == forwarded.reason, "another reason: \(shown(sent))")
    let gone = listed(received.fields)
    let wanted = received.fields.filter {
        let name = text(lowercased($0.name))
        return !hopByHop.contains(name) && (!gone.contains(name) || unlistable.contains(name))
    }
    try expect(
        Array(forwarded.fields.prefix(wanted.count)) == wanted,
        "other fields, or in another order: \(shown(sent))")
    let added: Set<String> = ["content-length", "transfer-encoding", "connection"]
    for field in forwarded.fields.dropFirst(wanted.count) {
        try expect(
            added.contains(text(lowercased(field.name))), "a field that nobody sent: \(shown(sent))"
        )
    }
}
