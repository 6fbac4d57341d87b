// TLS towards nodes: whom a certificate must be from, whose it must be, and what we show ourselves. Made for a
// pool; what each node is called comes with the connection.

import Glibc

/// What one pool's TLS is. Immutable. [any]
@safe
package final class TLSBehind: @unchecked Sendable {
    /// Who may have signed a node's certificate.
    package enum Trust: Sendable {
        case system
        case authorities(TLSFile)
        /// Anybody: what is sent can be read by whoever is on the way. For tests.
        case anybody
    }

    /// How a node is known.
    package struct Peer: Sendable, Equatable {
        /// What the certificate must be for, and what is asked for by SNI unless it is an address. Nil: it
        /// may be for anything.
        package var name: String?
        /// The name is an address.
        package var isAddress: Bool
        /// SHA-256 of certificates that are good whatever else is wrong with them; with any, no others are.
        package var fingerprints: [[UInt8]]

        package init(name: String?, isAddress: Bool, fingerprints: [[UInt8]] = []) {
            self.name = name
            self.isAddress = isAddress
            self.fingerprints = fingerprints
        }
    }

    private let context: TLSContext
    private let verifies: Bool

    /// - Parameters:
    ///   - certificate: shown to nodes that ask for one, with its key.
    package init(
        trust: Trust, certificate: TLSFile?, key: TLSFile?
    ) throws(TLSRefusal) {
        let library = try OpenSSL.library()
        context = try TLSContext(library, isServer: false)
        switch trust {
        case .system:
            try context.trust(nil)
            verifies = true
        case .authorities(let file):
            try context.trust(try Certificate.read(file, library))
            verifies = true
        case .anybody: verifies = false
        }
        if let certificate, let key {
            try context.use(
                try Certificate.read(certificate, library), try PrivateKey(key, library),
                names: (certificate.name, key.name))
        }
        let protocols: [UInt8] = [8] + Array("http/1.1".utf8)
        unsafe _ = library.SSL_CTX_set_alpn_protos(
            context.handle, protocols, UInt32(protocols.count))
    }

    /// TLS on a connection to a node that is made, or about to be. Nil if there is no memory for it.
    ///
    /// - Parameters:
    ///   - former: of an earlier connection to the same node, to be taken up.
    package func session(
        fd: Int32, peer: Peer, former: TLSFormer?, desk: TLSDesk
    ) -> TLSSession? {
        guard
            let session = TLSSession(context, origin: self, fd: fd, desk: desk, isServer: false)
        else { return nil }
        session.expect(peer, verifies: verifies && peer.fingerprints.isEmpty)
        if let former { session.takeUp(former) }
        return session
    }
}

/// What a node gave us to take a session up again (RFC 8446 section 2.2). [any]
@safe
package final class TLSFormer: @unchecked Sendable {
    let library: OpenSSL
    let handle: OpenSSL.Handle

    /// Takes `handle` over.
    init(_ library: OpenSSL, owning handle: OpenSSL.Handle) {
        self.library = library
        unsafe self.handle = handle
    }

    deinit { unsafe library.SSL_SESSION_free(handle) }
}
