// What the first lines of requests and responses share: the version, and the cheap look that tells
// whether more bytes can have completed a head at all.

import Base

/// Bytes of "HTTP/1.1".
let versionLength = 8

enum VersionOutcome {
    case incomplete
    /// HTTP/1.0 or HTTP/1.1.
    case version(minor: UInt8)
    /// Well-formed, but not HTTP/1.
    case otherMajor
    case malformed
}

/// Reads the version at `start` (RFC 9112 section 2.3): "HTTP/", a digit, a dot, a digit; the name
/// counts case. A minor version above 1, should there ever be one, is read as 1 (RFC 9110 section 2.5).
func readVersion(_ bytes: Span<UInt8>, _ start: Int) -> VersionOutcome {
    guard start + versionLength <= bytes.count else {
        // Say early that this will never be a version.
        let name: StaticString = "HTTP/"
        for index in start..<min(bytes.count, start + 5)
        where unsafe bytes[index] != name.utf8Start[index - start] {
            return .malformed
        }
        return .incomplete
    }
    guard matches(bytes, start, "HTTP/"), isDigit(bytes[start + 5]),
        bytes[start + 6] == UInt8(ascii: "."), isDigit(bytes[start + 7])
    else { return .malformed }
    guard bytes[start + 5] == UInt8(ascii: "1") else { return .otherMajor }
    let minor = bytes[start + 7] &- 0x30
    return .version(minor: min(minor, 1))
}

/// Whether a head of which `seen` bytes were not enough is still incomplete and need not be looked
/// at: no line ended since. Each time the input has doubled it is looked at all the same, for what
/// may be wrong in the middle of a line, and whenever it has reached a limit. So the work for a head
/// that comes byte by byte is bounded by the number of its lines, which is limited.
func isStillIncomplete(_ bytes: Span<UInt8>, seen: Int, limits: HeadLimits) -> Bool {
    let count = bytes.count
    guard seen > 0, seen <= count, count < limits.head else { return false }
    guard count.leadingZeroBitCount == seen.leadingZeroBitCount else { return false }
    for index in seen..<count where bytes[index] == lineFeed { return false }
    return true
}

/// `decimal` of a range.
func decimal(_ bytes: Span<UInt8>, _ range: ByteRange) -> UInt64? {
    decimal(bytes, Int(range.start), Int(range.end))
}
