// The model: defaults that operators rely on, paths, and ids that sessions rest on.

import Base
import Testing

@testable import Config

@Suite struct ConfigurationTests {
    @Test func `what is not written has the documented value`() throws {
        let reading = read(withPool("{ nodes: [{ name: 'n', address: '10.0.0.1:80' }] }"))
        #expect(reading.diagnostics == [])
        let configuration = try #require(reading.configuration)
        #expect(configuration.workers == nil)
        #expect(configuration.plugins.isEmpty)
        #expect(configuration.accessLog == nil)
        #expect(configuration.pidFile == nil)
        #expect(configuration.user == nil)
        #expect(configuration.group == nil)
        #expect(configuration.admin == nil)
        #expect(configuration.drainTimeout == 30_000_000_000)
        #expect(configuration.logLevel == .info)

        let listener = configuration.listeners[0]
        #expect(listener.name == "0.0.0.0:80")
        #expect(listener.pool == 0)
        #expect(listener.routes.isEmpty)
        #expect(listener.trustedProxies.isEmpty)
        #expect(listener.maxConnections == nil)
        #expect(listener.maxConnectionsPerClient == nil)
        #expect(listener.timeouts.header == 10_000_000_000)
        #expect(listener.timeouts.idle == 75_000_000_000)
        #expect(listener.limits == .init(targetBytes: 16_384, headBytes: 65_536, fields: 200))

        let pool = configuration.pools[0]
        #expect(pool.strategies.map(\.name) == ["round-robin"])
        #expect(pool.strategies[0].options.encoded() == "{}")
        #expect(pool.health == nil)
        #expect(pool.timeouts.connect == 3_000_000_000)
        #expect(pool.timeouts.response == 600_000_000_000)
        #expect(pool.timeouts.idle == 600_000_000_000)
        #expect(pool.timeouts.tunnel == nil)
        #expect(pool.retries == 2)
        #expect(pool.reuse == .fresh)
        #expect(pool.nodes[0].weight == 1)
        #expect(pool.nodes[0].tier == 0)
        #expect(pool.nodes[0].metadata.isEmpty)
    }

    @Test(arguments: [
        ("trivet.json5", "plugins", "plugins"), ("./trivet.json5", "plugins", "./plugins"),
        ("/etc/trivet/trivet.json5", "plugins/a.so", "/etc/trivet/plugins/a.so"),
        ("/etc/trivet.json5", "/opt/a.so", "/opt/a.so"),
        ("conf/t.json5", "../a.so", "conf/../a.so"),
        ("/t.json5", "a.so", "/a.so"),
    ])
    func `relative paths are meant from the folder of the file`(
        file: String, path: String, full: String
    ) {
        #expect(Configuration(file: file).resolve(path) == full)
    }

    @Test func `the id of a node never changes`() {
        // Sessions on clients' machines name nodes by it: reference XXH64 of "octopus\0node1".
        #expect(Node.id(pool: "octopus", node: "node1") == 0xBDD4_8016_43DC_2735)
        #expect(Node.id(pool: "a", node: "bc") != Node.id(pool: "ab", node: "c"))
    }
}
