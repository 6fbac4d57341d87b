// Short text without an allocation, and small conveniences on the bytes that Trivet lends.
// For picks; where allocating is allowed (health checks, options), plain `String` is used.

import CTrivet

/// At most 64 bytes of text, held in place: making, interpolating and copying one never allocates.
///
/// ```swift
/// .node(best, because: "least busy: \(pool.load(best).inFlightAll) running")
/// ```
///
/// What does not fit is left out, from a whole interpolated part or character on.
@safe
public struct Text: ExpressibleByStringInterpolation, @unchecked Sendable {
    // Unchecked: a literal's bytes never change and never go.

    /// Bytes that fit.
    public static let capacity = 64

    /// A whole literal is not copied, only pointed to: most reasons are one.
    private var literal: UnsafePointer<UInt8>?
    private var bytes = InlineArray<64, UInt8>(repeating: 0)

    /// Number of bytes.
    public private(set) var count = 0

    /// True if something did not fit and was left out.
    public private(set) var isCut = false

    /// No text.
    public init() { unsafe literal = nil }

    /// The text of a literal.
    public init(stringLiteral literal: StaticString) {
        self.init()
        if literal.hasPointerRepresentation && literal.utf8CodeUnitCount <= Self.capacity {
            unsafe self.literal = literal.utf8Start
            count = literal.utf8CodeUnitCount
        } else {
            append(literal)
        }
    }

    /// The parts of an interpolated literal.
    public init(stringInterpolation parts: Interpolation) {
        self = parts.text
    }

    /// Bytes as they are.
    public init(_ bytes: Span<UInt8>) {
        self.init()
        append(bytes)
    }

    /// True if there is no text.
    public var isEmpty: Bool { count == 0 }

    /// The bytes.
    public var span: Span<UInt8> {
        @_lifetime(borrow self) get {
            if let literal = unsafe literal {
                let buffer = unsafe UnsafeBufferPointer(start: literal, count: count)
                return unsafe _overrideLifetime(Span(_unsafeElements: buffer), borrowing: self)
            }
            return bytes.span.extracting(0..<count)
        }
    }

    /// The bytes as the host reads them, of a text that lives at `place` and stays there.
    static func lend(_ place: UnsafePointer<Text>) -> trivet_str {
        let start = unsafe UnsafeRawPointer(place.pointee.literal)
        let inline = unsafe UnsafeRawPointer(place)
        return unsafe trivet_str(
            start ?? inline + (MemoryLayout<Text>.offset(of: \.bytes) ?? 0),
            count: place.pointee.count)
    }

    /// Adds a literal.
    public mutating func append(_ literal: StaticString) {
        literal.withUTF8Buffer { unsafe append(Span(_unsafeElements: $0)) }
    }

    /// Adds bytes; those past the capacity are left out, never half a character.
    public mutating func append(_ more: Span<UInt8>) {
        if unsafe literal != nil {
            let whole = self
            self = Text()
            append(whole.span)
        }
        guard !isCut else { return }
        var fits = min(more.count, Self.capacity - count)
        if fits < more.count {
            isCut = true
            while fits > 0, more[fits] & 0xC0 == 0x80 { fits -= 1 }
        }
        var index = 0
        while index < fits {
            bytes[count + index] = more[index]
            index += 1
        }
        count += fits
    }

    /// Adds a whole number in decimal, or nothing of it if it does not fit.
    public mutating func append(_ number: some FixedWidthInteger) {
        var digits = InlineArray<21, UInt8>(repeating: 0)
        var start = 21
        var rest = UInt64(number.magnitude)
        repeat {
            start -= 1
            digits[start] = UInt8(ascii: "0") + UInt8(rest % 10)
            rest /= 10
        } while rest > 0
        if number < 0 {
            start -= 1
            digits[start] = UInt8(ascii: "-")
        }
        guard !isCut, 21 - start <= Self.capacity - count else {
            isCut = true
            return
        }
        append(digits.span.extracting(start..<21))
    }

    /// The parts of a `Text` literal: text, whole numbers, bytes and other `Text`.
    public struct Interpolation: StringInterpolationProtocol {
        var text = Text()

        /// Nothing is reserved: the room is there.
        public init(literalCapacity: Int, interpolationCount: Int) {}

        /// Text between the parts.
        public mutating func appendLiteral(_ literal: StaticString) { text.append(literal) }

        /// A whole number.
        public mutating func appendInterpolation(_ number: some FixedWidthInteger) {
            text.append(number)
        }

        /// Bytes, such as a node's name.
        public mutating func appendInterpolation(_ bytes: Span<UInt8>) { text.append(bytes) }

        /// Another text.
        public mutating func appendInterpolation(_ other: Text) {
            text.append(other.span)
        }
    }
}

extension Span<UInt8> {
    /// True if the bytes are those of the literal. Does not allocate.
    public func equals(_ literal: StaticString) -> Bool {
        let buffer = unsafe UnsafeBufferPointer(
            start: literal.utf8Start, count: literal.utf8CodeUnitCount)
        return equals(unsafe Span(_unsafeElements: buffer))
    }

    /// True if the bytes are those of `other`, byte for byte.
    public func equals(_ other: Span<UInt8>) -> Bool {
        guard count == other.count else { return false }
        var index = 0
        while index < count {
            if self[index] != other[index] { return false }
            index += 1
        }
        return true
    }

    /// True if `part` occurs somewhere in the bytes; the empty part always does.
    public func contains(_ part: Span<UInt8>) -> Bool {
        var start = 0
        while start + part.count <= count {
            if extracting(start..<(start + part.count)).equals(part) { return true }
            start += 1
        }
        return false
    }
}

extension String {
    /// A copy of bytes from the wire; damaged UTF-8 is repaired with U+FFFD. Allocates.
    public init(utf8 bytes: Span<UInt8>) {
        self = unsafe bytes.withUnsafeBufferPointer { unsafe String(decoding: $0, as: UTF8.self) }
    }
}
