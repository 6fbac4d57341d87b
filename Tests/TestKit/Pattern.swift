// The bytes of uploads and downloads, which both ends can compute: what the demo node sends for
// `/bytes`, written down a second time so that a mistake in one is seen by the other.

import Base

package enum Pattern {
    /// It begins anew after this many bytes, a prime.
    package static let period: [UInt8] = {
        var random = SplitMix64(seed: 1)
        return (0..<65_521).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }()

    /// The first `n` bytes, or as many from an offset on.
    package static func bytes(_ n: Int, from offset: Int = 0) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(n)
        var at = offset % period.count
        while bytes.count < n {
            let size = min(n - bytes.count, period.count - at)
            bytes += period[at..<(at + size)]
            at = 0
        }
        return bytes
    }

    /// The SHA-256 of the first `n` bytes, in hexadecimal.
    package static func sum(_ n: Int) -> String {
        var sum = SHA256()
        var left = n
        while left > 0 {
            let size = min(left, period.count)
            sum.update(period.span.extracting(0..<size))
            left -= size
        }
        return SHA256.hex(sum.finalize())
    }
}
