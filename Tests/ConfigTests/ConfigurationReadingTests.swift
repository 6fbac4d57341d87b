// Whole files: the documented one is understood, a bad one gets all its sentences at once, and no
// text brings the reader down.

import Base
import Testing

@testable import Config

@Suite struct ConfigurationReadingTests {
    static let octopus = """
        {
          workers: 2,                              // default: one per core
          plugins: ["plugins", "extra/mine.so"],
          access_log: "-", pid_file: "/run/trivet.pid", drain_timeout: "1m", log_level: "debug",
          user: "trivet", group: "www",
          listeners: [
            { name: "web", address: "0.0.0.0:80", pool: "octopus", protocol: "http",
              timeouts: { header: "5s", idle: "1m" }, limits: { target: "8KiB", head: 32768, fields: 100 },
              trusted_proxies: ["10.0.0.0/8", "::1"], max_connections: 10000,
              max_connections_per_client: 50 },
            { address: "[::]:8080",
              routes: [{ host: "API.example.com", path: "/v2/*", pool: "other" },
                       { host: "*.example.com", pool: "octopus" }, { path: "/exact", pool: "other" }] },
          ],
          pools: {
            octopus: {
              strategy: ["sticky", { name: "maglev", size: 65537 }],
              health: { check: "octopus", interval: "3s", timeout: "500ms", rise: 1, fall: 5, path: "/ping" },
              timeouts: { connect: "1s", response: "1h", idle: "5m", tunnel: "2h" },
              retries: 0, reuse: "always",
              nodes: [
                { name: "node1", address: "10.0.0.11:8080", weight: 5, tier: 1,
                  metadata: { zone: "a", rack: 7, ssd: true } },
                { name: "node2", address: "node2.example.com:8080" },
                { name: "node3", address: "unix:/run/node3.sock" },
              ],
            },
            other: { nodes: [{ name: "node1", address: "[fd00::1]:80", weight: 0 }] },
          },
          admin: { address: "127.0.0.1:9900" },
        }
        """

