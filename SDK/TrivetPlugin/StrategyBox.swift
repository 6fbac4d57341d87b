// Between the C tables and a Strategy: makes the table, keeps the instance, passes calls on.
//
// A C function pointer cannot capture a generic type. So the table's `data` holds a factory, an
// instance is a class with virtual methods, and there is one generic subclass per strategy. The
// strategy lives behind a pointer rather than in a property, which spares every pick the dynamic
// exclusivity check; the host never overlaps calls into one instance.

import CTrivet

/// What `data` of a table points to.
@safe
private final class StrategyKind {
    let make: (UnsafePointer<trivet_strategy_setup>, Host) throws(Refusal) -> AnyStrategy

    init<S: Strategy>(_: S.Type) {
        unsafe make = { setup, host throws(Refusal) in
            try StrategyBox(unsafe S(Setup(setup, host: host)))
        }
    }
}

/// What an instance's `self` points to. Owned by the host, from `create` to `destroy`.
private class AnyStrategy {
    func pick(
        _ pool: UnsafePointer<trivet_pool>, _ request: UnsafePointer<trivet_request>,
        _ out: UnsafeMutablePointer<trivet_pick>
    ) -> trivet_decision { TRIVET_PASS }
    func update(_ pool: UnsafePointer<trivet_pool>, _ changes: UInt32) {}
    func learn(_ pool: UnsafePointer<trivet_pool>, _ result: UnsafePointer<trivet_result>) {}
    func save(_ sink: UnsafeMutablePointer<trivet_sink>) {}
    func load(_ pool: UnsafePointer<trivet_pool>, _ version: UInt32, _ state: trivet_str) -> Bool {
        false
    }
    func describe(_ pool: UnsafePointer<trivet_pool>, _ sink: UnsafeMutablePointer<trivet_sink>) {}
}

@safe
private final class StrategyBox<S: Strategy>: AnyStrategy {
    private let strategy: UnsafeMutablePointer<S>
    private let decision: UnsafeMutablePointer<Decision>  // texts are lent from here
    private let updating = S.self as? any Updating.Type
    private let learning = S.self as? any Learning.Type
    private let lasting = S.self as? any Lasting.Type
    private let describing = S.self as? any Describing.Type

    init(_ strategy: consuming S) {
        unsafe self.strategy = .allocate(capacity: 1)
        unsafe self.strategy.initialize(to: strategy)
        unsafe decision = .allocate(capacity: 1)
        unsafe decision.initialize(to: .pass)
    }

    deinit {
        unsafe strategy.deinitialize(count: 1)
        unsafe strategy.deallocate()
        unsafe decision.deallocate()
    }

    override func pick(
        _ pool: UnsafePointer<trivet_pool>, _ request: UnsafePointer<trivet_request>,
        _ out: UnsafeMutablePointer<trivet_pick>
    ) -> trivet_decision {
        // Initialised anew each time, since it is plain memory: this spares a copy of 200 bytes.
        unsafe decision.initialize(to: strategy.pointee.pick(Pool(pool), Request(request)))
        return unsafe Decision.write(from: decision, to: out)
    }

    override func update(_ pool: UnsafePointer<trivet_pool>, _ changes: UInt32) {
        unsafe updating?.update(
            at: UnsafeMutableRawPointer(strategy), Pool(pool), Changes(rawValue: changes))
    }

    override func learn(
        _ pool: UnsafePointer<trivet_pool>, _ result: UnsafePointer<trivet_result>
    ) {
        unsafe learning?.learn(
            at: UnsafeMutableRawPointer(strategy), Pool(pool), PickResult(result.pointee))
    }

    override func save(_ sink: UnsafeMutablePointer<trivet_sink>) {
        var writer = StateWriter()
        unsafe lasting?.save(at: UnsafeMutableRawPointer(strategy), to: &writer)
        unsafe writer.bytes.withUnsafeBytes { bytes in
            guard let start = bytes.baseAddress else { return }
            unsafe sink.pointee.write(sink, trivet_str(start, count: bytes.count))
        }
    }

    override func load(
        _ pool: UnsafePointer<trivet_pool>, _ version: UInt32, _ state: trivet_str
    ) -> Bool {
        unsafe lasting?.load(
            at: UnsafeMutableRawPointer(strategy), from: state.span, version, Pool(pool)) ?? false
    }

    override func describe(
        _ pool: UnsafePointer<trivet_pool>, _ sink: UnsafeMutablePointer<trivet_sink>
    ) {
        var description = Description()
        unsafe describing?.describe(
            at: UnsafeMutableRawPointer(strategy), Pool(pool), into: &description)
        description.close()
        unsafe withStr(description.json) { unsafe sink.pointee.write(sink, $0) }
    }
}

// The box knows S as a Strategy only; these reach its facets through the type's own metatype.
extension Updating {
    fileprivate static func update(
        at place: UnsafeMutableRawPointer, _ pool: Pool, _ changes: Changes
    ) {
        unsafe place.assumingMemoryBound(to: Self.self).pointee.update(pool, changes)
    }
}

