// A health check as a plugin's table offers it, and its instances, one per pool: they write the
// question and read the answer. Who asks, and when, is not decided here. Control thread only.

import Base
import CTrivet

/// One check of one loaded plugin. Its table lives as long as the library is mapped: for ever.
@safe
package final class CheckKind: @unchecked Sendable {
    package let name: String
    package let summary: String
    package let options: [PluginOption]
    package let origin: PluginOrigin
    /// The library that it is of, as the host watches over it.
    package let build: Build
    package let table: UnsafePointer<trivet_check>

    /// Refuses a table that cannot be used, in one sentence without the file's name.
    package init(
        table: UnsafePointer<trivet_check>, origin: PluginOrigin, build: Build? = nil
    ) throws(Refusal) {
        let least =
            unsafe (MemoryLayout<trivet_check>.offset(of: \.judge) ?? 0)
            + MemoryLayout<UnsafeRawPointer>.size
        let size = unsafe Int(table.pointee.size)
        guard size >= least, size <= 1 << 16 else {
            throw Refusal(
                "a check's table says it has \(size) bytes, where at least \(least) are needed")
        }
        let name = unsafe try pluginName(table.pointee.name, of: "a check")
        let what = "check \"\(name)\""
        guard unsafe table.pointee.create != nil, unsafe table.pointee.destroy != nil,
            unsafe table.pointee.probe != nil, unsafe table.pointee.judge != nil
        else { throw Refusal("\(what) lacks create, destroy, probe or judge") }
        unsafe self.table = unsafe table
        self.name = name
        self.origin = origin
        self.build = build ?? Build(id: 0, origin: origin, generation: 0, workers: 16)
        summary = unsafe foreignText(table.pointee.summary, limit: 512)
        options = unsafe try pluginOptions(
            table.pointee.options, count: table.pointee.option_count, of: what)
    }

    /// Makes the instance of one pool; `options` is the check's block of the configuration as JSON.
    /// [control]
    package func make(at place: InstancePlace, options: String) throws(Refusal) -> CheckInstance {
        let pool = place.spec.name
        let host = place.host(plugin: name, slot: 255)
        let (made, sentence) = unsafe lend(options) { config in
            unsafe lend(pool) { poolName in
                unsafe lendError { error in
                    var setup = unsafe trivet_check_setup()
                    unsafe setup.size = UInt32(MemoryLayout<trivet_check_setup>.size)
                    unsafe setup.config = config
                    unsafe setup.pool = poolName
                    return unsafe build.call(.create) {
                        unsafe table.pointee.create(table, host.table, &setup, error)
                    }
                }
            }
        }
        host.endCall()
        guard let instance = unsafe made else {
            throw Refusal(
                "pool \(pool): check \"\(name)\" refuses: "
                    + (sentence.isEmpty ? "it does not say why" : sentence))
        }
        return unsafe CheckInstance(kind: self, pointer: instance, host: host, place: place)
    }
}

/// What a check wants to be asked of a node: copied and bounded, ready to be sent.
package struct ProbePlan: Equatable, Sendable {
    package enum Kind: UInt32, Sendable {
        /// Connect; send `payload` if any; read up to `readLimit` bytes.
        case tcp = 0
        /// One HTTP exchange; `payload` is the body.
        case http = 1
    }
    package enum Security: Sendable {
        case asPool
        case tls
        case clear
    }

    package var kind = Kind.http
    package var security = Security.asPool
    package var timeoutMs: UInt32
    /// Bytes of body, or of TCP reply.
    package var readLimit: UInt32 = 64 * 1024
    /// 0: the node's own.
    package var port: UInt16 = 0
    package var method = "GET"
    package var target = "/"
    /// What goes into Host.
    package var authority: String
    package var payload: [UInt8] = []
    package var headers: [Header] = []
    /// TCP: stop reading after these bytes; empty: when the peer pauses.
    package var readUntil: [UInt8] = []

    package struct Header: Equatable, Sendable {
        package var name: String
        package var value: String
    }
}

/// What came back, or that nothing did.
package struct ProbeReply: Sendable {
    package var outcome: AttemptResult.Outcome
    /// HTTP status; 0 for TCP.
    package var status: UInt32
    /// Which probe of this round it answers.
    package var step: UInt32
    package var connectNs: UInt64
    package var totalNs: UInt64
    package var body: [UInt8]
    /// Names in lower case.
    package var headers: [(String, String)]
    /// The host's own words on a failure: "connection refused".
    package var detail: String

    package init(
        outcome: AttemptResult.Outcome, status: UInt32 = 0, step: UInt32 = 0,
        connectNs: UInt64 = 0, totalNs: UInt64 = 0, body: [UInt8] = [],
        headers: [(String, String)] = [], detail: String = ""
    ) {
        self.outcome = outcome
        self.status = status
        self.step = step
        self.connectNs = connectNs
        self.totalNs = totalNs
        self.body = body
        self.headers = headers
        self.detail = detail
    }
}

