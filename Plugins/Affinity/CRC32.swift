// CRC-32 of IEEE 802.3 (reflected, polynomial 0xEDB88320), as nginx lays out its ring with. For
// building tables, not for picks.

/// A CRC-32 that is being computed. A copy of one begun can be continued in several ways.
struct CRC32 {
    private var register: UInt32 = 0xFFFF_FFFF

    /// What it comes to so far.
    var value: UInt32 { register ^ 0xFFFF_FFFF }

    mutating func add(_ byte: UInt8) {
        register = Self.table[Int((register ^ UInt32(byte)) & 0xFF)] ^ (register >> 8)
    }

    mutating func add(_ bytes: Span<UInt8>) {
        var index = 0
        while index < bytes.count {
            add(bytes[index])
            index += 1
        }
    }

    /// Adds the bytes of a number, the lowest first.
    mutating func add(_ number: UInt32) {
        add(UInt8(truncatingIfNeeded: number))
        add(UInt8(truncatingIfNeeded: number >> 8))
        add(UInt8(truncatingIfNeeded: number >> 16))
        add(UInt8(truncatingIfNeeded: number >> 24))
    }

    private static let table: [UInt32] = (0..<256).map { index in
        var register = UInt32(index)
        for _ in 0..<8 {
            register = register & 1 == 1 ? 0xEDB8_8320 ^ (register >> 1) : register >> 1
        }
        return register
    }
}