extension Learning {
    fileprivate static func learn(
        at place: UnsafeMutableRawPointer, _ pool: Pool, _ result: PickResult
    ) {
        unsafe place.assumingMemoryBound(to: Self.self).pointee.learn(pool, result)
    }
}

extension Lasting {
    fileprivate static func save(at place: UnsafeMutableRawPointer, to writer: inout StateWriter) {
        unsafe place.assumingMemoryBound(to: Self.self).pointee.save(to: &writer)
    }

    fileprivate static func load(
        at place: UnsafeMutableRawPointer, from state: Span<UInt8>, _ version: UInt32, _ pool: Pool
    ) -> Bool {
        var reader = StateReader(state)
        return unsafe place.assumingMemoryBound(to: Self.self).pointee.load(
            from: &reader, version: version, pool)
    }
}

extension Describing {
    fileprivate static func describe(
        at place: UnsafeMutableRawPointer, _ pool: Pool, into description: inout Description
    ) {
        unsafe place.assumingMemoryBound(to: Self.self).pointee.describe(pool, into: &description)
    }
}

/// The instance behind `self`, without a retain.
private func instance<Result>(
    _ me: UnsafeMutableRawPointer?, _ body: (AnyStrategy) -> Result
) -> Result {
    unsafe Unmanaged<AnyStrategy>.fromOpaque(me.unsafelyUnwrapped)
        ._withUnsafeGuaranteedRef { body($0) }
}

extension Offer {
    /// The C table of a strategy; lives for ever.
    static func makeTable<S: Strategy>(_: S.Type) -> UnsafePointer<trivet_strategy> {
        let table = UnsafeMutablePointer<trivet_strategy>.allocate(capacity: 1)
        unsafe table.initialize(to: trivet_strategy())
        unsafe table.pointee.size = UInt32(MemoryLayout<trivet_strategy>.size)
        unsafe table.pointee.name = trivet_str(keeping: S.name)
        unsafe table.pointee.summary = trivet_str(keeping: S.summary)
        unsafe table.pointee.options = UnsafePointer(keep(S.options.map(\.kept)))
        unsafe table.pointee.option_count = UInt32(S.options.count)
        unsafe table.pointee.data = Unmanaged.passRetained(StrategyKind(S.self)).toOpaque()
        unsafe table.pointee.create = { table, host, setup, error in
            guard let table = unsafe table, let host = unsafe host, let setup = unsafe setup,
                let data = unsafe table.pointee.data
            else { return nil }
            let kind = unsafe Unmanaged<StrategyKind>.fromOpaque(data).takeUnretainedValue()
            do throws(Refusal) {
                let instance = unsafe try kind.make(setup, Host(host))
                return unsafe Unmanaged.passRetained(instance).toOpaque()
            } catch let refusal {
                unsafe refusal.write(to: error)
                return nil
            }
        }
        unsafe table.pointee.destroy = { me in
            unsafe Unmanaged<AnyStrategy>.fromOpaque(me.unsafelyUnwrapped).release()
        }
        unsafe table.pointee.pick = { me, pool, request, out in
            unsafe instance(me) {
                unsafe $0.pick(
                    pool.unsafelyUnwrapped, request.unsafelyUnwrapped, out.unsafelyUnwrapped)
            }
        }
        unsafe addFacets(of: S.self, to: table)
        return unsafe UnsafePointer(table)
    }

    private static func addFacets<S: Strategy>(
        of _: S.Type, to table: UnsafeMutablePointer<trivet_strategy>
    ) {
        if S.self is any Updating.Type {
            unsafe table.pointee.update = { me, pool, changes in
                unsafe instance(me) { unsafe $0.update(pool.unsafelyUnwrapped, changes) }
            }
        }
        if S.self is any Learning.Type {
            unsafe table.pointee.result = { me, pool, result in
                unsafe instance(me) {
                    unsafe $0.learn(pool.unsafelyUnwrapped, result.unsafelyUnwrapped)
                }
            }
        }
        if let lasting = S.self as? any Lasting.Type {
            unsafe table.pointee.state_version = lasting.stateVersion
            unsafe table.pointee.save = { me, sink in
                unsafe instance(me) { unsafe $0.save(sink.unsafelyUnwrapped) }
            }
            unsafe table.pointee.load = { me, pool, version, state in
                unsafe instance(me) { unsafe $0.load(pool.unsafelyUnwrapped, version, state) }
            }
        }
        if S.self is any Describing.Type {
            unsafe table.pointee.describe = { me, pool, sink in
                unsafe instance(me) {
                    unsafe $0.describe(pool.unsafelyUnwrapped, sink.unsafelyUnwrapped)
                }
            }
        }
    }
}

extension Option {
    var kept: trivet_option {
        unsafe trivet_option(
            name: trivet_str(keeping: name), summary: trivet_str(keeping: summary))
    }
}
