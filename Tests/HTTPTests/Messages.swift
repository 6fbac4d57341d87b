// What the tests of this folder share: messages from text, heads parsed into plain values, and what
// was written taken back as text. Texts are Latin-1, so that any byte can stand in one.

import Base
import Testing

@testable import HTTP

/// The bytes of a text whose scalars are all below U+0100.
func latin(_ text: String) -> [UInt8] {
    text.unicodeScalars.map { UInt8($0.value) }
}

func text(_ bytes: [UInt8]) -> String {
    String(String.UnicodeScalarView(bytes.map { Unicode.Scalar($0) }))
}

func text(_ bytes: [UInt8], _ range: ByteRange) -> String {
    text(Array(bytes[range.indices]))
}

/// Runs `body` with `capacity` bytes to write into and gives what it wrote.
func written(
    capacity: Int = 300_000, _ body: (inout OutputSpan<UInt8>) -> Bool
) -> [UInt8]? {
    var fitted = false
    let bytes = [UInt8](capacity: capacity) { out in fitted = body(&out) }
    return fitted ? bytes : nil
}

extension [UInt8] {
    init(capacity: Int, _ body: (inout OutputSpan<UInt8>) -> Void) {
        self = unsafe [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
            var out = unsafe OutputSpan(buffer: buffer, initializedCount: 0)
            body(&out)
            count = unsafe out.finalize(for: buffer)
        }
    }
}

/// A parsed request as a value, with what it would be forwarded as.
struct Request: Equatable {
    var outcome: HeadOutcome
    var method = Method.other
    var methodText = ""
    var target = ""
    var path = ""
    var authority = ""
    var minorVersion: UInt8 = 9
    var framing = BodyFraming.none
    var keepAlive = false
    var expectsContinue = false
    var upgrade = Upgrade.none
    var maxForwards: UInt64?
    var fields: [String] = []
    var forwarded: String?

    init(
        _ bytes: [UInt8], limits: HeadLimits = HeadLimits(), trusted: Bool = false,
        passUpgrade: Bool = false, secure: Bool = false, node: IPAddress? = nil,
        port: UInt16 = 80
    ) {
        var head = RequestHead(limits: limits)
        outcome = head.parse(bytes.span)
        guard case .complete = outcome else { return }
        method = head.method
        methodText = text(bytes, head.methodRange)
        target = text(bytes, head.target)
        path = text(bytes, head.path)
        authority = text(bytes, head.authority)
        minorVersion = head.minorVersion
        framing = head.framing
        keepAlive = head.keepAlive
        expectsContinue = head.expectsContinue
        upgrade = head.upgrade
        maxForwards = head.maxForwards
        for index in 0..<head.fields.count {
            let field = head.fields[index]
            fields.append(text(bytes, field.name) + "=" + text(bytes, field.value))
        }
        let facts = ForwardingFacts(
            client: IPAddress(v4: 0xC000_0207), secure: secure, trusted: trusted,
            passUpgrade: passUpgrade, node: node, nodePort: port)
        forwarded = written { out in head.writeForwarded(bytes.span, facts: facts, to: &out) }
            .map(text)
    }

    init(_ text: String, trusted: Bool = false, passUpgrade: Bool = false) {
        self.init(latin(text), trusted: trusted, passUpgrade: passUpgrade)
    }

    var status: UInt16? {
        if case .invalid(let fault) = outcome { fault.status } else { nil }
    }
    var isComplete: Bool {
        if case .complete = outcome { true } else { false }
    }
}

/// A parsed response as a value.
struct Response: Equatable {
    var outcome: HeadOutcome
    var status: UInt16 = 0
    var reason = ""
    var minorVersion: UInt8 = 9
    var framing = BodyFraming.none
    var keepAlive = false
    var isInterim = false
    var upgradeAccepted = false
    var forwarded: String?

    /// `clientMinor` and `close` say what it is forwarded with.
    init(
        _ bytes: [UInt8], to method: Method = .get, upgradePassed: Bool = false,
        limits: HeadLimits = HeadLimits(), clientMinor: UInt8 = 1, close: Bool = false
    ) {
        var head = ResponseHead(limits: limits)
        outcome = head.parse(bytes.span, requestMethod: method, upgradePassed: upgradePassed)
        guard case .complete = outcome else { return }
        status = head.status
        reason = text(bytes, head.reason)
        minorVersion = head.minorVersion
        framing = head.framing
        keepAlive = head.keepAlive
        isInterim = head.isInterim
        upgradeAccepted = head.upgradeAccepted
        let facts = ResponseFacts(
            clientMinorVersion: clientMinor, closeConnection: close,
            framing: head.framing(forClientMinorVersion: clientMinor), passUpgrade: upgradePassed)
        forwarded = written { out in head.writeForwarded(bytes.span, facts: facts, to: &out) }
            .map(text)
    }

    init(
        _ text: String, to method: Method = .get, upgradePassed: Bool = false,
        clientMinor: UInt8 = 1, close: Bool = false
    ) {
        self.init(
            latin(text), to: method, upgradePassed: upgradePassed, clientMinor: clientMinor,
            close: close)
    }

    var fault: UInt16? {
        if case .invalid(let fault) = outcome { fault.status } else { nil }
    }
}

/// What a client sends itself: the fields that forwarding adds for an untrusted client.
func added(host: String = "a", proto: String = "http") -> String {
    "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: \(proto)\r\nX-Forwarded-Host: \(host)\r\n\r\n"
}
