// TLS as it is written: of listeners, of pools and of nodes, and what listeners say about http and https.

import Base

extension Reader {
    // MARK: Listeners

    mutating func listenerTLS(_ listener: Fields) -> ListenerTLS? {
        guard let node = listener["tls"] else { return nil }
        let what = "the tls of \(listener.what)"
        guard
            let fields = object(
                node, what,
                keys: [
                    "certificates", "client_certificates", "handshake_timeout", "max_handshakes",
                ])
        else { return nil }
        var tls = ListenerTLS()
        let elements = list(fields, "certificates")
        if fields["certificates"] == nil {
            _ = required(fields, "certificates")
        } else if case .array = fields["certificates"]?.kind, elements.isEmpty {
            complain(
                fields["certificates"]?.place ?? node.place,
                "\(what) has no certificates; expected at least one")
        }
        for element in elements {
            let what = "a certificate of \(listener.what)"
            guard
                let pair = object(element, what, keys: ["certificate", "key", "ocsp"])
            else { continue }
            let (certificate, key) = (required(pair, "certificate"), required(pair, "key"))
            guard certificate != nil, key != nil,
                let certificate = placedText(pair, "certificate"), let key = placedText(pair, "key")
            else { continue }
            tls.certificates.append(
                .init(certificate: certificate, key: key, ocsp: placedText(pair, "ocsp")))
        }
        if let node = fields["client_certificates"],
            let clients = object(
                node, "the client certificates of \(listener.what)", keys: ["ca", "required"]),
            required(clients, "ca") != nil, let authorities = placedText(clients, "ca")
        {
            tls.clients = .init(
                authorities: authorities, isRequired: boolean(clients, "required") ?? true)
        }
        tls.handshakeTimeout = duration(fields, "handshake_timeout") ?? tls.handshakeTimeout
        tls.maxHandshakes = integer(fields, "max_handshakes", 1...1_000_000) ?? tls.maxHandshakes
        return tls
    }

    /// `"https"`, or an object with a port.
    mutating func redirect(_ listener: Fields) -> Redirect? {
        guard let node = listener["redirect"] else { return nil }
        let what = "\"redirect\" in \(listener.what)"
        var redirect = Redirect()
        switch node.kind {
        case .string:
            guard choice(listener, "redirect", [("https", ())]) != nil else { return nil }
        case .object:
            guard let fields = object(node, what, keys: ["to", "port"]),
                required(fields, "to") != nil, choice(fields, "to", [("https", ())]) != nil
            else { return nil }
            if let port = integer(fields, "port", 1...65_535) { redirect.port = UInt16(port) }
        default:
            mismatch(node, what, "\"https\", or an object with \"to\" and \"port\"")
            return nil
        }
        if let tls = listener["tls"] {
            complain(
                tls.place,
                "\"redirect\" in \(listener.what) sends requests where they are: it has \"tls\" itself"
            )
        }
        return redirect
    }

    /// A duration, or an object with one.
    mutating func strictTransport(_ listener: Fields) -> StrictTransport? {
        guard let node = listener["hsts"] else { return nil }
        let what = "\"hsts\" in \(listener.what)"
        if listener["tls"] == nil {
            complain(
                node.place,
                "\(what) needs \"tls\": browsers heed it over https alone (RFC 6797 section 7.2)")
        }
        guard case .object = node.kind else {
            return duration(listener, "hsts", least: 1_000_000_000).map {
                StrictTransport(maxAge: $0)
            }
        }
        guard let fields = object(node, what, keys: ["max_age", "subdomains"]),
            required(fields, "max_age") != nil,
            let age = duration(fields, "max_age", least: 1_000_000_000)
        else { return nil }
        return StrictTransport(
            maxAge: age, includesSubdomains: boolean(fields, "subdomains") ?? false)
    }

    // MARK: Nodes

    /// `true`, or an object.
    mutating func poolTLS(_ pool: Fields) -> PoolTLS? {
        guard let node = pool["tls"] else { return nil }
        let what = "the tls of \(pool.what)"
        var tls = PoolTLS()
        switch node.kind {
        case .bool(let isOn): return isOn ? tls : nil
        case .object: break
        default:
            mismatch(node, what, "true, or an object")
            return nil
        }
        guard
            let fields = object(
                node, what,
                keys: ["verify", "ca", "name", "fingerprints", "certificate", "key"])
        else { return nil }
        if let authorities = placedText(fields, "ca") { tls.trust = .authorities(authorities) }
        if boolean(fields, "verify") == false {
            for key in ["ca", "fingerprints"] {
                guard let node = fields[key] else { continue }
                complain(
                    node.place,
                    "\"\(key)\" in \(what) says whom to believe, and \"verify: false\" that everybody "
                        + "is; leave one of them out")
            }
            tls.trust = .anybody
        }
        tls.name = fields["name"].flatMap { serverName($0, what) }
        tls.fingerprints = fingerprints(fields) ?? []
        tls.certificate = placedText(fields, "certificate")
        tls.key = placedText(fields, "key")
        for (key, other) in [("certificate", "key"), ("key", "certificate")]
        where fields[key] != nil && fields[other] == nil {
            complain(
                fields[key]?.place ?? node.place,
                "\"\(key)\" in \(what) is of no use without \"\(other)\"")
        }
        return tls
    }

    mutating func nodeTLS(_ node: Fields) -> NodeTLS? {
        guard let written = node["tls"] else { return nil }
        let what = "the tls of \(node.what)"
        guard let fields = object(written, what, keys: ["name", "fingerprints"]) else { return nil }
        return NodeTLS(
            name: fields["name"].flatMap { serverName($0, what) },
            fingerprints: fingerprints(fields))
    }

    private mutating func serverName(_ node: JSONNode, _ what: String) -> String? {
        guard let name = text(node, "the name in \(what)") else { return nil }
        guard name.utf8.count <= 253, name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x3A })
        else {
            complain(
                node.place,
                "\(quoted(name)) in \(what) is no name of a server; expected one such as "
                    + "\"node1.example.com\"")
            return nil
        }
        return name
    }

    /// SHA-256 sums in hexadecimal, with or without colons, as `openssl x509 -fingerprint -sha256` prints
    /// them.
    private mutating func fingerprints(_ fields: Fields) -> [[UInt8]]? {
        guard fields["fingerprints"] != nil else { return nil }
        var result: [[UInt8]] = []
        for node in list(fields, "fingerprints") {
            guard let text = text(node, "a fingerprint in \(fields.what)") else { continue }
            let sum = SHA256.bytes(ofHex: text.filter { $0 != ":" })
            if let sum, sum.count == 32 {
                result.append(sum)
            } else {
                complain(
                    node.place,
                    "\(quoted(text)) is no fingerprint; expected a SHA-256 sum of 64 hexadecimal digits, "
                        + "as \"openssl x509 -in node.crt -noout -fingerprint -sha256\" prints it")
            }
        }
        return result
    }
}
