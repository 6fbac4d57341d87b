// The host as a plugin's instance sees it: log, clock, randomness, metrics, JSON. One per instance,
// alive until after its `destroy`. It does what it is told within bounds, and nothing else.

import Base
import CTrivet
import Synchronization

/// Makes and owns the `trivet_host` of one instance.
@safe
package final class PluginHost: @unchecked Sendable {
    /// What the callbacks on the path of a request need, found without touching the object.
    @unsafe private struct Front {
        var now: UnsafePointer<UInt64>
        var random: SplitMix64
        var cells: UnsafeMutablePointer<Unmanaged<MetricCell>?>
        var cellCount: Int
        var owner: Unmanaged<PluginHost>
    }

    /// Lines that one instance may log in a burst, and how long until it may log as many again.
    private static let logBurst = 20
    private static let logPeriod: UInt64 = 10_000_000_000

    private struct Budget: Sendable {
        var windowStart: UInt64 = 0
        var written = 0
        var dropped = 0
    }

    package let table: UnsafePointer<trivet_host>
    private let front: UnsafeMutablePointer<Front>
    private let label: String
    private let pool: String
    private let plugin: String
    private let worker: Int
    private let clock: WorkerClock
    private let metrics: Metrics
    // Registered metrics, so that the cells behind `front` stay alive. [control]
    private var kept: [MetricCell] = []
    // What `json` lent; freed when the call is over. [control]
    private var lent: [LentText] = []
    private let budget = Guarded(Budget())

    /// `label` opens the log lines: "octopus, worker 1: round-robin".
    package init(
        label: String, pool: String, plugin: String, worker: Int, clock: WorkerClock,
        metrics: Metrics, seed: UInt64
    ) {
        self.label = label
        self.pool = pool
        self.plugin = plugin
        self.worker = worker
        self.clock = clock
        self.metrics = metrics
        let cells = UnsafeMutablePointer<Unmanaged<MetricCell>?>.allocate(capacity: Metrics.limit)
        unsafe cells.initialize(repeating: nil, count: Metrics.limit)
        unsafe front = .allocate(capacity: 1)
        let table = UnsafeMutablePointer<trivet_host>.allocate(capacity: 1)
        unsafe self.table = UnsafePointer(table)
        unsafe front.initialize(
            to: Front(
                now: UnsafePointer(clock.cell), random: SplitMix64(seed: seed), cells: cells,
                cellCount: 0, owner: Unmanaged.passUnretained(self)))
        unsafe table.initialize(to: Self.makeTable(front))
    }

    deinit {
        unsafe front.pointee.cells.deallocate()
        unsafe front.deallocate()
        unsafe table.deallocate()
    }

    /// The instance's call has returned: what it was lent by `json` goes. [control]
    func endCall() {
        if !lent.isEmpty { lent.removeAll() }
    }

    private static func makeTable(_ front: UnsafeMutablePointer<Front>) -> trivet_host {
        var table = unsafe trivet_host()
        unsafe table.size = UInt32(MemoryLayout<trivet_host>.size)
        unsafe table.abi_minor = TRIVET_ABI_MINOR
        unsafe table.ctx = UnsafeMutableRawPointer(front)
        unsafe table.now = { host in
            guard let front = unsafe PluginHost.front(host) else { return 0 }
            return unsafe front.pointee.now.pointee
        }
        unsafe table.random = { host in
            guard let front = unsafe PluginHost.front(host) else { return 0 }
            return unsafe front.pointee.random.next()
        }
        unsafe table.metric_add = { host, metric, amount in
            guard let front = unsafe PluginHost.front(host), metric > 0,
                unsafe metric <= front.pointee.cellCount,
                let cell = unsafe front.pointee.cells[Int(metric) - 1]
            else { return }
            unsafe cell._withUnsafeGuaranteedRef { $0.add(amount) }
        }
        unsafe table.log = { host, level, line in
            guard let front = unsafe PluginHost.front(host) else { return }
            unsafe front.pointee.owner.takeUnretainedValue().log(level, line)
        }
        unsafe table.metric = { host, kind, name, help in
            guard let front = unsafe PluginHost.front(host) else { return 0 }
            return unsafe front.pointee.owner.takeUnretainedValue().metric(kind, name, help)
        }
        unsafe table.json = { host, document, pointer in
            guard let front = unsafe PluginHost.front(host) else { return unsafe trivet_json() }
            return unsafe front.pointee.owner.takeUnretainedValue().json(document, pointer)
        }
        return unsafe table
    }

    private static func front(_ host: UnsafePointer<trivet_host>?) -> UnsafeMutablePointer<Front>? {
        unsafe host?.pointee.ctx?.assumingMemoryBound(to: Front.self)
    }

    private func log(_ level: trivet_log_level, _ line: trivet_str) {
        let level: Log.Level =
            switch level {
            case TRIVET_LOG_DEBUG: .debug
            case TRIVET_LOG_INFO: .info
            case TRIVET_LOG_WARNING: .warning
            default: .error
            }
        guard Log.writes(level) else { return }
        // The clock's cell is read from any thread here: a stale value only shifts the window.
        let now = unsafe front.pointee.now.pointee
        let (allowed, dropped) = budget.withLock { budget in
            if now &- budget.windowStart >= Self.logPeriod {
                let dropped = budget.dropped
                budget = Budget(windowStart: now, written: 1, dropped: 0)
                return (true, dropped)
            }
            budget.written += 1
            let allowed = budget.written <= Self.logBurst
            if !allowed { budget.dropped += 1 }
            return (allowed, 0)
        }
        if dropped > 0 { Log.warning("\(label): \(dropped) log lines were dropped") }
        guard allowed else { return }
        Log.write(level, unsafe "\(label): \(foreignText(line, limit: 1024))")
    }

    private func metric(
        _ kind: trivet_metric_kind, _ name: trivet_str, _ help: trivet_str
    ) -> trivet_metric {
        guard let kind = Metrics.Kind(rawValue: kind),
            let (index, cell) = unsafe metrics.register(
                pool: pool, plugin: plugin, worker: worker, kind: kind,
                name: foreignText(name, limit: 65), help: foreignText(help, limit: 256)),
            index < Metrics.limit
        else { return 0 }
        if unsafe front.pointee.cells[index] == nil { kept.append(cell) }
        unsafe front.pointee.cells[index] = Unmanaged.passUnretained(cell)
        unsafe front.pointee.cellCount = max(front.pointee.cellCount, index + 1)
        return UInt32(index + 1)
    }

    private func json(_ document: trivet_str, _ pointer: trivet_str) -> trivet_json {
        var answer = unsafe trivet_json()
        guard let start = unsafe document.data, unsafe document.len > 0 else {
            return unsafe answer
        }
        let text = unsafe UnsafeRawBufferPointer(start: start, count: document.len)
            .assumingMemoryBound(to: UInt8.self)
        let path = unsafe foreignBytes(pointer, limit: 1024)
        switch JSON.find(path.span, in: unsafe Span(_unsafeElements: text)) {
        case .missing:
            unsafe answer.kind = TRIVET_JSON_MISSING
        case .null:
            unsafe answer.kind = TRIVET_JSON_NULL
        case .bool(let value):
            unsafe answer.kind = TRIVET_JSON_BOOL
            unsafe answer.number = value ? 1 : 0
        case .number(let value):
            unsafe answer.kind = TRIVET_JSON_NUMBER
            unsafe answer.number = value
        case .string(let bytes):
            unsafe answer.kind = TRIVET_JSON_STRING
            let block = LentText(capacity: bytes.count)
            unsafe answer.text = block.keep(bytes)
            lent.append(block)
        case .compound(let range):
            unsafe answer.kind = TRIVET_JSON_COMPOUND
            unsafe answer.text = trivet_str(data: start + Int(range.start), len: Int(range.length))
        }
        return unsafe answer
    }
}

extension PluginHost {
    /// Calls a plugin's entry function with this host and room for a sentence; what was written
    /// there comes back beside its table. [control]
    package static func callEntry(
        _ host: PluginHost,
        _ entry: (UnsafePointer<trivet_host>, UnsafeMutablePointer<trivet_error>) ->
            UnsafePointer<trivet_plugin>?
    ) -> (UnsafePointer<trivet_plugin>?, String) {
        let answer = unsafe lendError { unsafe entry(host.table, $0) }
        host.endCall()
        return unsafe answer
    }
}
