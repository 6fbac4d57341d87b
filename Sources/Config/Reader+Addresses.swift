// Addresses of listeners and nodes, hosts and paths of routes: which are possible, and what is
// probably meant by those that are not.

import Base

extension Reader {
    /// `listens`: an address to bind to, which is never a name.
    mutating func address(_ node: JSONNode, of what: String, listens: Bool) -> HostPort? {
        guard let text = text(node, "the address of \(what)") else { return nil }
        guard let address = HostPort(text) else {
            complain(
                node.place,
                "\(quoted(text)) is no address for \(what)" + reason(text, listens: listens))
            return nil
        }
        switch address {
        case .name(let name, _) where listens:
            complain(
                node.place,
                "the address of \(what) is the name \"\(name)\"; expected an IP address "
                    + "and a port, such as \"0.0.0.0:80\"")
            return nil
        case .unix where listens:
            complain(
                node.place,
                "the address of \(what) is a unix socket, which is not supported by this "
                    + "version; expected an IP address and a port")
            return nil
        case .unix(let path) where !path.hasPrefix("/"):
            complain(
                node.place, "the socket of \(what) is \(quoted(path)); expected an absolute path")
            return nil
        case .ip(_, 0) where !listens, .name(_, 0):
            complain(node.place, "the address of \(what) has port 0; expected 1 to 65535")
            return nil
        default:
            return address
        }
    }

    private func reason(_ text: String, listens: Bool) -> String {
        if text.hasPrefix("https://") {
            return
                "; an address has no scheme: write the host and the port alone, and \"tls: true\" in the pool"
        }
        if text.hasPrefix("http://") {
            return "; an address has no scheme: write the host and the port alone"
        }
        if IPAddress(text) != nil || HostPort.isName(text) {
            let shown = IPAddress(text).map { $0.isV4 ? "\($0)" : "[\($0)]" } ?? text
            return "; the port is missing: write \"\(shown):80\""
        }
        if text.hasPrefix(":") { return "; write \"0.0.0.0\(text)\" or \"[::]\(text)\"" }
        let example = listens ? "" : ", \"node1.example.com:80\" or \"unix:/run/node.sock\""
        return "; expected \"10.0.0.1:80\", \"[::1]:80\"" + example
    }

    mutating func addressRange(_ node: JSONNode) -> AddressRange? {
        guard let text = text(node, "a trusted proxy") else { return nil }
        if let range = AddressRange(text) { return range }
        complain(
            node.place,
            "\(quoted(text)) is no range of addresses; expected \"10.0.0.0/8\", "
                + "\"fd00::/8\" or a single address")
        return nil
    }

    /// A host as `Route` keeps it.
    mutating func routeHost(_ node: JSONNode) -> String? {
        guard let text = text(node, "the host of a route")?.lowercased() else { return nil }
        let isAddress =
            text.hasPrefix("[") && text.hasSuffix("]")
            ? IPAddress(String(text.dropFirst().dropLast())) != nil : IPAddress(text)?.isV4 ?? false
        if isAddress || HostPort.isName(text.hasPrefix("*.") ? String(text.dropFirst(2)) : text) {
            return text
        }
        let hint =
            HostPort(text) != nil
            ? "; ports do not count here, write the host alone"
            : "; expected a name such as \"example.com\" or \"*.example.com\""
        complain(node.place, "\(quoted(text)) is no host for a route" + hint)
        return nil
    }

    /// A path as `Route` keeps it.
    mutating func routePath(_ node: JSONNode) -> String? {
        guard let text = text(node, "the path of a route") else { return nil }
        let isPlain = text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
        if text == "*" || text.hasPrefix("/"), isPlain, !text.dropLast().contains("*"),
            !text.contains("?"), !text.contains("#")
        {
            return text
        }
        complain(
            node.place,
            "\(quoted(text)) is no path for a route; expected \"/exact\" or \"/prefix/*\", "
                + "percent-encoded and without a query")
        return nil
    }
}
