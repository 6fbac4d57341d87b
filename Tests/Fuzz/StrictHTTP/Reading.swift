// A second opinion on HTTP/1.1 messages, written from RFC 9112 and RFC 9110 alone: what both it and
// Trivet's own parser take must mean the same to both. It is plain, copies everything, wants the whole
// message at once and takes nothing that the grammar does not have. It shares no line with Sources/HTTP
// and is to stay so: whoever changes it looks into the RFC, not over there.

/// Why a message is none, in a few words; for people, nobody branches on it.
package struct Refusal: Error, Equatable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

/// A header or trailer line: the name as it was written, the value without the white space around it.
package struct StrictField: Equatable {
    package let name: [UInt8]
    package let value: [UInt8]

    /// Whether it is called so; `name` in lower case.
    package func isNamed(_ name: String) -> Bool { lowercased(self.name) == Array(name.utf8) }
}

/// How the end of a body was found (RFC 9112, 6.3).
package enum StrictFraming: Equatable {
    case none
    case length(Int)
    case chunked
    case untilClose
}

package func lowercased(_ bytes: [UInt8]) -> [UInt8] {
    bytes.map { (0x41...0x5A).contains($0) ? $0 + 0x20 : $0 }
}

/// The bytes of a message and how far they have been read.
struct Reading {
    let bytes: [UInt8]
    var at = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var rest: Int { bytes.count - at }

    /// What comes before the next CRLF, which is passed. A CR or LF that stands alone is refused
    /// (RFC 9112, 2.2: a recipient may treat it as a line end; the strict one does not).
    mutating func line() throws(Refusal) -> [UInt8] {
        var end = at
        while end < bytes.count {
            if bytes[end] == 0x0A { throw Refusal("a line feed alone") }
            if bytes[end] == 0x0D {
                guard end + 1 < bytes.count else { throw Refusal("the end within a line") }
                guard bytes[end + 1] == 0x0A else { throw Refusal("a carriage return alone") }
                let line = Array(bytes[at..<end])
                at = end + 2
                return line
            }
            end += 1
        }
        throw Refusal("the end within a line")
    }

    mutating func take(_ count: Int) throws(Refusal) -> [UInt8] {
        guard count <= rest else { throw Refusal("the end within a body") }
        defer { at += count }
        return Array(bytes[at..<at + count])
    }

    /// Field lines up to and with the empty line (RFC 9112, 5).
    mutating func fields() throws(Refusal) -> [StrictField] {
        var fields: [StrictField] = []
        while true {
            let line = try self.line()
            if line.isEmpty { return fields }
            guard let colon = line.firstIndex(of: 0x3A) else {
                throw Refusal("a field without colon")
            }
            let name = Array(line[..<colon])
            // White space before the colon or at the start of the line (obs-fold) is no token either.
            guard isToken(name) else { throw Refusal("a field name that is no token") }
            let value = trimmed(Array(line[(colon + 1)...]))
            guard value.allSatisfy(isFieldByte) else { throw Refusal("a control in a field value") }
            fields.append(StrictField(name: name, value: value))
        }
    }

    /// A chunked body with its trailer section (RFC 9112, 7.1).
    mutating func chunked() throws(Refusal) -> (body: [UInt8], trailers: [StrictField]) {
        var body: [UInt8] = []
        while true {
            let line = try self.line()
            let digits = line.prefix { hexadecimal($0) != nil }
            guard !digits.isEmpty else { throw Refusal("a chunk without size") }
            var size = 0
            for digit in digits {
                let (scaled, over) = size.multipliedReportingOverflow(by: 16)
                let (sum, overSum) = scaled.addingReportingOverflow(hexadecimal(digit)!)
                guard !over, !overSum else { throw Refusal("a chunk size beyond 2^63-1") }
                size = sum
            }
            try checkExtensions(Array(line.dropFirst(digits.count)))
            if size == 0 { return (body, try fields()) }
            body += try take(size)
            guard try take(2) == [0x0D, 0x0A] else { throw Refusal("a chunk without its line end") }
        }
    }
}

/// chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
private func checkExtensions(_ text: [UInt8]) throws(Refusal) {
    var at = 0
    func passBlanks() { while at < text.count, text[at] == 0x20 || text[at] == 0x09 { at += 1 } }
    func passToken() -> Bool {
        let start = at
        while at < text.count, isTokenByte(text[at]) { at += 1 }
        return at > start
    }
    func passQuoted() -> Bool {
        at += 1
        while at < text.count {
            if text[at] == 0x22 {
                at += 1
                return true
            }
            if text[at] == 0x5C { at += 1 }
            guard at < text.count, isFieldByte(text[at]) else { return false }
            at += 1
        }
        return false
    }
    while at < text.count {
        passBlanks()
        guard at < text.count, text[at] == 0x3B else { throw Refusal("what is no chunk extension") }
        at += 1
        passBlanks()
        guard passToken() else { throw Refusal("a chunk extension without name") }
        let behindName = at
        passBlanks()
        guard at < text.count, text[at] == 0x3D else {
            at = behindName
            continue
        }
        at += 1
        passBlanks()
        let quoted = at < text.count && text[at] == 0x22
        guard quoted ? passQuoted() : passToken() else {
            throw Refusal("a chunk extension without value")
        }
    }
}

func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
    default: Array("!#$%&'*+-.^_`|~".utf8).contains(byte)
    }
}

func isToken(_ bytes: [UInt8]) -> Bool { !bytes.isEmpty && bytes.allSatisfy(isTokenByte) }

/// VCHAR, obs-text, SP and HTAB: what a value or a quoted string may hold.
func isFieldByte(_ byte: UInt8) -> Bool { byte == 0x09 || (byte >= 0x20 && byte != 0x7F) }

func hexadecimal(_ byte: UInt8) -> Int? {
    switch byte {
    case 0x30...0x39: Int(byte) - 0x30
    case 0x41...0x46: Int(byte) - 0x41 + 10
    case 0x61...0x66: Int(byte) - 0x61 + 10
    default: nil
    }
}

/// Without the optional white space at both ends.
func trimmed(_ bytes: [UInt8]) -> [UInt8] {
    let isBlank = { (byte: UInt8) in byte == 0x20 || byte == 0x09 }
    let front = bytes.drop(while: isBlank)
    var end = front.endIndex
    while end > front.startIndex, isBlank(front[end - 1]) { end -= 1 }
    return Array(front[..<end])
}

/// A chunked body alone, and how many of the bytes it has.
package struct StrictChunks: Equatable {
    package let body: [UInt8]
    package let trailers: [StrictField]
    package let length: Int

    package init(_ bytes: [UInt8]) throws(Refusal) {
        var reading = Reading(bytes)
        (body, trailers) = try reading.chunked()
        length = reading.at
    }
}
