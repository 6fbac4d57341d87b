// What a strategy carries into its successor, and what it shows to an operator: small writers and a
// reader that cannot overrun.

import CTrivet

/// Bytes for a successor. Numbers are written in little-endian order.
public struct StateWriter {
    var bytes: [UInt8] = []

    /// Adds a whole number, in as many bytes as its type has.
    public mutating func write(_ number: some FixedWidthInteger) {
        unsafe withUnsafeBytes(of: number.littleEndian) { unsafe bytes.append(contentsOf: $0) }
    }

    /// Adds a number.
    public mutating func write(_ number: Double) { write(number.bitPattern) }

    /// Adds text, or bytes, with their length.
    public mutating func write(_ text: String) {
        write(UInt32(text.utf8.count))
        bytes.append(contentsOf: text.utf8)
    }
}

/// Bytes from a predecessor, read in the order they were written. Every reader gives nil at the
/// end, for ever after.
@safe
public struct StateReader: ~Escapable {
    private let bytes: Span<UInt8>
    private var position = 0

    @_lifetime(copy bytes)
    init(_ bytes: Span<UInt8>) { self.bytes = bytes }

    /// True if everything was read.
    public var isAtEnd: Bool { position == bytes.count }

    /// A whole number of this type.
    public mutating func read<Number: FixedWidthInteger>(_: Number.Type) -> Number? {
        let size = MemoryLayout<Number>.size
        guard bytes.count - position >= size else {
            position = bytes.count
            return nil
        }
        var number: Number = 0
        var index = size
        while index > 0 {
            index -= 1
            number = number << 8 | Number(truncatingIfNeeded: bytes[position + index])
        }
        position += size
        return number
    }

    /// A number.
    public mutating func read(_: Double.Type) -> Double? {
        read(UInt64.self).map { Double(bitPattern: $0) }
    }

    /// Text.
    public mutating func read(_: String.Type) -> String? {
        guard let size = read(UInt32.self), bytes.count - position >= Int(size) else {
            position = bytes.count
            return nil
        }
        defer { position += Int(size) }
        return String(utf8: bytes.extracting(position..<(position + Int(size))))
    }
}

/// What an operator sees of an instance: one JSON object.
public struct Description {
    private(set) var json = "{"

    mutating func close() { json += "}" }

    /// Adds a whole number.
    public mutating func add(_ name: String, _ number: some FixedWidthInteger) {
        add(name, raw: "\(number)")
    }

    /// Adds a number; one that JSON cannot say becomes null.
    public mutating func add(_ name: String, _ number: Double) {
        add(name, raw: number.isFinite ? "\(number)" : "null")
    }

    /// Adds a truth value.
    public mutating func add(_ name: String, _ flag: Bool) { add(name, raw: "\(flag)") }

    /// Adds text.
    public mutating func add(_ name: String, _ text: String) { add(name, raw: Self.quoted(text)) }

    private mutating func add(_ name: String, raw: String) {
        if json.utf8.count > 1 { json += "," }
        json += "\(Self.quoted(name)):\(raw)"
    }

    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case "\0"..<" ":
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
