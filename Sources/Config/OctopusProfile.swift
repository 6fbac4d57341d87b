// `profile: "octopus"`: what an Octopus Deploy cluster needs, from a list of its hosts. It is written out as the
// configuration that it stands for, before anything is read: everything after this file knows no profile, and
// `trivet check --expand` shows what it came to. What is known of such a cluster is in the README.

import Base

/// One use of the profile.
struct OctopusProfile {
    /// Keys that mean something beside the usual ones, with it.
    static let keys = [
        "hosts", "listen", "ports", "node_ports", "tls", "nodes_tls", "hsts", "sticky",
    ]

    /// A service of every node.
    private enum Service: String, CaseIterable {
        /// The portal and the API.
        case web
        /// Polling Tentacles, which are known by their certificates: TLS is passed through.
        case tentacles
        /// gRPC, passed through likewise.
        case grpc

        var port: Int {
            switch self {
            case .web: 80
            case .tentacles: 10943
            case .grpc: 8443
            }
        }
    }

    private struct Host {
        var name: String
        /// As it is written before a port.
        var host: String
        var ports: [Service: Int] = [:]
        var place: Place
    }

    private let place: Place
    private var hosts: [Host] = []
    private var nodePorts: [Service: Int] = [:]

    // MARK: Reading

    /// The configuration that `root`, which has a profile, stands for. What it does not know it leaves for
    /// whoever reads the result.
    static func expand(_ root: JSONNode, _ reader: inout Reader) -> JSONNode {
        guard case .object(let members) = root.kind, let node = root["profile"] else { return root }
        let fields = Fields(members: members, what: "the profile", place: node.place)
        guard reader.choice(fields, "profile", [("octopus", ())]) != nil else {
            return JSONNode(.object(members.filter { $0.key != "profile" }), at: root.place)
        }
        var profile = OctopusProfile(place: node.place)
        profile.readPorts(fields, &reader)
        profile.readHosts(fields, &reader)
        return profile.written(root, members, &reader)
    }

    private init(place: Place) { self.place = place }

    private mutating func readPorts(_ fields: Fields, _ reader: inout Reader) {
        guard let node = fields["node_ports"],
            let ports = reader.object(
                node, "\"node_ports\"", keys: Service.allCases.map(\.rawValue))
        else { return }
        for service in Service.allCases {
            nodePorts[service] = reader.integer(ports, service.rawValue, 1...65_535)
        }
    }

    private mutating func readHosts(_ fields: Fields, _ reader: inout Reader) {
        guard let node = fields["hosts"] else {
            reader.complain(
                place,
                "the profile \"octopus\" has no \"hosts\"; expected the cluster's servers, such as "
                    + "hosts: [\"10.0.0.11\", \"10.0.0.12:8080\"]")
            return
        }
        let elements = reader.list(node, "\"hosts\"")
        if case .array = node.kind, elements.isEmpty {
            reader.complain(node.place, "\"hosts\" is empty; expected at least one")
        }
        for element in elements {
            guard let host = Self.host(element, &reader) else { continue }
            if hosts.contains(where: { $0.name == host.name }) {
                reader.complain(
                    host.place,
                    "the host \(quoted(host.name)) is there twice; one of them needs another \"name\""
                )
                continue
            }
            hosts.append(host)
        }
    }

    private static func host(_ node: JSONNode, _ reader: inout Reader) -> Host? {
        guard case .object = node.kind else {
            guard let text = reader.text(node, "a host") else { return nil }
            return host(text, at: node.place, &reader)
        }
        let services = Service.allCases.map(\.rawValue)
        guard let fields = reader.object(node, "a host", keys: ["name", "host"] + services),
            let written = reader.required(fields, "host"),
            let text = reader.text(written, "the host of a host"),
            var host = host(text, at: written.place, &reader)
        else { return nil }
        if let name = fields["name"], let text = reader.text(name, "the name of a host") {
            host.name = text
            host.place = name.place
        }
        for service in Service.allCases {
            if let port = reader.integer(fields, service.rawValue, 1...65_535) {
                host.ports[service] = port
            }
        }
        return host
    }