/// The check of one pool. Rounds of several nodes may interleave; calls may not. [control]
@safe
package final class CheckInstance: @unchecked Sendable {
    /// Probes that a round may have at most.
    package static let stepLimit: UInt32 = 8
    /// Pairs of metadata on a node, and bytes of a key or a value; what is beyond is dropped.
    package static let metadataLimit = (count: 32, bytes: 256)

    package let kind: CheckKind
    private let pointer: UnsafeMutableRawPointer
    private let host: PluginHost
    private let place: InstancePlace
    private let table: NodeTable
    private var seenVersion: UInt64

    init(
        kind: CheckKind, pointer: UnsafeMutableRawPointer, host: PluginHost, place: InstancePlace
    ) {
        self.kind = kind
        unsafe self.pointer = unsafe pointer
        self.host = host
        self.place = place
        seenVersion = place.board.version
        table = NodeTable(board: place.board, pool: place.pool, showsEjections: false)
        kind.build.instanceMade()
    }

    deinit {
        kind.build.call(.destroy) { unsafe kind.table.pointee.destroy(pointer) }
        kind.build.instanceGone()
    }

    /// The question for a node, or nil if there is nothing to ask this time. A question that cannot
    /// be sent is logged, and none. `timeoutMs` is what the pool allows a probe.
    package func probe(node: Int, step: UInt32, timeoutMs: UInt32) -> ProbePlan? {
        refresh()
        let spec = place.spec.nodes[node]
        let plan: ProbePlan? = unsafe lend(spec.address) { address in
            unsafe lend("GET") { get in
                unsafe lend("/") { root in
                    var probe = unsafe trivet_probe()
                    unsafe probe.size = UInt32(MemoryLayout<trivet_probe>.size)
                    unsafe probe.kind = TRIVET_PROBE_HTTP
                    unsafe probe.timeout_ms = timeoutMs
                    unsafe probe.read_limit = 64 * 1024
                    unsafe probe.method = get
                    unsafe probe.target = root
                    unsafe probe.authority = address
                    let nodeTable = unsafe UnsafePointer(table.nodes + node)
                    let asks = kind.build.call(.probe) {
                        unsafe kind.table.pointee.probe(pointer, nodeTable, step, &probe)
                    }
                    return asks ? unsafe ProbePlan(probe, timeoutMs: timeoutMs) : nil
                }
            }
        }
        host.endCall()
        if let plan, let fault = plan.fault {
            Log.error(
                "pool \(place.spec.name): check \"\(kind.name)\" asks node \(spec.name) with \(fault); "
                    + "it is not asked")
            return nil
        }
        return plan
    }

    /// What the check makes of an answer (or of none). Not done: ask once more, with the next step;
    /// the eighth step always ends the round.
    package func judge(node: Int, reply: ProbeReply) -> (done: Bool, verdict: Verdict) {
        refresh()
        let lent = LentReply(reply)
        var raw = unsafe trivet_verdict()
        unsafe raw.size = UInt32(MemoryLayout<trivet_verdict>.size)
        unsafe raw.state = TRIVET_UP
        unsafe raw.weight_percent = TRIVET_KEEP
        var answer = unsafe lent.reply
        let round = kind.build.call(.judge) {
            unsafe kind.table.pointee.judge(
                pointer, UnsafePointer(table.nodes + node), &answer, &raw)
        }
        let verdict = unsafe Verdict(raw)
        host.endCall()
        withExtendedLifetime(lent) {}
        let isDone = round != TRIVET_ROUND_NEXT || reply.step + 1 >= Self.stepLimit
        return (isDone, verdict)
    }

    private func refresh() {
        let version = place.board.version
        guard version != seenVersion else { return }
        seenVersion = version
        _ = table.refresh(place.board)
    }
}

extension Verdict {
    /// Copies what a check wrote, within its limits.
    init(_ raw: trivet_verdict) {
        let percent = unsafe raw.weight_percent
        unsafe self.init(
            state: NodeState(abi: raw.state),
            weightPercent: percent == TRIVET_KEEP ? nil : min(percent, 1000),
            atOnce: raw.at_once != 0, nextMs: raw.next_ms,
            metadata: foreignPairs(
                raw.metadata, count: Int(raw.metadata_count), limit: CheckInstance.metadataLimit),
            reason: foreignText(raw.reason, limit: Board.reasonLimit))
    }
}
