// What the kit and the children that run its rules say to each other, in fields like the trial's: the
// job goes in on standard input, words come out one by one, so that those before a crash are known.

import Balance

/// One rule to try, on one thing.
struct ConformanceJob: Equatable {
    var rule: ConformanceRule
    /// As the operator knows it.
    var file: String
    /// Two private copies: the second is for what may only be seen when a file is loaded twice.
    var copies: [String]
    /// What the rule is about; for a rule of the file, anything.
    var kind: OfferKind
    var name: String
    /// The block of the configuration, as JSON.
    var options: String
    /// Seconds of its own time that the child may take.
    var seconds: Int

    init(
        rule: ConformanceRule, file: String, copies: [String], kind: OfferKind = .strategy,
        name: String = "", options: String = "{}", seconds: Int
    ) {
        self.rule = rule
        self.file = file
        self.copies = copies
        self.kind = kind
        self.name = name
        self.options = options
        self.seconds = seconds
    }

    var encoded: [UInt8] {
        var writer = FieldWriter()
        for text in [rule.rawValue, file, kind.rawValue, name, options, "\(seconds)"] + copies {
            writer.add(text)
        }
        return writer.bytes
    }

    init?(_ bytes: [UInt8]) {
        var reader = FieldReader(bytes)
        guard let rule = reader.next().flatMap({ ConformanceRule(rawValue: $0) }),
            let file = reader.next(), let kind = reader.next().flatMap({ OfferKind(rawValue: $0) }),
            let name = reader.next(), let options = reader.next(),
            let seconds = reader.next().flatMap({ Int($0) })
        else { return nil }
        self.init(
            rule: rule, file: file, copies: [], kind: kind, name: name, options: options,
            seconds: seconds)
        while let copy = reader.next() { copies.append(copy) }
    }
}

/// One thing that a child says.
enum ConformanceWord: Equatable {
    /// What it is about to do, as the end of a sentence: "in pick with 3 nodes".
    case begins(String)
    /// The plugin's name and version.
    case plugin(String, String)
    case offer(OfferKind, String)
    case figure(String, UInt64)
    /// Of all that the rule saw: another process must come to the same.
    case digest(UInt64)
    case outcome(ConformanceFinding.Outcome, String)

    var encoded: [UInt8] {
        var writer = FieldWriter()
        let fields: [String] =
            switch self {
            case .begins(let deed): ["begins", deed, ""]
            case .plugin(let name, let version): ["plugin", name, version]
            case .offer(let kind, let name): ["offer", kind.rawValue, name]
            case .figure(let name, let value): ["figure", name, String(value)]
            case .digest(let value): ["digest", String(value), ""]
            case .outcome(let outcome, let sentence): ["outcome", outcome.rawValue, sentence]
            }
        for field in fields { writer.add(field) }
        return writer.bytes
    }

    /// The words in `bytes`; what is cut off at the end, or unknown, ends them.
    static func read(_ bytes: [UInt8]) -> [ConformanceWord] {
        var reader = FieldReader(bytes)
        var words: [ConformanceWord] = []
        while let kind = reader.next(), let first = reader.next(), let second = reader.next(),
            let word = read(kind, first, second)
        {
            words.append(word)
        }
        return words
    }

    private static func read(_ kind: String, _ first: String, _ second: String) -> Self? {
        switch kind {
        case "begins": .begins(first)
        case "plugin": .plugin(first, second)
        case "offer": OfferKind(rawValue: first).map { .offer($0, second) }
        case "figure": UInt64(second).map { .figure(first, $0) }
        case "digest": UInt64(first).map { .digest($0) }
        case "outcome": ConformanceFinding.Outcome(rawValue: first).map { .outcome($0, second) }
        default: nil
        }
    }
}
