// Takes a tree apart into typed values and notes everything that is not as expected, so that one
// mistake does not hide the next. Knows JSON, not what the keys mean.

import Base

/// An object being taken apart.
struct Fields {
    let members: [JSONNode.Member]
    /// For sentences: `the pool "octopus"`.
    let what: String
    let place: Place

    subscript(key: String) -> JSONNode? { members.first { $0.key == key }?.value }
}

struct Reader {
    let file: String
    private(set) var diagnostics: [Diagnostic] = []
    /// What nodes ("pool/node") have for `health_of`, until all pools are read.
    var leaders: [String: Placed<String>] = [:]

    init(file: String) { self.file = file }

    mutating func complain(_ place: Place, _ sentence: String) {
        diagnostics.append(Diagnostic(file: file, place: place, sentence: sentence))
    }

    // MARK: Objects and lists

    /// The members of an object whose keys are all in `keys`, or are complained about. `later`: keys
    /// that mean something, but not in this version. With `open`, other keys belong to a plugin.
    mutating func object(
        _ node: JSONNode, _ what: String, keys: [String], later: [String] = [], open: Bool = false
    ) -> Fields? {
        guard let members = members(node, what) else { return nil }
        for member in members where !keys.contains(member.key) {
            if later.contains(member.key) {
                complain(
                    member.keyPlace,
                    "\"\(member.key)\" in \(what) is not supported by this version")
            } else if !open {
                complain(
                    member.keyPlace,
                    "unknown key \(quoted(member.key)) in \(what)"
                        + advice(member.key, keys, "known"))
            }
        }
        return Fields(members: members, what: what, place: node.place)
    }

    /// The members of an object whose keys are free.
    mutating func members(_ node: JSONNode, _ what: String) -> [JSONNode.Member]? {
        guard case .object(let members) = node.kind else {
            mismatch(node, what, "an object")
            return nil
        }
        return members
    }

    mutating func required(_ fields: Fields, _ key: String) -> JSONNode? {
        if let node = fields[key] { return node }
        complain(fields.place, "\(fields.what) has no \"\(key)\"")
        return nil
    }

    /// The elements of the list at `key`; none if it is not there.
    mutating func list(_ fields: Fields, _ key: String) -> [JSONNode] {
        guard let node = fields[key] else { return [] }
        return list(node, "\"\(key)\" in \(fields.what)")
    }

    mutating func list(_ node: JSONNode, _ what: String) -> [JSONNode] {
        guard case .array(let elements) = node.kind else {
            mismatch(node, what, "a list")
            return []
        }
        return elements
    }

    // MARK: Values

    /// A text that is not empty and has no control characters.
    mutating func text(_ node: JSONNode, _ what: String) -> String? {
        guard case .string(let text) = node.kind else {
            mismatch(node, what, "a string")
            return nil
        }
        guard !text.isEmpty else {
            complain(node.place, "\(what) is empty")
            return nil
        }
        guard !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
        else {
            complain(node.place, "\(what) has a control character in it")
            return nil
        }
        return text
    }

    mutating func placedText(_ fields: Fields, _ key: String) -> Placed<String>? {
        guard let node = fields[key], let text = text(node, "\"\(key)\"") else { return nil }
        return Placed(text, at: node.place)
    }

    /// The name of a listener, pool or node, at most 64 bytes, so that it fits everywhere. No slash:
    /// nodes are called `pool/node`.
    mutating func name(_ text: String, at place: Place, _ what: String) -> Bool {
        if text.isEmpty || text.utf8.count > 64 || text.contains("/")
            || text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
        {
            complain(
                place,
                "\(quoted(text)) is no name for \(what): expected 1 to 64 bytes without "
                    + "slashes and control characters")
            return false
        }
        return true
    }

    mutating func integer(_ fields: Fields, _ key: String, _ range: ClosedRange<Int>) -> Int? {
        guard let node = fields[key] else { return nil }
        let expected = "a whole number from \(range.lowerBound) to \(range.upperBound)"
        guard case .number(let number) = node.kind else {
            mismatch(node, "\"\(key)\" in \(fields.what)", expected)
            return nil
        }
        guard let value = Int(exactly: number), range.contains(value) else {
            // JSON has no NaN; JSON5 and its writers do.
            let shown = number.isFinite ? JSON.text(of: number) : "\(number)"
            complain(
                node.place,
                "\"\(key)\" in \(fields.what) is \(shown); expected "
                    + expected)
            return nil
        }
        return value
    }

