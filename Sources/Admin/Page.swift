// What can be asked for, and the answers as bytes of HTTP/1.1. Which bytes came and how these go out is
// AdminConnection's.

import HTTP

enum Page {
    case index
    case metrics
    case state

    /// `path` without a query.
    init?(path: String) {
        switch path {
        case "/", "": self = .index
        case "/metrics": self = .metrics
        case "/state": self = .state
        default: return nil
        }
    }

    var contentType: String {
        switch self {
        case .index: "text/plain; charset=utf-8"
        case .metrics: PrometheusText.contentType
        case .state: StatePage.contentType
        }
    }

    func text(_ source: () -> Snapshot) -> String {
        switch self {
        case .index:
            """
            Trivet. There are:
            /metrics  counters and gauges for Prometheus
            /state    plugins, pools, nodes and listeners as they are now, in JSON

            """
        case .metrics: MetricsPage.text(of: source())
        case .state: StatePage.text(of: source())
        }
    }
}

/// An answer as it goes out.
enum Answer {
    static func bytes(
        status: UInt16, contentType: String, body: String, fields: String = "", closes: Bool,
        headOnly: Bool
    ) -> [UInt8] {
        var head = "HTTP/1.1 \(status) \(CannedResponse.reason(status))\r\n"
        head += "Content-Type: \(contentType)\r\nContent-Length: \(body.utf8.count)\r\n"
        head += "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\(fields)"
        head += closes ? "Connection: close\r\n\r\n" : "\r\n"
        return headOnly ? Array(head.utf8) : Array(head.utf8) + Array(body.utf8)
    }

    /// One sentence, for whoever asked for something that there is not.
    static func sentence(
        _ status: UInt16, _ sentence: String, fields: String = "", closes: Bool, headOnly: Bool
    ) -> [UInt8] {
        bytes(
            status: status, contentType: "text/plain; charset=utf-8", body: sentence + "\n",
            fields: fields, closes: closes, headOnly: headOnly)
    }
}
