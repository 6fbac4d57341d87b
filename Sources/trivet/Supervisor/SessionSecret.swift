// The secret that signs the sessions of pools which are configured without one: made by the supervisor
// when it starts, so that a balancer started anew takes the sessions of the last one up. It is written
// nowhere: sessions under it end with the supervisor, and hold on no second machine.

import Base
import CLinux
import Glibc
import Net

struct SessionSecret: Equatable, Sendable {
    static let length = 32
    let bytes: [UInt8]

    /// From the system's generator.
    init() throws(Failure) {
        var bytes = [UInt8](repeating: 0, count: Self.length)
        // Up to 256 bytes come whole, or not at all if a signal was first (getrandom(2)).
        while unsafe clinux_random(&bytes, bytes.count) != bytes.count {
            if errno != EINTR { throw .system("the system has no random numbers", code: errno) }
        }
        self.bytes = bytes
    }

    /// As it goes over the order line. Nil for anything but 64 hexadecimal digits.
    init?(hex text: String) {
        guard let bytes = SHA256.bytes(ofHex: text), bytes.count == Self.length else { return nil }
        self.bytes = bytes
    }

    var hex: String { SHA256.hex(bytes) }
}

/// What the keys of TLS sessions follow from, as it is at each moment: a balancer that begins later gets none
/// of the keys from before. Owned by the supervisor's thread.
final class TicketSource {
    private var root: TicketRoot

    init() throws(Failure) {
        root = TicketRoot(bytes: try SessionSecret().bytes, period: TicketRoot.present)
    }

    /// Of the period before this one, whose tickets are still taken.
    func root(now: UInt64 = TicketRoot.present) -> TicketRoot {
        root.advance(to: now - 1)
        return root
    }
}
