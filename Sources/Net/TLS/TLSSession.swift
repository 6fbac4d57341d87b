// TLS on one connection. OpenSSL reads ciphertext straight from the socket and writes it to a desk, from
// where it goes out with one call; what the socket does not take is kept here, so that a write never waits
// inside OpenSSL and need not be repeated with the same bytes.

import Base
import Glibc

/// Where the connections of one thread lay their ciphertext before it is sent. Owned by that thread.
@safe
package final class TLSDesk: @unchecked Sendable {
    /// A handshake's flight with a long chain, or a piece of payload with its framing.
    static let room = 98_304
    /// One record (RFC 8446 section 5.1).
    static let record = 16_384

    fileprivate let cipher = UnsafeMutablePointer<UInt8>.allocate(capacity: room)
    fileprivate var count = 0
    /// Small pieces are put together, so that they go as one record.
    fileprivate let plain = UnsafeMutablePointer<UInt8>.allocate(capacity: record)

    /// For what sockets do not take.
    fileprivate var pool = BufferPool()

    package init() {}

    /// Nothing lies on it, nor waits for a socket.
    package var isClean: Bool { count == 0 && pool.lent == 0 }

    deinit {
        unsafe cipher.deallocate()
        unsafe plain.deallocate()
    }
}

/// Owned by its connection's transport; touched by that connection's thread only.
@safe
package final class TLSSession {
    package enum Handshake: Equatable {
        case done
        case wait
        /// `reason` says why.
        case failed
    }

    private let library: OpenSSL
    private let ssl: OpenSSL.Handle
    // Its callbacks may ask for it.
    private let origin: AnyObject
    private let desk: TLSDesk
    private let fd: Int32
    private let isServer: Bool
    /// What was read from the socket before it was known to be for us.
    private var early: [UInt8] = []
    private var earlyTaken = 0
    /// Ciphertext that the socket did not take.
    private var kept = Buffer()
    // The last read brought less than it could have, or nothing.
    private var isDry = false
    private var sawEnd = false
    private var socketError: Int32 = 0
    private var hasFailed = false
    private var isEstablished = false
    private var saidGoodbye = false
    /// No bytes may go out any more, not even a goodbye.
    private var isMute = false
    private var endsWhenSent = false
    /// Why the handshake has failed.
    package private(set) var reason = ""
    /// What was wrong with which certificate.
    private var complaint = ""
    /// Whom we speak to, as far as that was said.
    private var peer: TLSBehind.Peer?
    /// Of the client's certificate, in the form of RFC 4514 and in visible ASCII; empty: it showed none.
    package private(set) var subject: [UInt8] = []
    private var commonName: [UInt8] = []

    // So much payload becomes ciphertext before it is sent: fits into the desk, and what is not sent into a
    // buffer, with the framing of its records.
    private static let piece = 49_152

    init?(
        _ context: TLSContext, origin: AnyObject, fd: Int32, desk: TLSDesk, isServer: Bool
    ) {
        library = context.library
        self.origin = origin
        self.desk = desk
        self.fd = fd
        self.isServer = isServer
        guard let made = unsafe context.library.SSL_new(context.handle) else { return nil }
        guard let socket = unsafe context.library.BIO_new(context.library.socketMethod) else {
            unsafe context.library.SSL_free(made)
            return nil
        }
        unsafe ssl = made
        let me = unsafe Unmanaged.passUnretained(self).toOpaque()
        unsafe library.BIO_set_data(socket, me)
        unsafe library.BIO_set_init(socket, 1)
        unsafe library.SSL_set_bio(ssl, socket, socket)
        if isServer {
            unsafe library.SSL_set_accept_state(ssl)
        } else {
            unsafe library.SSL_set_connect_state(ssl)
        }
    }

    deinit {
        desk.pool.reclaim(&kept)
        unsafe library.SSL_free(ssl)
    }

    // MARK: Before the handshake

    // SSL_CTRL_SET_TLSEXT_HOSTNAME; X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS
    private static let (hostName, wholeLabels) = (Int32(55), UInt32(4))

    func expect(_ peer: TLSBehind.Peer, verifies: Bool) {
        self.peer = peer
        if let name = peer.name, !peer.isAddress {
            var text = Array(name.utf8CString)
            unsafe text.withUnsafeMutableBytes {
                unsafe _ = library.SSL_ctrl(ssl, Self.hostName, 0, $0.baseAddress)
            }
        }
        guard verifies else { return }
        unsafe library.SSL_set_verify(ssl, 1, Self.noteVerdict)
        guard let name = peer.name else { return }
        let parameters = unsafe library.SSL_get0_param(ssl)
        unsafe library.X509_VERIFY_PARAM_set_hostflags(parameters, Self.wholeLabels)
        if peer.isAddress {
            unsafe _ = library.X509_VERIFY_PARAM_set1_ip_asc(parameters, name)
        } else {
            unsafe _ = library.X509_VERIFY_PARAM_set1_host(parameters, name, 0)
        }
    }

    /// What the other side has sent is here already, and comes before what the socket has.
    package func begin(with bytes: Span<UInt8>) {
        early = bytes.indices.map { bytes[$0] }
    }

    func takeUp(_ former: TLSFormer) { unsafe _ = library.SSL_set_session(ssl, former.handle) }

    // MARK: The handshake

    /// Goes on with it. Call until it is done, whenever the socket has something or takes something.
    package func handshake() -> Handshake {
        if hasFailed { return .failed }
        guard flush() != .wait else { return .wait }
        library.ERR_clear_error()
        let result = unsafe library.SSL_do_handshake(ssl)
        let code = result == 1 ? 0 : unsafe library.SSL_get_error(ssl, result)
        if result == 1 {
            guard isWhoItShould() else {
                // Our last flight, with whatever certificate we have, is not for a stranger.
                _ = fail()
                return .failed
            }
            isEstablished = true
            noteSubject()
        } else if code != Self.wantsRead {
            reason = reasonOfFailure(code)
            hasFailed = true
        }
        // An alert says why to the other side, if that one speaks TLS at all.
        if metPlainHTTP { desk.count = 0 }
        _ = drain()
        if hasFailed {
            if reason.isEmpty { reason = "the connection was lost" }
            return .failed
        }
        return result == 1 ? .done : .wait
    }

    private static let (wantsRead, isOver) = (Int32(2), Int32(6))

    private func reasonOfFailure(_ code: Int32) -> String {
        if socketError != 0 { return errorText(socketError) }
        if sawEnd {
            _ = library.takeReason()
            return "the connection ended within the handshake"
        }
        let words = library.takeReason()
        return complaint.isEmpty ? words : complaint
    }

    /// Called for each certificate of the other side's chain. Changes nothing: what OpenSSL finds wrong, is.
    static let noteVerdict: OpenSSL.Verdict = { isGood, store in
        guard isGood == 0, let library = try? OpenSSL.library() else { return isGood }
        let place = library.SSL_get_ex_data_X509_STORE_CTX_idx()
        let ssl = unsafe OpaquePointer(library.X509_STORE_CTX_get_ex_data(store, place))
        let bio = unsafe library.SSL_get_rbio(ssl)
        guard let session = unsafe TLSSocket.session(bio, library) else { return isGood }
        let code = unsafe Int(library.X509_STORE_CTX_get_error(store))
        let why = unsafe library.X509_verify_cert_error_string(code).map {
            unsafe String(cString: $0)
        }
        var subject = "which shows none"
        if let shown = unsafe library.X509_STORE_CTX_get_current_cert(store) {
            subject = unsafe library.text(ofName: library.X509_get_subject_name(shown))
        }
        session.complaint =
            "the certificate of \(subject) is not accepted: \(why ?? "error \(code)")"
        return isGood
    }

    /// A pinned certificate is compared; all others OpenSSL has judged.
    private func isWhoItShould() -> Bool {
        guard let pins = peer?.fingerprints, !pins.isEmpty else { return true }
        guard let handle = unsafe library.SSL_get1_peer_certificate(ssl) else {
            reason = "the node shows no certificate"
            return false
        }
        let shown = unsafe Certificate(library, owning: handle)
        let sum = shown.fingerprint
        if pins.contains(sum) { return true }
        reason =
            "the certificate of \(shown.subject) has the fingerprint \(SHA256.hex(sum)), which is not "
            + "pinned"
        return false
    }

    private func noteSubject() {
        guard isServer, (origin as? TLSFront)?.asksClients ?? false,
            let handle = unsafe library.SSL_get1_peer_certificate(ssl)
        else { return }
        let shown = unsafe Certificate(library, owning: handle)
        subject = Array(shown.subject.utf8)
        commonName = shown.commonName
    }

    /// The handshake has failed on a client that spoke HTTP as it is.
    package var metPlainHTTP: Bool { isServer && reason == "http request" }

    /// Whether an earlier session was taken up.
    package var isResumed: Bool { unsafe library.SSL_session_reused(ssl) == 1 }
    /// "TLSv1.3"
    package var version: String {
        unsafe library.SSL_get_version(ssl).map { unsafe String(cString: $0) } ?? ""
    }
    /// Of the other side's certificate; empty: it showed none.
    var peerSubject: String {
        guard let handle = unsafe library.SSL_get1_peer_certificate(ssl) else { return "" }
        return unsafe Certificate(library, owning: handle).subject
    }
    /// As OpenSSL names it.
    package var cipher: String {
        let cipher = unsafe library.SSL_get_current_cipher(ssl)
        return unsafe library.SSL_CIPHER_get_name(cipher).map { unsafe String(cString: $0) } ?? ""
    }

    /// What a node may be told of it.
    package var facts: ProxyHeader.TLSFacts {
        var facts = ProxyHeader.TLSFacts()
        facts.version = version
        facts.cipher = cipher
        facts.commonName = commonName
        facts.hasCertificate = !subject.isEmpty
        facts.isResumed = isResumed
        return facts
    }

    /// Whether these are the rules under which it is with whom it is.
    package func wasJudged(by behind: TLSBehind, as peer: TLSBehind.Peer) -> Bool {
        origin === behind && self.peer == peer
    }

    /// What the next connection to the same peer may take up; nil: nothing.
    package var former: TLSFormer? {
        guard isEstablished, !hasFailed, let handle = unsafe library.SSL_get1_session(ssl) else {
            return nil
        }
        let former = unsafe TLSFormer(library, owning: handle)
        return unsafe library.SSL_SESSION_is_resumable(handle) == 1 ? former : nil
    }

    // MARK: Bytes

    /// Ciphertext waits for the socket to take it.
    package var hasUnsent: Bool { !kept.isEmpty }

    /// After a read: nothing more is there, in the socket or here.
    var isDrained: Bool {
        guard isDry else { return false }
        return unsafe library.SSL_has_pending(ssl) == 0
    }

    /// Reads payload behind what `buffer` holds, at most `limit` bytes: as many records as are at hand.
    package func receive(into buffer: inout Buffer, limit: Int) -> Transfer {
        guard !hasFailed else { return .failed(socketError == 0 ? EPROTO : socketError) }
        var total = 0
        var outcome = Transfer.wait
        library.ERR_clear_error()
        while total < limit {
            var count = 0
            var result: Int32 = 0
            unsafe buffer.fill(limit: limit - total) { memory in
                unsafe result = library.SSL_read_ex(
                    ssl, memory.baseAddress, memory.count, &count)
                return count
            }
            total += count
            if result == 1 {
                if isDrained { break }
                continue
            }
            outcome = ended(unsafe library.SSL_get_error(ssl, result))
            break
        }
        // An answer to a change of keys, or an alert. What was read before it failed is whole.
        if desk.count > 0, case .failed(let code) = drain(), total == 0 { return .failed(code) }
        return total > 0 ? .done(total) : outcome
    }

    private func ended(_ code: Int32) -> Transfer {
        if code == Self.wantsRead { return .wait }
        if code == Self.isOver { return .closed }
        hasFailed = true
        _ = library.takeReason()
        // Cut off without a goodbye, it may not be the whole (RFC 8446 section 6.1).
        return .failed(socketError == 0 ? EPROTO : socketError)
    }

    /// Sends up to three runs of payload, in order. It takes all of them, or as much as the socket takes and
    /// `kept` holds.
    package func send(
        _ first: Span<UInt8>, _ second: Span<UInt8>, _ third: Span<UInt8>
    ) -> Transfer {
        switch flush() {
        case .done: break
        case .wait, .closed: return .wait
        case .failed(let code): return .failed(code)
        }
        let total = first.count + second.count + third.count
        if total == 0 { return .done(0) }
        library.ERR_clear_error()
        if total <= TLSDesk.record {
            var at = 0
            append(first, &at)
            append(second, &at)
            append(third, &at)
            let whole = unsafe UnsafeRawBufferPointer(start: desk.plain, count: total)
            guard unsafe seal(whole) else { return fail() }
            return sent(total, drain())
        }
        var taken = 0
        for part in 0..<3 {
            let bytes = part == 0 ? first : part == 1 ? second : third
            var at = 0
            while at < bytes.count {
                let count = min(bytes.count - at, Self.piece - desk.count)
                let isSealed = unsafe bytes.extracting(at..<at + count).withUnsafeBytes {
                    unsafe seal($0)
                }
                guard isSealed else { return fail() }
                at += count
                taken += count
                guard desk.count >= Self.piece - TLSDesk.record else { continue }
                switch drain() {
                case .done: if hasUnsent { return .done(taken) }
                case .failed(let code): return .failed(code)
                case .wait, .closed: break
                }
            }
        }
        return sent(taken, drain())
    }

    private func sent(_ count: Int, _ drained: Transfer) -> Transfer {
        if case .failed = drained { return drained }
        return .done(count)
    }

    private func append(_ bytes: Span<UInt8>, _ at: inout Int) {
        let start = at
        unsafe bytes.withUnsafeBufferPointer { source in
            guard let base = source.baseAddress else { return }
            unsafe (desk.plain + start).update(from: base, count: source.count)
        }
        at += bytes.count
    }

    private func seal(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var written = 0
        return unsafe library.SSL_write_ex(ssl, bytes.baseAddress, bytes.count, &written) == 1
            && written == bytes.count
    }

    private func fail() -> Transfer {
        hasFailed = true
        desk.count = 0
        _ = library.takeReason()
        return .failed(socketError == 0 ? EPROTO : socketError)
    }

    /// Sends what was kept. `done(0)`: there is nothing any more.
    package func flush() -> Transfer {
        while !kept.isEmpty {
            if isMute { return .failed(EPIPE) }
            switch IO.send(fd, kept.bytes) {
            case .done(let count): kept.consume(count)
            case .wait, .closed: return .wait
            case .failed(let code):
                socketError = code
                hasFailed = true
                return .failed(code)
            }
        }
        desk.pool.reclaim(&kept)
        if endsWhenSent {
            endsWhenSent = false
            Socket.endSending(fd)
        }
        return .done(0)
    }

    /// Sends what lies on the desk, and keeps what the socket does not take.
    private func drain() -> Transfer {
        let count = desk.count
        desk.count = 0
        guard count > 0 else { return .done(0) }
        let all = unsafe Span(_unsafeStart: UnsafePointer(desk.cipher), count: count)
        var at = 0
        while at < count, kept.isEmpty, !isMute {
            switch IO.send(fd, all.extracting(at..<count)) {
            case .done(let sent): at += sent
            case .wait, .closed:
                guard desk.pool.lend(&kept), kept.append(all.extracting(at..<count)) else {
                    hasFailed = true
                    return .failed(ENOBUFS)
                }
                return .done(count)
            case .failed(let code):
                socketError = code
                hasFailed = true
                return .failed(code)
            }
        }
        if at < count, !isMute {
            kept.compact()
            guard kept.append(all.extracting(at..<count)) else {
                hasFailed = true
                return .failed(ENOBUFS)
            }
        }
        return .done(count)
    }

    // MARK: The end

    /// Says that no more will be sent (RFC 8446 section 6.1), and so does the socket once that is out.
    package func endSending() {
        sayGoodbye()
        if kept.isEmpty { Socket.endSending(fd) } else { endsWhenSent = true }
    }

    package func sayGoodbye() {
        guard isEstablished, !hasFailed, !saidGoodbye, !isMute else { return }
        saidGoodbye = true
        library.ERR_clear_error()
        unsafe _ = library.SSL_shutdown(ssl)
        _ = drain()
    }

    /// Nothing more goes out: the other side is to see that the end was none.
    package func mute() { isMute = true }

    package func close() {
        sayGoodbye()
        desk.pool.reclaim(&kept)
    }

    // MARK: What OpenSSL calls

    fileprivate func read(_ memory: UnsafeMutableRawBufferPointer) -> Int32 {
        if earlyTaken < early.count {
            let count = min(memory.count, early.count - earlyTaken)
            unsafe memory.copyBytes(from: early[earlyTaken..<earlyTaken + count])
            earlyTaken += count
            if earlyTaken == early.count {
                early = []
                earlyTaken = 0
            }
            isDry = false
            return Int32(count)
        }
        switch unsafe IO.receive(fd, into: memory) {
        case .done(let count):
            isDry = count < memory.count
            return Int32(count)
        case .wait:
            isDry = true
            return -1
        case .closed:
            isDry = true
            sawEnd = true
            return 0
        case .failed(let code):
            isDry = true
            socketError = code
            return -2
        }
    }

    fileprivate func write(_ memory: UnsafeRawBufferPointer) -> Int32 {
        guard desk.count + memory.count <= TLSDesk.room, let base = memory.baseAddress else {
            return -1
        }
        unsafe UnsafeMutableRawPointer(desk.cipher + desk.count)
            .copyMemory(from: base, byteCount: memory.count)
        desk.count += memory.count
        return Int32(memory.count)
    }

    fileprivate var isAtEnd: Bool { sawEnd }
}

