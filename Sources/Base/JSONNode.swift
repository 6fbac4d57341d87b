// A JSON value as a tree that remembers where each of its parts was written, so that whoever judges
// it later can point there. Written back as strict JSON for plugins.

package struct JSONNode: Equatable, Sendable {
    package enum Kind: Equatable, Sendable {
        case null
        case bool(Bool)
        case number(Double)
        case string(String)
        case array([JSONNode])
        case object([Member])
    }

    package struct Member: Equatable, Sendable {
        package var key: String
        package var keyPlace: Place
        package var value: JSONNode

        package init(key: String, keyPlace: Place, value: JSONNode) {
            self.key = key
            self.keyPlace = keyPlace
            self.value = value
        }
    }

    package var kind: Kind
    /// Where the value begins.
    package var place: Place

    package init(_ kind: Kind, at place: Place) {
        self.kind = kind
        self.place = place
    }

    /// The member of that name, if this is an object that has one.
    package subscript(key: String) -> JSONNode? {
        guard case .object(let members) = kind else { return nil }
        return members.first { $0.key == key }?.value
    }

    /// `a string`, for sentences that say what was found.
    package var kindName: String {
        switch kind {
        case .null: "null"
        case .bool: "a boolean"
        case .number: "a number"
        case .string: "a string"
        case .array: "a list"
        case .object: "an object"
        }
    }

    /// Compact strict JSON (RFC 8259), UTF-8, members in their order. Whole numbers are written
    /// without a fraction; infinity and NaN, which JSON does not have, as null.
    package func encoded() -> String {
        var out = ""
        encode(into: &out)
        return out
    }

    private func encode(into out: inout String) {
        switch kind {
        case .null: out += "null"
        case .bool(let value): out += value ? "true" : "false"
        case .number(let value): out += JSON.text(of: value)
        case .string(let value): JSON.quote(value, into: &out)
        case .array(let elements):
            out += "["
            for (i, element) in elements.enumerated() {
                if i > 0 { out += "," }
                element.encode(into: &out)
            }
            out += "]"
        case .object(let members):
            out += "{"
            for (i, member) in members.enumerated() {
                if i > 0 { out += "," }
                JSON.quote(member.key, into: &out)
                out += ":"
                member.value.encode(into: &out)
            }
            out += "}"
        }
    }
}

extension JSONNode {
    /// For people: bare keys where they may be, what fits into a line in one line. JSON5, with a line end.
    package func written(width: Int = 100) -> String {
        var out = ""
        write(into: &out, indent: "", width: width, behind: 0)
        return out + "\n"
    }

    /// `behind`: what stands in the line already, beyond the indentation.
    private func write(into out: inout String, indent: String, width: Int, behind: Int) {
        let short = inLine()
        // A comma may follow.
        if indent.utf8.count + behind + short.utf8.count < width {
            out += short
            return
        }
        let inner = indent + "  "
        switch kind {
        case .array(let elements):
            out += "[\n"
            for element in elements {
                out += inner
                element.write(into: &out, indent: inner, width: width, behind: 0)
                out += ",\n"
            }
            out += indent + "]"
        case .object(let members):
            out += "{\n"
            for member in members {
                let key = Self.bare(member.key) + ": "
                out += inner + key
                member.value.write(
                    into: &out, indent: inner, width: width, behind: key.utf8.count)
                out += ",\n"
            }
            out += indent + "}"
        default: out += short
        }
    }

    private func inLine() -> String {
        switch kind {
        case .array(let elements): "[" + elements.map { $0.inLine() }.joined(separator: ", ") + "]"
        case .object(let members) where members.isEmpty: "{}"
        case .object(let members):
            "{ "
                + members.map { "\(Self.bare($0.key)): \($0.value.inLine())" }
                .joined(separator: ", ") + " }"
        default: encoded()
        }
    }

    /// A key without quotes if it is a name.
    private static func bare(_ key: String) -> String {
        let isName =
            key.utf8.allSatisfy { byte in
                byte == UInt8(ascii: "_") || byte | 0x20 > 0x60 && byte | 0x20 < 0x7B
                    || byte > 0x2F && byte < 0x3A
            } && !(key.utf8.first.map { $0 < 0x3A } ?? true)
        if isName { return key }
        var quoted = ""
        JSON.quote(key, into: &quoted)
        return quoted
    }
}

extension JSON {
    /// A JSON number. Whole ones up to 2^53, where they are exact, have no fraction.
    package static func text(of number: Double) -> String {
        guard number.isFinite else { return "null" }
        if number == number.rounded(), number.magnitude <= 9_007_199_254_740_992 {
            return String(Int64(number))
        }
        return number.description  // the shortest that reads back the same
    }

    /// Appends a JSON string, quotes and all. Not for the path of a request.
    package static func quote(_ text: String, into out: inout String) {
        out += "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case "\u{0}"..."\u{1F}":
                let hex = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - hex.utf8.count) + hex
            default: out.unicodeScalars.append(scalar)
            }
        }
        out += "\""
    }
}
