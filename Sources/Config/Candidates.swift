// Candidates of a pool: a canary, which gets a share of the picks until it proves worse, and a shadow,
// which is asked and not obeyed. What an operator may say about them; what comes of it is Balance's.

import Base

/// Who takes a share of a strategy's picks, and what makes it lose them.
package struct Canary: Sendable {
    /// Its strategy, and what is written for it alone.
    package var choice: PluginChoice
    /// The file that it comes from, as written. Nil: from the plugins.
    package var build: Placed<String>?
    /// The same, seen from the folder of the configuration file.
    package var file: String?
    /// Of the block.
    package var place: Place
    /// In millionths of the picks.
    package var share: Int
    package var limits = Limits()

    /// By how much more than the incumbent it may do badly. Nil: however much.
    package struct Limits: Equatable, Sendable {
        /// Requests that each of the two must have had before they are compared.
        package var sample = 100
        /// Millionths of the requests.
        package var failures: Int? = 50_000
        /// Millionths of the incumbent's mean.
        package var latency: Int? = 500_000
        /// Millionths of the picks.
        package var badAnswers: Int? = 10_000

        package init() {}
    }
}

extension Canary {
    static let keys = [
        "name", "build", "options", "share", "sample", "failures", "latency", "bad_answers",
    ]
}

extension Reader {
    /// `incumbent`: whose picks it gets a share of. `what`: its pool.
    mutating func canary(_ node: JSONNode, of incumbent: PluginChoice, _ what: String) -> Canary? {
        let label = "the canary of the strategy \(quoted(incumbent.name)) of \(what)"
        guard let fields = object(node, label, keys: Canary.keys) else { return nil }
        var choice = incumbent
        choice.place = node.place
        if fields["name"] == nil && fields["build"] == nil && fields["options"] == nil {
            complain(
                node.place,
                "\(label) differs in nothing from it; expected another \"name\", a \"build\" (its "
                    + ".so file) or other \"options\"")
        }
        if let written = fields["name"] {
            guard let name = text(written, "the name of \(label)") else { return nil }
            choice.name = name
            choice.place = written.place
        }
        if let options = fields["options"] {
            if members(options, "the options of \(label)") != nil { choice.options = options }
        } else if choice.name != incumbent.name {
            choice.options = JSONNode(.object([]), at: node.place)
        }
        var canary = Canary(choice: choice, place: node.place, share: 0)
        if let written = fields["build"], let path = text(written, "the build of \(label)") {
            canary.build = Placed(path, at: written.place)
            canary.file = Configuration(file: file).resolve(path)
        }
        if required(fields, "share") != nil {
            canary.share = percent(fields, "share", 100...990_000) ?? 0
        }
        canary.limits.sample = integer(fields, "sample", 10...1_000_000) ?? canary.limits.sample
        if let limit = percentOrOff(fields, "failures", 0...1_000_000) {
            canary.limits.failures = limit
        }
        if let limit = percentOrOff(fields, "latency", 10_000...100_000_000) {
            canary.limits.latency = limit
        }
        if let limit = percentOrOff(fields, "bad_answers", 0...1_000_000) {
            canary.limits.badAnswers = limit
        }
        return canary
    }

    /// A name, or an object with a name and options.
    mutating func shadow(_ node: JSONNode, _ what: String) -> PluginChoice? {
        let label = "the shadow of \(what)"
        switch node.kind {
        case .string:
            guard let name = text(node, label) else { return nil }
            return PluginChoice(
                name: name, place: node.place, options: JSONNode(.object([]), at: node.place))
        case .object:
            guard let fields = object(node, label, keys: ["name"], open: true),
                let written = required(fields, "name"),
                let name = text(written, "the name of \(label)")
            else { return nil }
            if let canary = fields["canary"] {
                complain(canary.place, "\(label) cannot have a canary: nobody goes where it picks")
            }
            return PluginChoice(
                name: name, place: written.place,
                options: rest(fields, without: ["name", "canary"]))
        default:
            mismatch(node, label, "a name, or an object with a \"name\"")
            return nil
        }
    }

    // MARK: Shares

    /// "5%", in millionths.
    mutating func percent(
        _ fields: Fields, _ key: String, _ range: ClosedRange<Int>
    ) -> Int? {
        guard let node = fields[key] else { return nil }
        return percent(node, "\"\(key)\" in \(fields.what)", range, orOff: false)
    }

    /// Nil if the key is not there; `.some(nil)` for "off".
    private mutating func percentOrOff(
        _ fields: Fields, _ key: String, _ range: ClosedRange<Int>
    ) -> Int?? {
        guard let node = fields[key] else { return nil }
        if case .string("off") = node.kind { return .some(nil) }
        return percent(node, "\"\(key)\" in \(fields.what)", range, orOff: true).map { .some($0) }
    }

    private mutating func percent(
        _ node: JSONNode, _ what: String, _ range: ClosedRange<Int>, orOff: Bool
    ) -> Int? {
        let expected =
            "a share from \"\(Units.percent(of: range.lowerBound))\" to "
            + "\"\(Units.percent(of: range.upperBound))\"" + (orOff ? ", or \"off\"" : "")
        switch node.kind {
        case .string(let text):
            guard let value = Units.percent(text), range.contains(value) else {
                complain(node.place, "\(what) is \(quoted(text)); expected \(expected)")
                return nil
            }
            return value
        case .number(let number):
            let shown = number.isFinite ? JSON.text(of: number) : "5"
            complain(
                node.place, "\(what) has no unit; expected a share such as \"\(shown)%\", in quotes"
            )
        default:
            mismatch(node, what, expected)
        }
        return nil
    }
}

extension Units {
    /// `"5%"`, `"0.5%"`, in millionths. Nil for anything else, and for more than 10,000 %.
    static func percent(_ text: String) -> Int? {
        number(text, [("%", 10_000)], most: 100_000_000).map { Int($0) }
    }

    /// The same as a text.
    static func percent(of millionths: Int) -> String {
        let fraction = String(millionths % 10_000 + 10_000).dropFirst()
        let digits = fraction.reversed().drop { $0 == "0" }.reversed()
        return "\(millionths / 10_000)" + (digits.isEmpty ? "" : "." + String(digits)) + "%"
    }
}
