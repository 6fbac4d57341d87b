// OpenSSL 3, found at run time: every function that Trivet calls, as one struct of pointers resolved once.
// There is no header and nothing is linked, so that who needs no TLS needs no OpenSSL. Types and numbers are
// those of its public headers (openssl/ssl.h, tls1.h, bio.h, x509.h of 3.0, whose ABI 3.x keeps).

import Glibc

/// Why TLS cannot be had, or a certificate is of no use: one sentence for the operator.
package struct TLSRefusal: Error, Equatable, CustomStringConvertible {
    package let sentence: String

    package init(_ sentence: String) { self.sentence = sentence }

    package var description: String { sentence }
}

/// The functions of the two libraries, by their own names. One for the process, and for ever.
@safe
final class OpenSSL: @unchecked Sendable {
    /// Something of OpenSSL's, of whatever type.
    typealias Handle = OpaquePointer

    typealias Callback = UnsafeRawPointer
    typealias ALPNChoice =
        @convention(c) (
            Handle?, UnsafeMutablePointer<UnsafePointer<UInt8>?>?, UnsafeMutablePointer<UInt8>?,
            UnsafePointer<UInt8>?, UInt32, UnsafeMutableRawPointer?
        ) -> Int32
    typealias TicketKey =
        @convention(c) (
            Handle?, UnsafeMutablePointer<UInt8>?, UnsafeMutablePointer<UInt8>?, Handle?, Handle?,
            Int32
        ) -> Int32
    typealias BIORead =
        @convention(c) (Handle?, UnsafeMutablePointer<UInt8>?, Int32) -> Int32
    typealias BIOWrite = @convention(c) (Handle?, UnsafePointer<UInt8>?, Int32) -> Int32
    typealias BIOControl =
        @convention(c) (Handle?, Int32, Int, UnsafeMutableRawPointer?) -> Int
    typealias Password =
        @convention(c) (UnsafeMutablePointer<CChar>?, Int32, Int32, UnsafeMutableRawPointer?) ->
        Int32
    typealias Server =
        @convention(c) (Handle?, UnsafeMutablePointer<Int32>?, UnsafeMutableRawPointer?) -> Int32
    typealias Verdict = @convention(c) (Int32, Handle?) -> Int32
    typealias Stapling = @convention(c) (Handle?, UnsafeMutableRawPointer?) -> Int32

