// The health check "tcp": a connection, and if wanted a few words over it. For what speaks no HTTP.

import TrivetPlugin

/// Connects to a node: `health: { check: "tcp" }`.
///
/// - `send`: text to send once connected; JSON escapes such as \r\n work
/// - `expect`: text that what the node says must contain, within the first 16 KiB
///
/// A node is up if it accepts the connection, and says what is expected if anything is; otherwise it
/// is down. An SMTP server: `expect: "220 "`. Redis: `send: "PING\r\n", expect: "+PONG"`.
struct TCPCheck: HealthCheck, Plugin {
    static let name = "tcp"
    static let version = "1.0.0"
    static let summary = "a TCP connection, if wanted with words to send and to expect"
    static let options = [
        Option("send", "text to send once connected (default: nothing)"),
        Option("expect", "text that the answer must contain (default: none is read)"),
    ]

    private let send: [UInt8]
    private let expect: [UInt8]

    init(_ setup: CheckSetup) throws(Refusal) {
        send = Array(try setup.options.text("send", default: "").utf8)
        expect = Array(try setup.options.text("expect", default: "").utf8)
        // Reading stops as soon as this has come, and Trivet looks for 256 bytes at most.
        if expect.count > 256 {
            throw Refusal("option \"expect\" must have at most 256 bytes, not \(expect.count)")
        }
    }

    mutating func probe(_ node: Node, step: Int) -> Probe? {
        var probe = Probe(.tcp(send: send, until: expect))
        probe.readLimit = expect.isEmpty ? 0 : 16 * 1024
        return probe
    }

    mutating func judge(_ node: Node, _ reply: Reply) -> Judgement {
        // A peer may say the word and then fall silent or hang up: what counts is that it came.
        if !expect.isEmpty, reply.body.contains(expect.span) {
            return .done(Verdict(.up, because: "said what was expected"))
        }
        guard reply.outcome == .answered else {
            return .done(Verdict(.down, because: reply.failure))
        }
        guard expect.isEmpty else {
            let said = reply.body.isEmpty ? "nothing" : "something else"
            let wanted = JSON.string(String(utf8: expect.span)).shown
            return .done(Verdict(.down, because: "said \(said), not \(wanted)"))
        }
        return .done(Verdict(.up, because: "connected"))
    }
}

/// The entry that Trivet looks for.
@c @implementation
public func trivet_plugin_v1(_ host: HostRef, _ error: ErrorRef) -> TableRef {
    unsafe TCPCheck.export(host, error)
}
