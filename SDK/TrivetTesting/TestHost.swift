// Trivet's side of the interface for tests: a clock and dice that a test can repeat, what a plugin
// logged and counted, and the bytes that are lent to it. Single-threaded; no network.

import CTrivet
import Foundation
import TrivetPlugin

/// What Trivet does for one instance, and what the instance did with it.
@safe
public final class TestHost {
    let raw: UnsafeMutablePointer<trivet_host>
    private var lent = Lent()
    private var random: UInt64 = 1

    /// Nanoseconds; a test moves it on.
    public var now: UInt64 = 1_000_000_000
    /// The lines that were logged.
    public private(set) var log: [String] = []
    /// What was added to each metric, by its name; of a histogram the sum.
    public private(set) var metrics: [String: Double] = [:]
    private var metricNames: [String] = []

    init() {
        unsafe raw = .allocate(capacity: 1)
        unsafe raw.initialize(to: trivet_host())
        unsafe raw.pointee.size = UInt32(MemoryLayout<trivet_host>.size)
        unsafe raw.pointee.abi_minor = TRIVET_ABI_MINOR
        unsafe raw.pointee.ctx = Unmanaged.passUnretained(self).toOpaque()
        unsafe raw.pointee.log = { host, _, line in
            unsafe TestHost.of(host).log.append(text(line))
        }
        unsafe raw.pointee.now = { unsafe TestHost.of($0).now }
        unsafe raw.pointee.random = { unsafe TestHost.of($0).nextRandom() }
        unsafe raw.pointee.metric = { host, _, name, _ in
            let me = unsafe TestHost.of(host)
            let name = unsafe text(name)
            if me.metrics[name] == nil {
                me.metrics[name] = 0
                me.metricNames.append(name)
            }
            return UInt32((me.metricNames.firstIndex(of: name) ?? -1) + 1)
        }
        unsafe raw.pointee.metric_add = { host, metric, amount in
            let me = unsafe TestHost.of(host)
            guard metric > 0, Int(metric) <= me.metricNames.count else { return }
            me.metrics[me.metricNames[Int(metric) - 1], default: 0] += amount
        }
        unsafe raw.pointee.json = { host, document, pointer in
            unsafe TestHost.of(host).find(text(pointer), in: bytes(document))
        }
    }

    deinit { unsafe raw.deallocate() }

    private static func of(_ host: UnsafePointer<trivet_host>?) -> TestHost {
        unsafe Unmanaged.fromOpaque(host!.pointee.ctx).takeUnretainedValue()
    }

    /// Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators" (SplitMix64).
    private func nextRandom() -> UInt64 {
        random &+= 0x9E37_79B9_7F4A_7C15
        var mixed = random
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }

    private func find(_ pointer: String, in document: [UInt8]) -> trivet_json {
        var json = unsafe trivet_json()
        switch JSONValue(document)?.value(at: pointer) {
        case nil: unsafe json.kind = TRIVET_JSON_MISSING
        case .null: unsafe json.kind = TRIVET_JSON_NULL
        case .bool(let bool):
            unsafe json.kind = TRIVET_JSON_BOOL
            unsafe json.number = bool ? 1 : 0
        case .number(let number):
            unsafe json.kind = TRIVET_JSON_NUMBER
            unsafe json.number = number
        case .string(let string):
            unsafe json.kind = TRIVET_JSON_STRING
            unsafe json.text = lent.str(string)
        case .some(let compound):
            unsafe json.kind = TRIVET_JSON_COMPOUND
            unsafe json.text = lent.str((try? JSONEncoder().encode(compound)).map(Array.init) ?? [])
        }
        return unsafe json
    }
}

/// A JSON text, read.
private enum JSONValue: Codable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    init?(_ document: [UInt8]) {
        guard let value = try? JSONDecoder().decode(Self.self, from: Data(document)) else {
            return nil
        }
        self = value
    }

    init(from decoder: any Decoder) throws {
        let one = try decoder.singleValueContainer()
        if one.decodeNil() {
            self = .null
        } else if let bool = try? one.decode(Bool.self) {
            self = .bool(bool)
        } else if let number = try? one.decode(Double.self) {
            self = .number(number)
        } else if let string = try? one.decode(String.self) {
            self = .string(string)
        } else if let array = try? one.decode([JSONValue].self) {
            self = .array(array)
        } else {
            self = .object(try one.decode([String: JSONValue].self))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var one = encoder.singleValueContainer()
        switch self {
        case .null: try one.encodeNil()
        case .bool(let bool): try one.encode(bool)
        case .number(let number): try one.encode(number)
        case .string(let string): try one.encode(string)
        case .array(let array): try one.encode(array)
        case .object(let object): try one.encode(object)
        }
    }

    /// RFC 6901.
    func value(at pointer: String) -> JSONValue? {
        var value = self
        for part in pointer.split(separator: "/", omittingEmptySubsequences: false).dropFirst() {
            let key = part.replacingOccurrences(of: "~1", with: "/")
                .replacingOccurrences(of: "~0", with: "~")
            switch value {
            case .object(let object):
                guard let next = object[key] else { return nil }
                value = next
            case .array(let array):
                guard let index = Int(key), array.indices.contains(index) else { return nil }
                value = array[index]
            default: return nil
            }
        }
        return value
    }
}

/// Bytes that live as long as this does, to lend to a plugin.
@safe
final class Lent {
    private var blocks: [UnsafeMutableRawPointer] = unsafe []

    deinit { for index in blocks.indices { unsafe blocks[index].deallocate() } }

    func str(_ text: String) -> trivet_str { unsafe str(Array(text.utf8)) }

    func str(_ bytes: [UInt8]) -> trivet_str {
        if bytes.isEmpty { return unsafe trivet_str(data: nil, len: 0) }
        let copy = unsafe array(bytes.map { CChar(bitPattern: $0) })
        return unsafe trivet_str(data: copy, len: bytes.count)
    }

    func pairs(_ pairs: [(String, String)]) -> UnsafePointer<trivet_pair> {
        let raws = unsafe pairs.map { unsafe trivet_pair(key: str($0.0), value: str($0.1)) }
        return unsafe UnsafePointer(array(raws))
    }

    func array<Element>(_ elements: [Element]) -> UnsafeMutablePointer<Element> {
        let copy = UnsafeMutablePointer<Element>.allocate(capacity: max(elements.count, 1))
        unsafe copy.initialize(from: elements, count: elements.count)
        unsafe blocks.append(UnsafeMutableRawPointer(copy))
        return unsafe copy
    }
}

func text(_ raw: trivet_str) -> String { unsafe String(decoding: bytes(raw), as: UTF8.self) }

func bytes(_ raw: trivet_str) -> [UInt8] {
    unsafe UnsafeBufferPointer(start: raw.data, count: raw.data == nil ? 0 : raw.len)
        .map { UInt8(bitPattern: $0) }
}

/// Calls `body` with room for a sentence, and throws the sentence if it gives nothing.
func refusing<Result>(
    _ body: (UnsafeMutablePointer<trivet_error>) -> Result?
) throws(Refusal) -> Result {
    let room = UnsafeMutablePointer<CChar>.allocate(capacity: 512)
    defer { unsafe room.deallocate() }
    var error = unsafe trivet_error(data: room, capacity: 512, len: 0)
    if let result = unsafe body(&error) { return result }
    throw Refusal(unsafe text(trivet_str(data: error.data, len: error.len)))
}
