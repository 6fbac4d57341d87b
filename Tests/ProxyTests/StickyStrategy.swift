// A strategy that keeps clients, laid out as a plugin would: what it does, the path of each request
// says. The bundled one, which does this for a living, is a plugin and tested as one.

import Balance
import Base
import CTrivet
import Synchronization

/// What it was shown, and what it says:
///
///   /free...        passes, and wishes nothing
///   /carry?TEXT     passes, and gives TEXT to carry
///   /both?TEXT      as the next, and gives TEXT to carry
///   anything else   the node that the session names unless it is down or was tried, else it passes;
///                   sticks
@safe
final class StickyStrategy: Sendable {
    struct Seen: Equatable {
        var session = ""
        var node: UInt32 = TRIVET_NO_NODE
        var hash: UInt64 = 0
    }

    private let all = Guarded<[Seen]>([])
    private let isRecording: Bool

    /// Without `recording` it allocates nothing.
    init(recording: Bool = true) { isRecording = recording }

    /// Of each pick, in order.
    var seen: [Seen] { all.withLock { $0 } }
    var last: Seen { seen.last ?? Seen() }

    func kind() throws -> StrategyKind {
        let data = unsafe Unmanaged.passRetained(self).toOpaque()
        return unsafe try StrategyKind.ofTest("sticky-test", "keeps clients", data: data) { table in
            unsafe table.pointee.pick = { me, pool, request, out in
                let strategy = unsafe Unmanaged<StickyStrategy>.fromOpaque(me!)
                    .takeUnretainedValue()
                return unsafe strategy.pick(pool!.pointee, request!.pointee, out!)
            }
        }
    }

    private func pick(
        _ pool: trivet_pool, _ request: trivet_request, _ out: UnsafeMutablePointer<trivet_pick>
    ) -> trivet_decision {
        let target = unsafe Self.text(request.target)
        let node = unsafe request.session_node
        if isRecording {
            let now = unsafe Seen(
                session: Self.text(request.session), node: node, hash: request.hash)
            all.withLock { $0.append(now) }
        }
        if target.hasPrefix("/free") { return TRIVET_PASS }
        if target.hasPrefix("/carry?") || target.hasPrefix("/both?") {
            let start = target.utf8.firstIndex(of: UInt8(ascii: "?"))!
            let skipped = target.utf8.distance(from: target.utf8.startIndex, to: start) + 1
            unsafe out.pointee.session = trivet_str(
                data: request.target.data + skipped, len: request.target.len - skipped)
            if target.hasPrefix("/carry?") { return TRIVET_PASS }
        }
        unsafe out.pointee.flags = TRIVET_PICK_STICK
        guard node != TRIVET_NO_NODE, unsafe pool.nodes[Int(node)].state != TRIVET_DOWN else {
            return TRIVET_PASS
        }
        for index in unsafe 0..<Int(request.tried_count) where unsafe request.tried[index] == node {
            return TRIVET_PASS
        }
        unsafe out.pointee.node = node
        return TRIVET_PICKED
    }

    private static func text(_ text: trivet_str) -> String {
        let bytes = unsafe UnsafeRawBufferPointer(start: text.data, count: text.len)
        return unsafe String(decoding: bytes, as: UTF8.self)
    }
}
