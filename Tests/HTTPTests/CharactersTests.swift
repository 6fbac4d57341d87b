// Tests of which bytes may stand where in a head.

import Testing

@testable import HTTP

@Suite("Characters")
struct CharactersTests {
    @Test("every byte is in the class that the grammar puts it in, or a name could hide a colon")
    func classes() {
        let letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        let token = Set(latin(letters + "!#$%&'*+-.^_`|~"))
        let name = Set(latin(letters + "-._~!$&'()*+,;="))
        for byte in UInt8.min...UInt8.max {
            #expect(isTokenCharacter(byte) == token.contains(byte), "\(byte)")
            #expect(isNameCharacter(byte) == name.contains(byte), "\(byte)")
            #expect(isDigit(byte) == (byte >= 48 && byte <= 57), "\(byte)")
            let value = Character(Unicode.Scalar(byte)).hexDigitValue
            #expect(hexValue(byte) == UInt8(byte < 128 ? value ?? 255 : 255), "\(byte)")
            let lower = byte >= 65 && byte <= 90 ? byte + 32 : byte
            #expect(lowercased(byte) == lower, "\(byte)")
        }
    }

    @Test("a control character is found wherever it stands in a value of whatever length")
    func endOfValues() {
        for length in 0...40 {
            for byte in UInt8.min...UInt8.max {
                let stops = (byte < 32 && byte != 9) || byte == 127
                for place in 0..<length {
                    var bytes = [UInt8](repeating: 0xE9, count: length)
                    // A tab before it must not hide it, a stop after it must not be preferred.
                    if place > 0 { bytes[place - 1] = 9 }
                    if place + 1 < length { bytes[place + 1] = 9 }
                    bytes[place] = byte
                    let expected = stops ? place : length
                    if endOfValue(bytes.span, 0) != expected {
                        Issue.record("byte \(byte) at \(place) of \(length)")
                    }
                }
            }
        }
        #expect(endOfValue(latin("\rabc\r").span, 1) == 4)
    }

    @Test("numbers are digits only and fit in 63 bits, so that no two readers see two lengths")
    func decimals() {
        let good: [(String, UInt64)] = [
            ("0", 0), ("7", 7), ("0010", 10), ("9223372036854775807", UInt64(Int64.max)),
            ("00000000000000000000000001", 1),
        ]
        for (digits, value) in good {
            #expect(decimal(latin(digits).span, 0, digits.count) == value)
        }
        let bad = [
            "", "+1", "-1", "0x10", "1 ", " 1", "1,1", "1.0", "1e3", "\u{B2}",
            "9223372036854775808", "18446744073709551616", "99999999999999999999999",
        ]
        for digits in bad {
            let bytes = latin(digits)
            #expect(decimal(bytes.span, 0, bytes.count) == nil, "\(digits)")
        }
    }

    @Test("words are compared without case, and only letters lose it")
    func words() {
        func isChunked(_ word: String) -> Bool {
            isWord(latin(word).span, 0, word.unicodeScalars.count, "chunked")
        }
        #expect(isChunked("chunked"))
        #expect(isChunked("ChUnKeD"))
        #expect(!isChunked("chunke"))
        #expect(!isChunked("chunkedx"))
        #expect(!isChunked("chun\u{4B}ed\u{0}"))
        func areSame(count: Int) -> Bool {
            isSameToken(latin("a^b~A^B^").span, 0, 4, count: count)
        }
        #expect(areSame(count: 3))
        #expect(!areSame(count: 4))
    }
}
