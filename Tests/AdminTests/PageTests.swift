// What the two pages say, and that everybody can read them.

import Base
import TestKit
import Testing

@testable import Admin
@testable import Balance
@testable import Proxy

@Suite struct PageTests {
    @Test("Prometheus takes every line, whatever the names are, and finds the numbers")
    func metrics() throws {
        let page = try PrometheusReading(MetricsPage.text(of: makeSnapshot()))
        #expect(page.value("trivet_info", ["version": "0.1.0"]) == 1)
        #expect(page.value("trivet_generation") == 4)
        #expect(page.value("trivet_reloads_total", ["outcome": "done"]) == 3)
        #expect(page.value("trivet_reloads_total", ["outcome": "refused"]) == 1)
        #expect(page.value("trivet_last_reload_timestamp_seconds") == 1_700_000_001)
        #expect(page.value("trivet_balancer_restarts_total") == 2)
        #expect(page.value("process_resident_memory_bytes") == 12_345_678)
        #expect(page.value("process_start_time_seconds") == 1_700_000_000.5)
        #expect(page.value("process_cpu_seconds_total") == 0.25)
        #expect(page.value("trivet_library_mapped_images") == 4)
        #expect(
            page.value("trivet_library_refusals_total", ["file": "/plugins/libtext.so"]) == 1)
        let turns = [
            "file": "/plugins/lib\(cruelName).so", "plugin": "turns", "build": "00112233445566ff",
        ]
        #expect(page.value("trivet_library_loads_total", turns) == 3)
        #expect(page.value("trivet_library_serving", turns) == 0)
        #expect(page.value("trivet_library_fenced", turns) == 1)
        #expect(page.value("trivet_library_bad_answers_total", turns) == 5)
        #expect(page.value("trivet_library_calls_total", turns) == 1000)
        #expect(page.value("trivet_library_call_seconds_total", turns) == 1.5)
        #expect(page.value("trivet_library_longest_call_seconds", turns) == 0.007)
        #expect(page.value("trivet_library_overruns_total", turns) == 2)
        #expect(page.value("trivet_library_excused_overruns_total", turns) == 1)
        #expect(page.families["trivet_library_calls_total"]?.samples.count == 1)
        let pool = ["pool": cruelName]
        #expect(page.value("trivet_pool_fallback_picks_total", pool) == 11)
        let canary = pool.merging(["strategy": "turns", "canary": "peak-ewma"]) { a, _ in a }
        #expect(page.value("trivet_canary_withdrawn", canary) == 1)
        let node = ["pool": cruelName, "node": "node2"]
        #expect(page.value("trivet_node_picks_total", node) == 100)
        #expect(page.value("trivet_node_in_flight", node) == 3)
        #expect(page.value("trivet_node_failures_total", node) == 2)
        #expect(page.value("trivet_node_sent_bytes_total", node) == Double(1 << 60))
        #expect(page.value("trivet_node_first_byte_seconds", node) == nil)
        func state(_ name: String) -> Double? {
            page.value("trivet_node_state", node.merging(["state": name]) { $1 })
        }
        #expect(state("draining") == 1 && state("up") == 0 && state("down") == 0)
        #expect(
            page.value("trivet_node_responses_total", node.merging(["class": "2xx"]) { $1 }) == 90)
        #expect(page.value("trivet_listener_connections", ["listener": "web"]) == 7)
        #expect(page.value("trivet_listener_max_connections", ["listener": "web"]) == 100)
        #expect(page.value("trivet_listener_max_connections", ["listener": "other"]) == nil)
        #expect(
            page.value("trivet_listener_max_connections_per_client", ["listener": "web"]) == 5)
        for (limit, count) in [("listener", 2.0), ("client", 3)] {
            #expect(
                page.value(
                    "trivet_listener_refused_connections_total",
                    ["listener": "web", "limit": limit]) == count)
        }
        for (name, family) in page.families {
            #expect((family.kind == "counter") == name.hasSuffix("_total"), "\(name)")
            #expect(!family.help.isEmpty, "\(name) has no help")
        }
    }

    private func reading(
        _ name: String, _ kind: Metrics.Kind, pool: String = "p", plugin: String = "s",
        help: String = "", sum: Double = 0, count: UInt64 = 0, buckets: [UInt64] = []
    ) -> Metrics.Reading {
        Metrics.Reading(
            pool: pool, plugin: plugin, name: name, help: help, kind: kind, sum: sum, count: count,
            buckets: buckets)
    }

    @Test("a plugin's own metrics come out as what they are, also where two mean different things")
    func pluginMetrics() throws {
        var snapshot = makeSnapshot()
        var buckets = [UInt64](repeating: 0, count: 64)
        buckets[30] = 2  // at most 0.5
        buckets[33] = 1  // at most 4
        buckets[63] = 1
        snapshot.balancer.metrics = [
            reading("turns_total", .counter, help: "turns\nit took", sum: 7, count: 7),
            reading("turns_total", .counter, pool: "q", sum: 3, count: 3),
            reading("size", .gauge, sum: -2.5),
            reading("cost", .histogram, help: "b\\c", sum: .infinity, count: 4, buckets: buckets),
            reading("size", .histogram, plugin: "t"),
            reading("cost_sum", .counter, plugin: "t", sum: 1),
        ]
        let page = try PrometheusReading(MetricsPage.text(of: snapshot))
        let labels = ["pool": "p", "strategy": "s"]
        #expect(page.value("trivet_plugin_turns_total", labels) == 7)
        #expect(page.value("trivet_plugin_turns_total", ["pool": "q", "strategy": "s"]) == 3)
        #expect(page.families["trivet_plugin_turns_total"]?.help == "turns\\nit took")
        #expect(page.value("trivet_plugin_size", labels) == -2.5)
        func bucket(_ bound: String) -> Double? {
            page.value("trivet_plugin_cost_bucket", labels.merging(["le": bound]) { $1 })
        }
        #expect(bucket("0.25") == 0)
        #expect(bucket("0.5") == 2 && bucket("2") == 2)
        #expect(bucket("4") == 3 && bucket("2147483648") == 3)
        #expect(bucket("+Inf") == 4)
        #expect(page.value("trivet_plugin_cost_count", labels) == 4)
        #expect(page.value("trivet_plugin_cost_sum", labels) == .infinity)
        // Names that were taken.
        #expect(page.families["trivet_plugin_size_2"]?.kind == "histogram")
        #expect(page.families["trivet_plugin_cost_sum_2"]?.kind == "counter")
    }

    @Test("the state is JSON that says what there is, and why")
    func state() throws {
        let text = StatePage.text(of: makeSnapshot())
        func find(_ pointer: String) -> JSONValue {
            JSON.find(Array(pointer.utf8).span, in: Array(text.utf8).span)
        }
        #expect(find("/version") == .string(Array("0.1.0".utf8)))
        #expect(find("/pid") == .number(42))
        #expect(find("/supervisor_pid") == .number(41))
        #expect(find("/generation") == .number(4))
        #expect(find("/uptime_seconds") == .number(90))
        #expect(find("/reloads/refused") == .number(1))
        #expect(find("/plugins/0/build") == .string(Array("00112233445566ff".utf8)))
        #expect(find("/plugins/0/fenced") == .bool(true))
        let reason = "it said \"node 7\"\nand meant it"
        #expect(find("/plugins/0/fence_reason") == .string(Array(reason.utf8)))
        #expect(find("/plugins/0/calls/count") == .number(1000))
        #expect(find("/plugins/0/calls/bad_answers") == .number(5))
        #expect(find("/plugins/1/calls") == .null)
        #expect(find("/pools/0/session/cookie") == .string(Array("Keep".utf8)))
        #expect(find("/pools/0/session/max_age_seconds") == .number(60))
        #expect(find("/pools/0/hash") == .string(Array("client".utf8)))
        #expect(find("/plugins/1/fence_reason") == .null)
        #expect(find("/plugins/1/refusals") == .number(2))
        #expect(find("/refused_plugins/0/file") == .string(Array("/plugins/libtext.so".utf8)))
        #expect(find("/pools/0/name") == .string(Array(cruelName.utf8)))
        #expect(find("/pools/0/strategies/0/options/width") == .number(3))
        #expect(find("/pools/0/check/interval_seconds") == .number(2))
        #expect(find("/pools/0/nodes/1/id") == .string(Array("0000000000000002".utf8)))
        #expect(find("/pools/0/nodes/1/state") == .string(Array("draining".utf8)))
        #expect(find("/pools/0/nodes/1/since_seconds") == .number(1.5))
        #expect(find("/pools/0/nodes/1/responses/5xx") == .number(3))
        #expect(find("/pools/0/nodes/1/first_byte_seconds") == .null)
        #expect(find("/listeners/0/routes/0/host") == .string(Array("*.example.com".utf8)))
        #expect(find("/listeners/1/pool") == .null)
        #expect(find("/listeners/1/max_connections") == .null)
        #expect(find("/listeners/0/max_connections_per_client") == .number(5))
        #expect(find("/listeners/0/refused_connections/listener") == .number(2))
        #expect(find("/listeners/0/refused_connections/client") == .number(3))
    }

    @Test("the process's own numbers are there")
    func process() {
        let facts = ProcessFacts.own(started: 1)
        #expect(facts.pid > 0 && facts.residentBytes > 1 << 20 && facts.cpuNanoseconds > 0)
        #expect(facts.openDescriptors >= 3 && facts.descriptorLimit >= facts.openDescriptors)
        #expect(facts.uptime > 0)
    }
}
