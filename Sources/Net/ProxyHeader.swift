// The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt, 2020/03/05): who a connection is for,
// said by a proxy in front before anything else. Read from spans and written into them; whom to believe
// is decided elsewhere.

import Base

package enum ProxyHeader {
    package enum Version: Sendable {
        case v1
        case v2
    }

    /// A connection from one address to another.
    package struct Ends: Equatable, Sendable {
        package var source: IPAddress
        package var sourcePort: UInt16
        package var target: IPAddress
        package var targetPort: UInt16
        /// The client came to the proxy by TLS.
        package var isSecure = false

        package init(
            source: IPAddress, sourcePort: UInt16, target: IPAddress, targetPort: UInt16
        ) {
            self.source = source
            self.sourcePort = sourcePort
            self.target = target
            self.targetPort = targetPort
        }
    }

    /// What is known of a client's TLS (section 2.2.5).
    package struct TLSFacts: Sendable {
        /// "TLSv1.3"; empty: another proxy had it.
        package var version = ""
        package var cipher = ""
        /// The client's certificate, which was verified, in this handshake or in an earlier one.
        package var commonName: [UInt8] = []
        package var hasCertificate = false
        package var isResumed = false

        package init() {}
    }

    package enum Outcome: Equatable, Sendable {
        /// The bytes it took. Nil: the proxy speaks for itself, or does not know.
        case complete(Ends?, length: Int)
        case incomplete
        case invalid(StaticString)

        package static func == (one: Outcome, other: Outcome) -> Bool {
            switch (one, other) {
            case (.complete(let a, let m), .complete(let b, let n)): a == b && m == n
            case (.incomplete, .incomplete), (.invalid, .invalid): true
            default: false
            }
        }
    }

    /// Bytes of a header of version 1, its line end included (section 2.1).
    package static let longestLine = 107
    /// Bytes of a header of version 2 that are waited for: addresses take 36 at most, and what is behind
    /// them (TLS facts, names) a few hundred.
    package static let longestBlock = 4096
    /// Bytes that `write` writes at most.
    package static let room = 512

    private static let signature: [12 of UInt8] = [
        0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A,
    ]

    // MARK: Reading

    /// Reads the header that `bytes` starts with; what follows it is not looked at. What cannot become one
    /// is said at once.
    package static func parse(_ bytes: Span<UInt8>) -> Outcome {
        guard bytes.count > 0 else { return .incomplete }
        if bytes[0] == UInt8(ascii: "P") { return line(bytes) }
        for i in 0..<min(bytes.count, 12) where bytes[i] != signature[i] {
            return .invalid("no header of the PROXY protocol")
        }
        return block(bytes)
    }

    /// Section 2.1: `PROXY TCP4 192.0.2.7 198.51.100.1 56324 443`, in one line.
    private static func line(_ bytes: Span<UInt8>) -> Outcome {
        let word: [6 of UInt8] = [0x50, 0x52, 0x4F, 0x58, 0x59, 0x20]
        for i in 0..<min(bytes.count, 6) where bytes[i] != word[i] {
            return .invalid("no header of the PROXY protocol")
        }
        var end = 0
        while end < bytes.count, bytes[end] != 0x0D {
            guard end < longestLine - 2 else {
                return .invalid("a line of the PROXY protocol that is too long")
            }
            end += 1
        }
        guard end + 1 < bytes.count else { return .incomplete }
        guard bytes[end + 1] == 0x0A, end >= 6 else {
            return .invalid("a line of the PROXY protocol that does not end as one")
        }
        var at = 6
        let family = next(bytes, &at, end)
        if isWord(bytes, family, "UNKNOWN") { return .complete(nil, length: end + 2) }
        let isV4 = isWord(bytes, family, "TCP4")
        guard isV4 || isWord(bytes, family, "TCP6"), at < end else {
            return .invalid("a line of the PROXY protocol with another family")
        }
        let (source, target) = (next(bytes, &at, end), next(bytes, &at, end))
        let (sourcePort, targetPort) = (next(bytes, &at, end), next(bytes, &at, end))
        guard let source = IPAddress(bytes.extracting(source)),
            let target = IPAddress(bytes.extracting(target)),
            let sourcePort = port(bytes, sourcePort), let targetPort = port(bytes, targetPort),
            !isV4 || source.isV4 && target.isV4, at == end + 1
        else { return .invalid("a line of the PROXY protocol with malformed addresses or ports") }
        return .complete(
            Ends(
                source: source, sourcePort: sourcePort, target: target, targetPort: targetPort),
            length: end + 2)
    }

    /// The word at `at`, which is put behind the blank after it; behind the end it is one further.
    private static func next(_ bytes: Span<UInt8>, _ at: inout Int, _ end: Int) -> Range<Int> {
        let start = min(at, end)
        var index = start
        while index < end, bytes[index] != 0x20 { index += 1 }
        at = index + 1
        return start..<index
    }

    private static func isWord(
        _ bytes: Span<UInt8>, _ range: Range<Int>, _ text: StaticString
    ) -> Bool {
        guard range.count == text.utf8CodeUnitCount else { return false }
        for i in 0..<range.count where unsafe bytes[range.lowerBound + i] != text.utf8Start[i] {
            return false
        }
        return true
    }

    /// Without leading zeros, as the protocol has it.
    private static func port(_ bytes: Span<UInt8>, _ range: Range<Int>) -> UInt16? {
        guard (1...5).contains(range.count) else { return nil }
        if range.count > 1, bytes[range.lowerBound] == 0x30 { return nil }
        var value = 0
        for i in range {
            let digit = bytes[i] &- 0x30
            guard digit < 10 else { return nil }
            value = value * 10 + Int(digit)
        }
        return UInt16(exactly: value)
    }

    /// Section 2.2.
    private static func block(_ bytes: Span<UInt8>) -> Outcome {
        guard bytes.count >= 13 else { return .incomplete }
        let command = bytes[12] & 0x0F
        guard bytes[12] >> 4 == 2, command <= 1 else {
            return .invalid("a version or command of the PROXY protocol that is not known")
        }
        guard bytes.count >= 16 else { return .incomplete }
        let count = Int(bytes[14]) << 8 | Int(bytes[15])
        guard 16 + count <= longestBlock else {
            return .invalid("a header of the PROXY protocol that is too long")
        }
        guard bytes.count >= 16 + count else { return .incomplete }
        // LOCAL, and what is not known: the connection's own ends (section 2.2).
        guard command == 1 else { return .complete(nil, length: 16 + count) }
        switch bytes[13] {
        case 0x11:
            guard count >= 12 else { break }
            let ends = Ends(
                source: IPAddress(v4: UInt32(truncatingIfNeeded: number(bytes, 16, 4))),
                sourcePort: UInt16(truncatingIfNeeded: number(bytes, 24, 2)),
                target: IPAddress(v4: UInt32(truncatingIfNeeded: number(bytes, 20, 4))),
                targetPort: UInt16(truncatingIfNeeded: number(bytes, 26, 2)))
            return facts(bytes, 28, 16 + count, ends)
        case 0x21:
            guard count >= 36 else { break }
            let ends = Ends(
                source: IPAddress(high: number(bytes, 16, 8), low: number(bytes, 24, 8)),
                sourcePort: UInt16(truncatingIfNeeded: number(bytes, 48, 2)),
                target: IPAddress(high: number(bytes, 32, 8), low: number(bytes, 40, 8)),
                targetPort: UInt16(truncatingIfNeeded: number(bytes, 50, 2)))
            return facts(bytes, 52, 16 + count, ends)
        default:
            return .complete(nil, length: 16 + count)
        }
        return .invalid("a header of the PROXY protocol that is shorter than its addresses")
    }

    // PP2_TYPE_SSL, PP2_SUBTYPE_SSL_VERSION, PP2_SUBTYPE_SSL_CN, PP2_SUBTYPE_SSL_CIPHER
    private static let (tls, tlsVersion, tlsName, tlsCipher) = (
        UInt8(0x20), UInt8(0x21), UInt8(0x22), UInt8(0x23)
    )

    /// Section 2.2.1 and on: facts in vectors behind the addresses, of which one is of interest here.
    private static func facts(
        _ bytes: Span<UInt8>, _ start: Int, _ end: Int, _ ends: Ends
    ) -> Outcome {
        var ends = ends
        var at = start
        while at < end {
            guard at + 3 <= end else { return .invalid(Self.malformed) }
            let count = Int(number(bytes, at + 1, 2))
            guard at + 3 + count <= end else { return .invalid(Self.malformed) }
            if bytes[at] == tls {
                guard count >= 5 else { return .invalid(Self.malformed) }
                ends.isSecure = bytes[at + 3] & 1 == 1
            }
            at += 3 + count
        }
        return .complete(ends, length: end)
    }

    private static let malformed: StaticString =
        "a header of the PROXY protocol whose facts do not fit into it"

    private static func number(_ bytes: Span<UInt8>, _ at: Int, _ width: Int) -> UInt64 {
        var value: UInt64 = 0
        for i in 0..<width { value = value << 8 | UInt64(bytes[at + i]) }
        return value
    }

    // MARK: Writing

    /// Writes a header; nil: we speak for ourselves. `facts`: nil: the client came without TLS. False, and nothing is written, if there are not
    /// `room` bytes left.
    @_lifetime(out: copy out)
    package static func write(
        _ ends: Ends?, _ version: Version, facts: TLSFacts? = nil,
        to out: inout OutputSpan<UInt8>
    ) -> Bool {
        guard out.freeCapacity >= room else { return false }
        switch version {
        case .v1: writeLine(ends, to: &out)
        case .v2: writeBlock(ends, facts, to: &out)
        }
        return true
    }

    @_lifetime(out: copy out)
    private static func writeLine(_ ends: Ends?, to out: inout OutputSpan<UInt8>) {
        guard let ends else {
            write("PROXY UNKNOWN\r\n", to: &out)
            return
        }
        let isV4 = ends.source.isV4 && ends.target.isV4
        write(isV4 ? "PROXY TCP4 " : "PROXY TCP6 ", to: &out)
        writeAddress(ends.source, mapped: !isV4, to: &out)
        writeAddress(ends.target, mapped: !isV4, to: &out)
        writeDecimal(ends.sourcePort, to: &out)
        out.append(0x20)
        writeDecimal(ends.targetPort, to: &out)
        write("\r\n", to: &out)
    }

    /// One family for both: an IPv4 address beside an IPv6 one goes in its mapped form.
    @_lifetime(out: copy out)
    private static func writeAddress(
        _ address: IPAddress, mapped: Bool, to out: inout OutputSpan<UInt8>
    ) {
        if address.isV4, mapped { write("::ffff:", to: &out) }
        address.write(to: &out)
        out.append(0x20)
    }

    @_lifetime(out: copy out)
    private static func writeBlock(
        _ ends: Ends?, _ facts: TLSFacts?, to out: inout OutputSpan<UInt8>
    ) {
        for i in signature.indices { out.append(signature[i]) }
        guard let ends else {
            // LOCAL, without addresses.
            append(0x2000_0000, 4, to: &out)
            return
        }
        // A version and a cipher are some bytes; a name of X.520 has 64 characters.
        let parts = facts.map { facts in
            [
                (tlsVersion, Array(facts.version.utf8.prefix(32))),
                (tlsName, Array(facts.commonName.prefix(256))),
                (tlsCipher, Array(facts.cipher.utf8.prefix(64))),
            ].filter { !$0.1.isEmpty }
        }
        let size = parts.map { $0.reduce(3 + 5) { $0 + 3 + $1.1.count } } ?? 0
        if ends.source.isV4 && ends.target.isV4 {
            append(0x2111_0000 + UInt64(12 + size), 4, to: &out)
            append(UInt64(ends.source.v4Bits), 4, to: &out)
            append(UInt64(ends.target.v4Bits), 4, to: &out)
        } else {
            append(0x2121_0000 + UInt64(36 + size), 4, to: &out)
            append(ends.source.high, 8, to: &out)
            append(ends.source.low, 8, to: &out)
            append(ends.target.high, 8, to: &out)
            append(ends.target.low, 8, to: &out)
        }
        append(UInt64(ends.sourcePort), 2, to: &out)
        append(UInt64(ends.targetPort), 2, to: &out)
        guard let facts, let parts else { return }
        out.append(tls)
        append(UInt64(size - 3), 2, to: &out)
        // PP2_CLIENT_SSL, PP2_CLIENT_CERT_CONN, PP2_CLIENT_CERT_SESS
        out.append(1 | (facts.hasCertificate ? facts.isResumed ? 4 : 6 : 0))
        append(facts.hasCertificate ? 0 : 1, 4, to: &out)
        for (kind, bytes) in parts {
            out.append(kind)
            append(UInt64(bytes.count), 2, to: &out)
            for byte in bytes { out.append(byte) }
        }
    }

    @_lifetime(out: copy out)
    private static func append(_ value: UInt64, _ width: Int, to out: inout OutputSpan<UInt8>) {
        for i in 0..<width {
            out.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * (width - 1 - i))))
        }
    }

    @_lifetime(out: copy out)
    private static func write(_ text: StaticString, to out: inout OutputSpan<UInt8>) {
        for i in 0..<text.utf8CodeUnitCount { out.append(unsafe text.utf8Start[i]) }
    }

    @_lifetime(out: copy out)
    private static func writeDecimal(_ value: UInt16, to out: inout OutputSpan<UInt8>) {
        var divisor: UInt16 = 10_000
        while divisor > 1, value / divisor == 0 { divisor /= 10 }
        while divisor > 0 {
            out.append(48 + UInt8(value / divisor % 10))
            divisor /= 10
        }
    }
}
