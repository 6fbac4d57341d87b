// One instance of a health check on the kit's stage: asked for its questions and given answers through
// its C table. What it says is looked at for what Trivet would have to cut, drop or refuse.

import Balance
import Base
import CTrivet

/// A check that a rule is about.
struct StagedCheck {
    let kind: CheckKind
    let options: String

    /// An instance, or the end of the rule.
    func make(
        pool: StagePool? = nil, seed: UInt64 = 1
    ) throws(ConformanceEnd) -> StageCheck {
        let (made, sentence) = try StageCheck.make(
            kind, options: options, pool: pool ?? StagePool(4), host: StageHost(seed: seed))
        if let made { return made }
        throw .failed(
            "create refuses: " + (sentence.isEmpty ? "it does not say why" : sentence))
    }

    /// From create to destroy, with some rounds in between.
    func live() throws(ConformanceEnd) {
        ConformanceChild.doing("between create and destroy")
        let check = try make()
        for node in 0..<4 {
            for reply in StageReply.samples { try check.begin(node, reply) }
        }
    }
}

/// What came back, or that nothing did.
struct StageReply {
    var outcome = TRIVET_OK
    var status: UInt32 = 200
    var body: [UInt8] = []
    var headers: [(name: [UInt8], value: [UInt8])] = []
    var detail = ""

