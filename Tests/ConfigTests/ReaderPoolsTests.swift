// Pools: strategies in each spelling, the check's own options, nodes and what is known about them.

import Base
import Testing

@testable import Config

@Suite struct ReaderPoolsTests {
    @Test(arguments: [
        ("'maglev'", "maglev {}"), ("{ name: 'maglev' }", "maglev {}"),
        (
            "{ name: 'maglev', size: 0x10, deep: { a: [1,] } }",
            #"maglev {"size":16,"deep":{"a":[1]}}"#
        ),
        ("['sticky', { name: 'maglev', size: 7 }]", #"sticky {}, maglev {"size":7}"#),
    ])
    func `a strategy is a name, an object or a list`(written: String, expected: String) throws {
        let pool = try onlyPool(withPoolKeys("strategy: \(written)"))
        let shown = pool.strategies.map { "\($0.name) \($0.options.encoded())" }.joined(
            separator: ", ")
        #expect(shown == expected)
    }

    @Test func `what happens when nodes fail has good defaults, and is read where it is written`()
        throws
    {
        let plain = try onlyPool(withPoolKeys("strategy: 'random'"))
        #expect(plain.retries == 2 && plain.retryBudget == 200_000)
        #expect(plain.ejection == Pool.Ejection() && plain.slowStart == nil)
        #expect(plain.maxInFlight == nil && plain.queue == Pool.Queue())
        let pool = try onlyPool(
            withPoolKeys(
                "retry_budget: '5%', ejection: { failures: 3, time: '10m' }, slow_start: '1m', "
                    + "max_in_flight: 7, queue: { length: 0, timeout: '2s' }"))
        #expect(pool.retryBudget == 50_000 && pool.slowStart == 60_000_000_000)
        #expect(pool.ejection?.failures == 3 && pool.ejection?.maxTime == 600_000_000_000)
        #expect(pool.maxInFlight == 7)
        #expect(pool.queue == Pool.Queue(length: 0, timeout: 2_000_000_000))
        #expect(plain.drainTimeout == nil)
        #expect(try onlyPool(withPoolKeys("drain_timeout: '1h'")).drainTimeout == 3_600_000_000_000)
        let off = try onlyPool(withPoolKeys("ejection: 'off', slow_start: 'off'"))
        #expect(off.ejection == nil && off.slowStart == nil)
    }

    @Test func `places of names and options are kept for the plugins to point at`() throws {
        let pool = try onlyPool(
            withPoolKeys(
                "strategy: { size: 7, name: 'maglev' }, health: { check: 'http', path: '/' }"))
        #expect(pool.place == Place(line: 2, column: 1))
        #expect(pool.strategies[0].place == Place(line: 2, column: 32))
        #expect(pool.strategies[0].options["size"]?.place == Place(line: 2, column: 23))
        #expect(pool.health?.check.place == Place(line: 2, column: 61))
        #expect(pool.health?.check.options["path"]?.place == Place(line: 2, column: 75))
        #expect(pool.nodes[0].place == Place(line: 3, column: 17))
    }

    @Test(arguments: [
        (
            "strategy: 7",
            #"t:2:15: the strategy of the pool "p" is a number; expected a name, an object with a "name", or a list of them"#
        ),
        ("strategy: ''", #"t:2:15: a strategy of the pool "p" is empty"#),
        (
            "strategy: []",
            #"t:2:15: the pool "p" has an empty list of strategies; expected at least one"#
        ),
        ("strategy: {}", #"t:2:15: a strategy of the pool "p" has no "name""#),
        (
            "strategy: { name: [] }",
            #"t:2:23: the name of a strategy of the pool "p" is a list; expected a string"#
        ),
        (
            "strategy: ['a','b','c','d','e']",
            #"t:2:32: the pool "p" has 5 strategies; expected at most 4"#
        ),
        (
            "strategy: [['a']]",
            #"t:2:16: the strategy of the pool "p" is a list; expected a name, an object with a "name", or a list of them"#
        ),
        (
            "health: 'octopus'",
            #"t:2:13: the health of the pool "p" is a string; expected an object"#
        ),
        ("health: { interval: '1s' }", #"t:2:13: the health of the pool "p" has no "check""#),
        (
            "health: { check: 'tcp', rise: 0 }",
            #"t:2:35: "rise" in the health of the pool "p" is 0; expected a whole number from 1 to 1000"#
        ),
        (
            "health: { check: 'tcp', health_of: 'a/b' }",
            #"t:2:40: "health_of" in the health of the pool "p" belongs into a node: each takes the verdict of one other"#
        ),
        (
            "proxy_protocol: 2",
            #"t:2:21: "proxy_protocol" in the pool "p" is a number; expected a string"#
        ),
        (
            "max_in_flight: 0",
            #"t:2:20: "max_in_flight" in the pool "p" is 0; expected a whole number from 1 to 1000000"#
        ),
        (
            "ejection: { failures: 3, time: '1m', max_time: '10s' }",
            #"t:2:52: "max_time" in the ejection of the pool "p" is shorter than "time"; expected at least as long"#
        ),
        (
            "ejection: 5",
            #"t:2:15: the ejection of the pool "p" is a number; expected an object, or "off""#
        ),
        (
            "queue: { lenght: 5 }",
            #"t:2:14: unknown key "lenght" in the queue of the pool "p"; did you mean "length"? known: length, timeout"#
        ),
        (
            "retry_budget: 0.2",
            #"t:2:19: "retry_budget" in the pool "p" has no unit; expected a share such as "0.2%", in quotes"#
        ),
        (
            "retires: 1",
            #"t:2:5: unknown key "retires" in the pool "p"; did you mean "retries"? known: strategy, health, timeouts, nodes, retries, retry_budget, reuse, proxy_protocol, drain_timeout, session, hash, shadow, ejection, slow_start, max_in_flight, queue, tls"#
        ),
        (
            "reuse: 'allways'",
            #"t:2:12: "reuse" in the pool "p" is "allways"; did you mean "always"? expected: fresh, always"#
        ),
        (
            "timeouts: { total: '1h' }",
            #"t:2:17: unknown key "total" in the timeouts of the pool "p"; known: connect, response, idle, tunnel"#
        ),
    ])
    func `a wrong value of a pool is named`(keys: String, sentence: String) {
        #expect(complaints(withPoolKeys(keys)) == [sentence])
    }

    @Test(arguments: [
        ("7", #"t:2:4: the pool "p" is a number; expected an object"#),
        ("{}", #"t:2:4: the pool "p" has no "nodes""#),
        ("{ nodes: {} }", #"t:2:13: "nodes" of the pool "p" is an object; expected a list"#),
        ("{ nodes: [] }", #"t:2:13: the pool "p" has no nodes; expected at least one"#),
        (
            "{ nodes: ['10.0.0.1:80'] }",
            #"t:2:14: a node of the pool "p" is a string; expected an object"#
        ),
        ("{ nodes: [{ name: 'n' }] }", #"t:2:14: the node "n" of the pool "p" has no "address""#),
        (
            "{ nodes: [{ address: '10.0.0.1:80' }] }",
            #"t:2:14: the node "10.0.0.1:80" of the pool "p" has no "name""#
        ),
        (
            "{ nodes: [{ name: 'a/b', address: '10.0.0.1:80' }] }",
            #"t:2:22: "a/b" is no name for a node: expected 1 to 64 bytes without slashes and control characters"#
        ),
    ])
    func `a pool without usable nodes is named`(pool: String, sentence: String) {
        #expect(complaints(withPool(pool)) == [sentence])
    }

    @Test func `names of nodes are unique in their pool`() {
        let text = withPool(
            "{ nodes: [{ name: 'a', address: '10.0.0.1:80' },\n{ name: 'a', address: '10.0.0.2:80' }] }"
        )
        #expect(
            complaints(text) == [
                #"t:3:9: the node "a" is there twice in the pool "p"; the first one is at 2:22"#
            ])
    }

    @Test(arguments: [
        (
            "weight: -1",
            #"t:2:59: "weight" in the node "n" of the pool "p" is -1; expected a whole number from 0 to 65535"#
        ),
        (
            "weight: 65536",
            #"t:2:59: "weight" in the node "n" of the pool "p" is 65536; expected a whole number from 0 to 65535"#
        ),
        (
            "tier: 256",
            #"t:2:57: "tier" in the node "n" of the pool "p" is 256; expected a whole number from 0 to 255"#
        ),
        (
            "health_of: 'a/b'",
            #"t:2:62: "health_of" of the node "p/n" names the unknown node "a/b"; expected POOL/NODE; there are: p/n"#
        ),
        (
            "metadata: []",
            #"t:2:61: the metadata of the node "n" of the pool "p" is a list; expected an object"#
        ),
        (
            "metadata: { a: null }",
            #"t:2:66: "a" in the metadata of the node "n" of the pool "p" is null; expected a string, number or boolean"#
        ),
        (
            "metadata: { '': 1 }",
            #"t:2:63: "" in the metadata of the node "n" of the pool "p" does not fit: expected a name, and at most 256 bytes with its value"#
        ),
    ])
    func `a wrong value of a node is named`(keys: String, sentence: String) {
        let text = withPool("{ nodes: [{ name: 'n', address: '10.0.0.1:80', \(keys) }] }")
        #expect(complaints(text) == [sentence])
    }

    @Test func `metadata stays within what plugins are told`() {
        func node(_ metadata: String) -> String {
            withPool(
                "{ nodes: [{ name: 'n', address: '10.0.0.1:80', metadata: { \(metadata) } }] }")
        }
        let many = (0..<33).map { "k\($0): 1" }.joined(separator: ",")
        #expect(complaints(node(many)).count == 1)
        #expect(complaints(node("a: '\(String(repeating: "x", count: 255))'")) == [])
        #expect(complaints(node("a: '\(String(repeating: "x", count: 256))'")).count == 1)
    }

    @Test func `a pool that nobody asks for is allowed`() {
        #expect(
            complaints(
                "{ listeners: [{ address: '0.0.0.0:80', pool: 'p' }], pools: { "
                    + "p: { nodes: [{ name: 'n', address: '10.0.0.1:80' }] }, "
                    + "spare: { nodes: [{ name: 'n', address: '10.0.0.1:80' }] } } }") == [])
    }
}
