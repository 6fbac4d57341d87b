// What all connections of one kind have in common, as an SSL_CTX: the two versions that are spoken, ciphers
// without a known weakness, nothing to set wrong. Listeners' are TLSFront's, pools' TLSBehind's.

import Glibc

package enum TLS {
    /// Whether this machine has what TLS needs.
    package static var isThere: Bool { (try? OpenSSL.library()) != nil }
}

/// An SSL_CTX. Set up by its maker, then only read. [any]
@safe
final class TLSContext: @unchecked Sendable {
    let library: OpenSSL
    let handle: OpenSSL.Handle

    /// With forward secrecy and authenticated encryption only, for TLS 1.2; those of 1.3 all have both.
    private static let ciphers =
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
        + "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

    // SSL_CTRL_MODE, SSL_CTRL_SET_READ_AHEAD, SSL_CTRL_SET_SESS_CACHE_MODE,
    // SSL_CTRL_SET_MIN_PROTO_VERSION, SSL_CTRL_CHAIN_CERT
    private static let (mode, readAhead, cache, leastVersion, chain) = (
        Int32(33), Int32(41), Int32(44), Int32(123), Int32(89)
    )

    init(_ library: OpenSSL, isServer: Bool) throws(TLSRefusal) {
        self.library = library
        let method = unsafe isServer ? library.TLS_server_method() : library.TLS_client_method()
        guard let made = unsafe library.SSL_CTX_new(method) else {
            throw TLSRefusal("OpenSSL gives no context: \(library.takeReason())")
        }
        unsafe handle = made
        // TLS 1.2 (RFC 8996 ends what was before it).
        unsafe _ = library.SSL_CTX_ctrl(made, Self.leastVersion, 0x0303, nil)
        guard unsafe library.SSL_CTX_set_cipher_list(made, Self.ciphers) == 1 else {
            throw TLSRefusal("OpenSSL knows none of the ciphers: \(library.takeReason())")
        }
        // No compression, no renegotiation; a client with good reasons for ChaCha20 gets it.
        unsafe _ = library.SSL_CTX_set_options(made, 1 << 17 | 1 << 30)
        // An idle connection gives its buffers back (SSL_MODE_RELEASE_BUFFERS).
        unsafe _ = library.SSL_CTX_ctrl(made, Self.mode, 0x10, nil)
        // As much as there is with one read.
        unsafe _ = library.SSL_CTX_ctrl(made, Self.readAhead, 1, nil)
        // Sessions are the clients' to keep: no cache here.
        unsafe _ = library.SSL_CTX_ctrl(made, Self.cache, 0, nil)
    }

    deinit { unsafe library.SSL_CTX_free(handle) }

    /// A certificate with what leads to its root, and its key.
    func use(_ chain: [Certificate], _ key: PrivateKey, names: (String, String)) throws(TLSRefusal)
    {
        guard let leaf = chain.first,
            unsafe library.SSL_CTX_use_certificate(handle, leaf.handle) == 1
        else {
            throw TLSRefusal("\(names.0) cannot be used: \(library.takeReason())")
        }
        guard unsafe library.X509_check_private_key(leaf.handle, key.handle) == 1 else {
            _ = library.takeReason()
            throw TLSRefusal("\(names.1) is not the key of the certificate in \(names.0)")
        }
        guard unsafe library.SSL_CTX_use_PrivateKey(handle, key.handle) == 1 else {
            throw TLSRefusal("\(names.1) cannot be used: \(library.takeReason())")
        }
        for link in chain.dropFirst() {
            // It keeps a reference of its own.
            let raw = unsafe UnsafeMutableRawPointer(link.handle)
            unsafe _ = library.SSL_CTX_ctrl(handle, Self.chain, 1, raw)
        }
    }

    /// Who may have signed the certificates of the other side. Nil: those that the system trusts.
    func trust(_ authorities: [Certificate]?) throws(TLSRefusal) {
        guard let authorities else {
            guard unsafe library.SSL_CTX_set_default_verify_paths(handle) == 1 else {
                throw TLSRefusal(
                    "the system's certificate authorities cannot be read: \(library.takeReason())")
            }
            return
        }
        let store = unsafe library.SSL_CTX_get_cert_store(handle)
        for authority in authorities {
            unsafe _ = library.X509_STORE_add_cert(store, authority.handle)
        }
        _ = library.takeReason()
    }
}
