// The rules of health checks: questions that may be sent, and a sane verdict whatever comes back.

import Balance
import Base
import CTrivet

enum CheckRules {
    static func judge(
        _ rule: ConformanceRule, _ staged: StagedCheck
    ) throws(ConformanceEnd) -> String {
        switch rule {
        case .creates: try creates(staged)
        case .badConfiguration: try badConfiguration(staged)
        case .deterministic: try deterministic(staged)
        case .probeSane: try probeSane(staged)
        case .everyStatus: try everyStatus(staged)
        case .damagedBodies: try damagedBodies(staged)
        case .roundsEnd: try roundsEnd(staged)
        case .givesMemoryBack:
            try HeapGrowth.judge { () throws(ConformanceEnd) in try staged.live() }
        default: throw .skipped("not a rule of checks")
        }
    }

    private static func doing(_ deed: String) { ConformanceChild.doing(deed) }

    private static func creates(_ staged: StagedCheck) throws(ConformanceEnd) -> String {
        doing("in create, with options \(staged.options)")
        let (made, sentence) = try StageCheck.make(
            staged.kind, options: staged.options, pool: StagePool(3), host: StageHost(seed: 1))
        guard let made else {
            throw .failed(
                "create refuses the options \(staged.options): "
                    + (sentence.isEmpty ? "it does not say why" : sentence)
                    + "; give it others with --options")
        }
        doing("in the first probe and judge")
        if try made.probe(0, step: 0) != nil { _ = try made.judge(0, StageReply(), step: 0) }
        if let misdeed = made.host.misdeed { throw .failed("it \(misdeed)") }
        doing("in destroy")
        return "made, asked and destroyed"
    }

    private static func badConfiguration(_ staged: StagedCheck) throws(ConformanceEnd) -> String {
        var refused = 0
        var accepted = 0
        for config in BadConfiguration.all(staged.kind.options) {
            doing("in create, with options \(BadConfiguration.shown(config))")
            let room = (refused + accepted) % 3 == 2 ? 16 : 512
            let (made, sentence) = try StageCheck.make(
                staged.kind, options: config, pool: StagePool(3), host: StageHost(seed: 1),
                room: room)
            guard let made else {
                refused += 1
                try BadConfiguration.judge(sentence, config, room: room)
                continue
            }
            accepted += 1
            doing("in probe or judge, after it accepted \(BadConfiguration.shown(config))")
            do throws(ConformanceEnd) { try made.begin(0, StageReply()) } catch {
                guard case .failed(let sentence) = error else { throw error }
                throw .failed(
                    "after it accepted \(BadConfiguration.shown(config)): \(sentence)")
            }
        }
        return "\(refused) wrong blocks refused with a sentence, \(accepted) accepted"
    }

    private static func deterministic(_ staged: StagedCheck) throws(ConformanceEnd) -> String {
        func run() throws(ConformanceEnd) -> [UInt8] {
            let check = try staged.make(seed: 7)
            var seen: [UInt8] = []
            for (number, reply) in (StageReply.samples + StageReply.samples).enumerated() {
                for node in 0..<4 {
                    check.host.now += 1_000_000_000
                    for step in UInt32(0)..<2 {
                        if let plan = try check.probe(node, step: step) {
                            seen += Array("\(plan)".utf8)
                        }
                        let verdict = try check.judge(node, reply, step: step)
                        seen += [0, UInt8(number)] + Array("\(verdict)".utf8)
                    }
                }
            }
            return seen
        }
        doing("in the first of two runs of the same answers")
        let first = try run()
        doing("in the second of two runs of the same answers")
        let second = try run()
        if first != second {
            throw .failed(
                "questions or verdicts differ though nodes, answers, clock and randomness were the same"
            )
        }
        ConformanceChild.say(.digest(hash64(first.span)))
        return "questions and verdicts come out the same, in another process as well"
    }

    /// Nodes of every kind that a configuration may have.
    private static func oddNodes() -> StagePool {
        let pool = StagePool(8)
        let addresses = [
            "10.0.0.7:8080", "[::1]:443", "[2001:db8::1:2]:65535", "unix:/run/app.sock",
            "node-1.example.com:80", "127.0.0.1:1", "a:1",
        ]
        for index in addresses.indices { pool.nodes[index].address = addresses[index] }
        pool.nodes[1].name = "übermäßig \"lang\" " + String(repeating: "x", count: 200)
        pool.nodes[2].metadata = []
        pool.nodes[3].metadata = [("empty", ""), ("version", String(repeating: "9", count: 256))]
        pool.nodes[4].state = TRIVET_DOWN
        pool.nodes[5].state = TRIVET_DRAINING
        pool.nodes[6].weight = 0
        pool.nodes[7].tier = 3
        pool.publish()
        return pool
    }

    private static func probeSane(_ staged: StagedCheck) throws(ConformanceEnd) -> String {
        let check = try staged.make(pool: oddNodes())
        var questions = 0
        for _ in 0..<3 {
            // Rounds of several nodes interleave.
            for step in 0..<CheckInstance.stepLimit {
                for node in 0..<8 {
                    doing("in probe of a node at \(check.pool.nodes[node].address), step \(step)")
                    if try check.probe(node, step: step) != nil { questions += 1 }
                }
            }
        }
        return "\(questions) questions that can be sent as they are"
    }

