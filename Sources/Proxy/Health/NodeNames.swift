// From what the configuration calls a node to the address book: IP addresses and paths at once, names
// through the resolver, for as long as the process lives. Who connects reads the book.

import Base
import Net

/// Fills an address book.
package final class NodeNames: Sendable {
    private let resolver: Resolver

    /// Publishes what needs no look-up. `nodes` are all nodes with their rows; `changed` is
    /// told on the resolver's thread after each look-up that the book has taken in.
    package init(
        nodes: [(row: Int, address: HostPort)], book: AddressBook,
        changed: @escaping @Sendable () -> Void
    ) throws(SystemError) {
        var names: [(host: String, port: UInt16)] = []
        var owners: [Int] = []
        for (index, address) in nodes {
            switch address {
            case .ip(let ip, let port):
                book.publish([SocketAddress(ip, port: port)], node: index)
            case .unix(let path):
                if let address = SocketAddress(path: path) {
                    book.publish([address], node: index)
                } else {
                    book.publish(failure: "the path is longer than 107 bytes", node: index)
                }
            case .name(let host, let port):
                names.append((host, port))
                owners.append(index)
            }
        }
        let nodeOfName = owners
        resolver = try Resolver(names: names) { name, answer in
            switch answer {
            case .success(let addresses): book.publish(addresses, node: nodeOfName[name])
            case .failure(let reason):
                book.publish(failure: reason.description, node: nodeOfName[name])
            }
            changed()
        }
    }

    /// Starts to look names up, if there are any.
    package func start() throws(SystemError) { try resolver.start() }

    /// Nothing is published after it has returned.
    package func stop() { resolver.stop() }
}
