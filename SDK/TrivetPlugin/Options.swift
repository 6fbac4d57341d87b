// The plugin's block of the configuration, read with types. Every refusal is one sentence that
// names the option, what was expected and what is there. Parsing is the host's.

import CTrivet

/// The plugin's block of the configuration. Exists while an instance is made.
///
/// ```swift
/// replicas = try setup.options.integer("replicas", default: 160, in: 1...10_000)
/// ```
///
/// Unknown keys never come here: Trivet refuses those that `options` of the strategy or check does
/// not declare.
@safe
public struct Options: ~Escapable {
    let host: Host
    let config: Span<UInt8>

    @_lifetime(copy config)
    init(host: Host, config: Span<UInt8>) {
        self.host = host
        self.config = config
    }

    /// The value as it stands, for what the typed readers below do not cover.
    public func value(_ name: String) -> JSON { host.json(pointer(name), in: config) }

    /// True if the option is given, `null` included.
    public func has(_ name: String) -> Bool { value(name) != .missing }

    /// The elements of a list; nil if the option is absent or is no list.
    public func list(_ name: String) -> [JSON]? {
        guard case .compound(let text) = value(name), text.first == "[" else { return nil }
        var items: [JSON] = []
        while true {
            let item = host.json("\(pointer(name))/\(items.count)", in: config)
            if item == .missing { return items }
            items.append(item)
        }
    }

    /// Text, or nil if the option is absent.
    public func text(_ name: String) throws(Refusal) -> String? {
        switch value(name) {
        case .missing: return nil
        case .string(let text): return text
        case let other: throw Refusal(option: name, expected: "text in quotes", found: other)
        }
    }

    /// Text, or the default if the option is absent.
    public func text(_ name: String, default fallback: String) throws(Refusal) -> String {
        try text(name) ?? fallback
    }

    /// One of some words, or the default if the option is absent.
    public func choice(
        _ name: String, of words: [String], default fallback: String
    ) throws(Refusal) -> String {
        let found = value(name)
        if found == .missing { return fallback }
        if let word = found.string, words.contains(word) { return word }
        let list = words.map { "\"\($0)\"" }.joined(separator: ", ")
        throw Refusal(option: name, expected: "one of \(list)", found: found)
    }

    /// A whole number within bounds, or nil if the option is absent.
    public func integer(
        _ name: String, in range: ClosedRange<Int> = Int.min...Int.max
    ) throws(Refusal) -> Int? {
        let found = value(name)
        if found == .missing { return nil }
        if let number = found.integer, range.contains(number) { return number }
        throw Refusal(option: name, expected: "a whole number" + bounds(range), found: found)
    }

    /// A whole number within bounds, or the default if the option is absent.
    public func integer(
        _ name: String, default fallback: Int, in range: ClosedRange<Int> = Int.min...Int.max
    ) throws(Refusal) -> Int {
        try integer(name, in: range) ?? fallback
    }

    /// A number within bounds, or the default if the option is absent.
    public func number(
        _ name: String, default fallback: Double, in range: ClosedRange<Double>
    ) throws(Refusal) -> Double {
        let found = value(name)
        if found == .missing { return fallback }
        if let number = found.number, range.contains(number) { return number }
        throw Refusal(
            option: name,
            expected: "a number from \(plain(range.lowerBound)) to \(plain(range.upperBound))",
            found: found)
    }

    /// True or false, or the default if the option is absent.
    public func flag(_ name: String, default fallback: Bool) throws(Refusal) -> Bool {
        let found = value(name)
        if found == .missing { return fallback }
        if let flag = found.bool { return flag }
        throw Refusal(option: name, expected: "true or false", found: found)
    }

    /// A duration such as "250ms", "3s", "2m" or "1h", in nanoseconds; or the default if the option
    /// is absent.
    public func duration(_ name: String, default fallback: UInt64) throws(Refusal) -> UInt64 {
        let found = value(name)
        if found == .missing { return fallback }
        let units: [(String, UInt64)] = [
            ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000),
            ("h", 3_600_000_000_000),
        ]
        if let text = found.string {
            for (unit, scale) in units where text.hasSuffix(unit) {
                guard let count = UInt64(text.dropLast(unit.count)) else { continue }
                let (product, overflow) = count.multipliedReportingOverflow(by: scale)
                if !overflow { return product }
            }
        }
        throw Refusal(
            option: name, expected: "a duration such as \"250ms\", \"3s\" or \"2m\"",
            found: found)
    }

    /// A request target that begins with "/" and has no space, control character or "#" in it; or
    /// the default if the option is absent.
    public func path(_ name: String, default fallback: String) throws(Refusal) -> String {
        let path = try text(name, default: fallback)
        if path.first == "/", path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x23 }) {
            return path
        }
        throw Refusal(
            option: name, expected: "a path that begins with \"/\" and has no space in it",
            found: .string(path))
    }

    private func pointer(_ name: String) -> String {
        var pointer = "/"
        for character in name.unicodeScalars {
            switch character {
            case "~": pointer += "~0"
            case "/": pointer += "~1"
            default: pointer.unicodeScalars.append(character)
            }
        }
        return pointer
    }

    private func bounds(_ range: ClosedRange<Int>) -> String {
        switch (range.lowerBound, range.upperBound) {
        case (.min, .max): ""
        case (.min, let most): " of at most \(most)"
        case (let least, .max): " of at least \(least)"
        case (let least, let most): " from \(least) to \(most)"
        }
    }
}

extension Refusal {
    /// "option "replicas" must be a whole number from 1 to 10000, not "many"".
    public init(option: String, expected: String, found: JSON) {
        self.init("option \"\(option)\" must be \(expected), not \(found.shown)")
    }
}

extension JSON {
    /// The value as a sentence shows it: as in the configuration, long ones cut.
    public var shown: String {
        switch self {
        case .missing: "nothing"
        case .null: "null"
        case .bool(let bool): "\(bool)"
        case .number(let number): plain(number)
        case .string(let string): "\"\(cut(string))\""
        case .compound(let text): cut(text)
        }
    }

    private func cut(_ text: String) -> String {
        text.count > 40 ? "\(text.prefix(40))..." : text
    }
}

/// A number without ".0" where it is whole.
private func plain(_ number: Double) -> String {
    Int(exactly: number).map { "\($0)" } ?? "\(number)"
}
