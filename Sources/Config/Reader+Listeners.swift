// The part of a configuration that faces the clients: listeners and their routes.

import Base

extension Reader {
    /// `pools`: the names, in order.
    mutating func listeners(_ node: JSONNode, pools: [String]) -> [Listener] {
        let elements = list(node, "\"listeners\"")
        if case .array = node.kind, elements.isEmpty {
            complain(node.place, "there are no listeners; expected at least one")
        }
        var result: [Listener] = []
        for element in elements {
            guard let listener = listener(element, pools: pools) else { continue }
            if result.contains(where: { $0.name == listener.name }) {
                complain(
                    element["name"]?.place ?? listener.place,
                    "the listener \(quoted(listener.name)) is there twice; names are unique")
            } else if listener.address.port != 0,
                let other = result.first(where: { $0.address == listener.address })
            {
                complain(
                    listener.place,
                    "the listeners \(quoted(other.name)) and "
                        + "\(quoted(listener.name)) have the same address \(listener.address)")
            }
            result.append(listener)
        }
        return result
    }

    private mutating func listener(_ node: JSONNode, pools: [String]) -> Listener? {
        let what = label("the listener", node)
        guard
            let fields = object(
                node, what,
                keys: [
                    "name", "address", "pool", "routes", "protocol", "trusted_proxies", "timeouts",
                    "limits", "max_connections", "max_connections_per_client", "proxy_protocol",
                    "tls",
                    "redirect", "hsts",
                ],
                later: ["session", "profile"])
        else { return nil }
        // Without an address there is no listener; everything else in it is judged all the same.
        let written = required(fields, "address")
        let address = written.flatMap { self.address($0, of: what, listens: true) }
        var listener = Listener(
            name: address?.description ?? "", address: address ?? .ip(.v4Any, port: 0),
            place: written?.place ?? node.place)
        if let node = fields["name"], let text = text(node, "the name of \(what)"),
            name(text, at: node.place, "a listener")
        {
            listener.name = text
        }
        listener.protocolKind =
            choice(fields, "protocol", [("http", .http), ("tcp", .tcp)]) ?? listener.protocolKind
        if listener.protocolKind == .tcp { judgeStream(fields) }
        listener.pool = fields["pool"].flatMap { self.pool($0, of: what, pools) }
        listener.routes = routes(fields, pools)
        listener.tls = listenerTLS(fields)
        listener.redirect = redirect(fields)
        listener.strictTransport = strictTransport(fields)
        if let node = fields["redirect"], fields["pool"] != nil {
            complain(
                node.place,
                "\"redirect\" in \(what) and its \"pool\" are both for what no route takes; leave one "
                    + "out")
        }
        if fields["pool"] == nil, fields["routes"] == nil, fields["redirect"] == nil {
            complain(node.place, "\(what) leads nowhere; expected \"pool\", \"routes\" or both")
        }
        for node in list(fields, "trusted_proxies") {
            if let range = addressRange(node) { listener.trustedProxies.append(range) }
        }
        listener.readsProxyHeader = boolean(fields, "proxy_protocol") ?? false
        if listener.readsProxyHeader, fields["trusted_proxies"] == nil {
            complain(
                fields["proxy_protocol"]?.place ?? node.place,
                "\"proxy_protocol\" in \(what) needs \"trusted_proxies\": nobody else is believed")
        }
        listener.timeouts = timeouts(fields)
        listener.limits = limits(fields)
        listener.maxConnections = integer(fields, "max_connections", 1...10_000_000)
        listener.maxConnectionsPerClient = integer(
            fields, "max_connections_per_client", 1...10_000_000)
        return address == nil ? nil : listener
    }

