// What an operator says of TLS: paths as written, names, fingerprints. Whether the files hold what they should
// is for whoever reads them (Proxy/Keyring.swift).

import Base

/// TLS towards clients.
package struct ListenerTLS: Sendable {
    package struct Certificate: Sendable {
        /// PEM: the certificate and what leads to its root.
        package var certificate: Placed<String>
        package var key: Placed<String>
        /// An OCSP response in DER.
        package var ocsp: Placed<String>?
    }

    package struct Clients: Sendable {
        /// PEM.
        package var authorities: Placed<String>
        package var isRequired = true
    }

    /// In the order of the file; the first answers who asks for nobody we know. Never empty.
    package var certificates: [Certificate] = []
    /// Nil: clients show no certificates.
    package var clients: Clients?
    package var handshakeTimeout: Nanoseconds = 10_000_000_000
    /// On all workers together.
    package var maxHandshakes = 2000

    package init() {}
}

/// Where requests of plain HTTP are sent instead.
package struct Redirect: Equatable, Sendable {
    /// 443 is not written.
    package var port: UInt16 = 443
}

/// Strict-Transport-Security (RFC 6797).
package struct StrictTransport: Equatable, Sendable {
    /// Whole seconds.
    package var maxAge: Nanoseconds
    package var includesSubdomains = false
}

/// TLS towards the nodes of a pool.
package struct PoolTLS: Sendable {
    package enum Trust: Sendable {
        /// Who the system trusts.
        case system
        /// PEM.
        case authorities(Placed<String>)
        case anybody
    }

    package var trust = Trust.system
    /// Of every node that says nothing else; nil: each node's host.
    package var name: String?
    /// SHA-256 of certificates that are good whatever else is wrong with them.
    package var fingerprints: [[UInt8]] = []
    /// Shown to nodes, with its key.
    package var certificate: Placed<String>?
    package var key: Placed<String>?
}

/// What is said of one node alone.
package struct NodeTLS: Sendable {
    package var name: String?
    /// Nil: the pool's.
    package var fingerprints: [[UInt8]]?
}

extension Configuration {
    /// Every file that TLS needs, as written, with its place: once for each time it is named.
    package var tlsFiles: [Placed<String>] {
        var files: [Placed<String>] = []
        for tls in listeners.compactMap(\.tls) {
            for pair in tls.certificates {
                files += [pair.certificate, pair.key]
                if let ocsp = pair.ocsp { files.append(ocsp) }
            }
            if let clients = tls.clients { files.append(clients.authorities) }
        }
        for tls in pools.compactMap(\.tls) {
            if case .authorities(let path) = tls.trust { files.append(path) }
            if let certificate = tls.certificate { files.append(certificate) }
            if let key = tls.key { files.append(key) }
        }
        return files
    }
}
