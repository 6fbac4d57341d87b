// The rules of strategies that look at single answers: creation, configuration, repetition, which nodes
// may be picked, pools of every size, requests of every kind. Those about change and state are in
// StrategyRules+Change, those about cost in StrategyRules+Cost.

import Balance
import Base
import CTrivet

enum StrategyRules {
    static func judge(
        _ rule: ConformanceRule, _ staged: StagedKind
    ) throws(ConformanceEnd) -> String {
        switch rule {
        case .creates: try creates(staged)
        case .badConfiguration: try badConfiguration(staged)
        case .deterministic: try deterministic(staged)
        case .neverDown: try neverDown(staged)
        case .retries: try retries(staged)
        case .sizes: try sizes(staged)
        case .strides: try strides(staged)
        case .describe: try describe(staged)
        case .hostileRequests: try hostileRequests(staged)
        case .comingsAndGoings: try comingsAndGoings(staged)
        case .saveLoad: try saveLoad(staged)
        case .updateEqualsRebuild: try updateEqualsRebuild(staged)
        case .noAllocation: try noAllocation(staged)
        case .pickTime: try pickTime(staged)
        case .givesMemoryBack: try givesMemoryBack(staged)
        default: throw .skipped("not a rule of strategies")
        }
    }

    static func doing(_ deed: String) { ConformanceChild.doing(deed) }

    /// What is wrong with a pick as such, or nil: whichever node, it has to be one.
    static func fault(_ pick: StagePick, nodes: Int) -> String? {
        if pick.decision > TRIVET_REFUSE { return "answers \(pick.decision), which is no decision" }
        if pick.decision == TRIVET_PICKED, pick.node >= UInt32(nodes) {
            return pick.node == TRIVET_NO_NODE
                ? "says that it picked, but names no node"
                : "picked node \(pick.node), where there are \(nodes)"
        }
        if pick.session.count > 64 {
            return "gives a client \(pick.session.count) bytes to carry, where 64 are the most"
        }
        return nil
    }

    private static func creates(_ staged: StagedKind) throws(ConformanceEnd) -> String {
        doing("in create, with options \(staged.options)")
        let pool = StagePool(3)
        let host = StageHost(seed: 1)
        let (made, sentence) = try StageStrategy.make(
            staged.kind, options: staged.options, pool: pool, host: host)
        guard let made else {
            throw .failed(
                "create refuses the options \(staged.options): "
                    + (sentence.isEmpty ? "it does not say why" : sentence)
                    + "; give it others with --options")
        }
        if pool.earlyTickets > 0 {
            throw .failed("create calls ticket, which may not be called before the first pick")
        }
        doing("in the first picks")
        let ring = RequestRing(8)
        for number in 0..<32 { made.ask(ring[number]) }
        if let misdeed = host.misdeed { throw .failed("it \(misdeed)") }
        doing("in destroy")
        return "made, asked and destroyed"
    }

    private static func badConfiguration(_ staged: StagedKind) throws(ConformanceEnd) -> String {
        var refused = 0
        var accepted = 0
        let ring = RequestRing(8)
        let patience = Patience(milliseconds: 2000)
        for config in BadConfiguration.all(staged.kind.options) {
            if patience.isOver, refused + accepted >= 20 { break }
            doing("in create, with options \(BadConfiguration.shown(config))")
            // Little room now and then: a sentence is cut, not written past its end.
            let room = (refused + accepted) % 3 == 2 ? 16 : 512
            let (made, sentence) = try StageStrategy.make(
                staged.kind, options: config, pool: StagePool(3), host: StageHost(seed: 1),
                room: room)
            guard let made else {
                refused += 1
                try BadConfiguration.judge(sentence, config, room: room)
                continue
            }
            accepted += 1
            doing("in pick, after it accepted \(BadConfiguration.shown(config))")
            for number in 0..<8 { made.ask(ring[number]) }
        }
        return "\(refused) wrong blocks refused with a sentence, \(accepted) accepted"
    }