    /// A name or an address, with or without the port of the portal.
    private static func host(_ text: String, at place: Place, _ reader: inout Reader) -> Host? {
        for (address, hasPort) in [(text, true), (text + ":80", false)] {
            var host: Host
            let port: UInt16
            switch HostPort(address) {
            case .ip(let ip, let number):
                host = Host(
                    name: ip.description, host: ip.isV4 ? "\(ip)" : "[\(ip)]", place: place)
                port = number
            case .name(let name, let number):
                host = Host(name: name, host: name, place: place)
                port = number
            case .unix, nil: continue
            }
            if hasPort { host.ports[.web] = Int(port) }
            return host
        }
        reader.complain(
            place,
            "\(quoted(text)) is no host; expected a name or an address, with the port of the portal if it "
                + "is another than 80: \"10.0.0.11\", \"node1.example.com:8080\", \"[::1]:8080\"")
        return nil
    }

    // MARK: Writing

    private func written(
        _ root: JSONNode, _ members: [JSONNode.Member], _ reader: inout Reader
    ) -> JSONNode {
        let own = Self.keys + ["profile", "listeners", "pools"]
        var result = members.filter { !own.contains($0.key) }
        let fields = Fields(members: members, what: "the profile \"octopus\"", place: place)
        let ports = listeningPorts(fields, &reader)
        result.append(
            member("listeners", merged(listeners(fields, ports, &reader), root["listeners"])))
        result.append(member("pools", merged(pools(fields, ports, &reader), root["pools"])))
        return JSONNode(.object(result), at: root.place)
    }

    /// Where clients come, by name; nil: nowhere.
    private func listeningPorts(_ fields: Fields, _ reader: inout Reader) -> [String: Int] {
        var ports = [
            "http": Service.web.port, "https": 443, "tentacles": Service.tentacles.port,
            "grpc": Service.grpc.port,
        ]
        guard let node = fields["ports"],
            let given = reader.object(node, "\"ports\"", keys: ports.keys.sorted())
        else { return ports }
        for name in ports.keys {
            if case .string("off")? = given[name]?.kind {
                ports[name] = nil
            } else if let port = reader.integer(given, name, 1...65_535) {
                ports[name] = port
            }
        }
        return ports
    }

    private func listeners(
        _ fields: Fields, _ ports: [String: Int], _ reader: inout Reader
    ) -> JSONNode {
        var address = "0.0.0.0"
        if let node = fields["listen"], let text = reader.text(node, "\"listen\"") {
            address = text
            if case .ip? = HostPort("\(text):80") {
            } else {
                reader.complain(
                    node.place,
                    "\"listen\" is \(quoted(text)); expected an address of this machine without a port, "
                        + "such as \"0.0.0.0\" or \"[::]\"")
                address = "0.0.0.0"
            }
        }
        func listener(
            _ name: String, _ port: Int, _ rest: [JSONNode.Member]
        ) -> JSONNode {
            object(
                [member("name", text(name)), member("address", text("\(address):\(port)"))] + rest)
        }
        var result: [JSONNode] = []
        let tls = fields["tls"]
        if let port = ports["http"] {
            // Who ends TLS here has the rest come by it.
            let target =
                tls == nil
                ? member("pool", text("octopus"))
                : member("redirect", redirect(to: ports["https"] ?? 443))
            result.append(listener("web", port, [target]))
        }
        if let tls, let port = ports["https"] {
            var rest = [member("pool", text("octopus")), member("tls", tls)]
            if let hsts = fields["hsts"] { rest.append(member("hsts", hsts)) }
            result.append(listener("secure", port, rest))
        } else if let hsts = fields["hsts"], tls == nil {
            reader.complain(
                hsts.place, "\"hsts\" needs \"tls\": browsers heed it over https alone")
        }
        for service in [Service.tentacles, .grpc] {
            guard let port = ports[service.rawValue] else { continue }
            result.append(
                listener(
                    service.rawValue, port,
                    [
                        member("protocol", text("tcp")), member("pool", text(service.rawValue)),
                    ]))
        }
        return JSONNode(.array(result), at: place)
    }

    private func redirect(to port: Int) -> JSONNode {
        port == 443
            ? text("https")
            : object([member("to", text("https")), member("port", number(port))])
    }