    /// What says something about requests says nothing of a connection.
    private mutating func judgeStream(_ fields: Fields) {
        for key in ["trusted_proxies", "limits"] {
            guard let node = fields[key] else { continue }
            // Their PROXY headers are something else.
            if key == "trusted_proxies", fields["proxy_protocol"] != nil { continue }
            complain(
                node.place,
                "\"\(key)\" in \(fields.what) is about requests, and its protocol \"tcp\" has none; "
                    + "leave it out")
        }
        for key in ["tls", "redirect", "hsts"] {
            guard let node = fields[key] else { continue }
            complain(
                node.place,
                "\"\(key)\" in \(fields.what) is for requests; its protocol \"tcp\" passes TLS through "
                    + "as it comes")
        }
        if let node = fields["timeouts"]?["idle"] {
            complain(
                node.place,
                "\"idle\" in the timeouts of \(fields.what) is about requests, and its protocol "
                    + "\"tcp\" has none; expected \"tunnel\" in the timeouts of its pool")
        }
        for route in list(fields, "routes") {
            guard let node = route["path"] else { continue }
            complain(
                node.place,
                "\"path\" in a route of \(fields.what) is about requests, and its protocol \"tcp\" has "
                    + "none; expected \"host\" alone: the name that a TLS client asks for")
        }
    }

    private mutating func timeouts(_ fields: Fields) -> Listener.Timeouts {
        var timeouts = Listener.Timeouts()
        guard let node = fields["timeouts"],
            let fields = object(
                node, "the timeouts of \(fields.what)", keys: ["header", "idle"])
        else { return timeouts }
        if let time = duration(fields, "header") { timeouts.header = time }
        if let time = duration(fields, "idle") { timeouts.idle = time }
        return timeouts
    }

    private mutating func limits(_ fields: Fields) -> Listener.Limits {
        var limits = Listener.Limits()
        guard let node = fields["limits"],
            let fields = object(
                node, "the limits of \(fields.what)", keys: ["target", "head", "fields"])
        else { return limits }
        // A head lies whole in one buffer of the worker while it is read: 64 KiB.
        let head = size(fields, "head", 1024...65_536)
        let target = size(fields, "target", 256...65_536)
        limits.fields = integer(fields, "fields", 10...10_000) ?? limits.fields
        limits.headBytes = head ?? limits.headBytes
        // A smaller head makes for a smaller target, unless both are written.
        limits.targetBytes = target ?? min(limits.targetBytes, limits.headBytes)
        if target != nil, limits.targetBytes > limits.headBytes {
            complain(
                fields["target"]?.place ?? node.place,
                "\"target\" in \(fields.what) is larger than \"head\" "
                    + "(\(limits.headBytes) bytes), which it is a part of")
        }
        return limits
    }

    // MARK: Routes

    private mutating func routes(_ fields: Fields, _ pools: [String]) -> [Route] {
        let elements = list(fields, "routes")
        if fields["pool"] == nil, let node = fields["routes"], case .array = node.kind,
            elements.isEmpty
        {
            complain(node.place, "\(fields.what) has neither a pool nor a route")
        }
        var result: [Route] = []
        for element in elements {
            guard
                let route = object(
                    element, "a route of \(fields.what)", keys: ["host", "path", "pool"])
            else { continue }
            let host = route["host"].map { routeHost($0) }
            let path = route["path"].map { routePath($0) }
            if host == nil, path == nil {
                complain(element.place, "\(route.what) has neither \"host\" nor \"path\"")
            }
            let pool = required(route, "pool").flatMap { self.pool($0, of: route.what, pools) }
            // What was written and not understood was complained about.
            guard let pool, host != .some(nil), path != .some(nil) else { continue }
            let new = Route(
                host: host ?? nil, path: path ?? nil, pool: pool, place: element.place)
            if let same = result.first(where: { $0.host == new.host && $0.path == new.path }) {
                complain(
                    new.place,
                    "\(route.what) is never taken: the one at \(same.place.line):"
                        + "\(same.place.column) has the same host and path")
            }
            result.append(new)
        }
        return result
    }

    private mutating func pool(_ node: JSONNode, of what: String, _ pools: [String]) -> Int? {
        guard let name = text(node, "the pool of \(what)") else { return nil }
        if let index = pools.firstIndex(of: name) { return index }
        complain(node.place, "unknown pool \(quoted(name))" + advice(name, pools, "there are"))
        return nil
    }

    /// `the listener "web"`, as far as there is a name.
    func label(_ what: String, _ node: JSONNode) -> String {
        for key in ["name", "address"] {
            if case .string(let text)? = node[key]?.kind, !text.isEmpty {
                return "\(what) \(quoted(text))"
            }
        }
        return "a\(what.dropFirst(3))"
    }
}
