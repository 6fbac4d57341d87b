// Values that go through a browser come back as they were, or not at all.

import Testing

@testable import Base

@Suite struct Base64URLTests {
    private func encoded(_ bytes: [UInt8]) -> String {
        var room = [UInt8](repeating: 0, count: Base64URL.encodedCount(bytes.count))
        var span = room.mutableSpan
        let count = Base64URL.encode(bytes.span, into: &span)
        #expect(count == room.count)
        return String(decoding: room, as: UTF8.self)
    }

    private func decoded(_ text: String, room: Int = 64) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: room)
        let text = Array(text.utf8)
        var span = bytes.mutableSpan
        guard let count = Base64URL.decode(text.span, into: &span) else { return nil }
        return Array(bytes[..<count])
    }

    // RFC 4648 section 10, without the padding; the last has both letters that differ from base64.
    @Test(arguments: [
        ("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"),
        ("fooba", "Zm9vYmE"), ("foobar", "Zm9vYmFy"),
    ])
    func `the vectors of the standard hold`(text: String, expected: String) {
        #expect(encoded(Array(text.utf8)) == expected)
        #expect(decoded(expected) == Array(text.utf8))
    }

    @Test func `all bytes come back`() {
        var random = SplitMix64(seed: 4648)
        #expect(encoded([0xFB, 0xFF, 0xBF]) == "-_-_")
        for length in 0...64 {
            let bytes = (0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            #expect(decoded(encoded(bytes)) == bytes)
        }
    }

    @Test(arguments: ["A", "Zg=", "Zg==", "Zh", "Zm9", "Zm+v", "Zm/v", "Zm v", "Zm9vA", "Zm9é"])
    func `what has another spelling is refused`(text: String) {
        #expect(decoded(text) == nil)
    }

    @Test func `what does not fit is refused`() {
        #expect(decoded("Zm9v", room: 2) == nil)
        #expect(decoded("Zm9v", room: 3) != nil)
    }
}
