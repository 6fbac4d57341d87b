// A reader of the Prometheus text format 0.0.4 that forgives nothing, written from its description, not
// from our writer: what it takes, Prometheus takes.

import TestKit

/// What a page of metrics says.
struct PrometheusReading {
    struct Family {
        var kind: String
        var help: String
        var samples: [Sample] = []
    }

    struct Sample {
        var name: String
        var labels: [String: String]
        var value: Double
    }

    private(set) var families: [String: Family] = [:]

    /// The value of one series.
    func value(_ name: String, _ labels: [String: String] = [:]) -> Double? {
        for family in families.values {
            if let sample = family.samples.first(where: { $0.name == name && $0.labels == labels })
            {
                return sample.value
            }
        }
        return nil
    }

    /// Reads it all, or says in which line it is wrong.
    init(_ text: String) throws {
        guard text.utf8.last == UInt8(ascii: "\n") else {
            throw TestFailure("the last line has no end")
        }
        var current: String?
        var closed: Set<String> = []
        var helped: Set<String> = []
        var series: Set<String> = []
        for line in text.split(separator: "\n", omittingEmptySubsequences: true).map(String.init) {
            if line.hasPrefix("#") {
                let words = line.split(
                    separator: " ", maxSplits: 3, omittingEmptySubsequences: false)
                guard words.count >= 3 else {
                    throw TestFailure("a comment with a meaning: \(line)")
                }
                let name = String(words[2])
                guard Self.isName(name, colons: true) else { throw TestFailure("no name: \(line)") }
                switch words[1] {
                case "HELP":
                    guard helped.insert(name).inserted else { throw TestFailure("twice: \(line)") }
                    if let current { closed.insert(current) }
                    current = nil
                    families[name] = Family(kind: "", help: words.count > 3 ? String(words[3]) : "")
                case "TYPE":
                    guard helped.contains(name), families[name]?.kind == "", words.count == 4,
                        ["counter", "gauge", "histogram"].contains(words[3])
                    else { throw TestFailure("no type: \(line)") }
                    families[name]?.kind = String(words[3])
                    current = name
                default: throw TestFailure("neither HELP nor TYPE: \(line)")
                }
                continue
            }
            let sample = try Self.sample(line)
            guard let name = current, let family = families[name],
                Self.names(of: name, family.kind).contains(sample.name)
            else { throw TestFailure("a sample of no family, or of one that is over: \(line)") }
            let key = "\(sample.name) \(sample.labels.sorted { $0.key < $1.key })"
            guard series.insert(key).inserted else { throw TestFailure("a series twice: \(line)") }
            families[name]?.samples.append(sample)
        }
        for (name, family) in families {
            guard !family.samples.isEmpty else { throw TestFailure("\(name) has no samples") }
            guard !closed.contains(name) || family.kind != "" else {
                throw TestFailure("\(name) has no type")
            }
            if family.kind == "histogram" { try Self.judgeHistogram(name, family) }
            if family.kind == "counter", family.samples.contains(where: { $0.value < 0 }) {
                throw TestFailure("\(name) counts below zero")
            }
        }
    }

    private static func names(of family: String, _ kind: String) -> [String] {
        kind == "histogram"
            ? ["\(family)_bucket", "\(family)_sum", "\(family)_count"] : [family]
    }

    /// Cumulative, in the order of the bounds, with +Inf last and equal to the count.
    private static func judgeHistogram(_ name: String, _ family: Family) throws {
        var buckets: [[String: String]: [(bound: Double, count: Double)]] = [:]
        for sample in family.samples where sample.name == "\(name)_bucket" {
            var labels = sample.labels
            guard let text = labels.removeValue(forKey: "le"), let bound = number(text) else {
                throw TestFailure("\(name): a bucket without a bound")
            }
            buckets[labels, default: []].append((bound, sample.value))
        }
        for (labels, list) in buckets {
            for (a, b) in zip(list, list.dropFirst()) where a.bound >= b.bound || a.count > b.count
            {
                throw TestFailure("\(name) is not cumulative: \(a), \(b)")
            }
            let count = family.samples.first { $0.name == "\(name)_count" && $0.labels == labels }
            let sum = family.samples.first { $0.name == "\(name)_sum" && $0.labels == labels }
            guard list.last?.bound == .infinity, count?.value == list.last?.count, sum != nil else {
                throw TestFailure("\(name) has no whole")
            }
        }
    }

    private static func isName(_ text: String, colons: Bool) -> Bool {
        guard let first = text.unicodeScalars.first else { return false }
        func isLetter(_ scalar: Unicode.Scalar) -> Bool {
            ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar) || scalar == "_"
                || (colons && scalar == ":")
        }
        return isLetter(first)
            && text.unicodeScalars.allSatisfy { isLetter($0) || ("0"..."9").contains($0) }
    }

    private static func number(_ text: String) -> Double? {
        switch text {
        case "+Inf": .infinity
        case "-Inf": -.infinity
        case "NaN": .nan
        default:
            text.unicodeScalars.allSatisfy {
                ("0"..."9").contains($0) || "+-.e".unicodeScalars.contains($0)
            } ? Double(text) : nil
        }
    }

    /// `name{label="value",...} value`, without a time.
    private static func sample(_ line: String) throws -> Sample {
        var rest = Array(line.unicodeScalars)[...]
        func wrong() -> TestFailure { TestFailure("no sample: \(line)") }
        func take(while isPart: (Unicode.Scalar) -> Bool) -> String {
            var text = String.UnicodeScalarView()
            while let first = rest.first, isPart(first) {
                text.append(first)
                rest.removeFirst()
            }
            return String(text)
        }
        func expect(_ scalar: Unicode.Scalar) throws {
            guard rest.first == scalar else { throw wrong() }
            rest.removeFirst()
        }
        let name = take { $0 != "{" && $0 != " " }
        guard isName(name, colons: true) else { throw wrong() }
        var labels: [String: String] = [:]
        if rest.first == "{" {
            repeat {
                rest.removeFirst()
                let label = take { $0 != "=" }
                guard isName(label, colons: false), labels[label] == nil else { throw wrong() }
                try expect("=")
                try expect("\"")
                var value = String.UnicodeScalarView()
                while let next = rest.first, next != "\"" {
                    rest.removeFirst()
                    guard next == "\\" else {
                        value.append(next)
                        continue
                    }
                    switch rest.popFirst() {
                    case "\\": value.append("\\")
                    case "\"": value.append("\"")
                    case "n": value.append("\n")
                    default: throw wrong()
                    }
                }
                try expect("\"")
                labels[label] = String(value)
            } while rest.first == ","
            try expect("}")
        }
        try expect(" ")
        guard let value = number(String(String.UnicodeScalarView(rest))) else { throw wrong() }
        return Sample(name: name, labels: labels, value: value)
    }
}
