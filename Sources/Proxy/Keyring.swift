// Certificates, keys and authorities as bytes, by the paths under which the configuration names them, and what
// is made of them. The supervisor reads the files, since a balancer without privileges cannot; from here on
// there are no files any more.

import Base
import Config
import Net

/// What the files hold that a configuration names.
package struct Keyring: Sendable, Equatable {
    /// By path, as written.
    package private(set) var files: [String: [UInt8]] = [:]

    package init() {}

    package mutating func add(_ path: String, _ bytes: [UInt8]) { files[path] = bytes }

    private func file(_ path: Placed<String>) throws(TLSRefusal) -> TLSFile {
        guard let bytes = files[path.value] else {
            throw TLSRefusal("\(path.value) was not read")
        }
        return TLSFile(name: path.value, bytes: bytes)
    }

    // MARK: From one process to the other

    package var encoded: [UInt8] {
        var bytes: [UInt8] = []
        func add(_ part: [UInt8]) {
            for shift in [24, 16, 8, 0] {
                bytes.append(UInt8(truncatingIfNeeded: part.count >> shift))
            }
            bytes += part
        }
        for (path, content) in files.sorted(by: { $0.key < $1.key }) {
            add(Array(path.utf8))
            add(content)
        }
        return bytes
    }

    /// Nil: these bytes are not whole.
    package init?(_ bytes: [UInt8]) {
        var rest = bytes[...]
        func part() -> [UInt8]? {
            guard rest.count >= 4 else { return nil }
            let count = rest.prefix(4).reduce(0) { $0 << 8 | Int($1) }
            rest = rest.dropFirst(4)
            guard rest.count >= count else { return nil }
            defer { rest = rest.dropFirst(count) }
            return Array(rest.prefix(count))
        }
        while !rest.isEmpty {
            guard let path = part(), let content = part() else { return nil }
            files[String(decoding: path, as: UTF8.self)] = content
        }
    }

    // MARK: Towards clients

    /// What a front was made of: with the same again, it is the same again.
    struct FrontMaterial: Equatable, Sendable {
        var files: [[UInt8]]
        var requiresClients: Bool?
    }

    struct Front: Sendable {
        var material: FrontMaterial
        var tls: TLSFront
    }

    /// `present`: of the same listener as it serves.
    func front(
        _ tls: ListenerTLS, tickets: TLSTickets, present: Front?
    ) throws(TLSRefusal) -> Front {
        var pairs: [TLSFront.Pair] = []
        var material = FrontMaterial(files: [], requiresClients: tls.clients?.isRequired)
        for entry in tls.certificates {
            var pair = TLSFront.Pair(
                certificate: try file(entry.certificate), key: try file(entry.key))
            if let ocsp = entry.ocsp { pair.staple = try file(ocsp) }
            material.files += [pair.certificate.bytes, pair.key.bytes, pair.staple?.bytes ?? []]
            pairs.append(pair)
        }
        var clients: TLSFront.Clients?
        if let asked = tls.clients {
            let authorities = try file(asked.authorities)
            material.files.append(authorities.bytes)
            clients = .init(authorities: authorities, isRequired: asked.isRequired)
        }
        if let present, present.material == material { return present }
        return Front(
            material: material,
            tls: try TLSFront(pairs, clients: clients, tickets: tickets))
    }

    // MARK: Towards nodes

    struct Behind: Sendable {
        var material: [[UInt8]]
        var tls: TLSBehind
    }

    func behind(_ tls: PoolTLS, present: Behind?) throws(TLSRefusal) -> Behind {
        var trust: TLSBehind.Trust
        var material: [[UInt8]] = []
        switch tls.trust {
        case .system: trust = .system
        case .anybody:
            trust = .anybody
            material.append([])
        case .authorities(let path):
            let file = try file(path)
            trust = .authorities(file)
            material.append(file.bytes)
        }
        var (certificate, key): (TLSFile?, TLSFile?)
        if let path = tls.certificate { certificate = try file(path) }
        if let path = tls.key { key = try file(path) }
        material += [certificate?.bytes ?? [], key?.bytes ?? []]
        if let present, present.material == material { return present }
        return Behind(
            material: material,
            tls: try TLSBehind(trust: trust, certificate: certificate, key: key))
    }

    // MARK: Judging

    /// What is wrong with the files as far as can be told without serving, and what an operator should know.
    package func review(
        _ configuration: Configuration
    ) -> (complaints: [String], notices: [String]) {
        var complaints: [String] = []
        var notices: [String] = []
        let tickets = TLSTickets(.none)
        func wrong(_ place: Place, _ sentence: String) {
            let diagnostic = Diagnostic(
                file: configuration.file, place: place, sentence: sentence)
            complaints.append(diagnostic.description)
        }
        for listener in configuration.listeners {
            guard let tls = listener.tls, let first = tls.certificates.first else { continue }
            // Each certificate by itself, so that one sentence does not hide another.
            var isGood = true
            for entry in tls.certificates {
                var alone = ListenerTLS()
                alone.certificates = [entry]
                do throws(TLSRefusal) {
                    let front = try front(alone, tickets: tickets, present: nil)
                    notices += front.tls.notices.map { "listener \"\(listener.name)\": \($0)" }
                } catch {
                    isGood = false
                    wrong(entry.certificate.place, error.sentence)
                }
            }
            guard isGood else { continue }
            do throws(TLSRefusal) {
                _ = try front(tls, tickets: tickets, present: nil)
            } catch {
                wrong((tls.clients?.authorities ?? first.certificate).place, error.sentence)
            }
        }
        for pool in configuration.pools {
            guard let tls = pool.tls else { continue }
            if case .anybody = tls.trust {
                notices.append(
                    "pool \"\(pool.name)\": \"verify: false\" believes whoever answers for a node; pin "
                        + "fingerprints or name a \"ca\" instead")
            }
            do throws(TLSRefusal) {
                _ = try behind(tls, present: nil)
            } catch {
                wrong(tls.certificate?.place ?? pool.place, error.sentence)
            }
        }
        return (complaints, notices)
    }
}

extension TLSBehind.Peer {
    /// By the host of an authority, as in `node1:8443` or `[::1]`.
    init(authority: String) {
        let host: String
        switch HostPort(authority) ?? HostPort(authority + ":443") {
        case .ip(let address, _):
            self.init(name: address.description, isAddress: true)
            return
        case .name(let name, _): host = name
        default: host = authority
        }
        self.init(name: host, isAddress: false)
    }

    /// How a node is known: by what the configuration says of it, of its pool, or by its host.
    init(_ node: Node, _ tls: PoolTLS) {
        let name: String
        var isAddress = false
        if let given = node.tls?.name ?? tls.name {
            name = given
        } else {
            switch node.address {
            case .ip(let address, _):
                name = address.description
                isAddress = true
            case .name(let host, _): name = host
            default: name = node.name
            }
        }
        self.init(
            name: name, isAddress: isAddress,
            fingerprints: node.tls?.fingerprints ?? tls.fingerprints)
    }
}
