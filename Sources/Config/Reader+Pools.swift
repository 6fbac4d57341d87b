// The part of a configuration that faces the nodes: pools, their strategies, checks and nodes.

import Base

extension Reader {
    mutating func pools(_ node: JSONNode) -> [Pool] {
        guard let members = members(node, "\"pools\"") else { return [] }
        if members.isEmpty { complain(node.place, "there are no pools; expected at least one") }
        var result: [Pool] = []
        var owners: [UInt64: String] = [:]
        for member in members {
            _ = name(member.key, at: member.keyPlace, "a pool")
            let pool = pool(member)
            for node in pool.nodes {
                let full = "\(pool.name)/\(node.name)"
                if let other = owners.updateValue(full, forKey: node.id), other != full {
                    complain(
                        node.place,
                        "the nodes \(quoted(other)) and \(quoted(full)) have the same "
                            + "id by chance; one of them needs another name")
                }
            }
            result.append(pool)
        }
        resolveLeaders(&result)
        return result
    }

    private mutating func pool(_ member: JSONNode.Member) -> Pool {
        var pool = Pool(name: member.key, place: member.keyPlace)
        let what = "the pool \(quoted(member.key))"
        let standard = PluginChoice(
            name: "round-robin", place: member.keyPlace,
            options: JSONNode(.object([]), at: member.keyPlace))
        pool.strategies = [standard]
        guard
            let fields = object(
                member.value, what,
                keys: [
                    "strategy", "health", "timeouts", "nodes", "retries", "retry_budget", "reuse",
                    "proxy_protocol", "drain_timeout", "session", "hash", "shadow", "ejection",
                    "slow_start",
                    "max_in_flight", "queue", "tls",
                ],
                later: ["profile"])
        else { return pool }
        if let node = fields["strategy"] {
            let choices = strategies(node, what)
            if !choices.isEmpty { pool.strategies = choices }
        }
        pool.shadow = fields["shadow"].flatMap { shadow($0, what) }
        pool.health = fields["health"].flatMap { health($0, what) }
        if let node = fields["timeouts"] { pool.timeouts = poolTimeouts(node, what) }
        // An exchange remembers eight nodes that it has tried.
        pool.retries = integer(fields, "retries", 0...7) ?? pool.retries
        faults(fields, of: &pool, what)
        pool.reuse = choice(fields, "reuse", [("fresh", .fresh), ("always", .always)]) ?? .fresh
        if let time = durationOrOff(fields, "drain_timeout") { pool.drainTimeout = time }
        pool.tls = poolTLS(fields)
        pool.proxyProtocol = choice(fields, "proxy_protocol", [("v1", .v1), ("v2", .v2)])
        pool.session = fields["session"].flatMap { session($0, what) }
        pool.hashKey = fields["hash"].flatMap { hashKey($0, what) }
        if let node = required(fields, "nodes") { pool.nodes = nodes(node, pool: pool.name, what) }
        if pool.tls == nil, let node = pool.nodes.first(where: { $0.tls != nil }) {
            complain(
                node.place,
                "the node \(quoted(node.name)) of \(what) has \"tls\" and its pool has none; expected "
                    + "\"tls: true\" in the pool at least")
        }
        return pool
    }

    private mutating func poolTimeouts(_ node: JSONNode, _ what: String) -> Pool.Timeouts {
        var timeouts = Pool.Timeouts()
        guard
            let fields = object(
                node, "the timeouts of \(what)", keys: ["connect", "response", "idle", "tunnel"])
        else { return timeouts }
        if let time = duration(fields, "connect") { timeouts.connect = time }
        if let time = duration(fields, "response") { timeouts.response = time }
        if let time = duration(fields, "idle") { timeouts.idle = time }
        if let time = durationOrOff(fields, "tunnel") { timeouts.tunnel = time }
        return timeouts
    }

    // MARK: Plugins

    /// A name, an object with a name and options, or a list of either. As many as a pool has tickets
    /// for on the board.
    private mutating func strategies(_ node: JSONNode, _ what: String) -> [PluginChoice] {
        guard case .array(let elements) = node.kind else {
            return strategy(node, what).map { [$0] } ?? []
        }
        if elements.isEmpty {
            complain(node.place, "\(what) has an empty list of strategies; expected at least one")
        } else if elements.count > 4 {
            complain(
                elements[4].place, "\(what) has \(elements.count) strategies; expected at most 4")
        }
        var result: [PluginChoice] = []
        for element in elements {
            if let choice = strategy(element, what) { result.append(choice) }
        }
        return result
    }

    private mutating func strategy(_ node: JSONNode, _ what: String) -> PluginChoice? {
        switch node.kind {
        case .string:
            guard let name = text(node, "a strategy of \(what)") else { return nil }
            return PluginChoice(
                name: name, place: node.place, options: JSONNode(.object([]), at: node.place))
        case .object:
            guard
                let fields = object(
                    node, "a strategy of \(what)", keys: ["name", "canary"], open: true),
                let written = required(fields, "name"),
                let name = text(written, "the name of a strategy of \(what)")
            else { return nil }
            var choice = PluginChoice(
                name: name, place: written.place,
                options: rest(fields, without: ["name", "canary"]))
            choice.canary = fields["canary"].flatMap { canary($0, of: choice, what) }
            return choice
        default:
            mismatch(
                node, "the strategy of \(what)",
                "a name, an object with a \"name\", or a list of them")
            return nil
        }
    }

