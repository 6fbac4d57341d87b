// What is read as text: JSON5, JSON, whole configurations, addresses. What comes out, written again and
// read again, is the same.

import Base
import Config

func readJSON5(_ bytes: [UInt8]) throws(Finding) {
    let node: JSONNode
    do throws(Diagnostic) { node = try JSON5.parse(bytes, file: "f") } catch {
        try expect(!error.description.isEmpty, "refused without a sentence")
        if let place = error.place {
            try expect(place.line >= 1 && place.column >= 1, "a place that is none")
            // A line more than line ends: the place behind the last.
            let ends = bytes.count + 1
            try expect(place.line <= ends, "line \(place.line) of \(ends) at most")
        }
        return
    }
    // What plugins are handed is strict JSON, and means the same.
    let text = node.encoded()
    let again: JSONNode
    do throws(Diagnostic) { again = try JSON5.parse(Array(text.utf8), file: "f") } catch {
        throw Finding("writes what it does not read: \(text)")
    }
    try expect(again.encoded() == text, "reads another thing than it wrote: \(text)")
    let depth = 64
    if bytes.count < depth {
        let found = JSON.find([UInt8]().span, in: Array(text.utf8).span)
        if case .missing = found { throw Finding("writes what is no JSON: \(text)") }
    }
}

/// A pointer up to the first line feed, the document behind it.
func findJSON(_ bytes: [UInt8]) throws(Finding) {
    let end = bytes.firstIndex(of: 0x0A) ?? 0
    let pointer = Array(bytes[..<end])
    let document = Array(bytes[end...])
    switch JSON.find(pointer.span, in: document.span) {
    case .missing, .null, .bool, .number: break
    case .string(let text):
        try expect(
            Array(String(decoding: text, as: UTF8.self).utf8) == text, "a string that is no UTF-8")
    case .compound(let range):
        try expect(Int(range.end) <= document.count, "a part outside of the document")
        let part = Array(document[range.indices])
        guard case .compound(let all) = JSON.find([UInt8]().span, in: part.span),
            Int(all.length) == part.count
        else { throw Finding("a part that is no JSON by itself: \(shown(part))") }
    }
    // What JSON takes, JSON5 takes, as far as it nests.
    if case .missing = JSON.find([UInt8]().span, in: document.span) { return }
    let hasMark = document.starts(with: [0xEF, 0xBB, 0xBF])
    guard !hasMark, document.count < 256 else { return }
    do throws(Diagnostic) { _ = try JSON5.parse(document, file: "f") } catch {
        // Stricter by choice: no member twice in a configuration.
        try expect(error.description.contains("twice"), "JSON, but no JSON5: \(error)")
    }
}

func readConfiguration(_ bytes: [UInt8]) throws(Finding) {
    let reading = ConfigurationParser.read(bytes, file: "f")
    try expect(
        reading.configuration != nil || !reading.diagnostics.isEmpty, "refused without a sentence")
    var before: Place?
    for diagnostic in reading.diagnostics {
        try expect(!diagnostic.description.contains("\n"), "a sentence of two lines")
        if let place = diagnostic.place {
            if let before {
                try expect(
                    (before.line, before.column) <= (place.line, place.column), "out of order")
            }
            before = place
        }
    }
    guard let configuration = reading.configuration else { return }
    try expect(!configuration.listeners.isEmpty, "a configuration that serves nothing")
}

func readAddresses(_ bytes: [UInt8]) throws(Finding) {
    let text = String(decoding: bytes, as: UTF8.self)
    if let address = IPAddress(bytes.span) {
        try expect(IPAddress("\(address)") == address, "another address: \(address)")
        let out = written(capacity: 64) {
            address.write(to: &$0)
            return true
        }
        try expect(out == Array("\(address)".utf8), "written in two ways: \(address)")
        try expect(
            AddressRange(text)?.contains(address) == true, "\(address) is not in its own range")
    }
    if let place = HostPort(text) {
        try expect(HostPort("\(place)") == place, "another place: \(place)")
    }
    if let range = AddressRange(text) {
        try expect(AddressRange("\(range)") == range, "another range: \(range)")
        try expect(range.contains(range.base), "\(range) does not contain its first address")
    }
}
