// Look-ups in what a node answered: right for what is JSON, `missing` for everything else, whatever
// a hostile node sends.

import Testing

@testable import Base

private func find(_ pointer: String, _ document: String) -> JSONValue {
    JSON.find(Array(pointer.utf8).span, in: Array(document.utf8).span)
}

private func find(_ pointer: String, bytes: [UInt8]) -> JSONValue {
    JSON.find(Array(pointer.utf8).span, in: bytes.span)
}

@Suite struct JSONTests {
    private static let ping = """
        {"Id":"OctopusServerNodes-1","Name":"node\\u0031","MaxConcurrentTasks": 5,
         "IsInMaintenanceMode":false,"IsOffline" : true,"LastSeen":null,
         "Links":{"Self":"/api/1","Deep":{"x":[1,2.5,-3e2]}}}
        """

    @Test func `the members of a ping are found`() {
        #expect(find("/Name", Self.ping) == .string(Array("node1".utf8)))
        #expect(find("/MaxConcurrentTasks", Self.ping) == .number(5))
        #expect(find("/IsInMaintenanceMode", Self.ping) == .bool(false))
        #expect(find("/IsOffline", Self.ping) == .bool(true))
        #expect(find("/LastSeen", Self.ping) == .null)
        #expect(find("/Links/Self", Self.ping) == .string(Array("/api/1".utf8)))
        #expect(find("/Links/Deep/x/1", Self.ping) == .number(2.5))
        #expect(find("/Links/Deep/x/2", Self.ping) == .number(-300))
        for pointer in [
            "/name", "/Links/Deep/x/3", "/Links/Deep/x/-", "/Links/Deep/x/01", "/Name/0", "/",
            "Name",
        ] {
            #expect(find(pointer, Self.ping) == .missing, "\(pointer)")
        }
    }

