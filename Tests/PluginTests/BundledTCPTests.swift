// The bundled check "tcp".

import CTrivet
import Testing

@Suite struct BundledTCPTests {
    let library: PluginLibrary

    init() throws { library = try PluginLibrary("libtrivet-tcp.so") }

    @Test func aConnectionIsEnough() throws {
        let check = try library.check()
        let asked = try #require(check.probe())
        #expect(asked.kind == TRIVET_PROBE_TCP)
        #expect(asked.payload == "" && asked.until == "" && asked.readLimit == 0)
        #expect(check.judge() == Judged(state: TRIVET_UP, reason: "connected"))
        #expect(
            check.judge(outcome: TRIVET_CONNECT_FAILED, detail: "connection refused")
                == Judged(state: TRIVET_DOWN, reason: "connection refused"))
    }

    @Test func itSaysAWordAndWantsOne() throws {
        let check = try library.check(#"{"send": "PING\r\n", "expect": "+PONG"}"#)
        let asked = try #require(check.probe())
        #expect(asked.payload == "PING\r\n" && asked.until == "+PONG" && asked.readLimit == 16_384)
        #expect(
            check.judge(body: "x+PONG\r\n")
                == Judged(state: TRIVET_UP, reason: "said what was expected"))
        #expect(
            check.judge(body: "-ERR")
                == Judged(state: TRIVET_DOWN, reason: #"said something else, not "+PONG""#))
        #expect(
            check.judge(body: "")
                == Judged(state: TRIVET_DOWN, reason: #"said nothing, not "+PONG""#))
        #expect(check.judge(outcome: TRIVET_TIMED_OUT)?.reason == "did not answer in time")
        #expect(check.judge(body: "+PONG", outcome: TRIVET_TIMED_OUT)?.state == TRIVET_UP)
    }

    @Test func badOptionsAreNamed() {
        #expect(throws: Refused(sentence: "option \"send\" must be text in quotes, not 5")) {
            _ = try library.check(#"{"send": 5}"#)
        }
        #expect(library.offers.first?.options == ["send", "expect"])
    }
}
