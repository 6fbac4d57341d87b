// JSON5 (https://spec.json5.org) in full, for texts that a person writes: every value keeps its
// place, and what is wrong is said in a sentence. Not for what comes off the wire: see JSON.swift.
// The characters of a token (names, strings, numbers) are read in JSON5+Tokens.swift.

package enum JSON5 {
    /// Containers within containers: each takes a frame of the stack.
    package static let depthLimit = 64

    /// The tree of a text in UTF-8. A byte order mark at the start is passed over. Beyond the
    /// standard, a key given twice is an error. `file` names the text in the diagnostic.
    package static func parse(_ text: [UInt8], file: String) throws(Diagnostic) -> JSONNode {
        var reader = Reader(scalars: try scalars(of: text, file: file), file: file)
        try reader.skipSpace()
        guard reader.peek != nil else {
            throw reader.unexpected("expected a value, found nothing but space and comments")
        }
        let node = try reader.value(depth: 0)
        try reader.skipSpace()
        if let scalar = reader.peek {
            throw reader.unexpected("unexpected \(shown(scalar)) after the end of the document")
        }
        return node
    }

    private static func scalars(
        of text: [UInt8], file: String
    ) throws(Diagnostic) -> [Unicode.Scalar] {
        if let valid = String(validating: text, as: UTF8.self) {
            var scalars = Array(valid.unicodeScalars)
            if scalars.first == "\u{FEFF}" { scalars.removeFirst() }
            return scalars
        }
        // Find the first byte that is wrong: everything before it decodes.
        var iterator = text.makeIterator()
        var decoder = Unicode.UTF8()
        var reader = Reader(scalars: [], file: file)
        var offset = 0
        decoding: while true {
            switch decoder.decode(&iterator) {
            case .scalarValue(let scalar):
                if offset > 0 || scalar != "\u{FEFF}" { reader.scalars.append(scalar) }
                offset += UTF8.width(scalar)
            case .emptyInput, .error:
                break decoding
            }
        }
        while reader.peek != nil { reader.advance() }
        let byte = String(text[offset], radix: 16)
        throw reader.unexpected("the text is not UTF-8: byte 0x\(byte) does not belong here")
    }

    /// `"x"`, or the code of what cannot be seen.
    static func shown(_ scalar: Unicode.Scalar) -> String {
        let code = "U+" + String(scalar.value, radix: 16, uppercase: true)
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator,
            .paragraphSeparator, .spaceSeparator, .nonspacingMark:
            return code
        default:
            return scalar == "\"" ? "'\"'" : "\"\(scalar)\""
        }
    }

    /// Stands on one scalar of the text and knows where that is.
    struct Reader {
        var scalars: [Unicode.Scalar]
        let file: String
        private(set) var at = 0
        private(set) var place = Place(line: 1, column: 1)

        init(scalars: [Unicode.Scalar], file: String) {
            self.scalars = scalars
            self.file = file
        }

        var peek: Unicode.Scalar? { at < scalars.count ? scalars[at] : nil }

        func peek(_ ahead: Int) -> Unicode.Scalar? {
            at + ahead < scalars.count ? scalars[at + ahead] : nil
        }

        /// One scalar on. A line ends at LF, at CR LF, or at a CR alone.
        mutating func advance() {
            let scalar = scalars[at]
            at += 1
            if scalar == "\n" || (scalar == "\r" && peek != "\n") {
                place = Place(line: place.line + 1, column: 1)
            } else {
                place.column += 1
            }
        }

        mutating func take(_ scalar: Unicode.Scalar) -> Bool {
            guard peek == scalar else { return false }
            advance()
            return true
        }

        func unexpected(_ sentence: String, at place: Place? = nil) -> Diagnostic {
            Diagnostic(file: file, place: place ?? self.place, sentence: sentence)
        }

        /// What stands here, for a sentence.
        var found: String {
            guard let scalar = peek else { return "the end of the file" }
            return JSON5.shown(scalar)
        }

        mutating func value(depth: Int) throws(Diagnostic) -> JSONNode {
            let start = place
            switch peek {
            case "{":
                return JSONNode(.object(try object(depth: depth + 1)), at: start)
            case "[":
                return JSONNode(.array(try array(depth: depth + 1)), at: start)
            case "\"", "'":
                return JSONNode(.string(try string()), at: start)
            case "+", "-", ".":
                return JSONNode(.number(try number()), at: start)
            case let digit? where ("0"..."9").contains(digit):
                return JSONNode(.number(try number()), at: start)
            case let scalar? where JSON5.startsName(scalar):
                switch try name() {
                case "true": return JSONNode(.bool(true), at: start)
                case "false": return JSONNode(.bool(false), at: start)
                case "null": return JSONNode(.null, at: start)
                case "Infinity": return JSONNode(.number(.infinity), at: start)
                case "NaN": return JSONNode(.number(.nan), at: start)
                case let word:
                    throw unexpected(
                        "expected a value, found the bare word \(word); text stands in quotes",
                        at: start)
                }
            default:
                throw unexpected("expected a value, found \(found)")
            }
        }

        private mutating func object(depth: Int) throws(Diagnostic) -> [JSONNode.Member] {
            let start = place
            try checkDepth(depth)
            var members: [JSONNode.Member] = []
            var places: [String: Place] = [:]
            advance()
            while true {
                try skipSpace()
                if take("}") { return members }
                let keyPlace = place
                let key = try self.key(openedAt: start)
                if let first = places.updateValue(keyPlace, forKey: key) {
                    throw unexpected(
                        "the key \(quoted(key)) is there twice; the first one is at "
                            + "\(first.line):\(first.column)",
                        at: keyPlace)
                }
                try skipSpace()
                guard take(":") else {
                    throw unexpected("expected \":\" after the key \(quoted(key)), found \(found)")
                }
                try skipSpace()
                let value = try self.value(depth: depth)
                members.append(.init(key: key, keyPlace: keyPlace, value: value))
                try skipSpace()
                if take("}") { return members }
                guard take(",") else { throw unclosed("object", "}", start) }
            }
        }

        private mutating func key(openedAt start: Place) throws(Diagnostic) -> String {
            switch peek {
            case "\"", "'": return try string()
            case let scalar? where JSON5.startsName(scalar): return try name()
            case nil: throw unclosed("object", "}", start)
            default: throw unexpected("expected a key or \"}\", found \(found)")
            }
        }

        private mutating func array(depth: Int) throws(Diagnostic) -> [JSONNode] {
            let start = place
            try checkDepth(depth)
            var elements: [JSONNode] = []
            advance()
            while true {
                try skipSpace()
                if take("]") { return elements }
                if peek == nil { throw unclosed("list", "]", start) }
                elements.append(try value(depth: depth))
                try skipSpace()
                if take("]") { return elements }
                guard take(",") else { throw unclosed("list", "]", start) }
            }
        }

        private func checkDepth(_ depth: Int) throws(Diagnostic) {
            guard depth <= JSON5.depthLimit else {
                throw unexpected("more than \(JSON5.depthLimit) objects and lists in each other")
            }
        }

        private func unclosed(_ what: String, _ end: String, _ start: Place) -> Diagnostic {
            let opened = "the \(what) opened at \(start.line):\(start.column)"
            guard peek != nil else {
                return unexpected("\(opened) is not closed: expected \"\(end)\"")
            }
            return unexpected("expected \",\" or \"\(end)\" in \(opened), found \(found)")
        }

        /// Passes over white space and comments.
        mutating func skipSpace() throws(Diagnostic) {
            while let scalar = peek {
                if JSON5.isSpace(scalar) {
                    advance()
                } else if scalar == "/", peek(1) == "/" {
                    while let next = peek, !JSON5.endsLine(next) { advance() }
                } else if scalar == "/", peek(1) == "*" {
                    let start = place
                    advance()
                    advance()
                    while !(peek == "*" && peek(1) == "/") {
                        guard peek != nil else {
                            throw unexpected(
                                "the comment that begins here is not closed", at: start)
                        }
                        advance()
                    }
                    advance()
                    advance()
                } else {
                    return
                }
            }
        }
    }
}

/// In quotes, cut where it would flood the terminal, and with nothing in it that could paint one.
package func quoted(_ text: String) -> String {
    var shown = ""
    for scalar in text.unicodeScalars.prefix(80) {
        switch scalar.properties.generalCategory {
        case .control, .lineSeparator, .paragraphSeparator, .format:
            shown += "\\u{" + String(scalar.value, radix: 16) + "}"
        default: shown.unicodeScalars.append(scalar)
        }
    }
    return "\"" + shown + (text.unicodeScalars.count > 80 ? "..." : "") + "\""
}
