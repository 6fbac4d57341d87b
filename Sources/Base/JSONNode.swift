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
