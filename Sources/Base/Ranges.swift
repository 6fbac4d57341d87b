// Where something lies: in a buffer (bytes) or in a text that a person wrote (lines and columns).
// Parsers hand these out instead of slices, so that what they found costs no memory of its own and
// outlives the span it was found in.

/// A run of bytes in some span: offsets, not a pointer. 8 bytes.
package struct ByteRange: Equatable, Sendable {
    package var start: UInt32
    package var length: UInt32

    package init(start: UInt32, length: UInt32) {
        self.start = start
        self.length = length
    }

    /// From `start` up to, not including, `end`.
    package init(_ start: Int, _ end: Int) {
        self.start = UInt32(truncatingIfNeeded: start)
        self.length = UInt32(truncatingIfNeeded: end - start)
    }

    package static let empty = ByteRange(start: 0, length: 0)

    package var end: UInt32 { start + length }
    package var isEmpty: Bool { length == 0 }
    /// The same as a range of indices, for `Span.extracting`.
    package var indices: Range<Int> { Int(start)..<Int(start) + Int(length) }
}

/// One header line in some span: its name and its value, without the colon and the white space.
package struct FieldRange: Equatable, Sendable {
    package var name: ByteRange
    package var value: ByteRange

    package init(name: ByteRange, value: ByteRange) {
        self.name = name
        self.value = value
    }
}

/// A place in a text: both from 1, columns in Unicode scalars, as editors count.
package struct Place: Equatable, Sendable {
    package var line: Int
    package var column: Int

    package init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }
}
