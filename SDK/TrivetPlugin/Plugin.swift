// What a plugin file offers, and how it is exported. This turns Swift types into the table that
// `trivet_plugin_v1` returns; what the offered things do is in Strategy.swift and HealthCheck.swift.

@_exported public import CTrivet
import Synchronization

/// A plugin file: what it is called and what it offers.
///
/// One per file, exported by the one C function that Trivet looks for:
///
/// ```swift
/// @c @implementation public func trivet_plugin_v1(_ host: HostRef, _ error: ErrorRef) -> TableRef {
///     Acme.export(host, error)
/// }
/// ```
///
/// A strategy or check that comes alone can be its own plugin: `struct Turns: Strategy, Plugin`.
public protocol Plugin {
    /// The plugin's name, for `trivet plugin list`: "acme-balancers".
    static var name: String { get }
    /// Its version, shown and never compared: "1.4.2".
    static var version: String { get }
    /// The strategies and checks in this file. Read once, when the file is loaded.
    static var offers: [Offer] { get }
}

/// A plugin that wants to look at the world before it offers anything, or to know when it is over.
public protocol Attending: Plugin, SendableMetatype {
    /// Called once per load, before any instance is made. `host` can only log, and only until this
    /// returns. A refusal keeps the file from being loaded. [control]
    static func prepare(_ host: Host) throws(Refusal)
    /// Called after the last instance of this load is gone. [control]
    static func retire()
}

extension Plugin where Self: Strategy {
    /// The strategy itself.
    public static var offers: [Offer] { [.strategy(Self.self)] }
}

extension Plugin where Self: HealthCheck {
    /// The check itself.
    public static var offers: [Offer] { [.check(Self.self)] }
}

/// One thing that a plugin offers.
public struct Offer: @unchecked Sendable {
    // Unchecked: the tables are written once, here, and never freed.
    @safe
    enum Table {
        case strategy(UnsafePointer<trivet_strategy>)
        case check(UnsafePointer<trivet_check>)
    }
    let table: Table

    /// A balancing strategy.
    public static func strategy<S: Strategy>(_: S.Type) -> Offer {
        unsafe Offer(table: .strategy(makeTable(S.self)))
    }

    /// A health check.
    public static func check<C: HealthCheck>(_: C.Type) -> Offer {
        unsafe Offer(table: .check(makeTable(C.self)))
    }
}

/// One key that the plugin's block of the configuration may have. Trivet refuses keys that are not
/// declared, suggests the nearest that is, and prints the list as help.
public struct Option: Sendable {
    let name: String
    let summary: String

    /// - Parameters:
    ///   - name: the key, as it is written in the configuration: "virtual_nodes".
    ///   - summary: one line with the default: "virtual nodes per unit of weight (default 160)".
    public init(_ name: String, _ summary: String) {
        self.name = name
        self.summary = summary
    }
}

/// Why something cannot be made: one sentence for the operator, lower case, that names the thing
/// and says what was expected.
public struct Refusal: Error, Equatable, CustomStringConvertible {
    /// The sentence.
    public let description: String

    /// A refusal with this sentence.
    public init(_ sentence: String) { description = sentence }
}

/// First parameter of the entry function: what Trivet does for the plugin.
public typealias HostRef = UnsafePointer<trivet_host>?
/// Second parameter of the entry function: room for a sentence.
public typealias ErrorRef = UnsafeMutablePointer<trivet_error>?
/// Result of the entry function: the plugin's table, or nothing with the reason in the error.
public typealias TableRef = UnsafePointer<trivet_plugin>?

extension Plugin {
    /// The whole body of the entry function. Called once per load; the table lives for ever.
    public static func export(_ host: HostRef, _ error: ErrorRef) -> TableRef {
        let attending = Self.self as? any Attending.Type
        if let attending, let host = unsafe host {
            do throws(Refusal) {
                unsafe try attending.prepare(Host(host))
            } catch let refusal {
                unsafe refusal.write(to: error)
                return nil
            }
        }
        var strategies: [UnsafePointer<trivet_strategy>?] = unsafe []
        var checks: [UnsafePointer<trivet_check>?] = unsafe []
        for offer in offers {
            switch offer.table {
            case .strategy(let table): unsafe strategies.append(table)
            case .check(let table): unsafe checks.append(table)
            }
        }
        let table = UnsafeMutablePointer<trivet_plugin>.allocate(capacity: 1)
        unsafe table.initialize(to: trivet_plugin())
        unsafe table.pointee.size = UInt32(MemoryLayout<trivet_plugin>.size)
        unsafe table.pointee.abi_minor = TRIVET_ABI_MINOR
        unsafe table.pointee.name = trivet_str(keeping: name)
        unsafe table.pointee.version = trivet_str(keeping: version)
        unsafe table.pointee.strategies = UnsafePointer(keep(strategies + [nil]))
        unsafe table.pointee.checks = UnsafePointer(keep(checks + [nil]))
        if let attending {
            retiring.withLock { $0 = attending }
            unsafe table.pointee.retire = { retiring.withLock { $0 }?.retire() }
        }
        return unsafe UnsafePointer(table)
    }
}

// `retire` of the table carries no context, so the file remembers who wants to be told.
private let retiring = Mutex<(any Attending.Type)?>(nil)