    // libssl
    let TLS_server_method: @convention(c) () -> Handle?
    let TLS_client_method: @convention(c) () -> Handle?
    let SSL_CTX_new: @convention(c) (Handle?) -> Handle?
    let SSL_CTX_free: @convention(c) (Handle?) -> Void
    let SSL_CTX_ctrl: @convention(c) (Handle?, Int32, Int, UnsafeMutableRawPointer?) -> Int
    let SSL_CTX_callback_ctrl: @convention(c) (Handle?, Int32, Callback?) -> Int
    let SSL_CTX_set_options: @convention(c) (Handle?, UInt64) -> UInt64
    let SSL_CTX_set_cipher_list: @convention(c) (Handle?, UnsafePointer<CChar>?) -> Int32
    let SSL_CTX_use_certificate: @convention(c) (Handle?, Handle?) -> Int32
    let SSL_CTX_use_PrivateKey: @convention(c) (Handle?, Handle?) -> Int32
    let SSL_CTX_set_alpn_select_cb:
        @convention(c) (Handle?, ALPNChoice, UnsafeMutableRawPointer?) -> Void
    let SSL_CTX_set_alpn_protos: @convention(c) (Handle?, UnsafePointer<UInt8>?, UInt32) -> Int32
    let SSL_CTX_set_tlsext_ticket_key_evp_cb: @convention(c) (Handle?, TicketKey) -> Int32
    let SSL_CTX_set_verify: @convention(c) (Handle?, Int32, Verdict?) -> Void
    let SSL_CTX_get_cert_store: @convention(c) (Handle?) -> Handle?
    let SSL_CTX_set_default_verify_paths: @convention(c) (Handle?) -> Int32
    let SSL_CTX_add_client_CA: @convention(c) (Handle?, Handle?) -> Int32
    let SSL_CTX_set_session_id_context:
        @convention(c) (Handle?, UnsafePointer<UInt8>?, UInt32) -> Int32
    let SSL_CTX_set_timeout: @convention(c) (Handle?, Int) -> Int
    let SSL_CTX_set_ex_data: @convention(c) (Handle?, Int32, UnsafeMutableRawPointer?) -> Int32
    let SSL_CTX_get_ex_data: @convention(c) (Handle?, Int32) -> UnsafeMutableRawPointer?
    let SSL_new: @convention(c) (Handle?) -> Handle?
    let SSL_free: @convention(c) (Handle?) -> Void
    let SSL_set_bio: @convention(c) (Handle?, Handle?, Handle?) -> Void
    let SSL_set_accept_state: @convention(c) (Handle?) -> Void
    let SSL_set_connect_state: @convention(c) (Handle?) -> Void
    let SSL_do_handshake: @convention(c) (Handle?) -> Int32
    let SSL_read_ex:
        @convention(c) (Handle?, UnsafeMutableRawPointer?, Int, UnsafeMutablePointer<Int>) -> Int32
    let SSL_write_ex:
        @convention(c) (Handle?, UnsafeRawPointer?, Int, UnsafeMutablePointer<Int>) -> Int32
    let SSL_shutdown: @convention(c) (Handle?) -> Int32
    let SSL_get_error: @convention(c) (Handle?, Int32) -> Int32
    let SSL_has_pending: @convention(c) (Handle?) -> Int32
    let SSL_ctrl: @convention(c) (Handle?, Int32, Int, UnsafeMutableRawPointer?) -> Int
    let SSL_get_servername: @convention(c) (Handle?, Int32) -> UnsafePointer<CChar>?
    let SSL_get_SSL_CTX: @convention(c) (Handle?) -> Handle?
    let SSL_set_SSL_CTX: @convention(c) (Handle?, Handle?) -> Handle?
    let SSL_get1_peer_certificate: @convention(c) (Handle?) -> Handle?
    let SSL_set_verify: @convention(c) (Handle?, Int32, Verdict?) -> Void
    let SSL_get0_param: @convention(c) (Handle?) -> Handle?
    let SSL_set_session: @convention(c) (Handle?, Handle?) -> Int32
    let SSL_get1_session: @convention(c) (Handle?) -> Handle?
    let SSL_session_reused: @convention(c) (Handle?) -> Int32
    let SSL_SESSION_free: @convention(c) (Handle?) -> Void
    let SSL_SESSION_is_resumable: @convention(c) (Handle?) -> Int32
    let SSL_version: @convention(c) (Handle?) -> Int32
    let SSL_get_rbio: @convention(c) (Handle?) -> Handle?
    let SSL_get_ex_data_X509_STORE_CTX_idx: @convention(c) () -> Int32
    let SSL_get_certificate: @convention(c) (Handle?) -> Handle?
    let SSL_get_version: @convention(c) (Handle?) -> UnsafePointer<CChar>?
    let SSL_get_current_cipher: @convention(c) (Handle?) -> Handle?
    let SSL_CIPHER_get_name: @convention(c) (Handle?) -> UnsafePointer<CChar>?

