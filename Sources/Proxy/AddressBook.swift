// Where nodes are: the addresses of each, as the resolver last found them. Published by the resolver
// thread, copied by each worker between two events, so that no connect waits for a name server.

import Base
import Net
import Synchronization

/// The published addresses of all nodes, by their rows on the board. [any]
package final class AddressBook: Sendable {
    private let version = Atomic<UInt64>(1)
    private let addresses: Guarded<[[SocketAddress]]>
    /// Why names have no address, by node; for those who ask for words.
    private let failures = Guarded<[Int: String]>([:])

    package init() { addresses = Guarded([]) }

    /// A node's addresses are these from now on; an empty list is not taken in if there were others:
    /// a name server that is away must not take nodes away. [resolver]
    package func publish(_ found: [SocketAddress], node: Int) {
        _ = failures.withLock { $0.removeValue(forKey: node) }
        let changed = addresses.withLock { all in
            while all.count <= node { all.append([]) }
            guard !found.isEmpty || all[node].isEmpty else { return false }
            all[node] = found
            return true
        }
        if changed { version.wrappingAdd(1, ordering: .acquiringAndReleasing) }
    }

    /// A node's name could not be resolved: what addresses it had, it keeps. [resolver]
    package func publish(failure: String, node: Int) {
        failures.withLock { $0[node] = failure }
    }

    /// Nobody sits in these rows any more.
    func forget(_ rows: [Int]) {
        failures.withLock { for row in rows { $0[row] = nil } }
        addresses.withLock { all in
            for row in rows where row < all.count { all[row] = [] }
        }
        version.wrappingAdd(1, ordering: .acquiringAndReleasing)
    }

    /// Why the name of a node could not be resolved when that was last tried, or nil.
    package func failure(node: Int) -> String? { failures.withLock { $0[node] } }

    package func addresses(node: Int) -> [SocketAddress] {
        addresses.withLock { node < $0.count ? $0[node] : [] }
    }

    var current: UInt64 { version.load(ordering: .acquiring) }
    var all: [[SocketAddress]] { addresses.withLock { $0 } }
}

/// A worker's copy.
struct AddressCopy {
    private var seen: UInt64
    private var all: [[SocketAddress]]

    init(_ book: AddressBook) {
        seen = book.current
        all = book.all
    }

    mutating func refresh(_ book: AddressBook) {
        let current = book.current
        if current == seen { return }
        seen = current
        all = book.all
    }

    /// The n-th address of a node, or nil if it has no more.
    func address(_ node: Int, _ n: Int) -> SocketAddress? {
        node < all.count && n < all[node].count ? all[node][n] : nil
    }
}