    /// One of each kind.
    static let samples = [
        StageReply(body: Array("{}".utf8)),
        StageReply(status: 418, body: Array(#"{"IsOffline":true,"Name":"n"}"#.utf8)),
        StageReply(status: 503, body: Array("<html>".utf8)),
        StageReply(outcome: TRIVET_CONNECT_FAILED, status: 0, detail: "connection refused"),
        StageReply(outcome: TRIVET_TIMED_OUT, status: 0, detail: "no answer within 1000 ms"),
        StageReply(outcome: TRIVET_BROKEN, status: 0, body: [1, 2, 3], detail: "reset"),
    ]
}

/// What a check made of an answer.
struct StageVerdict: Equatable {
    var round: UInt32
    var state: UInt32
    var weight: UInt32
    var atOnce: Bool
    var nextMs: UInt32
    var metadata: [[UInt8]]
    var reason: [UInt8]
}

/// One instance. One thread. Destroyed when this goes.
@safe
final class StageCheck {
    let kind: CheckKind
    let host: StageHost
    let pool: StagePool
    private let me: UnsafeMutableRawPointer

    static func make(
        _ kind: CheckKind, options: String, pool: StagePool, host: StageHost, room: Int = 512
    ) throws(ConformanceEnd) -> (StageCheck?, String) {
        let name = "the-pool"
        let size = options.utf8.count + name.utf8.count + 1
        let block = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 1)
        var text = unsafe StageText(block)
        var setup = unsafe trivet_check_setup()
        unsafe setup.size = UInt32(MemoryLayout<trivet_check_setup>.size)
        unsafe setup.config = text.keep(options)
        unsafe setup.pool = text.keep(name)
        let (made, sentence) = unsafe try SentenceRoom(capacity: room).hear { error in
            unsafe kind.table.pointee.create(kind.table, host.table, &setup, error)
        }
        host.endCall()
        // Lent for the call only.
        unsafe block.initializeMemory(as: UInt8.self, repeating: 0x5A, count: size)
        unsafe block.deallocate()
        guard let made = unsafe made else { return (nil, sentence) }
        return (unsafe StageCheck(kind, made, host, pool), sentence)
    }

    private init(
        _ kind: CheckKind, _ me: UnsafeMutableRawPointer, _ host: StageHost, _ pool: StagePool
    ) {
        self.kind = kind
        unsafe self.me = unsafe me
        self.host = host
        self.pool = pool
    }

    deinit { unsafe kind.table.pointee.destroy(me) }

    /// The question, or nil if there is none. Ends the rule on one that Trivet would not send.
    func probe(_ node: Int, step: UInt32) throws(ConformanceEnd) -> ProbePlan? {
        var probe = unsafe trivet_probe()
        unsafe probe.size = UInt32(MemoryLayout<trivet_probe>.size)
        unsafe probe.kind = TRIVET_PROBE_HTTP
        unsafe probe.timeout_ms = 1000
        unsafe probe.read_limit = 64 * 1024
        var texts = unsafe [UInt8](repeating: 0, count: 5 + pool.lent(node).pointee.address.len)
        let asks = unsafe texts.withUnsafeMutableBytes { block in
            var text = unsafe StageText(block.baseAddress!)
            unsafe probe.method = text.keep("GET")
            unsafe probe.target = text.keep("/")
            unsafe probe.authority = text.keep(foreign(pool.lent(node).pointee.address))
            let asks = unsafe kind.table.pointee.probe(me, pool.lent(node), step, &probe)
            // Copied while what it points to is there.
            return asks ? unsafe (Self.fault(probe), ProbePlan(probe, timeoutMs: 1000)) : nil
        }
        host.endCall()
        guard let (fault, plan) = asks else { return nil }
        if let fault = fault ?? plan.fault.map({ "asks with \($0)" }) {
            throw .failed("it \(fault) (node \(pool.nodes[node].name), step \(step))")
        }
        return plan
    }

    /// What Trivet would bring into its bounds without a word.
    private static func fault(_ probe: trivet_probe) -> String? {
        if unsafe probe.kind > TRIVET_PROBE_HTTP {
            return unsafe "asks in a way (\(probe.kind)) that there is not"
        }
        let both = TRIVET_PROBE_TLS | TRIVET_PROBE_CLEAR
        if unsafe probe.flags & both == both { return "asks with TLS and without at once" }
        if unsafe probe.flags & ~both != 0 { return "sets flags that there are not" }
        if unsafe probe.timeout_ms > 60_000 {
            return
                unsafe "would wait \(probe.timeout_ms) ms for an answer, where 60,000 are the most"
        }
        if unsafe probe.read_limit > ProbePlan.readCeiling {
            return
                unsafe "would read \(probe.read_limit) bytes, where \(ProbePlan.readCeiling) are the most"
        }
        if unsafe probe.payload.len > Int(ProbePlan.readCeiling) {
            return
                unsafe "would send \(probe.payload.len) bytes, where \(ProbePlan.readCeiling) are the most"
        }
        if unsafe probe.header_count > 32 {
            return unsafe "asks with \(probe.header_count) headers, where 32 are the most"
        }
        if unsafe probe.header_count > 0, unsafe probe.headers == nil {
            return "asks with headers that are nowhere"
        }
        if unsafe probe.target.len > 8192 { return "asks for a target of more than 8,192 bytes" }
        if unsafe probe.read_until.len > 256 {
            return "would read until more than 256 bytes have come that it names"
        }
        return nil
    }

    /// What it makes of an answer. Ends the rule on a verdict that Trivet would have to mend.
    func judge(_ node: Int, _ reply: StageReply, step: UInt32) throws(ConformanceEnd)
        -> StageVerdict
    {
        let lent = LentAnswer(reply, step: step)
        var verdict = unsafe trivet_verdict()
        unsafe verdict.size = UInt32(MemoryLayout<trivet_verdict>.size)
        unsafe verdict.state = TRIVET_UP
        unsafe verdict.weight_percent = TRIVET_KEEP
        var answer = unsafe lent.raw
        let round = unsafe kind.table.pointee.judge(me, pool.lent(node), &answer, &verdict)
        withExtendedLifetime(lent) {}
        if let fault = unsafe Self.fault(verdict, round) {
            throw .failed("for \(Self.shown(reply)) it \(fault)")
        }
        var metadata: [[UInt8]] = []
        if round == TRIVET_ROUND_DONE {
            for index in 0..<Int(unsafe verdict.metadata_count) {
                unsafe metadata.append(foreign(verdict.metadata[index].key))
                unsafe metadata.append(foreign(verdict.metadata[index].value))
            }
        }
        let made = unsafe StageVerdict(
            round: round, state: verdict.state, weight: verdict.weight_percent,
            atOnce: verdict.at_once != 0, nextMs: verdict.next_ms, metadata: metadata,
            reason: foreign(verdict.reason))
        host.endCall()
        return made
    }

    private static func fault(_ verdict: trivet_verdict, _ round: UInt32) -> String? {
        if round > TRIVET_ROUND_NEXT {
            return "answers \(round), which neither ends a round nor goes on"
        }
        if round == TRIVET_ROUND_NEXT { return nil }
        if unsafe verdict.state > TRIVET_DOWN {
            return unsafe "gives state \(verdict.state), which there is not"
        }
        let weight = unsafe verdict.weight_percent
        if weight > 1000, weight != TRIVET_KEEP {
            return "gives \(weight) percent of the weight, where 1,000 are the most"
        }
        let count = unsafe Int(verdict.metadata_count)
        let limit = CheckInstance.metadataLimit
        if count > limit.count {
            return "gives \(count) pairs of metadata, where \(limit.count) are the most"
        }
        guard count > 0 else { return nil }
        guard let pairs = unsafe verdict.metadata else { return "gives metadata that is nowhere" }
        for index in 0..<count {
            let key = unsafe pairs[index].key.len
            if key == 0 { return "gives metadata without a key" }
            // Values may come off the wire and be long: Trivet leaves such a pair out.
            if key > limit.bytes {
                return
                    "gives metadata with a key of \(key) bytes, where \(limit.bytes) are the most"
            }
        }
        return nil
    }

    static func shown(_ reply: StageReply) -> String {
        switch reply.outcome {
        case TRIVET_OK:
            "status \(reply.status) with a body of \(reply.body.count) bytes"
        case TRIVET_CONNECT_FAILED: "a connection that failed"
        case TRIVET_TIMED_OUT: "no answer in time"
        case TRIVET_BROKEN: "a broken connection"
        default: "outcome \(reply.outcome)"
        }
    }

    /// A round that is given up where another would be left running.
    func begin(_ node: Int, _ reply: StageReply) throws(ConformanceEnd) {
        for step in UInt32(0)..<3 {
            guard try probe(node, step: step) != nil,
                try judge(node, reply, step: step).round == TRIVET_ROUND_NEXT
            else { return }
        }
    }

    /// A whole round that gets the same answer to every question: its verdict, or nil if there was
    /// nothing to ask. Ends the rule if it does not end.
    func round(_ node: Int, _ reply: StageReply) throws(ConformanceEnd) -> StageVerdict? {
        for step in 0..<CheckInstance.stepLimit {
            guard let plan = try probe(node, step: step) else { return nil }
            var reply = reply
            if plan.kind == .tcp { reply.status = 0 }
            let verdict = try judge(node, reply, step: step)
            if verdict.round == TRIVET_ROUND_DONE { return verdict }
        }
        throw .failed(
            "for \(Self.shown(reply)) it asks once more after the \(CheckInstance.stepLimit)th question; a round has at most \(CheckInstance.stepLimit)"
        )
    }
}

/// One answer laid out as the header says.
@safe
private final class LentAnswer {
    let raw: trivet_reply
    private let block: UnsafeMutableRawPointer
    private let pairs: UnsafeMutablePointer<trivet_pair>