    /// All that an instance answers while time passes, requests end and nodes change.
    private static func trace(
        _ staged: StagedKind, padding: Int = 0
    ) throws(ConformanceEnd) -> [StagePick] {
        var random = SplitMix64(seed: 4711)
        let pool = StagePool(9, padding: padding)
        pool.nodes[8].tier = 1
        pool.publish()
        let worker = try StageWorker(staged, pool, seed: 99)
        let ring = RequestRing(101)
        var picks: [StagePick] = []
        for number in 0..<900 {
            picks.append(worker.begin(ring[number]))
            worker.finish(until: Int(random.next() % 6), &random)
            guard number % 250 == 249 else { continue }
            let node = Int(random.next() % 9)
            switch number / 250 {
            case 0:
                pool.nodes[node].state = TRIVET_DEGRADED
                try worker.changed(TRIVET_CHANGED_STATE)
            case 1:
                pool.nodes[node].weight = 50
                try worker.changed(TRIVET_CHANGED_WEIGHT)
            default:
                pool.nodes[node].metadata = [("zone", "c")]
                try worker.changed(TRIVET_CHANGED_METADATA)
            }
        }
        return picks
    }

    private static func deterministic(_ staged: StagedKind) throws(ConformanceEnd) -> String {
        doing("in the first of two runs of the same picks")
        let first = try trace(staged)
        doing("in the second of two runs of the same picks")
        let second = try trace(staged)
        if let sentence = difference(first, second) {
            throw .failed(
                "\(sentence), though pool, requests, clock and randomness were the same")
        }
        ConformanceChild.say(.digest(digest(first)))
        return "\(first.count) picks come out the same, in another process as well"
    }

    private static func strides(_ staged: StagedKind) throws(ConformanceEnd) -> String {
        doing("in picks from a pool of this version's layout")
        let first = try trace(staged)
        if difference(first, try trace(staged)) != nil {
            throw .skipped("its picks do not repeat: see deterministic")
        }
        doing("in picks from a pool with longer nodes and loads, as a later version has them")
        let second = try trace(staged, padding: 40)
        if let sentence = difference(first, second) {
            throw .failed(
                "\(sentence), where nodes and loads were longer: walk them by node_stride and load_stride"
            )
        }
        return "longer nodes and loads make no difference"
    }

    private static func difference(_ a: [StagePick], _ b: [StagePick]) -> String? {
        for index in 0..<min(a.count, b.count) where a[index] != b[index] {
            return "pick \(index + 1) was \(shown(a[index])) the first time and "
                + "\(shown(b[index])) the second"
        }
        return nil
    }

    private static func shown(_ pick: StagePick) -> String {
        let reason =
            pick.reason.isEmpty
            ? "" : " (\(String(decoding: pick.reason.prefix(64), as: UTF8.self)))"
        switch pick.decision {
        case TRIVET_PICKED: return "node \(pick.node)\(reason)"
        case TRIVET_REFUSE: return "a refusal\(reason)"
        default: return "a pass\(reason)"
        }
    }

    private static func digest(_ picks: [StagePick]) -> UInt64 {
        var bytes: [UInt8] = []
        for pick in picks {
            let node = pick.decision == TRIVET_PICKED ? pick.node : 0
            for number in [pick.decision, node, pick.flags] {
                for shift in [0, 8, 16, 24] {
                    bytes.append(UInt8(truncatingIfNeeded: number >> shift))
                }
            }
            bytes += pick.reason + [0] + pick.session + [0]
        }
        return hash64(bytes.span)
    }

