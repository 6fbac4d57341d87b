// The tokens of JSON5: names, strings, numbers, and which characters are which (JSON5 sections 3, 5,
// 6 and 8, which lean on ECMAScript 5.1 section 7). The structure is in JSON5.swift.

extension JSON5 {
    static func endsLine(_ scalar: Unicode.Scalar) -> Bool {
        scalar == "\n" || scalar == "\r" || scalar == "\u{2028}" || scalar == "\u{2029}"
    }

    static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case " ", "\t", "\u{B}", "\u{C}", "\u{A0}", "\u{FEFF}": true
        case _ where endsLine(scalar): true
        default: !scalar.isASCII && scalar.properties.generalCategory == .spaceSeparator
        }
    }

    static func startsName(_ scalar: Unicode.Scalar) -> Bool {
        // "\" begins an escape of a name's character.
        scalar == "\\" || isNameStart(scalar)
    }

    static func isNameStart(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "A"..."Z", "$", "_": return true
        case _ where scalar.isASCII: return false
        default:
            switch scalar.properties.generalCategory {
            case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter,
                .otherLetter, .letterNumber:
                return true
            default: return false
            }
        }
    }

    static func isNamePart(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "0"..."9": return true
        case _ where isNameStart(scalar), "\u{200C}", "\u{200D}": return true
        case _ where scalar.isASCII: return false
        default:
            switch scalar.properties.generalCategory {
            case .nonspacingMark, .spacingMark, .decimalNumber, .connectorPunctuation: return true
            default: return false
            }
        }
    }
}

extension JSON5.Reader {
    /// A bare name; the caller has seen that one begins here.
    mutating func name() throws(Diagnostic) -> String {
        var text = String.UnicodeScalarView()
        while let scalar = peek {
            let start = place
            if scalar == "\\" {
                advance()
                guard take("u") else {
                    throw unexpected("a name has no escape but \\uXXXX", at: start)
                }
                let escaped = try self.scalar(try hex(digits: 4, from: start), from: start)
                guard text.isEmpty ? JSON5.isNameStart(escaped) : JSON5.isNamePart(escaped) else {
                    throw unexpected("\(JSON5.shown(escaped)) is no part of a name", at: start)
                }
                text.append(escaped)
            } else if JSON5.isNamePart(scalar) {
                advance()
                text.append(scalar)
            } else {
                break
            }
        }
        return String(text)
    }

    /// A string in either kind of quotes.
    mutating func string() throws(Diagnostic) -> String {
        let start = place
        let quote = peek
        var text = String.UnicodeScalarView()
        advance()
        while let scalar = peek {
            switch scalar {
            case _ where scalar == quote:
                advance()
                return String(text)
            case "\\":
                if let escaped = try escape() { text.append(escaped) }
            case "\n", "\r":  // U+2028 and U+2029 may stand in a string
                throw unexpected(
                    "the string that begins here is not closed before the line ends", at: start)
            default:
                advance()
                text.append(scalar)
            }
        }
        throw unexpected("the string that begins here is not closed", at: start)
    }

    /// What a backslash and its followers mean; nil for a continued line.
    private mutating func escape() throws(Diagnostic) -> Unicode.Scalar? {
        let start = place
        advance()
        guard let scalar = peek else { throw unexpected("the escape is cut short", at: start) }
        advance()
        switch scalar {
        case "b": return "\u{8}"
        case "f": return "\u{C}"
        case "n": return "\n"
        case "r": return "\r"
        case "t": return "\t"
        case "v": return "\u{B}"
        case "0":
            if let digit = peek, ("0"..."9").contains(digit) {
                throw unexpected("octal escapes are not allowed; write \\xHH", at: start)
            }
            return "\0"
        case "1"..."9":
            throw unexpected("\\\(scalar) is no escape; write \\xHH", at: start)
        case "x":
            return try self.scalar(try hex(digits: 2, from: start), from: start)
        case "u":
            let code = try hex(digits: 4, from: start)
            // Two escapes make one scalar where they are the halves of a surrogate pair.
            if code >> 10 == 0x36, peek == "\\", peek(1) == "u" {
                advance()
                advance()
                let second = try hex(digits: 4, from: start)
                if second >> 10 == 0x37 {
                    let whole = 0x10000 + (code & 0x3FF) << 10 + second & 0x3FF
                    return try self.scalar(whole, from: start)
                }
            }
            return try self.scalar(code, from: start)
        case "\r":
            _ = take("\n")
            return nil
        case "\n", "\u{2028}", "\u{2029}":
            return nil
        default:
            return scalar
        }
    }

