// Probes across the ABI: the question copied out of a plugin's struct and looked through for what
// must not go onto a wire, the answer laid out for the plugin to read.

import CTrivet

extension ProbePlan {
    /// Bytes of body or reply that a check may ask for; the reply of a ping is small.
    package static let readCeiling: UInt32 = 1 << 20
    private static let textLimit = 8192
    private static let headerLimit = 32

    /// Copies what a check wrote; numbers are brought into their bounds here, text is judged by
    /// `fault`.
    package init(_ raw: trivet_probe, timeoutMs: UInt32) {
        let bytes = { (text: trivet_str) in
            unsafe String(decoding: foreignBytes(text, limit: Self.textLimit), as: UTF8.self)
        }
        unsafe self.init(timeoutMs: timeoutMs, authority: bytes(raw.authority))
        kind = unsafe raw.kind == TRIVET_PROBE_TCP ? .tcp : .http
        if unsafe raw.flags & TRIVET_PROBE_CLEAR != 0 {
            security = .clear
        } else if unsafe raw.flags & TRIVET_PROBE_TLS != 0 {
            security = .tls
        }
        // The pool's own timeout where the check gives none; never beyond a minute, since the next
        // round of this node waits for it.
        if unsafe raw.timeout_ms > 0 { self.timeoutMs = unsafe min(raw.timeout_ms, 60_000) }
        readLimit = unsafe min(raw.read_limit, Self.readCeiling)
        port = unsafe raw.port
        method = unsafe bytes(raw.method)
        target = unsafe bytes(raw.target)
        payload = unsafe foreignBytes(raw.payload, limit: Int(Self.readCeiling))
        readUntil = unsafe foreignBytes(raw.read_until, limit: 256)
        // A count beyond Int.max looks negative here.
        guard let list = unsafe raw.headers, unsafe raw.header_count > 0 else { return }
        for index in unsafe 0..<min(raw.header_count, Self.headerLimit) {
            unsafe headers.append(
                Header(name: bytes(list[index].key), value: bytes(list[index].value)))
        }
    }

    /// What keeps this question off the wire, or nil.
    package var fault: String? {
        guard kind == .http else { return nil }
        if !Self.isToken(method) { return "a method that is none" }
        if target.isEmpty || !target.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) {
            return "a target that is none"
        }
        if !authority.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) {
            return "an authority that is none"
        }
        for header in headers {
            if !Self.isToken(header.name) { return "a header whose name is none" }
            if header.value.utf8.contains(where: { ($0 < 0x20 && $0 != 0x09) || $0 == 0x7F }) {
                return "a control character in header \(header.name)"
            }
            let name = header.name.lowercased()
            if ["host", "content-length", "transfer-encoding", "connection"].contains(name) {
                return "the header \(header.name), which is the host's to write"
            }
        }
        return nil
    }

    /// RFC 9110, 5.6.2.
    private static func isToken(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "A")...UInt8(ascii: "Z"):
                    true
                default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
                }
            }
    }
}

/// One reply as the ABI has it, with the storage it points into.
@safe
final class LentReply {
    let reply: trivet_reply
    private let texts: LentText
    private let pairs: UnsafeMutablePointer<trivet_pair>

    init(_ answer: ProbeReply) {
        let texts = LentText(
            capacity: answer.headers.reduce(answer.body.count + answer.detail.utf8.count) {
                $0 + $1.0.utf8.count + $1.1.utf8.count
            })
        let pairs = UnsafeMutablePointer<trivet_pair>.allocate(
            capacity: max(answer.headers.count, 1))
        for (at, header) in answer.headers.enumerated() {
            let (key, value) = unsafe (texts.keep(header.0), texts.keep(header.1))
            unsafe (pairs + at).initialize(to: trivet_pair(key: key, value: value))
        }
        var reply = unsafe trivet_reply()
        unsafe reply.size = UInt32(MemoryLayout<trivet_reply>.size)
        unsafe reply.outcome = answer.outcome.rawValue
        unsafe reply.status = answer.status
        unsafe reply.step = answer.step
        unsafe reply.connect_ns = answer.connectNs
        unsafe reply.total_ns = answer.totalNs
        unsafe reply.body = texts.keep(answer.body)
        unsafe reply.headers = UnsafePointer(pairs)
        unsafe reply.header_count = answer.headers.count
        unsafe reply.detail = texts.keep(answer.detail)
        unsafe self.reply = unsafe reply
        self.texts = texts
        unsafe self.pairs = unsafe pairs
    }

    deinit { unsafe pairs.deallocate() }
}