    @Test func `layout and comments make no other configuration, and any value does`() throws {
        func fingerprint(_ text: String) throws -> UInt64 {
            try #require(read(text).configuration).fingerprint
        }
        let plain = withPoolKeys("retries: 1")
        let usual = try fingerprint(plain)
        #expect(
            try fingerprint("// Ours.\n" + plain.replacing("retries: 1", with: "'retries' :\n1"))
                == usual)
        #expect(try fingerprint(withPoolKeys("retries: 2")) != usual)
    }

    @Test func `everything that can be written arrives in the model`() throws {
        let reading = read(Self.octopus, file: "/etc/trivet/trivet.json5")
        #expect(reading.diagnostics == [])
        let all = try #require(reading.configuration)
        #expect(all.workers == 2)
        #expect(all.plugins.map(\.value) == ["plugins", "extra/mine.so"])
        #expect(all.plugins[1].place == Place(line: 3, column: 24))
        #expect(all.accessLog?.path == "-")
        #expect(all.pidFile?.value == "/run/trivet.pid")
        #expect(all.drainTimeout == 60_000_000_000)
        #expect(all.logLevel == .debug)
        #expect(all.user?.value == "trivet")
        #expect(all.group?.value == "www")
        #expect(all.admin?.address == HostPort("127.0.0.1:9900"))

        let web = all.listeners[0]
        #expect(web.name == "web")
        #expect(web.address == HostPort("0.0.0.0:80"))
        #expect(web.place == Place(line: 7, column: 29))
        #expect(web.pool == 0)
        #expect(web.timeouts == .init(header: 5_000_000_000, idle: 60_000_000_000))
        #expect(web.limits == .init(targetBytes: 8192, headBytes: 32_768, fields: 100))
        #expect(web.trustedProxies.map(\.description) == ["10.0.0.0/8", "::1/128"])
        #expect(web.maxConnections == 10_000)
        #expect(web.maxConnectionsPerClient == 50)
        let second = all.listeners[1]
        #expect(second.name == "[::]:8080")
        #expect(second.pool == nil)
        #expect(second.routes.map(\.host) == ["api.example.com", "*.example.com", nil])
        #expect(second.routes.map(\.path) == ["/v2/*", nil, "/exact"])
        #expect(second.routes.map(\.pool) == [1, 0, 1])

        #expect(all.pools.map(\.name) == ["octopus", "other"])
        let pool = all.pools[0]
        #expect(pool.strategies.map(\.name) == ["sticky", "maglev"])
        #expect(pool.strategies.map { $0.options.encoded() } == ["{}", #"{"size":65537}"#])
        #expect(pool.health?.check.name == "octopus")
        #expect(pool.health?.check.options.encoded() == #"{"path":"/ping"}"#)
        #expect(pool.health?.interval == 3_000_000_000)
        #expect(pool.health?.timeout == 500_000_000)
        #expect(pool.health?.rise == 1)
        #expect(pool.health?.fall == 5)
        #expect(
            pool.timeouts
                == .init(
                    connect: 1_000_000_000, response: 3_600_000_000_000, idle: 300_000_000_000,
                    tunnel: 7_200_000_000_000))
        #expect(pool.retries == 0)
        #expect(pool.reuse == .always)
        #expect(pool.nodes.map(\.name) == ["node1", "node2", "node3"])
        #expect(
            pool.nodes.map(\.address.description) == [
                "10.0.0.11:8080", "node2.example.com:8080", "unix:/run/node3.sock",
            ])
        #expect(pool.nodes[0].weight == 5)
        #expect(pool.nodes[0].tier == 1)
        #expect(
            pool.nodes[0].metadata.map { "\($0.0)=\($0.1)" } == ["rack=7", "ssd=true", "zone=a"])
        #expect(pool.nodes[0].id == Node.id(pool: "octopus", node: "node1"))
        #expect(all.pools[1].nodes[0].id == Node.id(pool: "other", node: "node1"))
        #expect(all.pools[1].nodes[0].weight == 0)
    }

    @Test func `all mistakes of a file are told at once, in its order`() {
        let text = """
            {
              worker: 2,
              drain_timeout: 30,
              listeners: [
                { name: "web", address: "0.0.0.0:99999", pool: "octopsu" },
                { name: "tcp", address: "0.0.0.0:81", pool: "octopus", protocol: "tcp", tls: {} },
              ],
              pools: {
                octopus: {
                  strategy: "round-robbin",
                  retries: -1,
                  health: { check: "octopuss", intervall: "2s" },
                  nodes: [{ name: "a", address: "10.0.0.1", wieght: 2 }],
                },
                empty: { nodes: [] },
              },
              log_level: "verbose",
            }
            """
        var reading = read(text, file: "trivet.json5")
        reading.judge(
            against: PluginNames(
                strategies: ["round-robin": []],
                checks: ["octopus": ["path"], "http": [], "tcp": []]))
        #expect(reading.configuration == nil)
        #expect(
            reading.diagnostics.map(\.description) == [
                #"trivet.json5:2:3: unknown key "worker" in the configuration; did you mean "workers"? known: workers, plugins, listeners, pools, access_log, pid_file, drain_timeout, user, group, admin, log_level, plugins_budget, plugins_watch"#,
                #"trivet.json5:3:18: "drain_timeout" in the configuration has no unit; expected a duration such as "30s", in quotes"#,
                #"trivet.json5:5:29: "0.0.0.0:99999" is no address for the listener "web"; expected "10.0.0.1:80", "[::1]:80""#,
                #"trivet.json5:5:52: unknown pool "octopsu"; did you mean "octopus"? there are: octopus, empty"#,
                #"trivet.json5:6:82: "tls" in the listener "tcp" is for requests; its protocol "tcp" passes TLS through as it comes"#,
                #"trivet.json5:6:82: the tls of the listener "tcp" has no "certificates""#,
                #"trivet.json5:10:17: unknown strategy "round-robbin"; did you mean "round-robin"? loaded: round-robin"#,
                #"trivet.json5:11:16: "retries" in the pool "octopus" is -1; expected a whole number from 0 to 7"#,
                #"trivet.json5:12:24: unknown check "octopuss"; did you mean "octopus"? loaded: http, octopus, tcp"#,
                #"trivet.json5:13:37: "10.0.0.1" is no address for the node "a" of the pool "octopus"; the port is missing: write "10.0.0.1:80""#,
                #"trivet.json5:13:49: unknown key "wieght" in the node "a" of the pool "octopus"; did you mean "weight"? known: name, address, weight, tier, metadata, max_in_flight, health_of, drains_if, tls"#,
                #"trivet.json5:15:21: the pool "empty" has no nodes; expected at least one"#,
                #"trivet.json5:17:14: "log_level" in the configuration is "verbose"; expected: error, warn, info, debug"#,
            ])
    }

    @Test(arguments: [
        ("", "t:1:1: expected a value, found nothing but space and comments"),
        ("[]", "t:1:1: the configuration is a list; expected an object"),
        ("{ listeners: [", "t:1:15: the list opened at 1:14 is not closed: expected \"]\""),
    ])
    func `a text that is no configuration gets one sentence`(text: String, sentence: String) {
        #expect(complaints(text) == [sentence])
    }

    @Test func `listeners and pools must be there`() {
        #expect(
            complaints("{}") == [
                #"t:1:1: the configuration has no "pools""#,
                #"t:1:1: the configuration has no "listeners""#,
            ])
        #expect(
            complaints("{ listeners: [], pools: {} }") == [
                "t:1:14: there are no listeners; expected at least one",
                "t:1:25: there are no pools; expected at least one",
            ])
        #expect(
            complaints("{ listeners: {}, pools: [] }") == [
                #"t:1:14: "listeners" is an object; expected a list"#,
                #"t:1:25: "pools" is a list; expected an object"#,
            ])
    }

    @Test(arguments: [
        (
            "workers: 0",
            #"t:1:12: "workers" in the configuration is 0; expected a whole number from 1 to 256"#
        ),
        (
            "workers: 1.5",
            #"t:1:12: "workers" in the configuration is 1.5; expected a whole number from 1 to 256"#
        ),
        (
            "workers: 1e300",
            #"t:1:12: "workers" in the configuration is 1e+300; expected a whole number from 1 to 256"#
        ),
        (
            "workers: NaN",
            #"t:1:12: "workers" in the configuration is nan; expected a whole number from 1 to 256"#
        ),
        (
            "workers: '2'",
            #"t:1:12: "workers" in the configuration is a string; expected a whole number from 1 to 256"#
        ),
        (
            "plugins: 'plugins'",
            #"t:1:12: "plugins" in the configuration is a string; expected a list"#
        ),
        (
            "plugins: ['a', 7, '']",
            #"t:1:18: a plugin or a folder of plugins is a number; expected a string|t:1:21: a plugin or a folder of plugins is empty"#
        ),
        (
            "plugins_watch: 'yes'",
            #"t:1:18: "plugins_watch" in the configuration is a string; expected true or false"#
        ),
        (
            "plugins_budget: 5",
            #"t:1:19: "plugins_budget" in the configuration has no unit; expected a duration such as "5s", in quotes"#
        ),
        (
            "profile: 'x'",
            #"t:1:12: "profile" in the profile is "x"; expected: octopus"#
        ),
        (
            "access_log: true",
            #"t:1:15: "access_log" (a file, "-" for standard output, or "off") is a boolean; expected a string"#
        ),
        (
            "drain_timeout: 'off'",
            #"t:1:18: "drain_timeout" in the configuration cannot be "off"; expected a duration such as "250ms", "3s", "2m" or "1h""#
        ),
        ("user: 'a\\nb'", #"t:1:9: "user" has a control character in it"#),
        (
            "admin: { adress: '127.0.0.1:1' }",
            #"t:1:10: "admin" has no "address"|t:1:12: unknown key "adress" in "admin"; did you mean "address"? known: address, allow_remote"#
        ),
        (
            "admin: { address: '0.0.0.0:9900' }",
            #"t:1:21: the address of "admin" is 0.0.0.0:9900, where other machines may ask; expected one of this machine alone, such as "127.0.0.1:9900", or "allow_remote: true" beside it"#
        ),
        (
            "admin: { address: '[2001:db8::1]:9900', allow_remote: false }",
            #"t:1:21: the address of "admin" is [2001:db8::1]:9900, where other machines may ask; expected one of this machine alone, such as "[::1]:9900", or "allow_remote: true" beside it"#
        ),
        (
            "admin: { address: '127.0.0.1:9900', allow_remote: 'yes' }",
            #"t:1:53: "allow_remote" in "admin" is a string; expected true or false"#
        ),
        (
            "admin: { address: '0.0.0.0:80', allow_remote: true }",
            #"t:1:21: the address of "admin", 0.0.0.0:80, is taken by the listener "0.0.0.0:80" (0.0.0.0:80); expected another port"#
        ),
        (
            "admin: { address: '127.0.0.1:80' }",
            #"t:1:21: the address of "admin", 127.0.0.1:80, is taken by the listener "0.0.0.0:80" (0.0.0.0:80); expected another port"#
        ),
        (
            "admin: { address: 'localhost:1' }",
            #"t:1:21: the address of "admin" is the name "localhost"; expected an IP address and a port, such as "0.0.0.0:80""#
        ),
    ])
    func `a wrong value of the file is named`(key: String, sentences: String) {
        let text =
            "{ \(key), listeners: [{ address: '0.0.0.0:80', pool: 'p' }], "
            + "pools: { p: { nodes: [{ name: 'n', address: '10.0.0.1:80' }] } } }"
        #expect(complaints(text) == sentences.split(separator: "|").map(String.init))
    }

    @Test func `metrics are for this machine alone unless told otherwise`() throws {
        for (written, allowed) in [
            ("address: '127.0.0.1:9900'", false), ("address: '127.8.9.10:9900'", false),
            ("address: '[::1]:0'", false), ("address: '[::ffff:127.0.0.1]:9900'", false),
            ("address: '10.0.0.1:9900', allow_remote: true", true),
            ("address: '[::]:9900', allow_remote: true", true),
        ] {
            let reading = read(
                "{ admin: { \(written) }, listeners: [{ address: '127.0.0.1:0', pool: 'p' }], "
                    + "pools: { p: { nodes: [{ name: 'n', address: '10.0.0.1:80' }] } } }")
            #expect(reading.diagnostics == [], "\(written)")
            #expect(try #require(reading.configuration?.admin).allowsRemote == allowed)
        }
    }

    @Test func `the access log can be switched off in so many words`() {
        for (written, path) in [("off", nil), ("-", "-"), ("logs/access.json", "logs/access.json")]
        {
            let reading = read(
                "{ access_log: '\(written)', listeners: [{ address: '0.0.0.0:80', pool: 'p' }], "
                    + "pools: { p: { nodes: [{ name: 'n', address: '10.0.0.1:80' }] } } }")
            #expect(reading.diagnostics == [])
            #expect(reading.configuration?.accessLog?.path == path)
        }
    }

    @Test func `mutated files never crash, and whatever is accepted is whole`() {
        var random = SplitMix64(seed: 2026)
        let seed = Array(Self.octopus.utf8)
        let words = [
            "null", "true", "-1", "1e999", "NaN", "''", "[]", "{}", "\"off\"", "'9999999h'",
            "{name:1}", "[[]]",
            "'a:0'", "'\\u0000'", "tls: 1,", ",", ":", "}", "]", "'", "// ", "/*", "é",
        ].map { Array($0.utf8) }
        // Where tokens begin, so that values are replaced whole and the text often stays JSON5.
        let values = seed.indices.filter {
            seed[$0] == UInt8(ascii: ":") || seed[$0] == UInt8(ascii: "[")
        }
        var (accepted, judged) = (0, 0)
        for _ in 0..<3000 {
            var bytes = seed
            let word = words[Int(random.next() % UInt64(words.count))]
            switch random.next() % 3 {
            case 0:
                let at = Int(random.next() % UInt64(bytes.count))
                bytes.replaceSubrange(
                    at..<min(bytes.count, at + Int(random.next() % 8)), with: word)
            case 1:
                let at = values[Int(random.next() % UInt64(values.count))] + 1
                let end = bytes[at...].firstIndex { ",}]".utf8.contains($0) } ?? bytes.count
                bytes.replaceSubrange(at..<end, with: word)
            default:
                let at = Int(random.next() % UInt64(bytes.count))
                bytes.removeSubrange(at..<min(bytes.count, at + Int(random.next() % 80)))
            }
            var reading = ConfigurationParser.read(bytes, file: "t")
            if reading.draft != nil { judged += 1 }
            reading.judge(against: PluginNames(strategies: [:], checks: [:]))
            #expect(reading.draft == nil || !reading.diagnostics.isEmpty)  // nothing is loaded
            let plain = ConfigurationParser.read(bytes, file: "t")
            guard let configuration = plain.configuration else {
                #expect(!plain.diagnostics.isEmpty)
                continue
            }
            accepted += 1
            #expect(!configuration.listeners.isEmpty)
            for listener in configuration.listeners {
                let pools = listener.routes.map(\.pool) + (listener.pool.map { [$0] } ?? [])
                #expect(!pools.isEmpty)
                #expect(pools.allSatisfy(configuration.pools.indices.contains))
            }
            for pool in configuration.pools {
                #expect(!pool.nodes.isEmpty)
                #expect(!pool.strategies.isEmpty)
            }
        }
        #expect(accepted > 50)
        #expect(judged > accepted)
    }
}
