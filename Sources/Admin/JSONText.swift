// Writes JSON (RFC 8259) member by member, without a tree in between. Compact; what is written first
// comes first.

import Base

struct JSONText {
    private(set) var text = ""
    private var needsComma = false

    mutating func object(_ body: (inout JSONText) -> Void) { nest("{", "}", body) }

    mutating func array(_ body: (inout JSONText) -> Void) { nest("[", "]", body) }

    private mutating func nest(
        _ opening: String, _ closing: String, _ body: (inout JSONText) -> Void
    ) {
        separate()
        text += opening
        needsComma = false
        body(&self)
        text += closing
        needsComma = true
    }

    /// The name of a member; its value follows.
    mutating func key(_ name: String) {
        separate()
        JSON.quote(name, into: &text)
        text += ":"
        needsComma = false
    }

    mutating func value(_ string: String?) {
        guard let string else { return raw("null") }
        separate()
        JSON.quote(string, into: &text)
        needsComma = true
    }

    mutating func value(_ number: UInt64) { raw("\(number)") }

    /// Null where it is no number.
    mutating func value(_ number: Double?) { raw(number.map(JSON.text) ?? "null") }

    mutating func value(_ flag: Bool) { raw(flag ? "true" : "false") }

    /// What is JSON already.
    mutating func raw(_ json: String) {
        separate()
        text += json
        needsComma = true
    }

    private mutating func separate() {
        if needsComma { text += "," }
    }

    // Members in one line.

    mutating func member(_ name: String, _ string: String?) {
        key(name)
        value(string)
    }

    mutating func member(_ name: String, _ number: UInt64) {
        key(name)
        value(number)
    }

    mutating func member(_ name: String, _ number: Double?) {
        key(name)
        value(number)
    }

    mutating func member(_ name: String, _ flag: Bool) {
        key(name)
        value(flag)
    }

    mutating func member(_ name: String, object body: (inout JSONText) -> Void) {
        key(name)
        object(body)
    }

    mutating func member<Element>(
        _ name: String, array elements: [Element], _ body: (inout JSONText, Element) -> Void
    ) {
        key(name)
        array { list in for element in elements { body(&list, element) } }
    }
}

/// Seconds of nanoseconds.
func seconds(_ nanoseconds: UInt64) -> Double { Double(nanoseconds) / 1e9 }