    mutating func flag(_ fields: Fields, _ key: String) -> Bool? {
        guard let node = fields[key] else { return nil }
        if case .bool(let value) = node.kind { return value }
        mismatch(node, "\"\(key)\" in \(fields.what)", "true or false")
        return nil
    }

    /// A duration of at least `least`. "off" is refused: see `durationOrOff`.
    mutating func duration(
        _ fields: Fields, _ key: String, least: Nanoseconds = 1_000_000
    ) -> Nanoseconds? {
        guard let node = fields[key] else { return nil }
        return duration(node, "\"\(key)\" in \(fields.what)", least: least, orOff: false)
    }

    mutating func boolean(_ fields: Fields, _ key: String) -> Bool? {
        guard let node = fields[key] else { return nil }
        if case .bool(let value) = node.kind { return value }
        mismatch(node, "\"\(key)\" in \(fields.what)", "true or false")
        return nil
    }

    /// Nil if the key is not there; `.some(nil)` for "off".
    mutating func durationOrOff(_ fields: Fields, _ key: String) -> Nanoseconds?? {
        guard let node = fields[key] else { return nil }
        if case .string("off") = node.kind { return .some(nil) }
        let what = "\"\(key)\" in \(fields.what)"
        return duration(node, what, least: 1_000_000, orOff: true).map { .some($0) }
    }

    private mutating func duration(
        _ node: JSONNode, _ what: String, least: Nanoseconds, orOff: Bool
    ) -> Nanoseconds? {
        let expected =
            "a duration such as \"250ms\", \"3s\", \"2m\" or \"1h\"" + (orOff ? ", or \"off\"" : "")
        switch node.kind {
        case .string("off"):
            complain(node.place, "\(what) cannot be \"off\"; expected \(expected)")
        case .string(let text):
            guard let value = Units.duration(text) else {
                complain(
                    node.place,
                    "\(what) is \(quoted(text)); expected \(expected), of a year at most")
                return nil
            }
            guard value >= least else {
                complain(node.place, "\(what) is \(quoted(text)); expected at least \"1ms\"")
                return nil
            }
            return value
        case .number(let number):
            let seconds = number.isFinite ? JSON.text(of: number) : "3"
            complain(
                node.place,
                "\(what) has no unit; expected a duration such as \"\(seconds)s\", in quotes")
        default:
            mismatch(node, what, expected)
        }
        return nil
    }

    /// A number of bytes, as a number or a text with a unit.
    mutating func size(_ fields: Fields, _ key: String, _ range: ClosedRange<Int>) -> Int? {
        guard let node = fields[key] else { return nil }
        let what = "\"\(key)\" in \(fields.what)"
        let value: UInt64?
        let shown: String
        switch node.kind {
        case .number(let number):
            value = UInt64(exactly: number)
            shown = number.isFinite ? JSON.text(of: number) : "\(number)"
        case .string(let text):
            value = Units.size(text)
            shown = quoted(text)
        default:
            mismatch(node, what, "a size such as \"64KiB\" or \"1MB\", or a number of bytes")
            return nil
        }
        guard let value else {
            complain(
                node.place,
                "\(what) is \(shown); expected a size such as \"64KiB\" or \"1MB\", or a number of "
                    + "bytes")
            return nil
        }
        guard let bytes = Int(exactly: value), range.contains(bytes) else {
            complain(
                node.place,
                "\(what) is \(shown); expected \(range.lowerBound) to "
                    + "\(range.upperBound) bytes")
            return nil
        }
        return bytes
    }

    /// One of a few words.
    mutating func choice<Value>(
        _ fields: Fields, _ key: String, _ words: [(name: String, value: Value)]
    ) -> Value? {
        guard let node = fields[key], let text = text(node, "\"\(key)\" in \(fields.what)") else {
            return nil
        }
        if let word = words.first(where: { $0.name == text }) { return word.value }
        complain(
            node.place,
            "\"\(key)\" in \(fields.what) is \(quoted(text))"
                + advice(text, words.map(\.name), "expected"))
        return nil
    }

    // MARK: Sentences

    mutating func mismatch(_ node: JSONNode, _ what: String, _ expected: String) {
        complain(node.place, "\(what) is \(node.kindName); expected \(expected)")
    }
}

/// `; did you mean "x"? known: a, b`
func advice(_ word: String, _ names: [String], _ label: String) -> String {
    var sentence = ""
    if let meant = nearest(word, in: names) { sentence = "; did you mean \"\(meant)\"?" }
    let all = names.isEmpty ? "none" : names.joined(separator: ", ")
    return sentence + (sentence.isEmpty ? "; " : " ") + "\(label): \(all)"
}