    private func pools(
        _ fields: Fields, _ ports: [String: Int], _ reader: inout Reader
    ) -> JSONNode {
        var web: [JSONNode.Member] = []
        if reader.boolean(fields, "sticky") ?? false {
            web.append(
                member(
                    "strategy",
                    JSONNode(.array([text("sticky"), text("round-robin")]), at: place)))
            web.append(member("session", object([member("cookie", text("trivet-octopus"))])))
        } else {
            web.append(member("strategy", text("round-robin")))
        }
        if let tls = fields["nodes_tls"] { web.append(member("tls", tls)) }
        web.append(
            member(
                "health",
                object([
                    member("check", text("octopus")), member("interval", text("2s")),
                    member("timeout", text("1s")), member("rise", number(2)),
                    member("fall", number(3)),
                ])))
        let isSecure = fields["nodes_tls"].map { $0.kind != .bool(false) } ?? false
        web.append(member("nodes", nodes(.web, secure: isSecure)))
        var result = [member("octopus", object(web))]
        for service in [Service.tentacles, .grpc] where ports[service.rawValue] != nil {
            result.append(
                member(
                    service.rawValue,
                    object([
                        member("strategy", text("round-robin")),
                        // Thousands of Tentacles are not to come back at once.
                        member("drain_timeout", text("10m")),
                        member("nodes", nodes(service, secure: false)),
                    ])))
        }
        return object(result)
    }

    private func nodes(_ service: Service, secure: Bool) -> JSONNode {
        let elements = hosts.map { host in
            let standard = secure ? 443 : service.port
            let port = host.ports[service] ?? nodePorts[service] ?? standard
            func member(_ key: String, _ value: String) -> JSONNode.Member {
                JSONNode.Member(
                    key: key, keyPlace: host.place, value: JSONNode(.string(value), at: host.place))
            }
            var members = [member("name", host.name), member("address", "\(host.host):\(port)")]
            if service != .web { members.append(member("health_of", "octopus/\(host.name)")) }
            if service == .tentacles {
                // A server that takes no tasks is for the portal alone.
                let unless = JSONNode(.object([member("max-tasks", "0")]), at: host.place)
                members.append(
                    JSONNode.Member(key: "drains_if", keyPlace: host.place, value: unless))
            }
            return JSONNode(.object(members), at: host.place)
        }
        return JSONNode(.array(elements), at: place)
    }

    /// What is written beside the profile is added, and where it has the name of something of the profile's, its
    /// members are put in place of those.
    private func merged(_ generated: JSONNode, _ given: JSONNode?) -> JSONNode {
        guard let given else { return generated }
        switch (generated.kind, given.kind) {
        case (.object(var members), .object(let others)):
            for other in others {
                if let at = members.firstIndex(where: { $0.key == other.key }) {
                    members[at].value = overlaid(members[at].value, other.value)
                } else {
                    members.append(other)
                }
            }
            return JSONNode(.object(members), at: given.place)
        case (.array(var elements), .array(let others)):
            for other in others {
                let at = elements.firstIndex { element in
                    guard let name = element["name"], let own = other["name"] else { return false }
                    return name.kind == own.kind
                }
                if let at {
                    elements[at] = overlaid(elements[at], other)
                } else {
                    elements.append(other)
                }
            }
            return JSONNode(.array(elements), at: given.place)
        default: return given
        }
    }

    private func overlaid(_ node: JSONNode, _ other: JSONNode) -> JSONNode {
        guard case .object(var members) = node.kind, case .object(let others) = other.kind else {
            return other
        }
        for other in others {
            if let at = members.firstIndex(where: { $0.key == other.key }) {
                members[at] = other
            } else {
                members.append(other)
            }
        }
        return JSONNode(.object(members), at: other.place)
    }

    // MARK: Parts

    private func member(_ key: String, _ value: JSONNode) -> JSONNode.Member {
        JSONNode.Member(key: key, keyPlace: place, value: value)
    }
    private func object(_ members: [JSONNode.Member]) -> JSONNode {
        JSONNode(.object(members), at: place)
    }
    private func text(_ value: String) -> JSONNode { JSONNode(.string(value), at: place) }
    private func number(_ value: Int) -> JSONNode { JSONNode(.number(Double(value)), at: place) }
}
