// Nodes that take another node's verdict: `health_of` names it by its pool and its name. Resolved when all
// pools are read, through to the one that is asked.

import Base

extension Reader {
    /// A node's `health_of`, as written.
    mutating func leader(_ fields: Fields) -> Placed<String>? {
        guard let node = fields["health_of"],
            let text = text(node, "\"health_of\" in \(fields.what)")
        else { return nil }
        return Placed(text, at: node.place)
    }

    /// Finds whom the nodes mean that name another, in all pools.
    mutating func resolveLeaders(_ pools: inout [Pool]) {
        var places: [String: NodeReference] = [:]
        for (pool, value) in pools.enumerated() {
            for (node, other) in value.nodes.enumerated() {
                places["\(value.name)/\(other.name)"] = NodeReference(pool: pool, node: node)
            }
        }
        let names = places.keys.sorted()
        for pool in pools.indices {
            for node in pools[pool].nodes.indices {
                guard let written = leaders["\(pools[pool].name)/\(pools[pool].nodes[node].name)"]
                else { continue }
                pools[pool].nodes[node].healthOf = resolve(
                    written, of: NodeReference(pool: pool, node: node), pools, places, names)
            }
        }
    }

    /// The node at the end of the line that begins with `written`.
    private mutating func resolve(
        _ written: Placed<String>, of node: NodeReference, _ pools: [Pool],
        _ places: [String: NodeReference], _ names: [String]
    ) -> NodeReference? {
        let own = "\(pools[node.pool].name)/\(pools[node.pool].nodes[node.node].name)"
        let what = "\"health_of\" of the node \(quoted(own))"
        var line = [own]
        var name = written.value
        while true {
            guard let place = places[name] else {
                // Further on in the line it is said where it is written.
                if line.count == 1 {
                    complain(
                        written.place,
                        "\(what) names the unknown node \(quoted(name)); expected POOL/NODE"
                            + advice(name, names, "there are"))
                }
                return nil
            }
            guard !line.contains(name) else {
                complain(
                    written.place,
                    "\(what) leads in a circle: \((line + [name]).joined(separator: ", "))")
                return nil
            }
            if let next = leaders[name] {
                line.append(name)
                name = next.value
                continue
            }
            guard pools[place.pool].health != nil else {
                complain(
                    written.place,
                    "\(what) leads to \(quoted(name)), which nobody asks; expected \"health\" in the "
                        + "pool \(quoted(pools[place.pool].name))")
                return nil
            }
            return place
        }
    }
}