    private static func neverDown(_ staged: StagedKind) throws(ConformanceEnd) -> String {
        var random = SplitMix64(seed: 23)
        let pool = StagePool(12)
        for index in 8..<12 { pool.nodes[index].tier = 1 }
        pool.publish()
        let worker = try StageWorker(staged, pool)
        // 7: a state that no version has named yet, which counts as down.
        let states = [TRIVET_UP, TRIVET_DEGRADED, TRIVET_DRAINING, TRIVET_DOWN, TRIVET_DOWN, 7]
        var requests: [StageRequest] = []
        for number in 0..<60 {
            var request = StageRequest.ordinary(number)
            if number % 3 == 0 { request.sessionNode = UInt32(random.next() % 12) }
            requests.append(request)
        }
        let ring = RequestRing(requests)
        for round in 0..<60 {
            for index in pool.nodes.indices {
                pool.nodes[index].state =
                    round % 10 == 4
                    ? TRIVET_DOWN
                    : round % 10 == 9
                        ? states[2 + Int(random.next() % 4)]
                        : states[Int(random.next() % 6)]
            }
            doing("in update, after states have changed")
            try worker.changed(TRIVET_CHANGED_STATE)
            doing("in pick, with \(pool.readyCount) of 12 nodes ready")
            for number in 0..<60 {
                let pick = worker.begin(ring[number])
                worker.finish(until: 4, &random)
                if let fault = fault(pick, nodes: 12) { throw .failed("it \(fault)") }
                guard pick.decision == TRIVET_PICKED else { continue }
                if let fault = stateFault(pick.node, pool, requests[number].sessionNode) {
                    throw .failed("it picked \(pool.nodes[Int(pick.node)].name), \(fault)")
                }
            }
        }
        return "3,600 picks from nodes in every state were all allowed"
    }

    private static func stateFault(_ node: UInt32, _ pool: StagePool, _ session: UInt32) -> String?
    {
        switch pool.nodes[Int(node)].state {
        case TRIVET_UP, TRIVET_DEGRADED: return nil
        case TRIVET_DRAINING:
            let isAllThereIs =
                pool.readyCount > 0
                && pool.nodes[Int(pool.ready(0))].state == TRIVET_DRAINING
            return isAllThereIs || session == node
                ? nil : "which is draining, for a request whose session does not name it"
        case TRIVET_DOWN: return "which is down"
        default: return "whose state this version does not know, so that it counts as down"
        }
    }

    private static func retries(_ staged: StagedKind) throws(ConformanceEnd) -> String {
        var random = SplitMix64(seed: 5)
        let pool = StagePool(6)
        let worker = try StageWorker(staged, pool)
        doing("in pick, for retries")
        var repeated = 0
        let total = 400
        for number in 0..<total {
            var request = StageRequest.ordinary(number)
            request.attempt = 1 + UInt32(number % 3)
            var nodes = Array(0..<UInt32(6))
            nodes.shuffle(using: &random)
            request.tried = Array(nodes.prefix(Int(request.attempt)))
            let pick = worker.begin(LentRequest(request))
            if let fault = fault(pick, nodes: 6) { throw .failed("it \(fault)") }
            if pick.decision == TRIVET_PICKED, request.tried.contains(pick.node) { repeated += 1 }
            worker.finish(until: 0, &random)
        }
        if repeated > 0 {
            throw .warned(
                "\(repeated) of \(total) retries were sent to a node that has just failed while others "
                    + "were left; Trivet passes such picks over")
        }
        return "\(total) retries all went to nodes that were not tried, or were left to others"
    }

