// What a connection begins with: a TLS client names a server, a proxy in front names its client.

import Net

func readClientHello(_ bytes: [UInt8]) throws(Finding) {
    let whole = look(at: bytes)
    try expect(whole.outcome == .complete || whole.name.isEmpty, "a name in what is not whole")
    for byte in whole.name {
        try expect(byte > 0x20 && byte < 0x7F, "a byte that is in no name")
    }
    // A judgement holds for whatever comes behind, and before it none but that is given.
    if whole.outcome != .incomplete {
        let more = look(at: bytes + [22, 3, 3, 0])
        try expect(more == whole, "a judgement that changes with what comes behind")
    }
    for length in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 7)) {
        let part = look(at: Array(bytes.prefix(length)))
        try expect(
            part.outcome == .incomplete || part == whole, "another judgement after \(length) bytes")
    }
    // In records of other sizes it is the same message.
    guard whole.outcome == .complete, let message = message(in: bytes) else { return }
    for size in [1, 5, 16_384] {
        let other = records(of: message, size)
        guard other.count <= ClientHello.limit else { continue }
        try expect(look(at: other) == whole, "another judgement in records of \(size)")
    }
}

private struct Look: Equatable {
    var outcome: ClientHello.Outcome
    var name: [UInt8]
}

private func look(at bytes: [UInt8]) -> Look {
    var hello = ClientHello()
    let outcome = hello.parse(bytes.span)
    return Look(outcome: outcome, name: (0..<hello.length).map { hello.room[$0] })
}

/// The handshake bytes of the records at the front, up to the end of their first message.
private func message(in bytes: [UInt8]) -> [UInt8]? {
    var result: [UInt8] = []
    var at = 0
    while at + 5 <= bytes.count {
        let length = Int(bytes[at + 3]) << 8 | Int(bytes[at + 4])
        result += bytes[(at + 5)..<min(at + 5 + length, bytes.count)]
        at += 5 + length
        guard result.count >= 4 else { continue }
        let size = 4 + Int(result[1]) << 16 + Int(result[2]) << 8 + Int(result[3])
        if result.count >= size { return Array(result.prefix(size)) }
    }
    return nil
}

private func records(of message: [UInt8], _ size: Int) -> [UInt8] {
    var result: [UInt8] = []
    for start in stride(from: 0, to: message.count, by: size) {
        let part = message[start..<min(start + size, message.count)]
        result += [22, 3, 1, UInt8(part.count >> 8), UInt8(part.count & 0xFF)] + part
    }
    return result
}

/// The PROXY protocol, both versions.
func readProxyHeader(_ bytes: [UInt8]) throws(Finding) {
    let whole = ProxyHeader.parse(bytes.span)
    // A judgement holds for whatever comes behind, and before it none but that is given.
    if whole != .incomplete {
        try expect(ProxyHeader.parse((bytes + [0x20]).span) == whole, "a judgement that changes")
    }
    for length in bytes.indices {
        let part = ProxyHeader.parse(Array(bytes.prefix(length)).span)
        try expect(part == .incomplete || part == whole, "another after \(length) bytes")
    }
    guard case .complete(let ends, let length) = whole else { return }
    try expect(length > 0 && length <= bytes.count, "more bytes than there are")
    // What was understood is written so that it is understood again.
    for version in [ProxyHeader.Version.v1, .v2] {
        // Version 1 has no word for TLS.
        var told = ends
        if version == .v1 { told?.isSecure = false }
        let facts = told?.isSecure == true ? ProxyHeader.TLSFacts() : nil
        let again = [UInt8](capacity: ProxyHeader.room) {
            _ = ProxyHeader.write(told, version, facts: facts, to: &$0)
        }
        let expected = ProxyHeader.Outcome.complete(told, length: again.count)
        try expect(ProxyHeader.parse(again.span) == expected, "not written as it was read")
    }
}
