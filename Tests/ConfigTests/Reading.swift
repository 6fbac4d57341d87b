// What the tests of this folder share: reading a text, and the sentences that came of it.

import Base
import Testing

@testable import Config

func read(_ text: String, file: String = "t") -> ConfigurationReading {
    ConfigurationParser.read(Array(text.utf8), file: file)
}

/// The sentences about a whole file.
func complaints(_ text: String) -> [String] { read(text).diagnostics.map(\.description) }

/// A file around one pool; its text stands on line 2, from column 4.
func withPool(_ pool: String) -> String {
    "{ listeners: [{ address: '0.0.0.0:80', pool: 'p' }], pools: {\np: \(pool)\n}}"
}

/// A file around the rest of one pool that has a node already; the text stands on line 2 as well.
func withPoolKeys(_ keys: String) -> String {
    withPool("{\(keys),\nnodes: [{ name: 'n', address: '10.0.0.1:80' }] }")
}

/// A file around the rest of one listener that has an address and a pool already; line 2, column 1.
func withListenerKeys(_ keys: String) -> String {
    "{ listeners: [{ address: '0.0.0.0:80', pool: 'p',\n\(keys)\n}], "
        + "pools: { p: { nodes: [{ name: 'n', address: '10.0.0.1:80' }] } } }"
}

/// The only pool of a text that must be right.
func onlyPool(_ text: String) throws -> Pool {
    let reading = read(text)
    #expect(reading.diagnostics == [])
    let configuration = try #require(reading.configuration)
    #expect(configuration.pools.count == 1)
    return try #require(configuration.pools.first)
}

/// The only listener of a text that must be right.
func onlyListener(_ text: String) throws -> Listener {
    let reading = read(text)
    #expect(reading.diagnostics == [])
    let configuration = try #require(reading.configuration)
    #expect(configuration.listeners.count == 1)
    return try #require(configuration.listeners.first)
}
