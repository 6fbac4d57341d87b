// What the tables of a plugin offer, checked and copied: where it came from, its name, its options.
// StrategyKind and CheckKind build on it; nothing here makes instances.

import CTrivet

/// Which file and which plugin something came from.
package struct PluginOrigin: Equatable, Sendable {
    /// The file as the operator knows it (not the private copy).
    package var file: String
    /// The plugin's own name for the whole file, and its version; shown, never compared.
    package var plugin: String
    package var version: String

    package init(file: String, plugin: String, version: String) {
        self.file = file
        self.plugin = plugin
        self.version = version
    }
}

/// One key that a block of the configuration may have.
package struct PluginOption: Equatable, Sendable {
    package var name: String
    package var summary: String

    package init(name: String, summary: String) {
        self.name = name
        self.summary = summary
    }
}

/// Names as a configuration writes them: "round-robin". At most 64 bytes, so that they fit
/// everywhere.
func pluginName(_ text: trivet_str, of what: String) throws(Refusal) -> String {
    let bytes = unsafe foreignBytes(text, limit: 65)
    let isGood =
        !bytes.isEmpty && bytes.count <= 64
        && bytes.allSatisfy {
            ($0 >= UInt8(ascii: "a") && $0 <= UInt8(ascii: "z"))
                || ($0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9"))
                || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".")
        }
    guard isGood else {
        throw Refusal(
            "\(what) has no usable name (lower-case letters, digits, \"-\", \"_\" and \".\" are allowed)"
        )
    }
    return String(decoding: bytes, as: UTF8.self)
}

/// The options of a table, copied.
func pluginOptions(
    _ options: UnsafePointer<trivet_option>?, count: Int, of what: String
) throws(Refusal) -> [PluginOption] {
    guard count <= 256 else { throw Refusal("\(what) claims to have \(count) options") }
    guard count > 0 else { return [] }
    guard let options = unsafe options else {
        throw Refusal("\(what) claims to have \(count) options, but lists none")
    }
    var result: [PluginOption] = []
    for index in 0..<count {
        let name = unsafe foreignText(options[index].name, limit: 128)
        guard !name.isEmpty else { throw Refusal("option \(index + 1) of \(what) has no name") }
        guard !result.contains(where: { $0.name == name }) else {
            throw Refusal("\(what) lists its option \"\(name)\" twice")
        }
        unsafe result.append(
            PluginOption(name: name, summary: foreignText(options[index].summary, limit: 512)))
    }
    return result
}

/// Where an instance works: one pool, on one worker (or on the control thread, for checks).
package struct InstancePlace: Sendable {
    package var board: Board
    package var pool: PoolRows
    /// 0 ..< board.workers; checks: 0.
    package var worker: Int
    package var clock: WorkerClock
    package var metrics: Metrics
    /// Mixed into the seed of the instance's random numbers; a simulation passes the same each
    /// time.
    package var entropy: UInt64
    /// Of the process; nil: calls are measured for nobody.
    package var gauges: CallGauges?

    package init(
        board: Board, pool: PoolRows, worker: Int, clock: WorkerClock, metrics: Metrics,
        entropy: UInt64 = 0, gauges: CallGauges? = nil
    ) {
        self.gauges = gauges
        self.board = board
        self.pool = pool
        self.worker = worker
        self.clock = clock
        self.metrics = metrics
        self.entropy = entropy
    }

    package var spec: PoolSpec { pool.spec }

    /// The host of an instance here.
    func host(plugin: String, slot: Int) -> PluginHost {
        var mixed = spec.seed ^ entropy
        mixed = mixed &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(worker) << 8 &+ UInt64(slot)
        return PluginHost(
            label: "pool \(spec.name), worker \(worker), \(plugin)", pool: spec.name,
            plugin: plugin, worker: worker, clock: clock, metrics: metrics, seed: mixed)
    }
}

extension PluginOrigin {
    /// What a plugin's table says about itself. Its size must have been checked.
    package init(file: String, table: UnsafePointer<trivet_plugin>) {
        unsafe self.init(
            file: file, plugin: foreignText(table.pointee.name, limit: 128),
            version: foreignText(table.pointee.version, limit: 64))
    }
}
