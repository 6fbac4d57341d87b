// Writes the Prometheus text exposition format, version 0.0.4
// (https://prometheus.io/docs/instrumenting/exposition_formats): families with HELP and TYPE once, all
// samples of a family together, no series twice. Which families there are, is MetricsPage's.

/// A label's name and value.
typealias Label = (name: String, value: String)

struct PrometheusText {
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    enum Kind: String {
        case counter
        case gauge
        case histogram
    }

    enum Value {
        case whole(UInt64)
        case real(Double)
    }

    private(set) var text = ""
    // Of samples: a histogram has three.
    private var taken: Set<String> = []

    /// One family with one sample for each of `samples`; nothing at all if there are none.
    mutating func family(
        _ name: String, _ kind: Kind, _ help: String, _ samples: [(labels: [Label], value: Value)]
    ) {
        guard !samples.isEmpty else { return }
        let name = head(name, kind, help)
        for sample in samples { line(name, sample.labels, sample.value) }
    }

    /// A family of one sample without labels.
    mutating func single(_ name: String, _ kind: Kind, _ help: String, _ value: Value) {
        family(name, kind, help, [([], value)])
    }

    /// A distribution.
    struct Distribution {
        var labels: [Label]
        /// Upper bounds in their order, and how many values each bucket has for itself.
        var buckets: [(bound: Double, count: UInt64)]
        var count: UInt64
        var sum: Double
    }

    mutating func histogram(_ name: String, _ help: String, _ samples: [Distribution]) {
        guard !samples.isEmpty else { return }
        let name = head(name, .histogram, help)
        for sample in samples {
            var total: UInt64 = 0
            for bucket in sample.buckets {
                total &+= bucket.count
                let bound = Self.text(of: .real(bucket.bound))
                line("\(name)_bucket", sample.labels + [("le", bound)], .whole(total))
            }
            // It was read while others counted: the whole is never less than its parts.
            let count = max(total, sample.count)
            line("\(name)_bucket", sample.labels + [("le", "+Inf")], .whole(count))
            line("\(name)_sum", sample.labels, .real(sample.sum))
            line("\(name)_count", sample.labels, .whole(count))
        }
    }

    /// Begins a family. The name may get a number at its end, where another family has it already:
    /// two plugins may mean different things by one name.
    private mutating func head(_ wanted: String, _ kind: Kind, _ help: String) -> String {
        var name = wanted
        var number = 2
        while !names(of: name, kind).isDisjoint(with: taken) {
            name = "\(wanted)_\(number)"
            number += 1
        }
        taken.formUnion(names(of: name, kind))
        text += "# HELP \(name) \(Self.escaped(help, quotes: false))\n"
        text += "# TYPE \(name) \(kind.rawValue)\n"
        return name
    }

    private func names(of name: String, _ kind: Kind) -> Set<String> {
        kind == .histogram ? [name, "\(name)_bucket", "\(name)_sum", "\(name)_count"] : [name]
    }

    private mutating func line(_ name: String, _ labels: [Label], _ value: Value) {
        text += name
        if !labels.isEmpty {
            text += "{"
            for (index, label) in labels.enumerated() {
                if index > 0 { text += "," }
                text += label.name
                text += "=\""
                text += Self.escaped(label.value, quotes: true)
                text += "\""
            }
            text += "}"
        }
        text += " "
        text += Self.text(of: value)
        text += "\n"
    }

    /// What would end a line, or a label's value.
    private static func escaped(_ text: String, quotes: Bool) -> String {
        guard text.utf8.contains(where: { $0 == 0x5C || $0 == 0x0A || $0 == 0x22 }) else {
            return text
        }
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\"" where quotes: result += "\\\""
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private static func text(of value: Value) -> String {
        switch value {
        case .whole(let number): return "\(number)"
        case .real(let number):
            if number.isNaN { return "NaN" }
            if number.isInfinite { return number < 0 ? "-Inf" : "+Inf" }
            if number == number.rounded(), number.magnitude < 1e15 { return "\(Int64(number))" }
            return number.description
        }
    }
}
