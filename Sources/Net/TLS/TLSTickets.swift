// Keys of session tickets: one ring for the process, so that every worker takes up what another began.
// Each key follows from the one before it and not the other way round: once a key is forgotten, tickets that
// it sealed stay sealed, whoever comes to see the next one. A ticket is AES-256-CBC with an HMAC-SHA256 over
// it, as RFC 5077 section 4 recommends and OpenSSL lays it out.

import Base
import CLinux
import Synchronization

/// What the keys of one period follow from. Whoever has it has the keys of that period and all later ones.
package struct TicketRoot: Equatable, Sendable {
    /// 32 bytes.
    package private(set) var bytes: [UInt8]
    /// Counts periods since 1970.
    package private(set) var period: UInt64

    /// Seconds that one key seals tickets; it opens them for as long again.
    package static let periodSeconds: UInt64 = 6 * 3600

    package init(bytes: [UInt8], period: UInt64) {
        self.bytes = bytes
        self.period = period
    }

    /// Of a process that gives no tickets which anybody is to keep.
    package static var none: TicketRoot {
        TicketRoot(bytes: [UInt8](repeating: 0, count: 32), period: 0)
    }

    /// The period of this moment.
    package static var present: UInt64 { wallNow() / 1_000_000_000 / periodSeconds }

    /// The root of a later period; the way to there cannot be gone back. So many periods at once that they
    /// make years are a clock that was set, and are gone in one step.
    package mutating func advance(to later: UInt64) {
        guard later > period else { return }
        if later - period <= 10_000 {
            for _ in period..<later { bytes = derived("next") }
        } else {
            bytes = derived("next \(later)")
        }
        period = later
    }

    fileprivate func derived(_ purpose: String) -> [UInt8] {
        let purpose = Array(purpose.utf8)
        let code = HMAC(key: bytes.span).code(purpose.span)
        return code.indices.map { code[$0] }
    }
}

/// [any]
package final class TLSTickets: Sendable {
    private struct Key {
        let name: [UInt8]
        let seal: [UInt8]
        let sign: [UInt8]

        init(_ root: TicketRoot) {
            name = Array(root.derived("name").prefix(16))
            seal = root.derived("seal")
            sign = root.derived("sign")
        }
    }

    private struct Ring {
        var root: TicketRoot
        var current: Key
        var former: Key?

        mutating func turn(to period: UInt64) {
            guard period > root.period else { return }
            var before = root
            before.advance(to: period - 1)
            former = Key(before)
            root.advance(to: period)
            current = Key(root)
        }
    }

    private let ring: Guarded<Ring>
    private let period: @Sendable () -> UInt64

    /// `root`: of a moment not after this one. `period`: of whatever moment it is.
    package init(
        _ root: TicketRoot, period: @escaping @Sendable () -> UInt64 = { TicketRoot.present }
    ) {
        ring = Guarded(Ring(root: root, current: Key(root), former: nil))
        self.period = period
    }

    /// What OpenSSL asks for with every ticket (SSL_CTX_set_tlsext_ticket_key_evp_cb): to seal one, or to
    /// open one whose key has a name. 0: it is none of ours; 2: it is, and is due for another.
    fileprivate func key(sealing: Bool, name: UnsafeMutableBufferPointer<UInt8>) -> (
        seal: [UInt8], sign: [UInt8], answer: Int32
    )? {
        let now = period()
        return ring.withLock { ring in
            ring.turn(to: now)
            if sealing {
                for index in 0..<16 { unsafe name[index] = ring.current.name[index] }
                return (ring.current.seal, ring.current.sign, 1)
            }
            if unsafe name.elementsEqual(ring.current.name) {
                return (ring.current.seal, ring.current.sign, 1)
            }
            if let former = ring.former, unsafe name.elementsEqual(former.name) {
                return (former.seal, former.sign, 2)
            }
            return nil
        }
    }

    /// The callback. The ring is what the context keeps as its own (`TLSFront.of`).
    static let callback: OpenSSL.TicketKey = { ssl, name, iv, cipher, mac, sealing in
        guard let library = try? OpenSSL.library(), let name = unsafe name, let iv = unsafe iv,
            let front = unsafe TLSFront.of(ssl, library),
            let keys = unsafe front.tickets.key(
                sealing: sealing == 1, name: UnsafeMutableBufferPointer(start: name, count: 16))
        else { return 0 }
        if sealing == 1, unsafe clinux_random(iv, 16) != 16 { return -1 }
        let fetched = unsafe front.ticketCipher
        let isReady =
            sealing == 1
            ? unsafe library.EVP_EncryptInit_ex(cipher, fetched, nil, keys.seal, iv)
            : unsafe library.EVP_DecryptInit_ex(cipher, fetched, nil, keys.seal, iv)
        guard isReady == 1, unsafe setKey(of: mac, to: keys.sign, library) else { return -1 }
        // From 1.3 on a ticket is for one connection (RFC 8446 appendix C.4): there is another one each time.
        if sealing == 0, unsafe library.SSL_version(ssl) >= 0x0304 { return 2 }
        return keys.answer
    }

    /// Parameters in the form of OSSL_PARAM (openssl/core.h): name, type, value, its size, what came back.
    @unsafe
    private struct Parameter {
        var key: UnsafePointer<CChar>?
        var type: UInt32
        var data: UnsafeMutableRawPointer?
        var size: Int
        var returned = 0

        static let octets: UInt32 = 5
        static let text: UInt32 = 4
    }

    private static func setKey(
        of mac: OpenSSL.Handle?, to key: [UInt8], _ library: OpenSSL
    ) -> Bool {
        var key = key
        var digest: [CChar] = [83, 72, 65, 50, 53, 54, 0]  // "SHA256"
        return unsafe key.withUnsafeMutableBytes { key in
            unsafe digest.withUnsafeMutableBytes { digest in
                unsafe "key".withCString { keyName in
                    unsafe "digest".withCString { digestName in
                        var parameters: [3 of Parameter] = unsafe [
                            Parameter(
                                key: keyName, type: Parameter.octets, data: key.baseAddress,
                                size: key.count),
                            Parameter(
                                key: digestName, type: Parameter.text, data: digest.baseAddress,
                                size: 6),
                            Parameter(key: nil, type: 0, data: nil, size: 0),
                        ]
                        return unsafe library.EVP_MAC_CTX_set_params(mac, &parameters) == 1
                    }
                }
            }
        }
    }
}
