// TLS towards clients: which certificate answers whom, which application protocol is agreed on, who must show
// a certificate of its own. Everything is decided when it is made; a reload makes another one, and
// connections keep theirs.

import Base
import Glibc

/// What one listener's TLS is. Immutable. [any]
@safe
package final class TLSFront: @unchecked Sendable {
    /// A certificate with its key, as files.
    package struct Pair: Sendable {
        package var certificate: TLSFile
        package var key: TLSFile
        /// An OCSP response in DER, to be sent along (RFC 6066 section 8).
        package var staple: TLSFile?

        package init(certificate: TLSFile, key: TLSFile, staple: TLSFile? = nil) {
            self.certificate = certificate
            self.key = key
            self.staple = staple
        }
    }

    /// Whether clients show certificates, and whose.
    package struct Clients: Sendable {
        package var authorities: TLSFile
        package var isRequired: Bool

        package init(authorities: TLSFile, isRequired: Bool) {
            self.authorities = authorities
            self.isRequired = isRequired
        }
    }

    let library: OpenSSL
    let tickets: TLSTickets
    /// AES-256-CBC.
    let ticketCipher: OpenSSL.Handle?
    /// Clients may show certificates.
    let asksClients: Bool
    /// What an operator should know of the certificates, one sentence each.
    package let notices: [String]

    private let first: TLSContext
    /// By a server's name; `*.example.com` as ".example.com".
    private let contexts: [String: TLSContext]
    /// By the certificate.
    private let staples: [OpenSSL.Handle: [UInt8]]

    // SSL_CTRL_SET_TLSEXT_SERVERNAME_CB, SSL_CTRL_SET_TLSEXT_STATUS_REQ_CB,
    // SSL_CTRL_SET_TLSEXT_STATUS_REQ_OCSP_RESP
    private static let (serverCallback, staplingCallback, stapled) = (
        Int32(53), Int32(63), Int32(71)
    )

    package init(
        _ pairs: [Pair], clients: Clients?, tickets: TLSTickets
    ) throws(TLSRefusal) {
        let library = try OpenSSL.library()
        self.library = library
        self.tickets = tickets
        asksClients = clients != nil
        var notices: [String] = []
        var entries: [Entry] = []
        for pair in pairs {
            let entry = try Entry(pair, library)
            if let lapse = entry.chain[0].lapse {
                notices.append("the certificate in \(pair.certificate.name) \(lapse)")
            }
            entries.append(entry)
        }
        self.notices = notices
        guard !entries.isEmpty else { throw TLSRefusal("there is no certificate") }
        let authorities = try clients.map { clients throws(TLSRefusal) in
            try Certificate.read(clients.authorities, library)
        }
        // For each name the first certificate of each kind of key, so that a client gets what it can read.
        var made: [[Int]: TLSContext] = [:]
        var contexts: [String: TLSContext] = [:]
        func context(for name: String) throws(TLSRefusal) -> TLSContext {
            var chosen: [Int] = []
            for (index, entry) in entries.enumerated()
            where entry.hosts.contains(name)
                && !chosen.contains(where: { entries[$0].keyKind == entry.keyKind })
            {
                chosen.append(index)
            }
            if let present = made[chosen] { return present }
            let context = try Self.context(
                chosen.map { entries[$0] }, clients, authorities, library)
            made[chosen] = context
            return context
        }
        for entry in entries {
            for host in entry.hosts where contexts[host] == nil {
                contexts[host] = try context(for: host)
            }
        }
        if let name = entries[0].hosts.first, let context = contexts[name] {
            first = context
        } else {
            first = try Self.context([entries[0]], clients, authorities, library)
        }
        self.contexts = contexts
        var staples: [OpenSSL.Handle: [UInt8]] = unsafe [:]
        for entry in entries {
            if let staple = entry.pair.staple {
                unsafe staples[entry.chain[0].handle] = staple.bytes
            }
        }
        unsafe self.staples = staples
        // Nothing is refused from here on: what is not made whole is not unmade either.
        unsafe ticketCipher = library.EVP_CIPHER_fetch(nil, "AES-256-CBC", nil)
        let me = unsafe Unmanaged.passUnretained(self).toOpaque()
        for context in [first] + made.values {
            unsafe _ = library.SSL_CTX_set_ex_data(context.handle, 0, me)
        }
    }

    deinit { unsafe library.EVP_CIPHER_free(ticketCipher) }

    private struct Entry {
        let pair: Pair
        let chain: [Certificate]
        let key: PrivateKey
        let hosts: [String]
        let keyKind: Int32

        init(_ pair: Pair, _ library: OpenSSL) throws(TLSRefusal) {
            self.pair = pair
            chain = try Certificate.read(pair.certificate, library)
            key = try PrivateKey(pair.key, library)
            hosts = chain[0].hosts.map { $0.hasPrefix("*.") ? String($0.dropFirst()) : $0 }
            keyKind = chain[0].keyKind
        }
    }

    private static func context(
        _ entries: [Entry], _ clients: Clients?, _ authorities: [Certificate]?, _ library: OpenSSL
    ) throws(TLSRefusal) -> TLSContext {
        let context = try TLSContext(library, isServer: true)
        let handle = unsafe context.handle
        for entry in entries {
            try context.use(
                entry.chain, entry.key, names: (entry.pair.certificate.name, entry.pair.key.name))
        }
        unsafe library.SSL_CTX_set_alpn_select_cb(handle, chooseProtocol, nil)
        unsafe _ = library.SSL_CTX_callback_ctrl(
            handle, serverCallback, unsafeBitCast(chooseServer, to: UnsafeRawPointer.self))
        unsafe _ = library.SSL_CTX_callback_ctrl(
            handle, staplingCallback, unsafeBitCast(staple, to: UnsafeRawPointer.self))
        unsafe _ = library.SSL_CTX_set_tlsext_ticket_key_evp_cb(handle, TLSTickets.callback)
        unsafe _ = library.SSL_CTX_set_timeout(handle, Int(TicketRoot.periodSeconds))
        // A ticket of a listener that asks no client for anything opens none that does.
        var policy = Array("trivet".utf8)
        if let clients, let authorities {
            try context.trust(authorities)
            for authority in authorities {
                unsafe _ = library.SSL_CTX_add_client_CA(handle, authority.handle)
                policy += authority.fingerprint
            }
            policy.append(clients.isRequired ? 1 : 0)
            policy = SHA256.digest(policy.span)
            // SSL_VERIFY_PEER, SSL_VERIFY_FAIL_IF_NO_PEER_CERT
            unsafe library.SSL_CTX_set_verify(
                handle, clients.isRequired ? 3 : 1, TLSSession.noteVerdict)
        }
        unsafe _ = library.SSL_CTX_set_session_id_context(handle, policy, UInt32(policy.count))
        return context
    }

    // MARK: A connection

    /// TLS on a connection that was accepted. Nil if there is no memory for it.
    package func session(fd: Int32, desk: TLSDesk) -> TLSSession? {
        TLSSession(first, origin: self, fd: fd, desk: desk, isServer: true)
    }

    /// The context for a server's name. None fits: the first certificate's, since some clients know what they
    /// are doing.
    private func context(for name: String) -> TLSContext {
        let name = name.lowercased()
        if let exact = contexts[name] { return exact }
        // One label, the leftmost (RFC 6125 section 6.4.3).
        guard let dot = name.utf8.firstIndex(of: UInt8(ascii: ".")), dot != name.startIndex else {
            return first
        }
        return contexts[String(name[dot...])] ?? first
    }

    /// Whose a connection is: the contexts know it. It lives for as long as any connection of it.
    static func of(_ ssl: OpenSSL.Handle?, _ library: OpenSSL) -> TLSFront? {
        guard let me = unsafe library.SSL_CTX_get_ex_data(library.SSL_get_SSL_CTX(ssl), 0) else {
            return nil
        }
        return unsafe Unmanaged<TLSFront>.fromOpaque(me).takeUnretainedValue()
    }

    /// By the name that a client asks for (RFC 6066 section 3).
    private static let chooseServer: OpenSSL.Server = { ssl, _, _ in
        guard let library = try? OpenSSL.library(), let front = unsafe of(ssl, library),
            let name = unsafe library.SSL_get_servername(ssl, 0)
        else { return 3 }  // SSL_TLSEXT_ERR_NOACK
        let context = unsafe front.context(for: String(cString: name))
        unsafe _ = library.SSL_set_SSL_CTX(ssl, context.handle)
        return 0
    }

    /// A client that names protocols and not this one would read our answers as something else: it is told so
    /// (RFC 7301 section 3.2).
    private static let chooseProtocol: OpenSSL.ALPNChoice = {
        _, chosen, length, offered, count, _ in
        var at = 0
        let offers = unsafe UnsafeBufferPointer(start: offered, count: Int(count))
        while at < offers.count {
            let size = unsafe Int(offers[at])
            guard at + 1 + size <= offers.count else { break }
            let name = unsafe UnsafeBufferPointer(rebasing: offers[(at + 1)..<(at + 1 + size)])
            if unsafe name.elementsEqual("http/1.1".utf8) {
                unsafe chosen?.pointee = name.baseAddress
                unsafe length?.pointee = UInt8(size)
                return 0
            }
            at += 1 + size
        }
        return 2  // SSL_TLSEXT_ERR_ALERT_FATAL
    }

    private static let staple: OpenSSL.Stapling = { ssl, _ in
        guard let library = try? OpenSSL.library(), let front = unsafe of(ssl, library),
            let certificate = unsafe library.SSL_get_certificate(ssl),
            let bytes = unsafe front.staples[certificate],
            let memory = unsafe library.CRYPTO_malloc(bytes.count, #file, 0)
        else { return 3 }
        unsafe memory.copyMemory(from: bytes, byteCount: bytes.count)
        unsafe _ = library.SSL_ctrl(ssl, stapled, bytes.count, memory)
        return 0
    }
}
