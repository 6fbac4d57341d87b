// One value out of a JSON document that a stranger sent: strict, bounded, without building a tree.
// For the answers of health checks, on the control thread. Configurations are JSON5, a file of its
// own.

/// What a pointer found.
package enum JSONValue: Equatable, Sendable {
    /// Nothing there, or the document is not JSON, or the pointer is not one.
    case missing
    case null
    case bool(Bool)
    case number(Double)
    /// UTF-8, unescaped.
    case string([UInt8])
    /// An object or array, as it lies in the document.
    case compound(ByteRange)
}

package enum JSON {
    /// Containers within containers: more is hostile, and each takes a frame of the stack.
    package static let depthLimit = 64

    /// The value at `pointer` (RFC 6901; the empty pointer means all of it) in `document` (RFC 8259).
    ///
    /// The whole document is checked: if it breaks a rule anywhere, is not UTF-8, escapes half of a
    /// surrogate pair or nests deeper than `depthLimit`, everything is `.missing`. Of members of the
    /// same name the last counts. A byte order mark is passed over, as section 8.1 allows. A number
    /// that no Double can hold is `.missing`.
    package static func find(_ pointer: Span<UInt8>, in document: Span<UInt8>) -> JSONValue {
        guard document.count <= Int(UInt32.max), let tokens = tokens(of: pointer),
            isUTF8(document)
        else { return .missing }
        var scanner = Scanner(document)
        do throws(Malformed) {
            let value = try scanner.document(tokens)
            return value
        } catch {
            return .missing
        }
    }

    /// The names of a pointer, unescaped. Nil if it is not a pointer.
    private static func tokens(of pointer: Span<UInt8>) -> [[UInt8]]? {
        if pointer.isEmpty { return [] }
        guard pointer[0] == UInt8(ascii: "/") else { return nil }
        var tokens: [[UInt8]] = [[]]
        var at = 1
        while at < pointer.count {
            switch pointer[at] {
            case UInt8(ascii: "/"):
                tokens.append([])
            case UInt8(ascii: "~"):
                at += 1
                guard at < pointer.count, pointer[at] == 48 || pointer[at] == 49 else { return nil }
                tokens[tokens.count - 1].append(pointer[at] == 48 ? 0x7E : 0x2F)
            case let byte:
                tokens[tokens.count - 1].append(byte)
            }
            at += 1
        }
        return tokens
    }

    private static func isUTF8(_ bytes: Span<UInt8>) -> Bool {
        do {
            _ = try UTF8Span(validating: bytes)
            return true
        } catch {
            return false
        }
    }

    private struct Malformed: Error {}

    /// Walks the document once. `at` stands on the next byte to read.
    private struct Scanner: ~Escapable {
        let bytes: Span<UInt8>
        var at = 0

        @_lifetime(copy bytes)
        init(_ bytes: Span<UInt8>) { self.bytes = bytes }

        mutating func document(_ tokens: [[UInt8]]) throws(Malformed) -> JSONValue {
            if bytes.count >= 3, bytes[0] == 0xEF, bytes[1] == 0xBB, bytes[2] == 0xBF { at = 3 }
            skipSpace()
            let found = try value(tokens, 0, depth: 0)
            skipSpace()
            guard at == bytes.count else { throw Malformed() }
            return found
        }

        /// Reads one value. `wanted`: how many of the tokens led here, or nil off the path.
        mutating func value(
            _ tokens: [[UInt8]], _ wanted: Int?, depth: Int
        ) throws(Malformed) -> JSONValue {
            let start = at
            let isTarget = wanted == tokens.count
            switch peek() {
            case UInt8(ascii: "{"):
                let found = try object(tokens, wanted, depth: depth + 1)
                return isTarget ? .compound(ByteRange(start, at)) : found
            case UInt8(ascii: "["):
                let found = try array(tokens, wanted, depth: depth + 1)
                return isTarget ? .compound(ByteRange(start, at)) : found
            case UInt8(ascii: "\""):
                let text = try string(keep: isTarget)
                return isTarget ? .string(text) : .missing
            case UInt8(ascii: "t"):
                try word("true")
                return isTarget ? .bool(true) : .missing
            case UInt8(ascii: "f"):
                try word("false")
                return isTarget ? .bool(false) : .missing
            case UInt8(ascii: "n"):
                try word("null")
                return isTarget ? .null : .missing
            default:
                try number()
                return isTarget ? double(start, at) : .missing
            }
        }

        mutating func object(
            _ tokens: [[UInt8]], _ wanted: Int?, depth: Int
        ) throws(Malformed) -> JSONValue {
            guard depth <= JSON.depthLimit else { throw Malformed() }
            let token: [UInt8]? =
                if let wanted, wanted < tokens.count { tokens[wanted] } else { nil }
            var found = JSONValue.missing
            at += 1
            skipSpace()
            if take(UInt8(ascii: "}")) { return found }
            repeat {
                skipSpace()
                guard peek() == UInt8(ascii: "\"") else { throw Malformed() }
                let key = try string(keep: token != nil)
                skipSpace()
                guard take(UInt8(ascii: ":")) else { throw Malformed() }
                skipSpace()
                if let wanted, key == token {
                    found = try value(tokens, wanted + 1, depth: depth)
                } else {
                    _ = try value(tokens, nil, depth: depth)
                }
                skipSpace()
            } while take(UInt8(ascii: ","))
            guard take(UInt8(ascii: "}")) else { throw Malformed() }
            return found
        }

        mutating func array(
            _ tokens: [[UInt8]], _ wanted: Int?, depth: Int
        ) throws(Malformed) -> JSONValue {
            guard depth <= JSON.depthLimit else { throw Malformed() }
            let index: Int? =
                if let wanted, wanted < tokens.count { arrayIndex(tokens[wanted]) } else { nil }
            var found = JSONValue.missing
            at += 1
            skipSpace()
            if take(UInt8(ascii: "]")) { return found }
            var position = 0
            repeat {
                skipSpace()
                if let wanted, position == index {
                    found = try value(tokens, wanted + 1, depth: depth)
                } else {
                    _ = try value(tokens, nil, depth: depth)
                }
                position += 1
                skipSpace()
            } while take(UInt8(ascii: ","))
            guard take(UInt8(ascii: "]")) else { throw Malformed() }
            return found
        }

        /// RFC 6901 section 4: digits, no leading zero. ("-" names the element after the last one,
        /// which is never there.)
        func arrayIndex(_ token: [UInt8]) -> Int? {
            guard !token.isEmpty, token.count <= 10, token.allSatisfy({ $0 &- 48 < 10 }),
                token.count == 1 || token[0] != 48
            else { return nil }
            return token.reduce(0) { $0 * 10 + Int($1 - 48) }
        }

        /// Reads a string; hands its text back if `keep`.
        mutating func string(keep: Bool) throws(Malformed) -> [UInt8] {
            var text: [UInt8] = []
            at += 1
            while true {
                guard at < bytes.count else { throw Malformed() }
                let byte = bytes[at]
                at += 1
                switch byte {
                case UInt8(ascii: "\""):
                    return text
                case UInt8(ascii: "\\"):
                    let scalar = try escape()
                    if keep { text.append(contentsOf: String(Character(scalar)).utf8) }
                case ..<0x20:
                    throw Malformed()
                default:
                    if keep { text.append(byte) }
                }
            }
        }

        mutating func escape() throws(Malformed) -> Unicode.Scalar {
            guard at < bytes.count else { throw Malformed() }
            let byte = bytes[at]
            at += 1
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return .init(byte)
            case UInt8(ascii: "b"): return "\u{8}"
            case UInt8(ascii: "f"): return "\u{C}"
            case UInt8(ascii: "n"): return "\n"
            case UInt8(ascii: "r"): return "\r"
            case UInt8(ascii: "t"): return "\t"
            case UInt8(ascii: "u"): break
            default: throw Malformed()
            }
            var code = try hex4()
            if code >> 10 == 0x36 {  // the first half of a surrogate pair
                guard take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) else { throw Malformed() }
                let second = try hex4()
                guard second >> 10 == 0x37 else { throw Malformed() }
                code = 0x10000 + (code & 0x3FF) << 10 + second & 0x3FF
            }
            guard let scalar = Unicode.Scalar(code) else { throw Malformed() }
            return scalar
        }

        mutating func hex4() throws(Malformed) -> UInt32 {
            guard at + 4 <= bytes.count else { throw Malformed() }
            var code: UInt32 = 0
            for _ in 0..<4 {
                switch bytes[at] {
                case let c where c &- 48 < 10: code = code << 4 | UInt32(c - 48)
                case let c where (c | 0x20) &- 97 < 6: code = code << 4 | UInt32((c | 0x20) - 87)
                default: throw Malformed()
                }
                at += 1
            }
            return code
        }

        mutating func word(_ expected: StaticString) throws(Malformed) {
            let length = expected.utf8CodeUnitCount
            guard at + length <= bytes.count else { throw Malformed() }
            for (i, byte) in expected.description.utf8.enumerated() where bytes[at + i] != byte {
                throw Malformed()
            }
            at += length
        }

        mutating func number() throws(Malformed) {
            _ = take(UInt8(ascii: "-"))
            if !take(UInt8(ascii: "0")) { try digits() }
            if take(UInt8(ascii: ".")) { try digits() }
            if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
                if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
                try digits()
            }
        }

        mutating func digits() throws(Malformed) {
            let start = at
            while at < bytes.count, bytes[at] &- 48 < 10 { at += 1 }
            guard at > start else { throw Malformed() }
        }

        func double(_ start: Int, _ end: Int) -> JSONValue {
            var text = ""
            for i in start..<end { text.unicodeScalars.append(.init(bytes[i])) }
            guard let number = Double(text), number.isFinite else { return .missing }
            return .number(number)
        }

        func peek() -> UInt8? { at < bytes.count ? bytes[at] : nil }

        mutating func take(_ byte: UInt8) -> Bool {
            guard at < bytes.count, bytes[at] == byte else { return false }
            at += 1
            return true
        }

        mutating func skipSpace() {
            while at < bytes.count {
                switch bytes[at] {
                case 0x20, 0x09, 0x0A, 0x0D: at += 1
                default: return
                }
            }
        }
    }
}
