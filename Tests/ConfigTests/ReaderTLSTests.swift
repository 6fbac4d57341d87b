// TLS as it is written: what is understood, and what is said of what is not.

import Base
import Testing

@testable import Config

@Suite("TLS in the configuration") struct ReaderTLSTests {
    private func file(_ listener: String, pool: String = "", node: String = "") -> String {
        """
        { listeners: [{ address: '0.0.0.0:443', pool: 'p',
        \(listener) }], pools: { p: {
        \(pool) nodes: [{ name: 'n', address: 'n.example.com:443',
        \(node) }] } } }
        """
    }

    private func configuration(
        _ listener: String, pool: String = "", node: String = ""
    ) throws -> Configuration {
        let reading = read(file(listener, pool: pool, node: node))
        #expect(reading.diagnostics.isEmpty, "\(reading.diagnostics)")
        return try #require(reading.configuration)
    }

    @Test("a listener's certificates, who must show one, and what browsers are told")
    func listener() throws {
        let tls = """
            tls: { certificates: [{ certificate: 'a.crt', key: 'a.key', ocsp: 'a.ocsp' },
              { certificate: 'b.crt', key: 'b.key' }], client_certificates: { ca: 'ca.crt' },
              handshake_timeout: '3s', max_handshakes: 7 }, hsts: { max_age: '365d', subdomains: true }
            """
        let configuration = try configuration(tls)
        let listener = configuration.listeners[0]
        let read = try #require(listener.tls)
        #expect(read.certificates.map(\.certificate.value) == ["a.crt", "b.crt"])
        #expect(read.certificates.map(\.key.value) == ["a.key", "b.key"])
        #expect(read.certificates.map { $0.ocsp?.value } == ["a.ocsp", nil])
        #expect(read.clients?.authorities.value == "ca.crt" && read.clients?.isRequired == true)
        #expect(read.handshakeTimeout == 3_000_000_000 && read.maxHandshakes == 7)
        #expect(
            listener.strictTransport
                == StrictTransport(maxAge: 365 * 86_400_000_000_000, includesSubdomains: true))
        #expect(
            configuration.tlsFiles.map(\.value)
                == ["a.crt", "a.key", "a.ocsp", "b.crt", "b.key", "ca.crt"])
    }

    @Test("a pool believes the system, an authority, a fingerprint, or everybody")
    func pool() throws {
        #expect(try configuration("", pool: "tls: false,").pools[0].tls == nil)
        let plain = try #require(try configuration("", pool: "tls: true,").pools[0].tls)
        guard case .system = plain.trust else {
            Issue.record("\(plain.trust)")
            return
        }
        #expect(plain.name == nil && plain.fingerprints.isEmpty)
        let sum = Array(repeating: "AB", count: 32).joined(separator: ":")
        let given = try configuration(
            "",
            pool:
                "tls: { ca: 'ca.crt', name: 'x.example.com', certificate: 'c.crt', key: 'c.key' },",
            node: "tls: { name: 'y.example.com', fingerprints: ['\(sum)'] }")
        let tls = try #require(given.pools[0].tls)
        guard case .authorities(let path) = tls.trust else {
            Issue.record("\(tls.trust)")
            return
        }
        #expect(path.value == "ca.crt" && tls.name == "x.example.com")
        let node = try #require(given.pools[0].nodes[0].tls)
        #expect(node.name == "y.example.com")
        #expect(node.fingerprints == [[UInt8](repeating: 0xAB, count: 32)])
        #expect(given.tlsFiles.map(\.value) == ["ca.crt", "c.crt", "c.key"])
        let everybody = try configuration("", pool: "tls: { verify: false },").pools[0].tls
        guard case .anybody? = everybody?.trust else {
            Issue.record("\(String(describing: everybody?.trust))")
            return
        }
    }

    @Test("requests are sent to https, on a port that may be another")
    func redirect() throws {
        for (text, port) in [("'https'", 443), ("{ to: 'https', port: 8443 }", 8443)] {
            let reading = read(
                """
                { listeners: [{ address: '0.0.0.0:80', redirect: \(text) }],
                  pools: { p: { nodes: [{ name: 'n', address: '10.0.0.1:80' }] } } }
                """)
            #expect(reading.diagnostics.isEmpty)
            #expect(reading.configuration?.listeners[0].redirect?.port == UInt16(port))
        }
    }

    @Test(
        "what a listener cannot mean is named",
        arguments: [
            ("tls: {}", #"t:2:6: the tls of the listener "0.0.0.0:443" has no "certificates""#),
            (
                "tls: { certificates: [] }",
                #"t:2:22: the tls of the listener "0.0.0.0:443" has no certificates; expected at least one"#
            ),
            (
                "tls: { certificates: [{ certificate: 'a' }] }",
                #"t:2:23: a certificate of the listener "0.0.0.0:443" has no "key""#
            ),
            (
                "tls: true",
                #"t:2:6: the tls of the listener "0.0.0.0:443" is a boolean; expected an object"#
            ),
            (
                "hsts: '1h'",
                #"t:2:7: "hsts" in the listener "0.0.0.0:443" needs "tls": browsers heed it over https alone (RFC 6797 section 7.2)"#
            ),
            (
                "redirect: 'https'",
                #"t:2:11: "redirect" in the listener "0.0.0.0:443" and its "pool" are both for what no route takes; leave one out"#
            ),
        ])
    func listenerMistakes(_ text: String, _ sentence: String) {
        #expect(complaints(file(text)) == [sentence])
    }

    @Test(
        "what a pool cannot mean is named",
        arguments: [
            (
                "tls: 1,",
                #"t:3:6: the tls of the pool "p" is a number; expected true, or an object"#
            ),
            (
                "tls: { verify: false, ca: 'x' },",
                #"t:3:27: "ca" in the tls of the pool "p" says whom to believe, and "verify: false" that everybody is; leave one of them out"#
            ),
            (
                "tls: { key: 'x' },",
                #"t:3:13: "key" in the tls of the pool "p" is of no use without "certificate""#
            ),
            (
                "tls: { name: 'a b' },",
                #"t:3:14: "a b" in the tls of the pool "p" is no name of a server; expected one such as "node1.example.com""#
            ),
            (
                "tls: { fingerprints: ['AB:CD'] },",
                #"t:3:23: "AB:CD" is no fingerprint; expected a SHA-256 sum of 64 hexadecimal digits, as "openssl x509 -in node.crt -noout -fingerprint -sha256" prints it"#
            ),
        ])
    func poolMistakes(_ text: String, _ sentence: String) {
        #expect(complaints(file("", pool: text)) == [sentence])
    }

    @Test("a node says nothing of TLS that its pool does not speak")
    func nodeAlone() {
        #expect(
            complaints(file("", node: "tls: { name: 'x' }")) == [
                #"t:3:18: the node "n" of the pool "p" has "tls" and its pool has none; expected "tls: true" in the pool at least"#
            ])
    }
}