    /// RFC 6901 section 5.
    @Test(
        arguments: [
            ("/foo/0", .string(Array("bar".utf8))), ("/", .number(0)), ("/a~1b", .number(1)),
            ("/c%d", .number(2)), ("/e^f", .number(3)), ("/g|h", .number(4)), ("/i\\j", .number(5)),
            ("/k\"l", .number(6)), ("/ ", .number(7)), ("/m~0n", .number(8)), ("/m~n", .missing),
            ("/m~", .missing),
        ] as [(String, JSONValue)])
    func `the examples of the pointer standard hold`(pointer: String, expected: JSONValue) {
        let document = #"""
            {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5,
             "k\"l": 6, " ": 7, "m~n": 8}
            """#
        #expect(find(pointer, document) == expected)
    }

    @Test func `objects and lists are told by where they lie`() {
        let document = #" {"a": [1, {"b": 2} ], "c": {}} "#
        for (pointer, text) in [("/a", #"[1, {"b": 2} ]"#), ("/a/1", #"{"b": 2}"#), ("/c", "{}")] {
            guard case .compound(let range) = find(pointer, document) else {
                Issue.record("\(pointer) is not there")
                continue
            }
            #expect(String(decoding: Array(document.utf8)[range.indices], as: UTF8.self) == text)
        }
        #expect(find("", document) == .compound(ByteRange(1, document.utf8.count - 1)))
    }

    @Test func `of a name given twice the last one counts`() {
        #expect(find("/a", #"{"a":1,"a":2}"#) == .number(2))
        #expect(find("/a/b", #"{"a":{"b":1},"a":{}}"#) == .missing)
        #expect(find("/a/b", #"{"a":{"b":1},"a":3}"#) == .missing)
        #expect(find("/a/b", #"{"a":{"b":1},"b":{"b":2}}"#) == .number(1))
    }

    @Test func `names match by what they mean`() {
        #expect(find("/é", #"{"\u00e9":1}"#) == .number(1))
        #expect(find("/😀", #"{"\ud83d\uDE00":1}"#) == .number(1))
        #expect(
            find("", #""\ud83d\ude00\n\/\"\\\b\f\r\t""#)
                == .string(Array("😀\n/\"\\\u{8}\u{C}\r\t".utf8)))
    }

    @Test(arguments: [
        "0", "-0", "1e5", "1E+5", "0.5", "-1.25e-3", "1234567890", "\"\"", "true", "false", "null",
        "[]",
        "{}", " [ ] ", "\t{\r\n}\n", "[[[]]]", "\"\u{2028}\u{7F}\"", "\u{FEFF}1",
        "[1,[2,{\"a\":[]}]]",
    ])
    func `whatever is JSON is read`(document: String) {
        #expect(find("", document) != .missing)
    }

    // After the cases of JSONTestSuite (Nicolas Seriot, "Parsing JSON is a Minefield").
    @Test(arguments: [
        "", " ", "[1,]", "[,1]", "[1 2]", "[1", "]", "{", "}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}",
        "{,}",
        "{a:1}", "{'a':1}", "{\"a\" 1}", "{1:1}", "[1]]", "[1]x", "1 2", "01", "-", "-01", "+1",
        ".5", "1.",
        "1.e1", "1e", "1e+", "0x1", "1_000", "NaN", "Infinity", "-Infinity", "nul", "nulll", "True",
        "\"", "\"a",
        "\"\n\"", "\"\t\"", "\"\\x41\"", "\"\\u12\"", "\"\\u12G4\"", "\"\\\"", "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"", "\"\\ud800x\"", "'a'", "// c\n1", "/* c */1", "[1]/", "\u{A0}1",
        "\u{B}1", "1\u{0}",
        "\u{FEFF}", "\u{FEFF}\u{FEFF}1", "[\"a\":1]", "{\"a\":1:2}", "{\"a\":1 \"b\":2}",
        "<html></html>",
    ])
    func `whatever is not JSON has nothing in it`(document: String) {
        #expect(find("", document) == .missing)
        #expect(find("/a", document) == .missing)
    }

    @Test func `a flaw anywhere spoils the whole document`() {
        #expect(find("/a", #"{"a":1,"b":tru}"#) == .missing)
        #expect(find("/a", #"{"a":1} x"#) == .missing)
        #expect(
            find("/a", bytes: Array(#"{"a":1,"b":""#.utf8) + [0xC3, 0x28] + Array(#""}"#.utf8))
                == .missing)
        #expect(
            find(
                "/a", bytes: Array(#"{"a":1,"b":""#.utf8) + [0xED, 0xA0, 0x80] + Array(#""}"#.utf8))
                == .missing)
        #expect(find("", bytes: [0xFF]) == .missing)
    }

    @Test func `a number that no double holds is not there, and tells nothing else`() {
        #expect(find("/a", #"{"a":1e999,"b":2}"#) == .missing)
        #expect(find("/b", #"{"a":1e999,"b":2}"#) == .number(2))
        #expect(find("", "1" + String(repeating: "0", count: 400)) == .missing)
        #expect(find("", "1e-999") == .number(0))
    }

    @Test func `depth is bounded`() {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(find("", nested(JSON.depthLimit)) != .missing)
        #expect(find("", nested(JSON.depthLimit + 1)) == .missing)
        #expect(find("", String(repeating: "[", count: 1_000_000)) == .missing)
        #expect(find("", String(repeating: "{\"a\":", count: 100_000)) == .missing)
    }

    @Test func `mutated answers never crash`() {
        var random = SplitMix64(seed: 8259)
        let seed = Array(Self.ping.utf8)
        let spice =
            Array("{}[]\",:\\u0123456789eE+-.tfn \u{0}".utf8) + [0xFF, 0xC3, 0xED, 0xF0, 0x80]
        var intact = 0
        for _ in 0..<5000 {
            var bytes = seed
            for _ in 0...Int(random.next() % 3) {
                let at = Int(random.next() % UInt64(bytes.count))
                switch random.next() % 4 {
                case 0: bytes[at] = spice[Int(random.next() % UInt64(spice.count))]
                case 1: bytes.remove(at: at)
                case 2: bytes.insert(spice[Int(random.next() % UInt64(spice.count))], at: at)
                default: bytes.removeSubrange(at..<min(bytes.count, at + Int(random.next() % 40)))
                }
                if bytes.isEmpty { bytes = [0x20] }
            }
            if find("/Links/Deep/x/0", bytes: bytes) == .number(1) { intact += 1 }
        }
        #expect(intact > 0)
        #expect(intact < 5000)
    }
}
