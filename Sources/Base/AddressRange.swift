// Ranges of addresses in CIDR notation (RFC 4632, RFC 4291 section 2.3), for lists of who is
// trusted.

/// All addresses that share a prefix.
package struct AddressRange: Equatable, Sendable, CustomStringConvertible {
    /// The first address of the range.
    package let base: IPAddress
    /// Bits of the prefix, counted in the family of `base`: 0...32 or 0...128.
    package let prefix: Int

    private let highMask: UInt64
    private let lowMask: UInt64

    /// Reads `10.0.0.0/8`, `fd00::/8`, or a single address. Bits behind the prefix are cut off.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(String(parts[0])) else { return nil }
        // `::ffff:0:0/96` is the mapped spelling of 0.0.0.0/0; counted in 128 bits, as it is written.
        let writtenAsV6 = parts[0].utf8.contains(UInt8(ascii: ":"))
        var bits = writtenAsV6 ? 128 : 32
        if parts.count == 2 {
            let digits = parts[1].utf8
            guard !digits.isEmpty, digits.count <= 3, digits.allSatisfy({ $0 &- 48 < 10 }),
                digits.count == 1 || digits.first != UInt8(ascii: "0"),
                let number = Int(parts[1]), number <= bits
            else { return nil }
            bits = number
        }
        let total = writtenAsV6 ? bits : bits + 96
        highMask = total >= 64 ? .max : total == 0 ? 0 : .max << UInt64(64 - total)
        lowMask = total <= 64 ? 0 : .max << UInt64(128 - total)
        base = IPAddress(high: address.high & highMask, low: address.low & lowMask)
        prefix = base.isV4 && total >= 96 ? total - 96 : total
    }

    /// No allocation: this runs per request.
    package func contains(_ address: IPAddress) -> Bool {
        // An IPv6 range so wide that the mapped addresses fall into it does not mean IPv4 clients.
        address.isV4 == base.isV4 && address.high & highMask == base.high
            && address.low & lowMask == base.low
    }

    package var description: String { "\(base)/\(prefix)" }
}
