// The health check "http": one request, and what its answer must look like. It knows nothing of any
// product; where a status has a meaning of its own (418 of an Octopus ping), write a check for it.

import TrivetPlugin

/// Asks a node for a path and looks at the answer: `health: { check: "http", path: "/healthz" }`.
///
/// - `path`: what to ask for (default /)
/// - `method`: GET, HEAD, OPTIONS, POST or PUT (default GET; a HEAD has no body to look at)
/// - `status`: which statuses are good: one (`204`), a range (`"200-299"`) or a list of such
///   (`[200, "300-399"]`); default "200-299"
/// - `body`: text that the body must contain, as it is written
/// - `json`: RFC 6901 pointer to a value that the body, as JSON, must have: `"/checks/0/ok"`
/// - `equals`: what that value must be: text, a number, true, false or null
///
/// A node is up if all of it holds, and down otherwise. Of a body only the first 256 KiB are read; JSON
/// that is longer counts as none.
struct HTTPCheck: HealthCheck, Plugin {
    static let name = "http"
    static let version = "1.0.0"
    static let summary = "an HTTP request: status, text in the body, a JSON value"
    static let options = [
        Option("path", "what to ask for (default /)"),
        Option("method", "GET, HEAD, OPTIONS, POST or PUT (default GET)"),
        Option("status", "good statuses: 204, \"200-299\" or a list (default \"200-299\")"),
        Option("body", "text that the body must contain"),
        Option("json", "pointer to a value that a JSON body must have: \"/status\""),
        Option("equals", "what the value at \"json\" must be"),
    ]

    private let path: String
    private let method: String
    private let statuses: [ClosedRange<Int>]
    private let text: String?
    private let pointer: String?
    private let expected: JSON

    init(_ setup: CheckSetup) throws(Refusal) {
        let options = setup.options
        path = try options.path("path", default: "/")
        method = try options.choice(
            "method", of: ["GET", "HEAD", "OPTIONS", "POST", "PUT"], default: "GET")
        statuses = try Self.statuses(options)
        text = try options.text("body")
        pointer = try options.text("json")
        expected = options.value("equals")
        if let pointer, !pointer.isEmpty, pointer.first != "/" {
            throw Refusal(
                option: "json", expected: "a pointer that begins with \"/\"",
                found: .string(pointer))
        }
        if case .compound = expected {
            throw Refusal(
                option: "equals", expected: "text, a number, true, false or null", found: expected)
        }
        if expected != .missing, pointer == nil {
            throw Refusal("option \"equals\" needs option \"json\", which says where the value is")
        }
        if method == "HEAD", text != nil || pointer != nil {
            throw Refusal("a HEAD is answered without a body; use method \"GET\" to look at one")
        }
    }

    mutating func probe(_ node: Node, step: Int) -> Probe? {
        var probe = Probe(.http(method: method, target: path))
        if text != nil || pointer != nil { probe.readLimit = 256 * 1024 }
        return probe
    }

    mutating func judge(_ node: Node, _ reply: Reply) -> Judgement {
        if let fault = fault(reply) { return .done(Verdict(.down, because: fault)) }
        return .done(Verdict(.up, because: "answered \(reply.status)"))
    }

    /// What is wrong with an answer, or nil.
    private func fault(_ reply: Reply) -> String? {
        guard reply.outcome == .answered else { return reply.failure }
        guard statuses.contains(where: { $0.contains(reply.status) }) else {
            return "answered \(reply.status)"
        }
        if let text, !reply.body.contains(text.utf8.span) {
            return "answered without \"\(text)\" in the body"
        }
        guard let pointer else { return nil }
        let found = reply.json(pointer)
        if found == .missing {
            let isJSON = reply.json("") != .missing
            return isJSON ? "answered JSON without \(pointer)" : "answered something else than JSON"
        }
        if expected != .missing, found != expected {
            return "answered \(found.shown) at \(pointer), not \(expected.shown)"
        }
        return nil
    }

    private static func statuses(_ options: Options) throws(Refusal) -> [ClosedRange<Int>] {
        let value = options.value("status")
        if value == .missing { return [200...299] }
        let items = options.list("status") ?? [value]
        var ranges: [ClosedRange<Int>] = []
        for item in items {
            guard let range = Self.range(item) else {
                throw Refusal(
                    option: "status",
                    expected: "a status from 100 to 599, a range such as \"200-299\", or a list",
                    found: item)
            }
            ranges.append(range)
        }
        if ranges.isEmpty {
            throw Refusal(option: "status", expected: "at least one status", found: value)
        }
        return ranges
    }

    /// 204, "204" or "200-299".
    private static func range(_ item: JSON) -> ClosedRange<Int>? {
        let bounds: [Int?]
        switch item {
        case .number: bounds = [item.integer]
        case .string(let text):
            bounds = text.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
        default: return nil
        }
        guard bounds.count <= 2, let first = bounds.first ?? nil, let last = bounds.last ?? nil,
            first <= last, first >= 100, last <= 599
        else { return nil }
        return first...last
    }
}

/// The entry that Trivet looks for.
@c @implementation
public func trivet_plugin_v1(_ host: HostRef, _ error: ErrorRef) -> TableRef {
    unsafe HTTPCheck.export(host, error)
}
