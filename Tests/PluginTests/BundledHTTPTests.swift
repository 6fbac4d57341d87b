// The bundled check "http": its options, and what it makes of answers.

import CTrivet
import Testing

@Suite struct BundledHTTPTests {
    let library: PluginLibrary

    init() throws { library = try PluginLibrary("libtrivet-http.so") }

    @Test func withoutOptionsItWantsA2xxOfTheRoot() throws {
        let check = try library.check()
        let asked = try #require(check.probe())
        #expect(asked.method == "GET" && asked.target == "/" && asked.kind == TRIVET_PROBE_HTTP)
        #expect(check.judge(status: 200) == Judged(state: TRIVET_UP, reason: "answered 200"))
        #expect(check.judge(status: 299)?.state == TRIVET_UP)
        #expect(check.judge(status: 302) == Judged(state: TRIVET_DOWN, reason: "answered 302"))
        #expect(check.judge(status: 199)?.state == TRIVET_DOWN)
    }

    @Test func theHostCanRefuseUnknownOptions() {
        #expect(
            library.offers.first?.options
                == ["path", "method", "status", "body", "json", "equals"])
    }

    @Test(arguments: [
        ("204", [204], [200, 205]), (#""204""#, [204], [200]),
        (#""200-204""#, [200, 202, 204], [199, 205]),
        (#"[200, "300-302", 418]"#, [200, 300, 302, 418], [201, 303, 417]),
    ])
    func statusIsOneARangeOrAList(_ status: String, _ good: [Int], _ bad: [Int]) throws {
        let check = try library.check(#"{"status": \#(status)}"#)
        for status in good { #expect(check.judge(status: status)?.state == TRIVET_UP) }
        for status in bad { #expect(check.judge(status: status)?.state == TRIVET_DOWN) }
    }

    @Test(arguments: [
        (#"{"status": 99}"#, "not 99"), (#"{"status": "2xx"}"#, #"not "2xx""#),
        (#"{"status": "299-200"}"#, #"not "299-200""#), (#"{"status": "200-"}"#, #"not "200-""#),
        (#"{"status": "1-2-3"}"#, #"not "1-2-3""#), (#"{"status": [200, true]}"#, "not true"),
        (#"{"status": []}"#, "not []"), (#"{"status": 200.5}"#, "not 200.5"),
        (#"{"status": null}"#, "not null"), (#"{"status": {"a": 1}}"#, #"not {"a": 1}"#),
        (#"{"method": "get"}"#, #"not "get""#), (#"{"path": "x"}"#, #"not "x""#),
        (#"{"body": 5}"#, "not 5"), (#"{"json": "a"}"#, #"not "a""#),
        (#"{"json": "/a", "equals": []}"#, "not []"),
        (#"{"equals": 1}"#, #"option "equals" needs option "json", which says where the value is"#),
        (#"{"method": "HEAD", "body": "x"}"#, "use method \"GET\" to look at one"),
    ])
    func aBadOptionIsNamedWithWhatWasExpected(_ options: String, _ end: String) {
        let refused = #expect(throws: Refused.self) { _ = try library.check(options) }
        #expect(refused?.sentence.hasSuffix(end) == true, "\(refused?.sentence ?? "not refused")")
    }

    @Test func theBodyMustContainTheText() throws {
        let check = try library.check(#"{"body": "all göod"}"#)
        #expect(check.judge(status: 200, body: "status: all göod.")?.state == TRIVET_UP)
        #expect(check.judge(status: 200, body: "all göod")?.state == TRIVET_UP)
        let without = Judged(
            state: TRIVET_DOWN, reason: #"answered without "all göod" in the body"#)
        #expect(check.judge(status: 200, body: "all goo") == without)
        #expect(check.judge(status: 200, body: "") == without)
        #expect(check.judge(status: 500, body: "all göod")?.reason == "answered 500")
        #expect(check.probe()?.readLimit == 262_144)
    }

    @Test(arguments: [
        (#""ok""#, #"{"s": ["ok"]}"#, "answered 200"), ("1", #"{"s": [1.0]}"#, "answered 200"),
        ("true", #"{"s": [true]}"#, "answered 200"), ("null", #"{"s": [null]}"#, "answered 200"),
        (#""ok""#, #"{"s": ["bad"]}"#, #"answered "bad" at /s/0, not "ok""#),
        (#""1""#, #"{"s": [1]}"#, #"answered 1 at /s/0, not "1""#),
        ("true", #"{"s": []}"#, "answered JSON without /s/0"),
        ("true", "<html>", "answered something else than JSON"),
        ("true", #"{"s": [true]"#, "answered something else than JSON"),
        ("true", "", "answered something else than JSON"),
    ])
    func aJSONValueMustBeAsExpected(_ equals: String, _ body: String, _ reason: String) throws {
        let check = try library.check(#"{"json": "/s/0", "equals": \#(equals)}"#)
        let verdict = check.judge(status: 200, body: body)
        #expect(verdict?.reason == reason)
        #expect(verdict?.state == (reason == "answered 200" ? TRIVET_UP : TRIVET_DOWN))
    }

    @Test func withoutAnExpectedValueItMustBeThere() throws {
        let check = try library.check(#"{"json": "/db"}"#)
        #expect(check.judge(status: 200, body: #"{"db": {}}"#)?.state == TRIVET_UP)
        #expect(check.judge(status: 200, body: "{}")?.state == TRIVET_DOWN)
    }

    @Test func noAnswerIsDownInTheHostsWords() throws {
        let verdict = try library.check().judge(
            status: 200, outcome: TRIVET_CONNECT_FAILED, detail: "connection refused")
        #expect(verdict == Judged(state: TRIVET_DOWN, reason: "connection refused"))
    }
}
