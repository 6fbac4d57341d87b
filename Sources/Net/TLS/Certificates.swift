// Certificates and keys as they lie in files: PEM in, handles of OpenSSL out, with a sentence that names the
// file when that cannot be. What their names are, when they end, and what a fingerprint is.

import Glibc

/// The text of a file, and how the operator knows it.
package struct TLSFile: Sendable, Equatable {
    package var name: String
    package var bytes: [UInt8]

    package init(name: String, bytes: [UInt8]) {
        self.name = name
        self.bytes = bytes
    }
}

/// An X.509 certificate. Immutable. [any]
@safe
final class Certificate: @unchecked Sendable {
    let library: OpenSSL
    let handle: OpenSSL.Handle

    /// Takes `handle` over.
    init(_ library: OpenSSL, owning handle: OpenSSL.Handle) {
        self.library = library
        unsafe self.handle = handle
    }

    deinit { unsafe library.X509_free(handle) }

    /// All in a file, in its order; never none.
    static func read(_ file: TLSFile, _ library: OpenSSL) throws(TLSRefusal) -> [Certificate] {
        var result: [Certificate] = []
        unsafe library.withText(file.bytes) { text in
            while let handle = unsafe library.PEM_read_bio_X509(text, nil, noPassword, nil) {
                result.append(unsafe Certificate(library, owning: handle))
            }
        }
        let reason = library.takeReason()
        guard !result.isEmpty else {
            throw TLSRefusal(
                "\(file.name) holds no certificate that can be read (\(reason)); expected PEM, which begins "
                    + "with -----BEGIN CERTIFICATE-----")
        }
        return result
    }

    /// In the form of RFC 4514, in ASCII: "CN=web.example.com,O=Example".
    var subject: String { unsafe library.text(ofName: library.X509_get_subject_name(handle)) }

    /// The names of servers that it is for, in lower case: the subject's alternatives, or its common name
    /// where it has none (RFC 6125 section 6.4.4).
    var hosts: [String] {
        var names: [String] = []
        if let list = unsafe library.X509_get_ext_d2i(handle, NID.alternativeNames, nil, nil) {
            for index in 0..<(unsafe library.OPENSSL_sk_num(list)) {
                var kind: Int32 = -1
                let name = unsafe library.OPENSSL_sk_value(list, index)
                let value = unsafe library.GENERAL_NAME_get0_value(name, &kind)
                guard kind == 2, let start = unsafe library.ASN1_STRING_get0_data(value) else {
                    continue
                }
                let count = unsafe Int(library.ASN1_STRING_length(value))
                let bytes = unsafe UnsafeBufferPointer(start: start, count: count)
                unsafe names.append(String(decoding: bytes, as: UTF8.self).lowercased())
            }
            unsafe library.GENERAL_NAMES_free(list)
        }
        if !names.isEmpty || commonName.isEmpty { return names }
        return [String(decoding: commonName, as: UTF8.self).lowercased()]
    }

    /// Of its subject, in whatever encoding; empty: it has none.
    var commonName: [UInt8] {
        var room = [UInt8](repeating: 0, count: 256)
        let count = unsafe library.X509_NAME_get_text_by_NID(
            library.X509_get_subject_name(handle), NID.commonName, &room, 256)
        return Array(room.prefix(max(0, Int(count))))
    }

    /// RSA, EC and so on, as OpenSSL numbers them.
    var keyKind: Int32 { unsafe library.EVP_PKEY_get_base_id(library.X509_get0_pubkey(handle)) }

    /// What is wrong with its time at this moment; nil: nothing.
    var lapse: String? {
        if unsafe library.X509_cmp_time(library.X509_get0_notAfter(handle), nil) < 0 {
            return "has expired"
        }
        if unsafe library.X509_cmp_time(library.X509_get0_notBefore(handle), nil) > 0 {
            return "is not valid yet"
        }
        return nil
    }

    /// The SHA-256 of its DER form.
    var fingerprint: [UInt8] {
        var sum = [UInt8](repeating: 0, count: 32)
        var count: Int32 = 32
        unsafe _ = library.X509_digest(handle, library.EVP_sha256(), &sum, &count)
        return sum
    }
}

/// A private key. Immutable. [any]
@safe
final class PrivateKey: @unchecked Sendable {
    private let library: OpenSSL
    let handle: OpenSSL.Handle

    init(_ file: TLSFile, _ library: OpenSSL) throws(TLSRefusal) {
        self.library = library
        var found: OpenSSL.Handle?
        unsafe library.withText(file.bytes) { text in
            unsafe found = library.PEM_read_bio_PrivateKey(text, nil, noPassword, nil)
        }
        let reason = library.takeReason()
        guard let found = unsafe found else {
            throw TLSRefusal(
                "\(file.name) holds no private key that can be read (\(reason)); expected PEM without a "
                    + "passphrase, which begins with -----BEGIN PRIVATE KEY-----")
        }
        unsafe handle = found
    }

    deinit { unsafe library.EVP_PKEY_free(handle) }
}

/// Numbers of obj_mac.h.
private enum NID {
    static let commonName: Int32 = 13
    static let alternativeNames: Int32 = 85
}

/// Nobody is there to be asked for a passphrase.
private let noPassword: OpenSSL.Password = { _, _, _, _ in -1 }

extension OpenSSL {
    /// Lends `bytes` as something to read from.
    func withText(_ bytes: [UInt8], _ body: (Handle) -> Void) {
        ERR_clear_error()
        unsafe bytes.withUnsafeBytes { raw in
            guard let base = raw.baseAddress,
                let text = unsafe BIO_new_mem_buf(base, Int32(clamping: raw.count))
            else { return }
            unsafe body(text)
            unsafe _ = BIO_free(text)
        }
    }

    /// The last thing that went wrong on this thread, in OpenSSL's words, and forgets it.
    func takeReason() -> String {
        let code = ERR_peek_last_error()
        ERR_clear_error()
        guard code != 0, let words = unsafe ERR_reason_error_string(code) else {
            return "no reason given"
        }
        return unsafe String(cString: words)
    }

    /// A name of X.509 in the form of RFC 4514, with everything escaped that is not visible ASCII.
    func text(ofName name: Handle?) -> String {
        guard let memory = unsafe BIO_new(BIO_s_mem()) else { return "" }
        defer { unsafe _ = BIO_free(memory) }
        // XN_FLAG_RFC2253
        unsafe _ = X509_NAME_print_ex(memory, name, 0, 0x111_0317)
        var room = [UInt8](repeating: 0, count: 1024)
        let count = unsafe BIO_read(memory, &room, 1024)
        return String(decoding: room.prefix(max(0, Int(count))), as: UTF8.self)
    }
}
