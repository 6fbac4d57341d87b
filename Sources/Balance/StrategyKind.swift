// A balancing strategy as a plugin's table offers it, and its instances. The table is checked once,
// here; what an instance answers is checked by the PoolView, on every pick.

import CTrivet

/// One strategy of one loaded plugin. Its table lives as long as the library is mapped: for ever.
@safe
package final class StrategyKind: @unchecked Sendable {
    package let name: String
    package let summary: String
    package let options: [PluginOption]
    package let origin: PluginOrigin
    /// The library that it is of, as the host watches over it.
    package let build: Build
    package let table: UnsafePointer<trivet_strategy>
    package let stateVersion: UInt32

    /// Refuses a table that cannot be used, in one sentence without the file's name.
    package init(
        table: UnsafePointer<trivet_strategy>, origin: PluginOrigin, build: Build? = nil
    ) throws(Refusal) {
        // Up to the last function that must be there.
        let least =
            unsafe (MemoryLayout<trivet_strategy>.offset(of: \.pick) ?? 0)
            + MemoryLayout<UnsafeRawPointer>.size
        let size = unsafe Int(table.pointee.size)
        guard size >= least, size <= 1 << 16 else {
            throw Refusal(
                "a strategy's table says it has \(size) bytes, where at least \(least) are needed")
        }
        let name = unsafe try pluginName(table.pointee.name, of: "a strategy")
        let what = "strategy \"\(name)\""
        guard unsafe table.pointee.create != nil, unsafe table.pointee.destroy != nil,
            unsafe table.pointee.pick != nil
        else { throw Refusal("\(what) lacks create, destroy or pick") }
        unsafe self.table = unsafe table
        self.name = name
        self.origin = origin
        self.build = build ?? Build(id: 0, origin: origin, generation: 0, workers: 16)
        summary = unsafe foreignText(table.pointee.summary, limit: 512)
        options = unsafe try pluginOptions(
            table.pointee.options, count: Int(table.pointee.option_count), of: what)
        stateVersion = unsafe table.pointee.state_version
        guard unsafe (save == nil) == (load == nil) else {
            throw Refusal("\(what) has only one of save and load, where both or neither are needed")
        }
    }

    /// Makes the instance for one worker of a pool; `options` is the strategy's block of the
    /// configuration as JSON. `slot`: its place in the pool's list of strategies, or that of
    /// a canary or shadow. [control]
    package func make(
        at place: InstancePlace, slot: Int, options: String
    ) throws(Refusal) -> StrategyInstance {
        let pool = place.spec.name
        guard slot < PoolView.slotLimit else {
            throw Refusal("pool \(pool) names more than \(PoolView.strategyLimit) strategies")
        }
        let host = place.host(plugin: PoolView.name(name, slot: slot), slot: slot)
        let nodes = NodeTable(board: place.board, pool: place.pool)
        let (made, sentence) = unsafe lend(options) { config in
            unsafe lendError { error in
                var setup = unsafe trivet_strategy_setup()
                unsafe setup.size = UInt32(MemoryLayout<trivet_strategy_setup>.size)
                unsafe setup.worker = UInt32(place.worker)
                unsafe setup.worker_count = UInt32(place.board.workers)
                unsafe setup.config = config
                unsafe setup.pool = UnsafePointer(nodes.pool)
                return unsafe build.call(.create) {
                    unsafe table.pointee.create(table, host.table, &setup, error)
                }
            }
        }
        host.endCall()
        guard let instance = unsafe made else {
            throw Refusal(
                "pool \(pool): strategy \"\(name)\" refuses: "
                    + (sentence.isEmpty ? "it does not say why" : sentence))
        }
        return unsafe StrategyInstance(
            kind: self, pointer: instance, host: host, slot: slot, options: options)
    }

    // The optional functions, nil where the table does not reach so far.

    package var update:
        (@convention(c) (UnsafeMutableRawPointer?, UnsafePointer<trivet_pool>?, UInt32) -> Void)?
    {
        unsafe reaches(\.update) ? table.pointee.update : nil
    }
    package var result:
        (
            @convention(c) (
                UnsafeMutableRawPointer?, UnsafePointer<trivet_pool>?,
                UnsafePointer<trivet_result>?
            ) -> Void
        )?
    {
        unsafe reaches(\.result) ? table.pointee.result : nil
    }
    package var save:
        (@convention(c) (UnsafeMutableRawPointer?, UnsafeMutablePointer<trivet_sink>?) -> Void)?
    {
        unsafe reaches(\.save) ? table.pointee.save : nil
    }
    package var load:
        (
            @convention(c) (
                UnsafeMutableRawPointer?, UnsafePointer<trivet_pool>?, UInt32, trivet_str
            ) -> Bool
        )?
    {
        unsafe reaches(\.load) ? table.pointee.load : nil
    }
    package var describe:
        (
            @convention(c) (
                UnsafeMutableRawPointer?, UnsafePointer<trivet_pool>?,
                UnsafeMutablePointer<trivet_sink>?
            ) -> Void
        )?
    {
        unsafe reaches(\.describe) ? table.pointee.describe : nil
    }

    /// Whether its instances can be told that nodes came or went.
    package var canFollow: Bool { unsafe update != nil }

    /// TRIVET_HAS for a function pointer of the table.
    private func reaches(_ field: PartialKeyPath<trivet_strategy>) -> Bool {
        let offset = unsafe MemoryLayout<trivet_strategy>.offset(of: field) ?? Int.max / 2
        return unsafe Int(table.pointee.size) >= offset + MemoryLayout<UnsafeRawPointer>.size
    }
}

