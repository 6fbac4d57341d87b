// What a configuration asks for in descriptors, and what is said where the system gives fewer.

import Base
import Config
import Net

extension Configuration {
    /// Descriptors for the connections that its listeners name, each with one to a node; 0 where no
    /// limit is named.
    var descriptorsWanted: Int {
        let connections = listeners.compactMap(\.maxConnections).reduce(0, +)
        return connections == 0 ? 0 : 2 * connections + 256
    }

    /// Sentences about limits that can never be reached, `room` being the connections of clients that
    /// there may be.
    func warnings(room: Int, descriptors: Int) -> [String] {
        listeners.filter { ($0.maxConnections ?? 0) > room }.map { listener in
            let wanted = listener.maxConnections ?? 0
            return Diagnostic(
                file: file, place: listener.place,
                sentence: "the listener \"\(listener.name)\" may have \(wanted) connections, but "
                    + "\(descriptors) descriptors, the limit of this process, are enough for "
                    + "\(room); raise it (LimitNOFILE, ulimit -Hn)"
            ).description
        }
    }
}
