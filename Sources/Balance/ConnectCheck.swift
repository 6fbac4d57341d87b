// The check of last resort: a node that takes a TCP connection is up. It stands in for a check whose
// plugin is fenced, so that a bad plugin takes no node away; the host's own, in no library.

import CTrivet

extension CheckKind {
    /// "connect". Its table is laid out as a plugin's is, so that nothing else has to know.
    package static let connect: CheckKind? = {
        let table = UnsafeMutablePointer<trivet_check>.allocate(capacity: 1)
        unsafe table.initialize(to: trivet_check())
        unsafe table.pointee.size = UInt32(MemoryLayout<trivet_check>.size)
        let texts = LentText(capacity: 64)
        unsafe table.pointee.name = texts.keep("connect")
        unsafe table.pointee.summary = texts.keep("up if a TCP connection comes about")
        // A check without state: any address that is not null will do.
        unsafe table.pointee.create = { check, _, _, _ in unsafe check?.pointee.data }
        unsafe table.pointee.data = UnsafeMutableRawPointer(table)
        unsafe table.pointee.destroy = { _ in }
        unsafe table.pointee.probe = { _, _, _, probe in
            unsafe probe?.pointee.kind = TRIVET_PROBE_TCP
            unsafe probe?.pointee.read_limit = 0
            return true
        }
        unsafe table.pointee.judge = { _, _, reply, verdict in
            guard let reply = unsafe reply, let verdict = unsafe verdict else {
                return TRIVET_ROUND_DONE
            }
            let isUp = unsafe reply.pointee.outcome == TRIVET_OK
            unsafe verdict.pointee.state = isUp ? TRIVET_UP : TRIVET_DOWN
            unsafe verdict.pointee.reason = reply.pointee.detail
            return TRIVET_ROUND_DONE
        }
        withExtendedLifetime(texts) {}
        return unsafe try? CheckKind(
            table: UnsafePointer(table),
            origin: PluginOrigin(file: "trivet", plugin: "trivet", version: ""))
    }()
}