    private mutating func hex(digits: Int, from start: Place) throws(Diagnostic) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<digits {
            guard let scalar = peek, scalar.isASCII, let digit = Character(scalar).hexDigitValue
            else {
                throw unexpected("expected \(digits) hexadecimal digits in the escape", at: start)
            }
            advance()
            code = code << 4 | UInt32(digit)
        }
        return code
    }

    private func scalar(_ code: UInt32, from start: Place) throws(Diagnostic) -> Unicode.Scalar {
        guard let scalar = Unicode.Scalar(code) else {
            throw unexpected("the escape is half of a surrogate pair", at: start)
        }
        return scalar
    }

    /// A number with its sign: decimal, hexadecimal, Infinity or NaN.
    mutating func number() throws(Diagnostic) -> Double {
        let start = place
        var negative = false
        if peek == "+" || peek == "-" {
            negative = peek == "-"
            advance()
        }
        let magnitude: Double
        switch peek {
        case "I", "N":
            switch try name() {
            case "Infinity": magnitude = .infinity
            case "NaN": magnitude = .nan
            default: throw unexpected("expected a number after the sign", at: start)
            }
        case "0" where peek(1) == "x" || peek(1) == "X":
            advance()
            advance()
            magnitude = try hexadecimal(start)
        default:
            magnitude = try decimal(start)
        }
        if let next = peek, JSON5.isNamePart(next) || next == "." || next == "\\" {
            throw unexpected(
                "\(JSON5.shown(next)) does not belong to a number; a value with a unit stands in "
                    + "quotes")
        }
        return negative ? -magnitude : magnitude
    }

    private mutating func hexadecimal(_ start: Place) throws(Diagnostic) -> Double {
        var digits = "0x"
        while let scalar = peek, scalar.isASCII, Character(scalar).isHexDigit {
            digits.unicodeScalars.append(scalar)
            advance()
        }
        guard digits.utf8.count > 2 else {
            throw unexpected("expected hexadecimal digits after 0x", at: start)
        }
        return Double(digits) ?? .infinity
    }

    private mutating func decimal(_ start: Place) throws(Diagnostic) -> Double {
        var text = ""
        let whole = digits(into: &text)
        if whole > 1, text.hasPrefix("0") {
            throw unexpected("a number does not begin with a zero", at: start)
        }
        var fraction = 0
        if peek == "." {
            advance()
            if whole == 0 { text += "0" }
            text += "."
            fraction = digits(into: &text)
            if fraction == 0 { text += "0" }
        }
        guard whole + fraction > 0 else {
            throw unexpected("expected a number, found \(found)")
        }
        if peek == "e" || peek == "E" {
            advance()
            text += "e"
            if let sign = peek, sign == "+" || sign == "-" {
                text.unicodeScalars.append(sign)
                advance()
            }
            guard digits(into: &text) > 0 else {
                throw unexpected("expected the digits of an exponent, found \(found)")
            }
        }
        // As ECMAScript rounds: too large is infinity, too small is zero.
        return Double(text) ?? .infinity
    }

    private mutating func digits(into text: inout String) -> Int {
        var count = 0
        while let scalar = peek, ("0"..."9").contains(scalar) {
            text.unicodeScalars.append(scalar)
            advance()
            count += 1
        }
        return count
    }
}
