// The structure of a configuration file: what is understood, where a mistake is shown, and that no
// text at all brings the parser down.

import Testing

@testable import Base

private func parse(_ text: String) throws(Diagnostic) -> JSONNode {
    try JSON5.parse(Array(text.utf8), file: "t.json5")
}

private func complaint(_ bytes: [UInt8]) -> String {
    do throws(Diagnostic) {
        let node = try JSON5.parse(bytes, file: "t")
        return "read: \(node.encoded())"
    } catch {
        return error.description
    }
}

private func complaint(_ text: String) -> String { complaint(Array(text.utf8)) }

@Suite struct JSON5Tests {
    /// The "kitchen sink" of https://json5.org.
    static let kitchenSink = #"""
        {
          // comments
          unquoted: 'and you can quote me on that',
          singleQuotes: 'I can use "double quotes" here',
          lineBreaks: "Look, Mom! \
        No \\n's!",
          hexadecimal: 0xdecaf,
          leadingDecimalPoint: .8675309, andTrailing: 8675309.,
          positiveSign: +1, /* in
          between */
          trailingComma: 'in objects', andIn: ['arrays',],
          "backwardsCompatible": "with JSON",
        }
        """#

    @Test func `everything that JSON5 allows is read`() throws {
        #expect(
            try parse(Self.kitchenSink).encoded()
                == #"{"unquoted":"and you can quote me on that","#
                + #""singleQuotes":"I can use \"double quotes\" here","lineBreaks":"Look, Mom! No \\n's!","#
                + #""hexadecimal":912559,"leadingDecimalPoint":0.8675309,"andTrailing":8675309,"#
                + #""positiveSign":1,"trailingComma":"in objects","andIn":["arrays"],"#
                + #""backwardsCompatible":"with JSON"}"#)
    }

    @Test(arguments: [
        ("null", "null"), ("true", "true"), ("false", "false"), ("'a'", #""a""#), ("[]", "[]"),
        ("{}", "{}"),
        ("[1,]", "[1]"), ("{a:1,}", #"{"a":1}"#), ("-0x10", "-16"), ("+.5e1", "5"),
        ("5.e-1", "0.5"),
        ("Infinity", "null"), ("-Infinity", "null"), ("+NaN", "null"), ("1e3", "1000"), ("0", "0"),
        ("-1.5", "-1.5"),
        ("1e999", "null"), ("1e-999", "0"), ("123456789012", "123456789012"), ("1e300", "1e+300"),
        (
            #"{$_a1: 1, ünïcödé: 2, \u0061b: 3, null: 4, Infinity: 5, "a b": 6, '': 7}"#,
            #"{"$_a1":1,"ünïcödé":2,"ab":3,"null":4,"Infinity":5,"a b":6,"":7}"#
        ),
        (#"'\b\f\n\r\t\v\0\x41\u0042\'\"\\\q\/'"#, #""\u0008\u000c\n\r\t\u000b\u0000AB'\"\\q/""#),
        (#"'\ud83d\ude00'"#, #""😀""#), ("'a\\\r\nb\\\rc\\\nd\\\u{2028}e'", #""abcde""#),
        ("'\u{2028}\u{2029}'", "\"\u{2028}\u{2029}\""), ("\u{FEFF}1", "1"),
        ("\t\u{B}\u{C}\u{A0}\u{FEFF}\u{2003}\u{2028}\u{2029} 1 // end", "1"), ("/**/1/***/", "1"),
    ])
    func `each value means what it should`(text: String, strict: String) throws {
        #expect(try parse(text).encoded() == strict)
    }

    @Test func `the value of infinity and NaN is kept in the tree`() throws {
        #expect(try parse("-Infinity").kind == .number(-.infinity))
        guard case .number(let value) = try parse("NaN").kind else {
            Issue.record("not a number at all")
            return
        }
        #expect(value.isNaN)
    }

    @Test(arguments: [
        ("", "t:1:1: expected a value, found nothing but space and comments"),
        ("  // x\n", "t:2:1: expected a value, found nothing but space and comments"),
        ("{", "t:1:2: the object opened at 1:1 is not closed: expected \"}\""),
        ("{a:1", "t:1:5: the object opened at 1:1 is not closed: expected \"}\""),
        ("[1,", "t:1:4: the list opened at 1:1 is not closed: expected \"]\""),
        ("{a:1 b:2}", "t:1:6: expected \",\" or \"}\" in the object opened at 1:1, found \"b\""),
        ("[1 2]", "t:1:4: expected \",\" or \"]\" in the list opened at 1:1, found \"2\""),
        ("[,]", "t:1:2: expected a value, found \",\""),
        ("{,}", "t:1:2: expected a key or \"}\", found \",\""),
        ("{a}", "t:1:3: expected \":\" after the key \"a\", found \"}\""),
        ("{a:}", "t:1:4: expected a value, found \"}\""),
        (
            "{a:round-robin}",
            "t:1:4: expected a value, found the bare word round; text stands in quotes"
        ),
        (
            "{a:3s}",
            "t:1:5: \"s\" does not belong to a number; a value with a unit stands in quotes"
        ),
        (
            "{a:10.0.0.1}",
            "t:1:8: \".\" does not belong to a number; a value with a unit stands in quotes"
        ),
        ("1 2", "t:1:3: unexpected \"2\" after the end of the document"),
        ("012", "t:1:1: a number does not begin with a zero"),
        ("-", "t:1:2: expected a number, found the end of the file"),
        (".", "t:1:2: expected a number, found the end of the file"),
        ("1e", "t:1:3: expected the digits of an exponent, found the end of the file"),
        ("0x", "t:1:1: expected hexadecimal digits after 0x"),
        ("-Inf", "t:1:1: expected a number after the sign"),
        ("'a", "t:1:1: the string that begins here is not closed"),
        ("'a\nb'", "t:1:1: the string that begins here is not closed before the line ends"),
        ("['\\u12']", "t:1:3: expected 4 hexadecimal digits in the escape"),
        ("'\\x4'", "t:1:2: expected 2 hexadecimal digits in the escape"),
        ("'\\ud800'", "t:1:2: the escape is half of a surrogate pair"),
        ("'\\ud800\\u0041'", "t:1:2: the escape is half of a surrogate pair"),
        ("'\\1'", "t:1:2: \\1 is no escape; write \\xHH"),
        ("'\\01'", "t:1:2: octal escapes are not allowed; write \\xHH"),
        ("'\\", "t:1:2: the escape is cut short"),
        ("{\\x61:1}", "t:1:2: a name has no escape but \\uXXXX"),
        ("{\\u0020:1}", "t:1:2: U+20 is no part of a name"),
        ("1 /* x", "t:1:3: the comment that begins here is not closed"),
        ("1 /", "t:1:3: unexpected \"/\" after the end of the document"),
        ("@", "t:1:1: expected a value, found \"@\""),
        ("\u{0}", "t:1:1: expected a value, found U+0"),
        ("{a:1,\n  a:2}", "t:2:3: the key \"a\" is there twice; the first one is at 1:2"),
        ("{a:1,'\\u0061':2}", "t:1:6: the key \"a\" is there twice; the first one is at 1:2"),
    ])
    func `a mistake gets one sentence and its place`(text: String, sentence: String) {
        #expect(complaint(text) == sentence)
    }

    @Test(arguments: [
        ("\t\t@", 1, 3), ("\r\n\r\n @", 3, 2), ("\r\r@", 3, 1), ("\n\r@", 3, 1), ("\r\n@", 2, 1),
        ("/* ä😀 */ @", 1, 10), ("[\"e\u{301}😀\", @]", 1, 9), ("\u{FEFF}@", 1, 1),
        ("/*\u{2028}*/@", 1, 6),
        ("[\"a\\\r\nb\", @]", 2, 5),
    ])
    func `places are exact after tabs, line ends and wide characters`(
        text: String, line: Int, column: Int
    ) {
        do throws(Diagnostic) {
            _ = try parse(text)
            Issue.record("was read")
        } catch {
            #expect(error.place == Place(line: line, column: column))
        }
    }

    @Test func `every value and key keeps its place`() throws {
        let tree = try parse("{\r\n\ta: [1,\t'é', {b:\n  true}],\n  'c' : null }")
        #expect(tree.place == Place(line: 1, column: 1))
        guard case .object(let members) = tree.kind, case .array(let list)? = tree["a"]?.kind else {
            Issue.record("not the tree that was written")
            return
        }
        #expect(members.map(\.keyPlace) == [Place(line: 2, column: 2), Place(line: 4, column: 3)])
        #expect(tree["a"]?.place == Place(line: 2, column: 5))
        #expect(
            list.map(\.place) == [
                Place(line: 2, column: 6), Place(line: 2, column: 9), Place(line: 2, column: 14),
            ])
        #expect(list[2]["b"]?.place == Place(line: 3, column: 3))
        #expect(tree["c"]?.place == Place(line: 4, column: 9))
    }

    @Test func `text that is not UTF-8 is shown to the byte`() {
        #expect(
            complaint(Array("{\n é: '".utf8) + [0xC3, 0x28])
                == "t:2:6: the text is not UTF-8: byte 0xc3 does not belong here")
        #expect(complaint([0xFF]) == "t:1:1: the text is not UTF-8: byte 0xff does not belong here")
        #expect(
            complaint([0xEF, 0xBB, 0xBF, 0x20, 0x80])
                == "t:1:2: the text is not UTF-8: byte 0x80 does not belong here")
        #expect(
            complaint([0xEF, 0xBB])
                == "t:1:1: the text is not UTF-8: byte 0xef does not belong here")
    }

    @Test func `depth is bounded`() {
        let most = String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
        #expect(complaint(most) == "read: \(most)")
        #expect(complaint("[\(most)]") == "t:1:65: more than 64 objects and lists in each other")
        #expect(
            complaint(String(repeating: "{a:", count: 200_000))
                == "t:1:193: more than 64 objects and lists in each other")
    }

    @Test func `mutated documents never crash, and mistakes lie inside the text`() {
        var random = SplitMix64(seed: 5)
        let seed = Array(Self.kitchenSink.utf8)
        let spice = Array("{}[]\"',:\\u0x123eE+-./*\n\r\tINa$ \u{0}é😀\u{2028}".utf8) + [0xFF, 0xC3]
        var failed = 0
        for _ in 0..<4000 {
            var bytes = seed
            for _ in 0...Int(random.next() % 4) where !bytes.isEmpty {
                let at = Int(random.next() % UInt64(bytes.count))
                switch random.next() % 4 {
                case 0: bytes[at] = spice[Int(random.next() % UInt64(spice.count))]
                case 1: bytes.remove(at: at)
                case 2: bytes.insert(spice[Int(random.next() % UInt64(spice.count))], at: at)
                default: bytes.removeSubrange(at..<min(bytes.count, at + Int(random.next() % 60)))
                }
            }
            do throws(Diagnostic) {
                let node = try JSON5.parse(bytes, file: "t")
                // What was read is written as strict JSON that reads back the same.
                #expect(
                    try JSON5.parse(Array(node.encoded().utf8), file: "t").encoded()
                        == node.encoded())
                #expect(JSON.find([UInt8]().span, in: Array(node.encoded().utf8).span) != .missing)
            } catch {
                failed += 1
                let lines = 1 + bytes.count { $0 == 0x0A || $0 == 0x0D }
                #expect((1...lines).contains(error.place?.line ?? 0))
                #expect(!error.sentence.isEmpty)
            }
        }
        #expect(failed > 1000)
    }
}
