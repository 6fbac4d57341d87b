// Runs of bytes: eight bytes each, and never off by one.

import Testing

@testable import Base

@Suite struct RangesTests {
    @Test func `a range of bytes covers what it was made from`() {
        let range = ByteRange(3, 7)
        #expect(range == ByteRange(start: 3, length: 4))
        #expect(range.end == 7)
        #expect(range.indices == 3..<7)
        #expect(!range.isEmpty)
        #expect(ByteRange(5, 5).isEmpty)
        #expect(ByteRange.empty.indices == 0..<0)
        #expect(MemoryLayout<ByteRange>.size == 8)
        #expect(MemoryLayout<FieldRange>.size == 16)
    }
}
