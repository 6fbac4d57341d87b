// HTTPS through the real program. Most of it goes round in one process: a listener in plain, whose pool speaks
// TLS to a listener of the same process, behind which are the nodes; so both ends are Trivet's. That others
// understand them as well is what curl and openssl are asked.

import Base
import Glibc
import TestKit
import Testing

/// A balancer that reaches itself by TLS, and its nodes.
private final class Loop {
    let nodes: [Node]
    let trivet: Trivet
    /// Plain, by TLS to the other one.
    let port: UInt16
    /// With TLS.
    let secure: UInt16
    private let reserved: ReservedPort

    /// - Parameters:
    ///   - certificates: names in Tests/Fixtures/TLS, copied beside the configuration.
    ///   - front: further keys of the listener's `tls`, each with a comma at its end.
    ///   - listener: further keys of the listener with TLS, likewise.
    ///   - behind: the `tls` of the pool that leads round.
    init(
        certificates: [String] = ["web-ec"], front: String = "", listener: String = "",
        behind: String = "{ ca: 'authority.crt', name: 'web.example.com' }", pool: String = ""
    ) throws {
        let folder = try TemporaryFolder()
        for name in [
            "authority", "web-ec", "web-rsa", "wild", "node", "expired", "self", "client", "other",
        ] {
            try folder.write(TestCertificates.bytes("\(name).crt"), to: "\(name).crt")
            guard name != "authority" else { continue }
            try folder.write(TestCertificates.bytes("\(name).key"), to: "\(name).key")
        }
        try folder.write(TestCertificates.staple(), to: "web-ec.ocsp")
        reserved = try ReservedPort()
        secure = reserved.number
        nodes = try (1...2).map { try Node("node\($0)") }
        let lines = nodes.map { #"{ name: "\#($0.name)", address: "\#($0.address)" }"# }
        trivet = try Trivet(
            configuration: Self.configuration(
                secure, certificates, front, listener, behind, pool, lines), in: folder)
        port = try Cluster.port(of: trivet)
    }

    static func configuration(
        _ secure: UInt16, _ certificates: [String], _ front: String, _ listener: String,
        _ behind: String, _ pool: String, _ nodes: [String]
    ) -> String {
        let pairs = certificates.map {
            "{ certificate: '\($0).crt', key: '\($0).key'"
                + ($0 == "web-ec" ? ", ocsp: 'web-ec.ocsp' }" : " }")
        }
        return """
            {
              workers: 2, admin: { address: "127.0.0.1:0" },
              listeners: [
                { name: "plain", address: "127.0.0.1:0", pool: "round" },
                { name: "secure", address: "127.0.0.1:\(secure)", pool: "octopus", \(listener)
                  tls: { \(front) certificates: [\(pairs.joined(separator: ", "))] } },
              ],
              pools: {
                octopus: { nodes: [\(nodes.joined(separator: ", "))] },
                round: { tls: \(behind), \(pool)
                  nodes: [{ name: "itself", address: "127.0.0.1:\(secure)" }] },
              },
            }
            """
    }

    /// Patient enough for a sanitizer.
    func client() throws -> RawClient { try RawClient(port: port, within: 60) }

    /// Runs curl against the listener with TLS, as web.example.com.
    func curl(_ words: [String], path: String = "/") throws -> (exit: Child.Exit, output: String) {
        let child = try Child(
            "/usr/bin/env",
            [
                "curl", "-sS", "--max-time", "20", "--cacert",
                TestCertificates.path("authority.crt"),
                "--resolve", "web.example.com:\(secure):127.0.0.1",
            ] + words + ["https://web.example.com:\(secure)\(path)"])
        let exit = try child.waitForEnd(within: 30)
        return (exit, child.text(of: .output))
    }
}

/// Whether a program of this name can be run.
private func has(_ program: String) -> Bool {
    guard let child = try? Child("/usr/bin/env", ["sh", "-c", "command -v \(program)"]) else {
        return false
    }
    return (try? child.waitForEnd(within: 10)) == .code(0)
}

@Suite(
    "Traffic by TLS", .enabled(if: has("openssl"), "needs OpenSSL"), .timeLimit(.minutes(10)))
struct TLSTests {
    @Test("requests, uploads, downloads, chunks and WebSockets go through TLS on both sides")
    func traffic() throws {
        let loop = try Loop()
        let client = try loop.client()
        for index in 0..<20 {
            #expect(try client.get("/\(index)").node == (index % 2 == 0 ? "node1" : "node2"))
        }
        // The node is told that the client in front of it came by TLS.
        #expect(try client.get("/echo").text.lowercased().contains("x-forwarded-proto: https"))
        let size = 20_000_000
        try client.send(
            "POST /api/packages/raw HTTP/1.1\r\nHost: test\r\nContent-Length: \(size)\r\n\r\n")
        try client.send(Pattern.bytes(size))
        #expect(try client.response().text.contains(Pattern.sum(size)))
        try client.send(
            "POST /api/packages/raw HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
        let piece = Pattern.bytes(300_000)
        for start in stride(from: 0, to: piece.count, by: 7_001) {
            try client.sendChunk(Array(piece[start..<min(start + 7_001, piece.count)]))
        }
        try client.send("0\r\n\r\n")
        #expect(try client.response().text.contains(Pattern.sum(300_000)))
        #expect(try client.get("/bytes?n=20000000").body.count == 20_000_000)
        let socket = try loop.client()
        #expect(try socket.openWebSocket().status == 101)
        for word in ["one", "two", "three"] {
            try socket.sendText(word)
            #expect(try socket.readFrame().text == word)
        }
    }

    @Test("a slow reader of a download and a slow sender of an upload lose nothing")
    func slowness() throws {
        let loop = try Loop()
        let client = try loop.client()
        try client.send("GET /bytes?n=8000000 HTTP/1.1\r\nHost: test\r\n\r\n")
        let head = try client.readHead()
        #expect(head.status == 200)
        // Long enough for every buffer on the way to be full.
        _ = poll(nil, 0, 300)
        #expect(try client.read(exactly: 8_000_000).count == 8_000_000)
        try client.send(
            "POST /api/packages/raw HTTP/1.1\r\nHost: test\r\nContent-Length: 60000\r\n\r\n")
        let bytes = Pattern.bytes(60_000)
        for start in stride(from: 0, to: 60_000, by: 10_000) {
            try client.send(Array(bytes[start..<start + 10_000]))
            _ = poll(nil, 0, 20)
        }
        #expect(try client.response().text.contains(Pattern.sum(60_000)))
    }

    // MARK: Others' clients

    @Test(
        "curl knows the certificate, speaks HTTP/1.1 by ALPN and is told to come by https from now on"
    )
    func curl() throws {
        let loop = try Loop(
            certificates: ["web-rsa", "web-ec"],
            listener: "hsts: { max_age: '365d', subdomains: true },")
        let (exit, text) = try loop.curl(
            ["-i", "-o", "-", "-w", "%{ssl_verify_result} %{http_version}"], path: "/echo")
        #expect(exit == .code(0))
        #expect(text.contains("Strict-Transport-Security: max-age=31536000; includeSubDomains"))
        #expect(text.hasSuffix("0 1.1\n"), "\(text)")
        for ciphers in ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"] {
            #expect(
                try loop.curl(["-o", "/dev/null", "--tls-max", "1.2", "--ciphers", ciphers]).exit
                    == .code(0))
        }
        for old in [
            ["--tls-max", "1.1", "--tlsv1.0"],
            ["--tls-max", "1.2", "--ciphers", "AES128-SHA256"],
            ["--tls-max", "1.2", "--ciphers", "ECDHE-RSA-AES256-SHA384"],
        ] {
            #expect(try loop.curl(old).exit == .code(35), "\(old)")
        }
    }