    init(_ reply: StageReply, step: UInt32) {
        let size = reply.headers.reduce(1 + reply.body.count + reply.detail.utf8.count) {
            $0 + $1.name.count + $1.value.count
        }
        let block = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 1)
        var text = unsafe StageText(block)
        let pairs = UnsafeMutablePointer<trivet_pair>.allocate(
            capacity: max(reply.headers.count, 1))
        for index in reply.headers.indices {
            let header = reply.headers[index]
            unsafe (pairs + index).initialize(
                to: trivet_pair(key: text.keep(header.name), value: text.keep(header.value)))
        }
        var raw = unsafe trivet_reply()
        unsafe raw.size = UInt32(MemoryLayout<trivet_reply>.size)
        unsafe raw.outcome = reply.outcome
        unsafe raw.status = reply.status
        unsafe raw.step = step
        unsafe raw.connect_ns = 300_000
        unsafe raw.total_ns = 2_000_000
        unsafe raw.body = text.keep(reply.body)
        unsafe raw.headers = reply.headers.isEmpty ? nil : UnsafePointer(pairs)
        unsafe raw.header_count = reply.headers.count
        unsafe raw.detail = text.keep(reply.detail)
        unsafe self.raw = unsafe raw
        unsafe self.block = unsafe block
        unsafe self.pairs = unsafe pairs
    }

    deinit {
        unsafe block.deallocate()
        unsafe pairs.deallocate()
    }
}
