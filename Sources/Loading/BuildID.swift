// Which build of a plugin a file holds: its content decides, never its name, its version or its time.

import Base

/// The first eight bytes of the SHA-256 of a file (FIPS 180-4): what fences are keyed by, and what
/// people see of it as 16 hex digits.
package struct BuildID: Hashable, Sendable, CustomStringConvertible {
    package var number: UInt64

    package init(number: UInt64) { self.number = number }

    init(of bytes: [UInt8]) {
        var hash = SHA256()
        hash.update(bytes.span)
        number = hash.finalize().prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// No build: of a library that only a trial loads.
    package static let none = BuildID(number: 0)

    package var description: String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    package init?(_ text: String) {
        guard text.utf8.count == 16, let number = UInt64(text, radix: 16) else { return nil }
        self.number = number
    }
}