    private static func everyStatus(_ staged: StagedCheck) throws(ConformanceEnd) -> String {
        let check = try staged.make()
        let bodies = ["", "{}", "<html><body>no</body></html>"].map { Array($0.utf8) }
        var answers = 0
        _ = try check.probe(0, step: 0)
        for status in UInt32(100)...599 {
            if status % 50 == 0 { doing("in judge of status \(status) or one of the 49 after it") }
            for body in bodies {
                for step in UInt32(0)..<2 {
                    _ = try check.judge(
                        Int(status) % 4, StageReply(status: status, body: body), step: step)
                    answers += 1
                }
            }
        }
        // Also outcomes that no version has named yet, which count as broken.
        for outcome in UInt32(1)...9 {
            doing("in judge of an answer that did not come (outcome \(outcome))")
            for body in bodies {
                _ = try check.judge(
                    1, StageReply(outcome: outcome, status: 0, body: body, detail: "reset"), step: 0
                )
                _ = try check.judge(1, StageReply(outcome: outcome, status: 0, body: body), step: 7)
                answers += 2
            }
        }
        return "\(answers) answers with every status and every failure, each with a sane verdict"
    }

    private static func damagedBodies(_ staged: StagedCheck) throws(ConformanceEnd) -> String {
        let check = try staged.make()
        _ = try check.probe(0, step: 0)
        var random = SplitMix64(seed: 404)
        var answers = 0
        func judge(_ body: [UInt8], _ what: String) throws(ConformanceEnd) {
            for status in [UInt32(200), 418] {
                var reply = StageReply(status: answers % 5 == 4 ? 0 : status, body: body)
                if answers % 3 == 0 { reply.headers = oddHeaders(&random) }
                _ = try check.judge(answers % 4, reply, step: 0)
                answers += 1
            }
        }
        for whole in goodBodies {
            doing("in judge of a body that is cut short")
            for length in 0...whole.count { try judge(Array(whole.prefix(length)), "cut") }
            doing("in judge of a body that was changed in a few bytes")
            for _ in 0..<150 {
                var body = whole
                for _ in 0...Int(random.next() % 3) {
                    let at = Int(random.next() % UInt64(body.count))
                    body[at] = UInt8(truncatingIfNeeded: random.next())
                }
                try judge(body, "changed")
            }
        }
        for (what, body) in oddBodies {
            doing("in judge of a body \(what)")
            try judge(body, what)
        }
        return "\(answers) bodies, cut, changed and strange, each with a sane verdict"
    }

    private static let goodBodies = [
        #"{"Id":"octopusservernodes-a","Name":"OCTO1","MaxConcurrentTasks":5,"IsInMaintenanceMode":false,"IsOffline":false,"Version":"2025.2.1","LastSeen":"2026-01-01T00:00:00Z"}"#,
        #"{"status":"UP","checks":[{"name":"db","ok":true,"ms":1.5e1},{"name":"q","ok":null}],"queue":{"depth":12},"load":0.5}"#,
    ].map { Array($0.utf8) }

    private static var oddBodies: [(String, [UInt8])] {
        [
            ("of nested lists", Array(repeating: UInt8(ascii: "["), count: 5000)),
            ("of nested objects", Array(String(repeating: "{\"a\":", count: 3000).utf8)),
            (
                "of a huge number",
                Array(("{\"status\":" + String(repeating: "9", count: 4000) + "}").utf8)
            ),
            (
                "with numbers out of range",
                Array(
                    #"{"MaxConcurrentTasks":1e300,"depth":-1e300,"queue":{"depth":99999999999999999999}}"#
                        .utf8)
            ),
            (
                "with a name of 10,000 letters",
                Array(
                    ("{\"Name\":\"" + String(repeating: "n", count: 10_000) + "\",\"Version\":\"\"}")
                        .utf8)
            ),
            (
                "with control characters",
                Array(#"{"Name":"a\u0000\u001b[31m\r\nb","Version":"\ud83e\udd84"}"#.utf8)
            ),
            ("that is no UTF-8", [0x7B, 0x22, 0xFF, 0xFE, 0x22, 0x3A, 0xC3, 0x7D]),
            ("of NULs", Array(repeating: 0, count: 1000)),
            ("with a byte order mark", [0xEF, 0xBB, 0xBF, 0x7B, 0x7D]),
            ("of half a surrogate", Array(#"{"Name":"\ud83e"}"#.utf8)),
            ("of a list", Array("[1,2,3]".utf8)),
            ("of one word", Array("true".utf8)),
            ("of 1 MiB", Array(repeating: UInt8(ascii: " "), count: 1 << 20)),
        ]
    }

    private static func oddHeaders(_ random: inout SplitMix64) -> [(name: [UInt8], value: [UInt8])]
    {
        (0..<Int(random.next() % 6)).map { _ in
            let value = (0..<Int(random.next() % 40)).map { _ in
                UInt8(truncatingIfNeeded: random.next())
            }
            let names = ["content-type", "server", "x-load", "retry-after", "a"]
            return (Array(names[Int(random.next() % 5)].utf8), value)
        }
    }

    private static func roundsEnd(_ staged: StagedCheck) throws(ConformanceEnd) -> String {
        let check = try staged.make()
        var rounds = 0
        var replies = StageReply.samples
        for status in [100, 204, 301, 404, 429, 500, 511] as [UInt32] {
            replies.append(StageReply(status: status))
            replies.append(StageReply(status: status, body: Array("{}".utf8)))
        }
        for reply in replies {
            for node in 0..<3 {
                doing("in a round of questions that all get \(StageCheck.shown(reply))")
                _ = try check.round(node, reply)
                rounds += 1
            }
        }
        return "\(rounds) rounds end with a verdict, in 8 questions at most"
    }
}