    // libcrypto
    let CRYPTO_malloc:
        @convention(c) (Int, UnsafePointer<CChar>?, Int32) -> UnsafeMutableRawPointer?
    let ERR_clear_error: @convention(c) () -> Void
    let ERR_peek_last_error: @convention(c) () -> UInt
    let ERR_reason_error_string: @convention(c) (UInt) -> UnsafePointer<CChar>?
    let BIO_get_new_index: @convention(c) () -> Int32
    let BIO_meth_new: @convention(c) (Int32, UnsafePointer<CChar>?) -> Handle?
    let BIO_meth_set_read: @convention(c) (Handle?, BIORead) -> Int32
    let BIO_meth_set_write: @convention(c) (Handle?, BIOWrite) -> Int32
    let BIO_meth_set_ctrl: @convention(c) (Handle?, BIOControl) -> Int32
    let BIO_new: @convention(c) (Handle?) -> Handle?
    let BIO_new_mem_buf: @convention(c) (UnsafeRawPointer?, Int32) -> Handle?
    let BIO_s_mem: @convention(c) () -> Handle?
    let BIO_read: @convention(c) (Handle?, UnsafeMutableRawPointer?, Int32) -> Int32
    let BIO_free: @convention(c) (Handle?) -> Int32
    let BIO_set_data: @convention(c) (Handle?, UnsafeMutableRawPointer?) -> Void
    let BIO_get_data: @convention(c) (Handle?) -> UnsafeMutableRawPointer?
    let BIO_set_init: @convention(c) (Handle?, Int32) -> Void
    let BIO_set_flags: @convention(c) (Handle?, Int32) -> Void
    let BIO_clear_flags: @convention(c) (Handle?, Int32) -> Void
    let PEM_read_bio_X509:
        @convention(c) (Handle?, UnsafeMutableRawPointer?, Password, UnsafeMutableRawPointer?) ->
            Handle?
    let PEM_read_bio_PrivateKey:
        @convention(c) (Handle?, UnsafeMutableRawPointer?, Password, UnsafeMutableRawPointer?) ->
            Handle?
    let X509_free: @convention(c) (Handle?) -> Void
    let X509_check_private_key: @convention(c) (Handle?, Handle?) -> Int32
    let X509_get0_pubkey: @convention(c) (Handle?) -> Handle?
    let X509_get_subject_name: @convention(c) (Handle?) -> Handle?
    let X509_get0_notAfter: @convention(c) (Handle?) -> Handle?
    let X509_get0_notBefore: @convention(c) (Handle?) -> Handle?
    let X509_cmp_time: @convention(c) (Handle?, UnsafeMutableRawPointer?) -> Int32
    let X509_get_ext_d2i:
        @convention(c) (Handle?, Int32, UnsafeMutableRawPointer?, UnsafeMutableRawPointer?) ->
            UnsafeMutableRawPointer?
    let X509_NAME_print_ex: @convention(c) (Handle?, Handle?, Int32, UInt) -> Int32
    let X509_NAME_get_text_by_NID:
        @convention(c) (Handle?, Int32, UnsafeMutableRawPointer?, Int32) -> Int32
    let X509_digest:
        @convention(c) (Handle?, Handle?, UnsafeMutableRawPointer?, UnsafeMutablePointer<Int32>?) ->
            Int32
    let X509_STORE_add_cert: @convention(c) (Handle?, Handle?) -> Int32
    let X509_verify_cert_error_string: @convention(c) (Int) -> UnsafePointer<CChar>?
    let X509_STORE_CTX_get_ex_data: @convention(c) (Handle?, Int32) -> UnsafeMutableRawPointer?
    let X509_STORE_CTX_get_error: @convention(c) (Handle?) -> Int32
    let X509_STORE_CTX_get_current_cert: @convention(c) (Handle?) -> Handle?
    let X509_VERIFY_PARAM_set1_host: @convention(c) (Handle?, UnsafePointer<CChar>?, Int) -> Int32
    let X509_VERIFY_PARAM_set1_ip_asc: @convention(c) (Handle?, UnsafePointer<CChar>?) -> Int32
    let X509_VERIFY_PARAM_set_hostflags: @convention(c) (Handle?, UInt32) -> Void
    let EVP_PKEY_free: @convention(c) (Handle?) -> Void
    let EVP_PKEY_get_base_id: @convention(c) (Handle?) -> Int32
    let EVP_sha256: @convention(c) () -> Handle?
    let EVP_CIPHER_fetch:
        @convention(c) (Handle?, UnsafePointer<CChar>?, UnsafePointer<CChar>?) -> Handle?
    let EVP_CIPHER_free: @convention(c) (Handle?) -> Void
    let EVP_EncryptInit_ex:
        @convention(c) (Handle?, Handle?, Handle?, UnsafePointer<UInt8>?, UnsafePointer<UInt8>?) ->
            Int32
    let EVP_DecryptInit_ex:
        @convention(c) (Handle?, Handle?, Handle?, UnsafePointer<UInt8>?, UnsafePointer<UInt8>?) ->
            Int32
    let EVP_MAC_CTX_set_params: @convention(c) (Handle?, UnsafeMutableRawPointer?) -> Int32
    let OPENSSL_sk_num: @convention(c) (UnsafeMutableRawPointer?) -> Int32
    let OPENSSL_sk_value:
        @convention(c) (UnsafeMutableRawPointer?, Int32) -> UnsafeMutableRawPointer?
    let GENERAL_NAME_get0_value:
        @convention(c) (UnsafeMutableRawPointer?, UnsafeMutablePointer<Int32>?) ->
            UnsafeMutableRawPointer?
    let GENERAL_NAMES_free: @convention(c) (UnsafeMutableRawPointer?) -> Void
    let ASN1_STRING_get0_data: @convention(c) (UnsafeMutableRawPointer?) -> UnsafePointer<UInt8>?
    let ASN1_STRING_length: @convention(c) (UnsafeMutableRawPointer?) -> Int32

