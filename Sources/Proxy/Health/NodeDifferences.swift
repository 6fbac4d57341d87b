// What nodes of one pool say of themselves that does not go together: two versions of the software, or one name
// for two nodes. By the metadata that checks give; most give none of it.

/// Of one pool. Owned by the prober's thread.
struct NodeDifferences: Equatable {
    /// One sentence for each; empty: all is well.
    private(set) var warnings: [String] = []

    /// How a node is called here, and what its check has found.
    typealias Found = (name: String, metadata: [(String, String)])

    /// Looks again, and says what is wrong that was not before.
    mutating func update(_ nodes: [Found]) -> [String] {
        let before = warnings
        warnings = Self.versions(nodes) + Self.names(nodes)
        return warnings.filter { !before.contains($0) }
    }

    private static func value(_ key: String, of node: Found) -> String? {
        node.metadata.first { $0.0 == key }?.1
    }

    private static func versions(_ nodes: [Found]) -> [String] {
        var groups: [(version: String, nodes: [String])] = []
        for node in nodes {
            guard let version = value("version", of: node) else { continue }
            if let at = groups.firstIndex(where: { $0.version == version }) {
                groups[at].nodes.append(node.name)
            } else {
                groups.append((version, [node.name]))
            }
        }
        guard groups.count > 1 else { return [] }
        let parts = groups.map { "\($0.version) on \($0.nodes.joined(separator: ", "))" }
        return [
            "its nodes run different versions (\(parts.joined(separator: "; "))); all should run the same"
        ]
    }

    private static func names(_ nodes: [Found]) -> [String] {
        var owners: [String: String] = [:]
        var warnings: [String] = []
        for node in nodes {
            guard let name = value("node", of: node) else { continue }
            if let other = owners[name] {
                warnings.append(
                    "\(other) and \(node.name) both say that they are \"\(name)\": is one server "
                        + "configured twice?")
            } else {
                owners[name] = node.name
            }
        }
        return warnings
    }
}