    @Test(
        "openssl gets one of two certificates by name, what the OCSP responder said, and its session again on either worker"
    )
    func openssl() throws {
        let loop = try Loop(
            certificates: ["web-ec", "wild"])
        func client(_ words: [String]) throws -> String {
            let script =
                "openssl s_client -connect 127.0.0.1:\(loop.secure) \(words.joined(separator: " ")) </dev/null 2>&1"
            let child = try Child("/bin/sh", ["-c", script])
            _ = try child.waitForEnd(within: 30)
            return child.text(of: .output)
        }
        #expect(try client(["-servername", "a.wild.example.com"]).contains("subject=CN = wild"))
        #expect(
            try client(["-servername", "web.example.com"]).contains("subject=CN = web.example.com"))
        #expect(try client(["-alpn", "h2,http/1.1"]).contains("ALPN protocol: http/1.1"))
        #expect(try client(["-alpn", "h2"]).contains("no application protocol"))
        for version in ["-tls1_2", "-tls1_3"] {
            let file = loop.trivet.folder.path + "/session"
            // The request has the client read on until the ticket is there.
            let script = """
                printf 'GET / HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n' | openssl s_client \
                    -connect 127.0.0.1:\(loop.secure) \(version) -ign_eof -sess_out \(file) >/dev/null 2>&1
                """
            _ = try Child("/bin/sh", ["-c", script]).waitForEnd(within: 30)
            // The kernel deals connections out to both workers: that one of them gets none of eight
            // happens once in 128 times, and then this still holds.
            for _ in 0..<8 {
                #expect(try client([version, "-sess_in", file]).contains("Reused"), "\(version)")
            }
        }
        #expect(try client(["-status"]).contains("OCSP Response Status: successful"))
    }

    @Test(
        "the subject of a client's certificate goes to the node, and what clients say of it does not"
    )
    func clientCertificates() throws {
        let loop = try Loop(
            front: "client_certificates: { ca: 'authority.crt', required: false },",
            behind:
                "{ ca: 'authority.crt', name: 'web.example.com', certificate: 'client.crt', key: 'client.key' }"
        )
        let forged = [("X-Client-Cert-Subject", "CN=Admin"), ("x_client_cert_subject", "CN=Admin")]
        let echo = try loop.client().get("/echo", fields: forged).text
        #expect(
            echo.contains("X-Client-Cert-Subject: O=Trivet\\, the tests,CN=Client One"), "\(echo)")
        #expect(!echo.contains("Admin"))
        let bare = try loop.curl(["-H", "X-Client-Cert-Subject: CN=Admin"], path: "/echo")
        #expect(bare.exit == .code(0) && !bare.output.contains("Admin"))
        let own = try loop.curl([
            "--cert", TestCertificates.path("self.crt"), "--key", TestCertificates.path("self.key"),
        ])
        #expect(own.exit != .code(0))
        try loop.trivet.process.waitForLine(
            containing:
                "the certificate of CN=self.example.com is not accepted: self-signed certificate")
    }

    // MARK: Nodes

    @Test(
        "each certificate of a node is judged right",
        arguments: [
            ("node", "{ ca: 'authority.crt', name: 'node.example.com' }", nil),
            ("node", "{ ca: 'authority.crt' }", nil),  // by its address
            (
                "other", "{ ca: 'authority.crt', name: 'node.example.com' }",
                "CN=other.example.com is not accepted: hostname mismatch"
            ),
            (
                "other", "{ ca: 'authority.crt' }",
                "CN=other.example.com is not accepted: IP address mismatch"
            ),
            (
                "expired", "{ ca: 'authority.crt', name: 'node.example.com' }",
                "CN=expired.example.com is not accepted: certificate has expired"
            ),
            (
                "self", "{ ca: 'authority.crt', name: 'self.example.com' }",
                "CN=self.example.com is not accepted: self-signed certificate"
            ),
            (
                "node", "true",
                "CN=node.example.com is not accepted: unable to get local issuer certificate"
            ),
            ("self", "{ fingerprints: ['SELF'] }", nil),
            ("node", "{ fingerprints: ['SELF'] }", "which is not pinned"),
            ("self", "{ verify: false }", nil),
        ])
    func verification(_ certificate: String, _ behind: String, _ complaint: String?) throws {
        let pin = try TestCertificates.fingerprint("self.crt")
        let behind = behind.split(separator: "SELF", omittingEmptySubsequences: false).joined(
            separator: pin)
        let loop = try Loop(certificates: [certificate], behind: behind)
        let response = try loop.client().get("/")
        guard let complaint else {
            #expect(response.status == 200)
            return
        }
        #expect(response.status == 502)
        #expect(response.text == "no TLS could be agreed on with the node\n")
        for node in loop.nodes { #expect(try node.stats().requests == 0) }
        let line = try loop.trivet.process.waitForLine(
            containing: "node itself: no TLS could be agreed on")
        #expect(line.contains(complaint), "\(line)")
    }

    @Test("probes go by TLS as requests do, and a node that nobody can believe is down")
    func probes() throws {
        let loop = try Loop(certificates: ["node"])
        let folder = try TemporaryFolder()
        try folder.write(TestCertificates.bytes("authority.crt"), to: "authority.crt")
        let trivet = try Trivet(
            configuration: """
                {
                  listeners: [{ name: "web", address: "127.0.0.1:0", pool: "good" }],
                  pools: {
                    good: { tls: { ca: "authority.crt", name: "node.example.com" },
                      health: { check: "octopus", interval: "100ms", timeout: "5s" },
                      nodes: [{ name: "a", address: "127.0.0.1:\(loop.secure)" }] },
                    bad: { tls: { ca: "authority.crt" },
                      health: { check: "octopus", interval: "100ms", timeout: "5s" },
                      nodes: [{ name: "b", address: "127.0.0.1:\(loop.secure)",
                        tls: { name: "other.example.com" } }] },
                  },
                }
                """, in: folder)
        let line = try trivet.process.waitForLine(containing: "node bad/b: down: ")
        #expect(
            line.contains("CN=node.example.com is not accepted: hostname mismatch"), "\(line)")
        let client = try RawClient(port: try Cluster.port(of: trivet))
        #expect(try client.get("/").node != nil)
        #expect(try loop.nodes[0].stats().pings + loop.nodes[1].stats().pings > 0)
    }

    @Test(
        "a node's session is taken up by the next connection, and handshakes are counted as what they were"
    )
    func resumption() throws {
        // Introduced connections are used once: each request has a handshake of its own.
        let loop = try Loop(
            listener: "proxy_protocol: true, trusted_proxies: ['127.0.0.1/32'],",
            pool: "proxy_protocol: 'v2',")
        // One connection stays with one worker, whose session it is.
        let client = try loop.client()
        for _ in 0..<5 { #expect(try client.get("/").status == 200) }
        let line = try loop.trivet.process.waitForLine(containing: "admin on 127.0.0.1:")
        let start = try #require(line.range(of: "admin on 127.0.0.1:")?.upperBound)
        let admin = try #require(UInt16(line[start...].prefix { $0.isNumber }))
        let metrics = try RawClient(port: admin, host: "127.0.0.1").get("/metrics").text
        let name = "trivet_listener_handshakes_total{listener=\"secure\",outcome="
        #expect(metrics.contains(name + "\"full\"} 1\n"))
        #expect(metrics.contains(name + "\"resumed\"} 4\n"))
        #expect(metrics.contains(name + "\"failed\"} 0\n"))
    }

    // MARK: Change

    @Test(
        "certificates change by SIGHUP under load without one failed request, and a bad pair changes nothing"
    )
    func reload() throws {
        let loop = try Loop(
            certificates: ["web-ec"],
            // Introduced connections are used once: each request has a handshake of its own.
            listener: "proxy_protocol: true, trusted_proxies: ['127.0.0.1/32'],",
            behind: "{ ca: 'authority.crt', name: 'localhost' }", pool: "proxy_protocol: 'v2',")
        let traffic = try ReloadTests.Traffic(port: loop.port, threads: 2)
        let folder = loop.trivet.folder
        func shown() throws -> String {
            try loop.curl(["-k", "-v", "-o", "/dev/null", "--stderr", "-", "--haproxy-protocol"])
                .output
        }
        #expect(try shown().contains("subject: CN=web.example.com"))
        for name in ["node", "web-ec", "node"] {
            try folder.write(TestCertificates.bytes("\(name).crt"), to: "web-ec.crt")
            try folder.write(TestCertificates.bytes("\(name).key"), to: "web-ec.key")
            let end = loop.trivet.process.lines.count
            loop.trivet.process.signal(SIGHUP)
            try loop.trivet.process.waitForLine(
                containing: "reloaded: the certificates of 1 listener", from: end)
            let subject = name == "node" ? "CN=node.example.com" : "CN=web.example.com"
            #expect(try shown().contains("subject: \(subject)"))
        }
        // The key of another one.
        try folder.write(TestCertificates.bytes("wild.key"), to: "web-ec.key")
        let end = loop.trivet.process.lines.count
        loop.trivet.process.signal(SIGHUP)
        try loop.trivet.process.waitForLine(
            containing: "web-ec.key is not the key of the certificate in web-ec.crt", from: end)
        #expect(try shown().contains("subject: CN=node.example.com"))
        let (answered, failures) = try traffic.end()
        #expect(failures == [])
        #expect(answered > 50)
    }

    @Test("a node that is taken away while TLS is being agreed on with it harms nobody")
    func removal() throws {
        let node = try Node()
        let silent = try ReservedPort()
        try silent.listen()
        let folder = try TemporaryFolder()
        func configuration(_ pool: String) -> String {
            "{ listeners: [{ name: 'web', address: '127.0.0.1:0', pool: 'p' }], pools: { p: { \(pool) } } }"
        }
        let trivet = try Trivet(
            configuration: configuration(
                "tls: true, timeouts: { connect: '60s' }, "
                    + "nodes: [{ name: 'a', address: '127.0.0.1:\(silent.number)' }]"), in: folder)
        let port = try Cluster.port(of: trivet)
        let client = try RawClient(port: port)
        try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        let connection = try silent.accept()
        let end = trivet.process.lines.count
        try folder.write(
            configuration("nodes: [{ name: 'b', address: '\(node.address)' }]"),
            to: "trivet.json5")
        trivet.process.signal(SIGHUP)
        try trivet.process.waitForLine(containing: "reloaded", from: end)
        // Whoever was started meanwhile may have a copy: ended, not only closed.
        shutdown(connection, Int32(SHUT_RDWR))
        close(connection)
        #expect(try client.response().node == "node1")
        #expect(try RawClient(port: port).get("/").node == "node1")
        #expect(try trivet.process.facts.children().count == 1)
        #expect(!trivet.process.lines.contains { $0.text.contains("died") })
    }

    @Test("check names the file, the place and the reason of what cannot be used")
    func check() throws {
        let folder = try TemporaryFolder()
        for name in ["web-ec.crt", "wild.key", "authority.crt"] {
            try folder.write(TestCertificates.bytes(name), to: name)
        }
        try folder.write("no certificate", to: "noise.crt")
        func complaints(_ listener: String, _ pool: String = "") throws -> String {
            let file = try folder.write(
                """
                { listeners: [{ address: "127.0.0.1:0", pool: "p",
                tls: { \(listener) } }],
                pools: { p: { \(pool) nodes: [{ name: "n", address: "127.0.0.1:80" }] } } }
                """, to: "trivet.json5")
            let (exit, _, error) = try Trivet.run(["check", file])
            #expect(exit == .code(1))
            return error
        }
        let pair = try complaints("certificates: [{ certificate: 'web-ec.crt', key: 'wild.key' }]")
        #expect(
            pair.contains(
                "trivet.json5:2:38: wild.key is not the key of the certificate in web-ec.crt"),
            "\(pair)")
        let missing = try complaints(
            "certificates: [{ certificate: 'web-ec.crt', key: 'gone.key' }]")
        #expect(missing.contains("trivet.json5:2:57: cannot open the file "), "\(missing)")
        let noise = try complaints(
            "certificates: [{ certificate: 'noise.crt', key: 'wild.key' }]",
            "tls: { ca: 'noise.crt' },")
        #expect(
            noise.contains("trivet.json5:2:38: noise.crt holds no certificate that can be read"),
            "\(noise)")
        #expect(
            noise.contains("trivet.json5:3:10: noise.crt holds no certificate that can be read"),
            "\(noise)")
    }

    // MARK: Patience

    @Test("who begins no handshake is not waited for, and there are only so many at one time")
    func patience() throws {
        let loop = try Loop(front: "handshake_timeout: '300ms', max_handshakes: 2,")
        // One for each worker.
        let idle = try (0..<12).map { _ in try RawClient(port: loop.secure) }
        for client in idle { _ = try client.waitForEnd(within: 10) }
        try loop.trivet.process.waitForLine(
            containing: "1 are in progress on this worker, the limit (max_handshakes)")
        #expect(try loop.client().get("/").status == 200)
        let plain = try RawClient(port: loop.secure)
        let answer = try plain.get("/")
        #expect(answer.status == 400)
        #expect(answer.text == "this port is for https, and the request came without TLS\n")
    }

    @Test("requests of plain http are sent to https, but for those that a route takes")
    func redirect() throws {
        let node = try Node()
        let trivet = try Trivet(
            configuration: """
                { listeners: [{ address: "127.0.0.1:0", redirect: { to: "https", port: 8443 },
                    routes: [{ path: "/.well-known/*", pool: "p" }] }],
                  pools: { p: { nodes: [{ name: "n", address: "\(node.address)" }] } } }
                """)
        let client = try RawClient(port: try Cluster.port(of: trivet))
        let get = try client.get("/a?b=c")
        #expect(get.status == 301)
        #expect(get.head["Location"] == "https://test.example:8443/a?b=c")
        try client.send("POST / HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 0\r\n\r\n")
        let post = try client.response()
        #expect(post.status == 308)
        #expect(post.head["Location"] == "https://[::1]:8443/")
        #expect(try client.get("/.well-known/acme").node == "node1")
        try client.send("GET / HTTP/1.0\r\n\r\n")
        #expect(try client.response().status == 400)
    }
}
