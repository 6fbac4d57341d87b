// What Trivet does for a plugin: the clock, the dice, the log, metrics and look-ups in JSON. A
// plugin uses no other source of any of these; that is what lets a simulation repeat exactly.

import CTrivet

/// Trivet, as one instance sees it. May be kept by the instance, and by nobody else.
@safe
public struct Host {
    let raw: UnsafePointer<trivet_host>

    init(_ raw: UnsafePointer<trivet_host>) { unsafe self.raw = raw }

    /// Monotonic nanoseconds, read once per turn of the event loop; never goes backwards.
    /// The only clock there is: in the simulator it is simulated time. [control, worker]
    public var now: UInt64 { unsafe raw.pointee.now(raw) }

    /// 64 random bits of this instance's own generator. The only randomness there is: a simulation
    /// repeats exactly. [control, worker]
    public func random() -> UInt64 { unsafe raw.pointee.random(raw) }

    /// A random number in 0 ..< `bound`, every one equally likely. `bound` must be positive.
    public func random(below bound: Int) -> Int {
        // Lemire 2019, "Fast random integer generation in an interval".
        let bound = UInt64(bound)
        var product = random().multipliedFullWidth(by: bound)
        if product.low < bound {
            let threshold = (0 &- bound) % bound
            while product.low < threshold {
                product = random().multipliedFullWidth(by: bound)
            }
        }
        return Int(product.high)
    }

    /// How much a line in the log matters.
    public enum Level: UInt32, Sendable {
        /// For those who develop the plugin.
        case debug
        /// Good to know.
        case info
        /// Someone should look at it.
        case warning
        /// Something does not work.
        case error
    }

    /// One line for Trivet's log, which adds plugin, pool and worker. Rate-limited. Making the
    /// string allocates: not on every pick. [any]
    public func log(_ level: Level, _ line: String) {
        unsafe withStr(line) { unsafe raw.pointee.log(raw, level.rawValue, $0) }
    }

    /// A counter, found or made by name ("ring_rebuilds_total"): it sums over workers and keeps its
    /// value across a reload. Trivet adds its prefix and the labels pool and strategy. Refused (a
    /// bad name, too many) is no error: adding does nothing then. [control]
    public func counter(_ name: String, _ help: String) -> Metric {
        metric(TRIVET_COUNTER, name, help)
    }

    /// A gauge: a value that goes up and down; otherwise like `counter`. [control]
    public func gauge(_ name: String, _ help: String) -> Metric {
        metric(TRIVET_GAUGE, name, help)
    }

    /// A histogram; otherwise like `counter`. [control]
    public func histogram(_ name: String, _ help: String) -> Metric {
        metric(TRIVET_HISTOGRAM, name, help)
    }

    private func metric(_ kind: trivet_metric_kind, _ name: String, _ help: String) -> Metric {
        let handle = unsafe withStr(name) { name in
            unsafe withStr(help) { unsafe raw.pointee.metric(raw, kind, name, $0) }
        }
        return Metric(host: self, handle: handle)
    }

    /// One value of a JSON text by RFC 6901 pointer: "/queue/depth", "" for the whole. `.missing`
    /// if the text is not JSON. [control]
    public func json(_ pointer: String, in document: Span<UInt8>) -> JSON {
        unsafe document.withUnsafeBytes { bytes in
            let text = unsafe trivet_str(
                data: bytes.baseAddress?.assumingMemoryBound(to: CChar.self), len: bytes.count)
            return unsafe withStr(pointer) { unsafe JSON(raw.pointee.json(raw, text, $0)) }
        }
    }
}

/// A metric of this instance. [control, worker]
public struct Metric {
    let host: Host
    let handle: trivet_metric

    /// Adds to a counter or gauge, or records into a histogram. Does not allocate.
    public func add(_ amount: Double = 1) {
        unsafe host.raw.pointee.metric_add(host.raw, handle, amount)
    }
}

/// A value found in a JSON text.
public enum JSON: Equatable, Sendable {
    /// No such member, or the text is not JSON.
    case missing
    /// `null`
    case null
    /// `true` or `false`
    case bool(Bool)
    /// A number.
    case number(Double)
    /// A string, unescaped.
    case string(String)
    /// An array or object, as it is in the text.
    case compound(String)

    init(_ json: trivet_json) {
        self =
            switch unsafe json.kind {
            case TRIVET_JSON_NULL: .null
            case TRIVET_JSON_BOOL: unsafe .bool(json.number != 0)
            case TRIVET_JSON_NUMBER: unsafe .number(json.number)
            case TRIVET_JSON_STRING: unsafe .string(json.text.string)
            case TRIVET_JSON_COMPOUND: unsafe .compound(json.text.string)
            default: .missing
            }
    }

    /// The string, if it is one.
    public var string: String? { if case .string(let string) = self { string } else { nil } }

    /// The number, if it is one.
    public var number: Double? { if case .number(let number) = self { number } else { nil } }

    /// The number, if it is a whole one.
    public var integer: Int? { number.flatMap { Int(exactly: $0) } }

    /// The truth value, if it is one.
    public var bool: Bool? { if case .bool(let bool) = self { bool } else { nil } }
}

/// Lends a string's bytes to one call.
func withStr<Result>(_ text: String, _ body: (trivet_str) -> Result) -> Result {
    var text = text
    return text.withUTF8 { bytes in
        guard let start = bytes.baseAddress else {
            return unsafe body(trivet_str(data: nil, len: 0))
        }
        return unsafe body(trivet_str(UnsafeRawPointer(start), count: bytes.count))
    }
}
