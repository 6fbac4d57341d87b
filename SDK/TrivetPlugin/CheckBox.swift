// Between the C tables and a HealthCheck: makes the table, keeps the instance and what it lends,
// passes calls on. The pattern is explained in StrategyBox.swift.

import CTrivet

/// What `data` of a table points to.
@safe
private final class CheckKind {
    let make: (UnsafePointer<trivet_check_setup>, Host) throws(Refusal) -> AnyCheck

    init<C: HealthCheck>(_: C.Type) {
        unsafe make = { setup, host throws(Refusal) in
            CheckBox(unsafe try C(CheckSetup(setup, host: host)), host: host)
        }
    }
}

/// What an instance's `self` points to. Owned by the host, from `create` to `destroy`.
private class AnyCheck {
    let host: Host
    let lent = Lent()

    init(host: Host) { self.host = host }

    func probe(_ node: Node, step: Int) -> Probe? { nil }
    func judge(_ node: Node, _ reply: Reply) -> Judgement { .askAgain }

    func write(_ probe: Probe, to out: UnsafeMutablePointer<trivet_probe>) {
        switch probe.question {
        case .tcp(let send, let until):
            unsafe out.pointee.kind = TRIVET_PROBE_TCP
            unsafe out.pointee.payload = lent.str(send)
            unsafe out.pointee.read_until = lent.str(until)
        case .http(let method, let target, let headers, let body):
            unsafe out.pointee.kind = TRIVET_PROBE_HTTP
            unsafe out.pointee.method = lent.str(method)
            unsafe out.pointee.target = lent.str(target)
            unsafe out.pointee.payload = lent.str(body)
            unsafe out.pointee.headers = lent.pairs(headers)
            unsafe out.pointee.header_count = headers.count
        }
        if let tls = probe.tls {
            unsafe out.pointee.flags = tls ? TRIVET_PROBE_TLS : TRIVET_PROBE_CLEAR
        }
        if let timeout = probe.timeout {
            unsafe out.pointee.timeout_ms = UInt32(clamping: timeout)
        }
        if let limit = probe.readLimit { unsafe out.pointee.read_limit = UInt32(clamping: limit) }
        if let port = probe.port { unsafe out.pointee.port = port }
        if let authority = probe.authority { unsafe out.pointee.authority = lent.str(authority) }
    }

    func write(_ verdict: Verdict, to out: UnsafeMutablePointer<trivet_verdict>) {
        unsafe out.pointee.state = verdict.state.rawValue
        if let weight = verdict.weight {
            unsafe out.pointee.weight_percent = UInt32(min(max(weight, 0), 1000))
        }
        unsafe out.pointee.at_once = verdict.atOnce ? 1 : 0
        if let next = verdict.next { unsafe out.pointee.next_ms = UInt32(clamping: next) }
        unsafe out.pointee.metadata = lent.pairs(verdict.metadata.map { ($0.key, $0.value) })
        unsafe out.pointee.metadata_count = UInt32(verdict.metadata.count)
        unsafe out.pointee.reason = lent.str(verdict.reason)
    }
}

private final class CheckBox<C: HealthCheck>: AnyCheck {
    private var check: C

    init(_ check: consuming C, host: Host) {
        self.check = check
        super.init(host: host)
    }

    override func probe(_ node: Node, step: Int) -> Probe? { check.probe(node, step: step) }
    override func judge(_ node: Node, _ reply: Reply) -> Judgement { check.judge(node, reply) }
}

extension Offer {
    /// The C table of a check; lives for ever.
    static func makeTable<C: HealthCheck>(_: C.Type) -> UnsafePointer<trivet_check> {
        let table = UnsafeMutablePointer<trivet_check>.allocate(capacity: 1)
        unsafe table.initialize(to: trivet_check())
        unsafe table.pointee.size = UInt32(MemoryLayout<trivet_check>.size)
        unsafe table.pointee.name = trivet_str(keeping: C.name)
        unsafe table.pointee.summary = trivet_str(keeping: C.summary)
        unsafe table.pointee.options = UnsafePointer(keep(C.options.map(\.kept)))
        unsafe table.pointee.option_count = C.options.count
        unsafe table.pointee.data = Unmanaged.passRetained(CheckKind(C.self)).toOpaque()
        unsafe table.pointee.create = { table, host, setup, error in
            guard let table = unsafe table, let host = unsafe host, let setup = unsafe setup,
                let data = unsafe table.pointee.data
            else { return nil }
            let kind = unsafe Unmanaged<CheckKind>.fromOpaque(data).takeUnretainedValue()
            do throws(Refusal) {
                let instance = unsafe try kind.make(setup, Host(host))
                return unsafe Unmanaged.passRetained(instance).toOpaque()
            } catch let refusal {
                unsafe refusal.write(to: error)
                return nil
            }
        }
        unsafe table.pointee.destroy = { me in
            unsafe Unmanaged<AnyCheck>.fromOpaque(me.unsafelyUnwrapped).release()
        }
        unsafe table.pointee.probe = { me, node, step, out in
            let check = unsafe Unmanaged<AnyCheck>.fromOpaque(me.unsafelyUnwrapped)
                .takeUnretainedValue()
            check.lent.takeBack()
            guard let node = unsafe node, let out = unsafe out,
                let probe = unsafe check.probe(Node(node), step: Int(step))
            else { return false }
            unsafe check.write(probe, to: out)
            return true
        }
        unsafe table.pointee.judge = { me, node, reply, out in
            let check = unsafe Unmanaged<AnyCheck>.fromOpaque(me.unsafelyUnwrapped)
                .takeUnretainedValue()
            check.lent.takeBack()
            let node = unsafe Node(node.unsafelyUnwrapped)
            let reply = unsafe Reply(reply.unsafelyUnwrapped, host: check.host)
            switch check.judge(node, reply) {
            case .askAgain:
                return TRIVET_ROUND_NEXT
            case .done(let verdict):
                unsafe check.write(verdict, to: out.unsafelyUnwrapped)
                return TRIVET_ROUND_DONE
            }
        }
        return unsafe UnsafePointer(table)
    }
}