    /// How a BIO of ours reaches its socket.
    let socketMethod: Handle?

    /// Looks all of them up. One that is missing means a library of another age.
    private init() throws(TLSRefusal) {
        let ssl = unsafe try Self.open("libssl.so.3")
        let crypto = unsafe try Self.open("libcrypto.so.3")
        func find<Function>(_ library: UnsafeMutableRawPointer, _ name: String) throws(TLSRefusal)
            -> Function
        {
            guard let symbol = unsafe dlsym(library, name) else {
                throw TLSRefusal(
                    "the OpenSSL of this machine has no \(name); TLS needs OpenSSL 3.0 or later")
            }
            return unsafe unsafeBitCast(symbol, to: Function.self)
        }
        unsafe TLS_server_method = try find(ssl, "TLS_server_method")
        unsafe TLS_client_method = try find(ssl, "TLS_client_method")
        unsafe SSL_CTX_new = try find(ssl, "SSL_CTX_new")
        unsafe SSL_CTX_free = try find(ssl, "SSL_CTX_free")
        unsafe SSL_CTX_ctrl = try find(ssl, "SSL_CTX_ctrl")
        unsafe SSL_CTX_callback_ctrl = try find(ssl, "SSL_CTX_callback_ctrl")
        unsafe SSL_CTX_set_options = try find(ssl, "SSL_CTX_set_options")
        unsafe SSL_CTX_set_cipher_list = try find(ssl, "SSL_CTX_set_cipher_list")
        unsafe SSL_CTX_use_certificate = try find(ssl, "SSL_CTX_use_certificate")
        unsafe SSL_CTX_use_PrivateKey = try find(ssl, "SSL_CTX_use_PrivateKey")
        unsafe SSL_CTX_set_alpn_select_cb = try find(ssl, "SSL_CTX_set_alpn_select_cb")
        unsafe SSL_CTX_set_alpn_protos = try find(ssl, "SSL_CTX_set_alpn_protos")
        unsafe SSL_CTX_set_tlsext_ticket_key_evp_cb = try find(
            ssl, "SSL_CTX_set_tlsext_ticket_key_evp_cb")
        unsafe SSL_CTX_set_verify = try find(ssl, "SSL_CTX_set_verify")
        unsafe SSL_CTX_get_cert_store = try find(ssl, "SSL_CTX_get_cert_store")
        unsafe SSL_CTX_set_default_verify_paths = try find(ssl, "SSL_CTX_set_default_verify_paths")
        unsafe SSL_CTX_add_client_CA = try find(ssl, "SSL_CTX_add_client_CA")
        unsafe SSL_CTX_set_session_id_context = try find(ssl, "SSL_CTX_set_session_id_context")
        unsafe SSL_CTX_set_timeout = try find(ssl, "SSL_CTX_set_timeout")
        unsafe SSL_CTX_set_ex_data = try find(ssl, "SSL_CTX_set_ex_data")
        unsafe SSL_CTX_get_ex_data = try find(ssl, "SSL_CTX_get_ex_data")
        unsafe SSL_new = try find(ssl, "SSL_new")
        unsafe SSL_free = try find(ssl, "SSL_free")
        unsafe SSL_set_bio = try find(ssl, "SSL_set_bio")
        unsafe SSL_set_accept_state = try find(ssl, "SSL_set_accept_state")
        unsafe SSL_set_connect_state = try find(ssl, "SSL_set_connect_state")
        unsafe SSL_do_handshake = try find(ssl, "SSL_do_handshake")
        unsafe SSL_read_ex = try find(ssl, "SSL_read_ex")
        unsafe SSL_write_ex = try find(ssl, "SSL_write_ex")
        unsafe SSL_shutdown = try find(ssl, "SSL_shutdown")
        unsafe SSL_get_error = try find(ssl, "SSL_get_error")
        unsafe SSL_has_pending = try find(ssl, "SSL_has_pending")
        unsafe SSL_ctrl = try find(ssl, "SSL_ctrl")
        unsafe SSL_get_servername = try find(ssl, "SSL_get_servername")
        unsafe SSL_get_SSL_CTX = try find(ssl, "SSL_get_SSL_CTX")
        unsafe SSL_set_SSL_CTX = try find(ssl, "SSL_set_SSL_CTX")
        unsafe SSL_get1_peer_certificate = try find(ssl, "SSL_get1_peer_certificate")
        unsafe SSL_set_verify = try find(ssl, "SSL_set_verify")
        unsafe SSL_get0_param = try find(ssl, "SSL_get0_param")
        unsafe SSL_set_session = try find(ssl, "SSL_set_session")
        unsafe SSL_get1_session = try find(ssl, "SSL_get1_session")
        unsafe SSL_session_reused = try find(ssl, "SSL_session_reused")
        unsafe SSL_SESSION_free = try find(ssl, "SSL_SESSION_free")
        unsafe SSL_SESSION_is_resumable = try find(ssl, "SSL_SESSION_is_resumable")
        unsafe SSL_version = try find(ssl, "SSL_version")
        unsafe SSL_get_rbio = try find(ssl, "SSL_get_rbio")
        unsafe SSL_get_ex_data_X509_STORE_CTX_idx = try find(
            ssl, "SSL_get_ex_data_X509_STORE_CTX_idx")
        unsafe SSL_get_certificate = try find(ssl, "SSL_get_certificate")
        unsafe SSL_get_version = try find(ssl, "SSL_get_version")
        unsafe SSL_get_current_cipher = try find(ssl, "SSL_get_current_cipher")
        unsafe SSL_CIPHER_get_name = try find(ssl, "SSL_CIPHER_get_name")
        unsafe CRYPTO_malloc = try find(crypto, "CRYPTO_malloc")
        unsafe ERR_clear_error = try find(crypto, "ERR_clear_error")
        unsafe ERR_peek_last_error = try find(crypto, "ERR_peek_last_error")
        unsafe ERR_reason_error_string = try find(crypto, "ERR_reason_error_string")
        unsafe BIO_get_new_index = try find(crypto, "BIO_get_new_index")
        unsafe BIO_meth_new = try find(crypto, "BIO_meth_new")
        unsafe BIO_meth_set_read = try find(crypto, "BIO_meth_set_read")
        unsafe BIO_meth_set_write = try find(crypto, "BIO_meth_set_write")
        unsafe BIO_meth_set_ctrl = try find(crypto, "BIO_meth_set_ctrl")
        unsafe BIO_new = try find(crypto, "BIO_new")
        unsafe BIO_new_mem_buf = try find(crypto, "BIO_new_mem_buf")
        unsafe BIO_s_mem = try find(crypto, "BIO_s_mem")
        unsafe BIO_read = try find(crypto, "BIO_read")
        unsafe BIO_free = try find(crypto, "BIO_free")
        unsafe BIO_set_data = try find(crypto, "BIO_set_data")
        unsafe BIO_get_data = try find(crypto, "BIO_get_data")
        unsafe BIO_set_init = try find(crypto, "BIO_set_init")
        unsafe BIO_set_flags = try find(crypto, "BIO_set_flags")
        unsafe BIO_clear_flags = try find(crypto, "BIO_clear_flags")
        unsafe PEM_read_bio_X509 = try find(crypto, "PEM_read_bio_X509")
        unsafe PEM_read_bio_PrivateKey = try find(crypto, "PEM_read_bio_PrivateKey")
        unsafe X509_free = try find(crypto, "X509_free")
        unsafe X509_check_private_key = try find(crypto, "X509_check_private_key")
        unsafe X509_get0_pubkey = try find(crypto, "X509_get0_pubkey")
        unsafe X509_get_subject_name = try find(crypto, "X509_get_subject_name")
        unsafe X509_get0_notAfter = try find(crypto, "X509_get0_notAfter")
        unsafe X509_get0_notBefore = try find(crypto, "X509_get0_notBefore")
        unsafe X509_cmp_time = try find(crypto, "X509_cmp_time")
        unsafe X509_get_ext_d2i = try find(crypto, "X509_get_ext_d2i")
        unsafe X509_NAME_print_ex = try find(crypto, "X509_NAME_print_ex")
        unsafe X509_NAME_get_text_by_NID = try find(crypto, "X509_NAME_get_text_by_NID")
        unsafe X509_digest = try find(crypto, "X509_digest")
        unsafe X509_STORE_add_cert = try find(crypto, "X509_STORE_add_cert")
        unsafe X509_verify_cert_error_string = try find(crypto, "X509_verify_cert_error_string")
        unsafe X509_STORE_CTX_get_ex_data = try find(crypto, "X509_STORE_CTX_get_ex_data")
        unsafe X509_STORE_CTX_get_error = try find(crypto, "X509_STORE_CTX_get_error")
        unsafe X509_STORE_CTX_get_current_cert = try find(
            crypto, "X509_STORE_CTX_get_current_cert")
        unsafe X509_VERIFY_PARAM_set1_host = try find(crypto, "X509_VERIFY_PARAM_set1_host")
        unsafe X509_VERIFY_PARAM_set1_ip_asc = try find(crypto, "X509_VERIFY_PARAM_set1_ip_asc")
        unsafe X509_VERIFY_PARAM_set_hostflags = try find(crypto, "X509_VERIFY_PARAM_set_hostflags")
        unsafe EVP_PKEY_free = try find(crypto, "EVP_PKEY_free")
        unsafe EVP_PKEY_get_base_id = try find(crypto, "EVP_PKEY_get_base_id")
        unsafe EVP_sha256 = try find(crypto, "EVP_sha256")
        unsafe EVP_CIPHER_fetch = try find(crypto, "EVP_CIPHER_fetch")
        unsafe EVP_CIPHER_free = try find(crypto, "EVP_CIPHER_free")
        unsafe EVP_EncryptInit_ex = try find(crypto, "EVP_EncryptInit_ex")
        unsafe EVP_DecryptInit_ex = try find(crypto, "EVP_DecryptInit_ex")
        unsafe EVP_MAC_CTX_set_params = try find(crypto, "EVP_MAC_CTX_set_params")
        unsafe OPENSSL_sk_num = try find(crypto, "OPENSSL_sk_num")
        unsafe OPENSSL_sk_value = try find(crypto, "OPENSSL_sk_value")
        unsafe GENERAL_NAME_get0_value = try find(crypto, "GENERAL_NAME_get0_value")
        unsafe GENERAL_NAMES_free = try find(crypto, "GENERAL_NAMES_free")
        unsafe ASN1_STRING_get0_data = try find(crypto, "ASN1_STRING_get0_data")
        unsafe ASN1_STRING_length = try find(crypto, "ASN1_STRING_length")
        // BIO_TYPE_SOURCE_SINK
        unsafe socketMethod = BIO_meth_new(BIO_get_new_index() | 0x0400, "trivet")
        unsafe _ = BIO_meth_set_read(socketMethod, TLSSocket.read)
        unsafe _ = BIO_meth_set_write(socketMethod, TLSSocket.write)
        unsafe _ = BIO_meth_set_ctrl(socketMethod, TLSSocket.control)
    }

    private static func open(_ name: String) throws(TLSRefusal) -> UnsafeMutableRawPointer {
        // For the whole life of the process, as OpenSSL wants it.
        if let library = unsafe dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) {
            return unsafe library
        }
        let words = unsafe dlerror().map { unsafe String(cString: $0) } ?? "no reason given"
        throw TLSRefusal(
            "TLS needs OpenSSL 3 (\(name)), which cannot be loaded here: \(words); install the package "
                + "libssl3, or whatever this system calls it")
    }

    private static let found: Result<OpenSSL, TLSRefusal> = {
        do throws(TLSRefusal) {
            return .success(try OpenSSL())
        } catch {
            return .failure(error)
        }
    }()

    /// Loads the libraries when it is asked first.
    static func library() throws(TLSRefusal) -> OpenSSL { try found.get() }
}
