// `health_of`: whose verdict a node takes, and every way in which that can lead nowhere.

import Testing

@testable import Config

@Suite("Nodes that take another's verdict") struct ReaderFollowersTests {
    private func reading(_ pools: String) -> ConfigurationReading {
        read(
            "{ listeners: [{ address: '0.0.0.0:80', pool: 'web' }], pools: {\n\(pools)\n} }",
            file: "t")
    }

    private static let web = """
        web: { health: { check: 'http' }, nodes: [{ name: 'n', address: '10.0.0.1:80' }] },
        """

    @Test("name it by pool and name, wherever that stands in the file")
    func named() throws {
        let configuration = try #require(
            reading(
                """
                wire: { nodes: [
                  { name: 'a', address: '10.0.0.1:10943', health_of: 'web/n' },
                  { name: 'b', address: '10.0.0.1:8443', health_of: 'wire/a' },
                  { name: 'c', address: '10.0.0.1:99' }] },
                \(Self.web)
                """
            ).configuration)
        let leader = NodeReference(pool: 1, node: 0)
        #expect(configuration.pools[0].nodes.map(\.healthOf) == [leader, leader, nil])
        #expect(configuration.pools[1].nodes[0].healthOf == nil)
    }

    @Test(
        "and nothing else",
        arguments: [
            (
                "wire: { nodes: [{ name: 'a', address: '10.0.0.1:1', health_of: 'wbe/n' }] },",
                #"t:2:64: "health_of" of the node "wire/a" names the unknown node "wbe/n"; expected POOL/NODE; did you mean "web/n"? there are: web/n, wire/a"#
            ),
            (
                "wire: { nodes: [{ name: 'a', address: '10.0.0.1:1', health_of: 'wire/a' }] },",
                #"t:2:64: "health_of" of the node "wire/a" leads in a circle: wire/a, wire/a"#
            ),
            (
                "wire: { nodes: [{ name: 'a', address: '10.0.0.1:1', health_of: 'lone/b' }] }, lone: { nodes: [{ name: 'b', address: '10.0.0.1:2' }] },",
                #"t:2:64: "health_of" of the node "wire/a" leads to "lone/b", which nobody asks; expected "health" in the pool "lone""#
            ),
        ])
    func mistaken(_ pools: String, _ complaint: String) {
        #expect(
            reading(pools + "\n" + Self.web).diagnostics.map(\.description).joined(separator: "|")
                == complaint)
    }
}