    private static func sizes(_ staged: StagedKind) throws(ConformanceEnd) -> String {
        let ring = RequestRing(50)
        for size in [0, 1, 2, 3, 64, 10_000] {
            let nodes = size == 1 ? "1 node" : "\(size) nodes"
            doing("in create with \(nodes)")
            let pool = StagePool(size)
            let worker = try StageWorker(staged, pool)
            for (what, allBut) in [("all up", size), ("all down", 0), ("one up", 1)] {
                doing("in update with \(nodes), \(what)")
                for index in pool.nodes.indices {
                    pool.nodes[size - 1 - index].state = index < allBut ? TRIVET_UP : TRIVET_DOWN
                }
                try worker.changed(TRIVET_CHANGED_STATE)
                doing("in pick with \(nodes), \(what)")
                var random = SplitMix64(seed: 3)
                for number in 0..<100 {
                    let pick = worker.begin(ring[number])
                    if let fault = fault(pick, nodes: size) {
                        throw .failed("with \(nodes), \(what), it \(fault)")
                    }
                    worker.finish(until: 8, &random)
                }
            }
            doing("in save or load with \(nodes)")
            try worker.rebuild()
            doing("in destroy with \(nodes)")
        }
        return "0, 1, 2, 3, 64 and 10,000 nodes"
    }

    private static func describe(_ staged: StagedKind) throws(ConformanceEnd) -> String {
        guard unsafe staged.kind.describe != nil else { throw .skipped("it has no describe") }
        var random = SplitMix64(seed: 8)
        let ring = RequestRing(20)
        var longest = 0
        for size in [0, 1, 7] {
            let pool = StagePool(size)
            // Names that have to be escaped.
            for index in pool.nodes.indices { pool.nodes[index].name = "n\"o\\d\u{1}é\(index)" }
            pool.publish()
            let worker = try StageWorker(staged, pool)
            for round in 0..<3 {
                doing("in describe with \(size) nodes")
                let text = worker.instance.describe()
                longest = max(longest, text.count)
                let whole: [UInt8] = []
                guard case .compound = JSON.find(whole.span, in: text.span),
                    text.first(where: { $0 > 0x20 }) == UInt8(ascii: "{")
                else {
                    throw .failed(
                        "describe has to write one JSON object, but wrote: "
                            + String(decoding: text.prefix(120), as: UTF8.self))
                }
                for number in 0..<(20 * round) {
                    _ = worker.begin(ring[number])
                    worker.finish(until: 2, &random)
                }
            }
        }
        return "one JSON object each time, \(longest) bytes at most"
    }

    private static func hostileRequests(_ staged: StagedKind) throws(ConformanceEnd) -> String {
        var random = SplitMix64(seed: 666)
        let total = 1000
        let pool = StagePool(5)
        let worker = try StageWorker(staged, pool)
        doing("in pick, for hostile requests")
        for number in 0..<total {
            let request = StageRequest.hostile(&random, nodes: 5)
            let pick = worker.begin(LentRequest(request))
            if let fault = fault(pick, nodes: 5) {
                throw .failed("for hostile request \(number + 1) it \(fault)")
            }
            if number % 200 == 199 { doing("in result, with odd numbers") }
            if number % 16 == 0 { worker.instance.result(oddResult(&random)) }
            if number % 200 == 199 { doing("in pick, for hostile requests") }
            worker.finish(until: 9, &random)
        }
        // Everything at once that may be missing.
        var bare = StageRequest()
        bare.method = []
        bare.target = []
        bare.authority = []
        bare.client = []
        bare.flags = TRIVET_REQUEST_STREAM
        doing("in pick, for a stream of which nothing is known")
        let pick = worker.begin(LentRequest(bare))
        if let fault = fault(pick, nodes: 5) { throw .failed("for a bare stream it \(fault)") }
        return "\(total) requests with bytes, lengths and flags of every kind"
    }

    /// How no attempt ends, but as a later host may tell it.
    private static func oddResult(_ random: inout SplitMix64) -> trivet_result {
        var result = trivet_result()
        result.outcome = UInt32(random.next() % 12)
        result.node = UInt32(random.next() % 5)
        result.status = [0, 100, 200, 599, 999, .max][Int(random.next() % 6)]
        result.node_id = random.next()
        result.first_byte_ns = [0, 1, .max][Int(random.next() % 3)]
        result.total_ns = [0, 1, .max][Int(random.next() % 3)]
        result.bytes_sent = .max
        result.bytes_received = .max
        return result
    }
}
