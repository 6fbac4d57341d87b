// Cookies: the session's own is found and taken out, all others stay; and what a client brings back as a
// session is either one that was sealed here or nothing.

import Base
import HTTP
import Proxy
import StrictHTTP

private let name = Array("sid".utf8)

/// The pairs of all Cookie fields, without the white space around them; empty ones left out.
private func pairs(_ fields: [StrictField]) -> [[UInt8]] {
    var pairs: [[UInt8]] = []
    for field in fields where field.isNamed("cookie") {
        for part in field.value.split(separator: 0x3B) {
            var pair = Array(part.drop { $0 == 0x20 || $0 == 0x09 })
            while let last = pair.last, last == 0x20 || last == 0x09 { pair.removeLast() }
            if !pair.isEmpty { pairs.append(pair) }
        }
    }
    return pairs
}

private func isOurs(_ pair: [UInt8]) -> Bool {
    var before = Array(pair.prefix { $0 != 0x3D })
    while let last = before.last, last == 0x20 || last == 0x09 { before.removeLast() }
    return before == name && before.count < pair.count
}

/// The input stands for the values of Cookie fields, one a line.
func removeCookies(_ bytes: [UInt8]) throws(Finding) {
    var message = Array("GET / HTTP/1.1\r\nHost: a\r\n".utf8)
    for line in bytes.split(separator: 0x0A, omittingEmptySubsequences: false) {
        message += Array("Cookie: ".utf8) + line + [0x0D, 0x0A]
    }
    message += [0x0D, 0x0A]
    var head = RequestHead()
    guard case .complete = head.parse(message.span) else { return }
    guard let received = try? StrictRequest(message) else { throw Finding("taken alone") }
    let facts = ForwardingFacts(
        client: IPAddress(v4: 1), secure: false, trusted: false, passUpgrade: false)
    guard
        let sent = written(
            capacity: message.count + 512,
            { head.writeForwarded(message.span, facts: facts, without: name.span, to: &$0) })
    else { throw Finding("more than 512 bytes more") }
    guard let forwarded = try? StrictRequest(sent), forwarded.length == sent.count else {
        throw Finding("forwards what is no request: \(shown(sent))")
    }
    let before = pairs(received.fields)
    let after = pairs(forwarded.fields)
    try expect(after == before.filter { !isOurs($0) }, "other cookies: \(shown(sent))")
    var count = 0
    while let value = head.cookie(message.span, named: name.span, count) {
        try expect(Int(value.end) <= message.count, "a value outside of the head")
        count += 1
    }
    try expect(count == before.filter(isOurs).count, "\(count) cookies found: \(shown(message))")
}

private let seal = SessionSeal(
    secrets: [
        Array("a secret of thirty-two bytes, more".utf8),
        Array("another one of them, older than it".utf8),
    ], pool: "pool", cookie: "sid")

/// The input is what a client brings; then it is sealed itself, and damaged.
func openSession(_ bytes: [UInt8]) throws(Finding) {
    if seal.open(bytes.span, now: 0) != nil {
        // Whoever finds a signature by chance found more than a bug.
        throw Finding("a forged session is opened")
    }
    var draws = Draws(bytes)
    let hasNode = draws.byte() & 1 == 1
    let nonce = draws.number(bytes: 8)
    let place = Int(draws.byte())
    let flip = draws.byte()
    let carried = Array(draws.rest().prefix(Carried.limit))
    guard hasNode || !carried.isEmpty else { return }
    var content = SessionContent()
    content.node = hasNode ? nonce : nil
    content.carried = Carried(carried.span)
    content.expiry = 9
    let value = seal.seal(content, nonce: nonce)
    var text = (0..<value.count).map { value.text[$0] }
    guard let whole = seal.open(text.span, now: 8) else { throw Finding("its own is not opened") }
    try expect(whole.content.node == content.node, "another node")
    try expect(whole.content.carried.isSame(as: carried.span), "other bytes to carry")
    try expect(seal.open(text.span, now: 9) == nil, "opened when it has expired")
    guard flip != 0 else { return }
    text[place % text.count] ^= flip
    try expect(seal.open(text.span, now: 8) == nil, "opened, though it was damaged")
}