/// One instance: made on the control thread, handed to one worker, destroyed with its last
/// reference.
@safe
package final class StrategyInstance: @unchecked Sendable {
    package let kind: StrategyKind
    package let options: String
    package let slot: Int
    let pointer: UnsafeMutableRawPointer
    let host: PluginHost

    init(
        kind: StrategyKind, pointer: UnsafeMutableRawPointer, host: PluginHost, slot: Int,
        options: String
    ) {
        self.kind = kind
        unsafe self.pointer = unsafe pointer
        self.host = host
        self.slot = slot
        self.options = options
        kind.build.instanceMade()
    }

    deinit {
        kind.build.call(.destroy) { unsafe kind.table.pointee.destroy(pointer) }
        kind.build.instanceGone()
    }

    /// What it has learnt, for a successor; nil if it carries nothing over. [worker]
    func save(limit: Int) -> [UInt8]? {
        guard let save = unsafe kind.save else { return nil }
        let sink = Sink(limit: limit)
        unsafe sink.collect { state in
            kind.build.call(.save) { unsafe save(pointer, state) }
        }
        return sink.isOverfull ? nil : sink.bytes
    }

    /// Takes over what a predecessor saved; false if it starts as new. [worker]
    func load(_ state: [UInt8], version: UInt32, pool: UnsafePointer<trivet_pool>) -> Bool {
        guard let load = unsafe kind.load else { return false }
        let block = LentText(capacity: state.count)
        let lent = unsafe block.keep(state)
        defer { withExtendedLifetime(block) {} }
        return kind.build.call(.load) { unsafe load(pointer, pool, version, lent) }
    }
}

/// Collects what a plugin writes, up to a limit.
@safe
final class Sink {
    private(set) var bytes: [UInt8] = []
    private(set) var isOverfull = false
    private let limit: Int

    init(limit: Int) { self.limit = limit }

    func collect(_ body: (UnsafeMutablePointer<trivet_sink>) -> Void) {
        var sink = unsafe trivet_sink()
        unsafe sink.ctx = Unmanaged.passUnretained(self).toOpaque()
        unsafe sink.write = { sink, text in
            guard let ctx = unsafe sink?.pointee.ctx else { return }
            unsafe Unmanaged<Sink>.fromOpaque(ctx).takeUnretainedValue().add(text)
        }
        unsafe withUnsafeMutablePointer(to: &sink) { unsafe body($0) }
    }

    private func add(_ text: trivet_str) {
        let room = limit - bytes.count
        if unsafe text.len > room { isOverfull = true }
        unsafe bytes.append(contentsOf: foreignBytes(text, limit: room))
    }
}
