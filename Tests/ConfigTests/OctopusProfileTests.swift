// The Octopus profile: what a list of hosts comes to, what may be said beside it, and what is said of mistakes.

import Base
import Testing

@testable import Config

@Suite("The Octopus profile") struct OctopusProfileTests {
    private func configuration(_ text: String) throws -> Configuration {
        let reading = read(text)
        #expect(reading.diagnostics.isEmpty, "\(reading.diagnostics)")
        return try #require(reading.configuration)
    }

    @Test(
        "a list of hosts is a cluster: the portal, Tentacles and gRPC, with one verdict for each server"
    )
    func hosts() throws {
        let configuration = try configuration(
            """
            { profile: 'octopus', hosts: ['10.0.0.11', 'node2.example.com:8080',
              { name: 'c', host: '[::1]', web: 81, tentacles: 10944, grpc: 8444 }] }
            """)
        #expect(configuration.listeners.map(\.name) == ["web", "tentacles", "grpc"])
        #expect(
            configuration.listeners.map(\.address.description)
                == ["0.0.0.0:80", "0.0.0.0:10943", "0.0.0.0:8443"])
        #expect(configuration.listeners.map(\.protocolKind) == [.http, .tcp, .tcp])
        #expect(configuration.listeners.map(\.pool) == [0, 1, 2])
        #expect(configuration.pools.map(\.name) == ["octopus", "tentacles", "grpc"])
        let addresses = configuration.pools.map { $0.nodes.map(\.address.description) }
        #expect(addresses[0] == ["10.0.0.11:80", "node2.example.com:8080", "[::1]:81"])
        #expect(addresses[1] == ["10.0.0.11:10943", "node2.example.com:10943", "[::1]:10944"])
        #expect(addresses[2] == ["10.0.0.11:8443", "node2.example.com:8443", "[::1]:8444"])
        #expect(configuration.pools[0].health?.check.name == "octopus")
        for pool in configuration.pools[1...] {
            #expect(pool.health == nil)
            #expect(
                pool.nodes.map(\.healthOf)
                    == (0..<3).map { NodeReference(pool: 0, node: $0) })
            #expect(pool.drainTimeout == 600_000_000_000)
        }
        #expect(configuration.pools[1].nodes.allSatisfy { $0.drainsIf.map(\.0) == ["max-tasks"] })
        #expect(configuration.pools[2].nodes.allSatisfy { $0.drainsIf.isEmpty })
        #expect(configuration.pools[0].timeouts.tunnel == nil)
        #expect(configuration.pools[0].strategies.map(\.name) == ["round-robin"])
        #expect(configuration.pools[0].session == nil)
    }

    @Test(
        "TLS ends here if it is told to, sessions stay if they are to, ports are others if they are to be"
    )
    func choices() throws {
        let configuration = try configuration(
            """
            { profile: 'octopus', hosts: ['a.example.com'], listen: '[::]', sticky: true,
              tls: { certificates: [{ certificate: 'c', key: 'k' }] }, hsts: '1d',
              nodes_tls: { ca: 'ca.crt' }, node_ports: { tentacles: 20943 },
              ports: { http: 8000, https: 8443, grpc: 'off' } }
            """)
        #expect(
            configuration.listeners.map(\.address.description)
                == ["[::]:8000", "[::]:8443", "[::]:10943"])
        #expect(configuration.listeners[0].redirect == Redirect(port: 8443))
        #expect(configuration.listeners[0].pool == nil)
        #expect(configuration.listeners[1].tls?.certificates.count == 1)
        #expect(configuration.listeners[1].strictTransport?.maxAge == 86_400_000_000_000)
        #expect(configuration.pools.map(\.name) == ["octopus", "tentacles"])
        #expect(configuration.pools[0].nodes[0].address.description == "a.example.com:443")
        #expect(configuration.pools[0].tls != nil)
        #expect(configuration.pools[0].strategies.map(\.name) == ["sticky", "round-robin"])
        #expect(configuration.pools[0].session?.cookie == "trivet-octopus")
        #expect(configuration.pools[1].nodes[0].address.description == "a.example.com:20943")
    }

    @Test("what is written beside it is added, or put in its place")
    func beside() throws {
        let configuration = try configuration(
            """
            { profile: 'octopus', hosts: ['10.0.0.11'], workers: 3,
              listeners: [{ name: 'web', max_connections: 100 },
                { name: 'own', address: '127.0.0.1:99', pool: 'mine' }],
              pools: { octopus: { retries: 1 },
                mine: { nodes: [{ name: 'x', address: '10.0.0.1:1' }] } } }
            """)
        #expect(configuration.workers == 3)
        #expect(configuration.listeners.map(\.name) == ["web", "tentacles", "grpc", "own"])
        #expect(configuration.listeners[0].maxConnections == 100)
        #expect(configuration.listeners[0].address.description == "0.0.0.0:80")
        #expect(configuration.pools.map(\.name) == ["octopus", "tentacles", "grpc", "mine"])
        #expect(configuration.pools[0].retries == 1)
        #expect(configuration.pools[0].health != nil)
    }

    @Test("what it stands for can be printed, and means the same")
    func expanded() throws {
        let text = """
            { profile: 'octopus', hosts: ['10.0.0.11', { name: 'b', host: 'b.example.com' }],
              pools: { 'a b': { nodes: [{ name: 'x', address: '10.0.0.1:1' }] } } }
            """
        let written = try #require(ConfigurationParser.expanded(Array(text.utf8), file: "t"))
        let (one, other) = (try configuration(text), try configuration(written))
        #expect(one.pools.map(\.name) == other.pools.map(\.name))
        #expect(one.pools.flatMap(\.nodes).map(\.id) == other.pools.flatMap(\.nodes).map(\.id))
        #expect(one.listeners.map(\.address) == other.listeners.map(\.address))
        let longest = written.split(separator: "\n").map(\.utf8.count).max() ?? 0
        #expect(longest <= 100)
        #expect(ConfigurationParser.expanded(Array(written.utf8), file: "t") == written)
    }

    @Test(
        "mistakes are named where they were made",
        arguments: [
            (
                "{ profile: 'octopus' }",
                #"t:1:12: the profile "octopus" has no "hosts"; expected the cluster's servers, such as hosts: ["10.0.0.11", "10.0.0.12:8080"]"#
            ),
            (
                "{ profile: 'octopuss', hosts: ['a'], pools: {}, listeners: [] }",
                #"t:1:12: "profile" in the profile is "octopuss"; did you mean "octopus"? expected: octopus"#
            ),
            (
                "{ profile: 'octopus', hosts: [] }",
                #"t:1:30: "hosts" is empty; expected at least one"#
            ),
            (
                "{ profile: 'octopus', hosts: ['http://a'] }",
                #"t:1:31: "http://a" is no host; expected a name or an address, with the port of the portal if it is another than 80: "10.0.0.11", "node1.example.com:8080", "[::1]:8080""#
            ),
            (
                "{ profile: 'octopus', hosts: ['a', 'a:81'] }",
                #"t:1:36: the host "a" is there twice; one of them needs another "name""#
            ),
            (
                "{ profile: 'octopus', hosts: [{ name: 'a', host: 'b', wbe: 1 }] }",
                #"t:1:55: unknown key "wbe" in a host; did you mean "web"? known: name, host, web, tentacles, grpc"#
            ),
            (
                "{ profile: 'octopus', hosts: ['a'], listen: 'b' }",
                #"t:1:45: "listen" is "b"; expected an address of this machine without a port, such as "0.0.0.0" or "[::]""#
            ),
            (
                "{ profile: 'octopus', hosts: ['a'], hsts: '1d' }",
                #"t:1:43: "hsts" needs "tls": browsers heed it over https alone"#
            ),
            (
                "{ profile: 'octopus', hosts: ['a'], sticky: 1 }",
                #"t:1:45: "sticky" in the profile "octopus" is a number; expected true or false"#
            ),
            (
                "{ profile: 'octopus', hosts: ['a'], ports: { htp: 1 } }",
                #"t:1:46: unknown key "htp" in "ports"; did you mean "http"? known: grpc, http, https, tentacles"#
            ),
            (
                "{ hosts: ['a'], listeners: [{ address: '0.0.0.0:1', pool: 'p' }], pools: { p: { nodes: [{ name: 'n', address: 'a:1' }] } } }",
                #"t:1:3: "hosts" in the configuration is of no use without profile: "octopus""#
            ),
        ])
    func mistakes(_ text: String, _ sentence: String) {
        #expect(complaints(text).contains(sentence), "\(complaints(text))")
    }
}