/// How OpenSSL reaches the socket: through the session that the BIO belongs to.
enum TLSSocket {
    // BIO_FLAGS_READ and BIO_FLAGS_SHOULD_RETRY; BIO_FLAGS_RWS with the latter.
    private static let (retryRead, retryBits) = (Int32(0x09), Int32(0x0F))
    // BIO_CTRL_EOF, BIO_CTRL_FLUSH
    private static let (end, flush) = (Int32(2), Int32(11))

    /// Whose it is.
    fileprivate static func session(_ bio: OpenSSL.Handle?, _ library: OpenSSL) -> TLSSession? {
        guard let me = unsafe library.BIO_get_data(bio) else { return nil }
        return unsafe Unmanaged<TLSSession>.fromOpaque(me).takeUnretainedValue()
    }

    static let read: OpenSSL.BIORead = { bio, memory, count in
        guard let library = try? OpenSSL.library(), let session = unsafe session(bio, library)
        else { return -1 }
        unsafe library.BIO_clear_flags(bio, retryBits)
        let room = unsafe UnsafeMutableRawBufferPointer(start: memory, count: Int(count))
        let result = unsafe session.read(room)
        if result == -1 { unsafe library.BIO_set_flags(bio, retryRead) }
        return max(-1, result)
    }

    static let write: OpenSSL.BIOWrite = { bio, memory, count in
        guard let library = try? OpenSSL.library(), let session = unsafe session(bio, library)
        else { return -1 }
        unsafe library.BIO_clear_flags(bio, retryBits)
        return unsafe session.write(UnsafeRawBufferPointer(start: memory, count: Int(count)))
    }

    static let control: OpenSSL.BIOControl = { bio, command, _, _ in
        switch command {
        case flush: return 1
        case end:
            guard let library = try? OpenSSL.library(), let session = unsafe session(bio, library)
            else { return 1 }
            return session.isAtEnd ? 1 : 0
        default: return 0
        }
    }
}