    private mutating func health(_ node: JSONNode, _ pool: String) -> Health? {
        let what = "the health of \(pool)"
        guard let fields = object(node, what, keys: Health.keys, open: true)
        else { return nil }
        if let node = fields["health_of"] {
            complain(
                node.place,
                "\"health_of\" in \(what) belongs into a node: each takes the verdict of one other")
        }
        let written = required(fields, "check")
        let name = written.flatMap { self.text($0, "the check of \(pool)") }
        var health = Health(
            check: PluginChoice(
                name: name ?? "", place: written?.place ?? node.place,
                options: rest(fields, without: Health.keys)))
        health.interval = duration(fields, "interval") ?? health.interval
        health.timeout = duration(fields, "timeout") ?? health.timeout
        health.rise = integer(fields, "rise", 1...1000) ?? health.rise
        health.fall = integer(fields, "fall", 1...1000) ?? health.fall
        return name == nil ? nil : health
    }

    func rest(_ fields: Fields, without keys: [String]) -> JSONNode {
        JSONNode(.object(fields.members.filter { !keys.contains($0.key) }), at: fields.place)
    }

    // MARK: Nodes

    private mutating func nodes(_ node: JSONNode, pool: String, _ what: String) -> [Node] {
        let elements = list(node, "\"nodes\" of \(what)")
        if case .array = node.kind, elements.isEmpty {
            complain(node.place, "\(what) has no nodes; expected at least one")
        }
        var result: [Node] = []
        for element in elements {
            guard let new = self.node(element, pool: pool, what) else { continue }
            if let other = result.first(where: { $0.name == new.name }) {
                complain(
                    new.place,
                    "the node \(quoted(new.name)) is there twice in \(what); the first one "
                        + "is at \(other.place.line):\(other.place.column)")
            }
            result.append(new)
        }
        return result
    }

    private mutating func node(_ node: JSONNode, pool: String, _ owner: String) -> Node? {
        let what = label("the node", node) + " of " + owner
        guard
            let fields = object(
                node, what,
                keys: [
                    "name", "address", "weight", "tier", "metadata", "max_in_flight", "health_of",
                    "drains_if", "tls",
                ])
        else { return nil }
        let written = required(fields, "name")
        let text = written.flatMap { self.text($0, "the name of \(what)") }
        let named = text.map { self.name($0, at: written?.place ?? node.place, "a node") } ?? false
        let address = required(fields, "address").flatMap {
            self.address($0, of: what, listens: false)
        }
        let weight = integer(fields, "weight", 0...65_535)
        let tier = integer(fields, "tier", 0...255)
        let maxInFlight = integer(fields, "max_in_flight", Pool.inFlightRange)
        let metadata = fields["metadata"].map { self.metadata($0, what) }
        let tls = nodeTLS(fields)
        let leader = leader(fields)
        let drainsIf = drainsIf(fields)
        guard let text, named, let address else { return nil }
        if let leader { leaders["\(pool)/\(text)"] = leader }
        var result = Node(
            name: text, place: written?.place ?? node.place, address: address, weight: weight ?? 1,
            tier: tier ?? 0, maxInFlight: maxInFlight, metadata: metadata ?? [],
            id: Node.id(pool: pool, node: text))
        result.tls = tls
        result.drainsIf = drainsIf ?? []
        return result
    }

    /// Of a node that takes another one's verdict.
    private mutating func drainsIf(_ fields: Fields) -> [(String, String)]? {
        guard let node = fields["drains_if"] else { return nil }
        if fields["health_of"] == nil {
            complain(
                node.place,
                "\"drains_if\" in \(fields.what) needs \"health_of\": it is about what is known of "
                    + "that node")
        }
        return metadata(node, "\"drains_if\" of \(fields.what)")
    }

    /// Texts, numbers and booleans, by name, within what plugins are told (32 pairs of 256 bytes).
    private mutating func metadata(_ node: JSONNode, _ owner: String) -> [(String, String)] {
        let what = "the metadata of \(owner)"
        guard let members = members(node, what) else { return [] }
        if members.count > 32 {
            complain(node.place, "\(what) has \(members.count) entries; expected at most 32")
        }
        var result: [(String, String)] = []
        for member in members {
            let value: String
            switch member.value.kind {
            case .string(let text): value = text
            case .number, .bool: value = member.value.encoded()
            default:
                mismatch(
                    member.value, "\(quoted(member.key)) in \(what)", "a string, number or boolean")
                continue
            }
            guard !member.key.isEmpty, member.key.utf8.count + value.utf8.count <= 256 else {
                complain(
                    member.keyPlace,
                    "\(quoted(member.key)) in \(what) does not fit: expected a name, and at most 256 "
                        + "bytes with its value")
                continue
            }
            result.append((member.key, value))
        }
        return result.sorted { Array($0.0.utf8).lexicographicallyPrecedes(Array($1.0.utf8)) }
    }
}

extension Health {
    /// What in a pool's `health` is Trivet's own; everything else is the check's.
    static let keys = ["check", "interval", "timeout", "rise", "fall"]
}
