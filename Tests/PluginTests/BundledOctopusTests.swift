// The bundled check "octopus": every rule of the ping, damaged bodies included.

import CTrivet
import Testing

@Suite struct BundledOctopusTests {
    let library: PluginLibrary
    let check: FakeCheck

    static let ping = """
        {"Id":"OctopusServerNodes-node1","Name":"node1","Version":"2024.4.7091",
        "MaxConcurrentTasks":5,"IsInMaintenanceMode":false,"IsOffline":false,
        "LastSeen":"Tuesday, January 30, 2018 11:53 PM","Links":{"Self":"/api/x"}}
        """
    static let facts = ["max-tasks=5", "node=node1", "version=2024.4.7091"]

    init() throws {
        library = try PluginLibrary("libtrivet-octopus.so")
        check = try library.check()
    }

    @Test func itAsksForThePing() throws {
        let asked = try #require(check.probe())
        #expect(asked.kind == TRIVET_PROBE_HTTP)
        #expect(asked.method == "GET")
        #expect(asked.target == "/api/octopusservernodes/ping")
        #expect(asked.authority == "127.0.0.1:80")
        #expect(asked.headers == ["Accept: application/json"])
        #expect(asked.timeout == 1000, "the pool's own timeout stays")
    }

    @Test func aServerUnderAVirtualDirectoryIsAskedThere() throws {
        let check = try library.check(#"{"path": "/octopus/api/octopusservernodes/ping"}"#)
        #expect(check.probe()?.target == "/octopus/api/octopusservernodes/ping")
    }

    @Test func theHostCanRefuseUnknownOptions() {
        #expect(library.offers.map(\.name) == ["octopus"])
        #expect(library.offers.first?.options == ["path"])
    }

    @Test(arguments: [
        (#"{"path": "ping"}"#, #"not "ping""#), (#"{"path": 5}"#, "not 5"),
        (#"{"path": "/a b"}"#, #"not "/a b""#), (#"{"path": ""}"#, #"not """#),
    ])
    func aBadPathIsNamed(_ options: String, _ end: String) {
        let refused = #expect(throws: Refused.self) { _ = try library.check(options) }
        #expect(refused?.sentence.hasPrefix("option \"path\" must be ") == true)
        #expect(refused?.sentence.hasSuffix(end) == true)
    }

    @Test func status200IsUpWithWhatTheBodyTells() {
        #expect(
            check.judge(status: 200, body: Self.ping)
                == Judged(state: TRIVET_UP, reason: "online", metadata: Self.facts))
    }

    @Test(arguments: ["", "OK", "<html>", "{", #"{"Name":"#, #"{"IsOffline":true}"#, "[1]", "null"])
    func status200IsUpWhateverTheBody(_ body: String) {
        let verdict = check.judge(status: 200, body: body)
        #expect(verdict == Judged(state: TRIVET_UP, reason: "online"))
    }

    @Test func status418WithIsOfflineIsDown() {
        let verdict = check.judge(status: 418, body: #"{"IsOffline": true, "Name": "node1"}"#)
        #expect(
            verdict == Judged(state: TRIVET_DOWN, reason: "says it is offline", atOnce: true))
    }

    @Test func status418InMaintenanceIsDrainingAtOnce() {
        let body = #"{"IsInMaintenanceMode": true, "IsOffline": false, "MaxConcurrentTasks": 0}"#
        #expect(
            check.judge(status: 418, body: body)
                == Judged(
                    state: TRIVET_DRAINING, reason: "drains for maintenance", atOnce: true,
                    metadata: ["max-tasks=0"]))
    }

    @Test(arguments: [
        "", " ", "{", "{}", #"{"IsOffline": true"#, #"{"IsOffline": "true"}"#, #"{"IsOffline": 1}"#,
        #"{"isoffline": true}"#, #"{"IsOffline": true} x"#, #"{"IsOffline": null}"#,
        #"{"a": {"IsOffline": true}}"#, #"[{"IsOffline": true}]"#, "null", "418",
        "<!DOCTYPE html><html><body>I'm a teapot</body></html>",
    ])
    func status418WithAnyOtherBodyIsDraining(_ body: String) {
        let verdict = check.judge(status: 418, body: body)
        #expect(
            verdict
                == Judged(state: TRIVET_DRAINING, reason: "answered 418: it drains", atOnce: true))
    }

    @Test func bytesThatAreNoTextDoNoHarm() {
        let noise = (0..<2000).map { UInt8(truncatingIfNeeded: $0 &* 7919 >> 3) }
        #expect(check.judge(status: 418, bytes: noise)?.state == TRIVET_DRAINING)
        #expect(check.judge(status: 200, bytes: noise)?.state == TRIVET_UP)
        let deep = [UInt8](repeating: UInt8(ascii: "["), count: 100_000)
        #expect(check.judge(status: 418, bytes: deep)?.state == TRIVET_DRAINING)
    }

    @Test func everyCutOfAPingIsReadTheSameWay() {
        let whole = Array(#"{"IsOffline": true}"#.utf8)
        for length in 0..<whole.count {
            let verdict = check.judge(status: 418, bytes: Array(whole.prefix(length)))
            #expect(verdict?.state == TRIVET_DRAINING)
        }
        #expect(check.judge(status: 418, bytes: whole)?.state == TRIVET_DOWN)
    }

    @Test(arguments: [100, 204, 301, 400, 401, 404, 417, 419, 500, 503])
    func anyOtherStatusIsDown(_ status: Int) {
        let verdict = check.judge(status: status, body: Self.ping)
        #expect(
            verdict == Judged(state: TRIVET_DOWN, reason: "answered \(status), not 200 or 418"))
    }

    @Test(arguments: [
        (TRIVET_CONNECT_FAILED, "connection refused", "connection refused"),
        (TRIVET_TIMED_OUT, "", "did not answer in time"),
        (TRIVET_BROKEN, "", "broke the connection off"), (77, "", "broke the connection off"),
    ])
    func noAnswerIsDown(_ outcome: UInt32, _ detail: String, _ reason: String) {
        // A status that came before the connection broke says nothing.
        let verdict = check.judge(status: 200, outcome: outcome, detail: detail)
        #expect(verdict == Judged(state: TRIVET_DOWN, reason: reason))
    }

    @Test(arguments: [
        (#"{"Version": 5, "Name": ["x"], "MaxConcurrentTasks": "5"}"#, [String]()),
        (#"{"MaxConcurrentTasks": -1}"#, []), (#"{"MaxConcurrentTasks": 2.5}"#, []),
        (#"{"MaxConcurrentTasks": 1e300}"#, []),
        (#"{"MaxConcurrentTasks": 1e1}"#, ["max-tasks=10"]),
        (#"{"Name": "", "Version": "1"}"#, ["version=1"]),
        (#"{"Name": "n\u00f6de \"1\""}"#, ["node=nöde \"1\""]),
    ])
    func membersOfTheWrongKindAreLeftOut(_ body: String, _ metadata: [String]) {
        #expect(check.judge(status: 200, body: body)?.metadata == metadata)
    }

    @Test func oneDamagedBodyLosesNothingThatWasKnown() {
        _ = check.judge(status: 200, body: Self.ping, node: 1)
        #expect(check.judge(status: 200, body: "<html>", node: 1)?.metadata == Self.facts)
        #expect(check.judge(status: 418, body: "", node: 1)?.metadata == Self.facts)
        #expect(check.judge(status: 200, body: "", node: 2)?.metadata == [])
        #expect(check.judge(status: 503, body: "", node: 1)?.metadata == [])
        #expect(check.judge(status: 200, body: "", node: 1)?.metadata == [])
    }
}
