// `/metrics`: which families there are, and from where their values come. How they are written is
// PrometheusText's; the list for people is in README.md beside this file.

import Balance
import Proxy

enum MetricsPage {
    private typealias Samples = [(labels: [Label], value: PrometheusText.Value)]

    static func text(of snapshot: Snapshot) -> String {
        var out = PrometheusText()
        writeProcess(snapshot, to: &out)
        writeReloads(snapshot, to: &out)
        writeLibraries(snapshot.balancer, to: &out)
        writePools(snapshot.balancer.pools, now: snapshot.now, to: &out)
        writeCandidates(snapshot.balancer, to: &out)
        writeListeners(snapshot.balancer.listeners, to: &out)
        writePlugins(snapshot.balancer.metrics, to: &out)
        return out.text
    }

    // MARK: The process

    private static func writeProcess(_ snapshot: Snapshot, to out: inout PrometheusText) {
        let facts = snapshot.process
        out.family(
            "trivet_info", .gauge, "Always 1; which version of Trivet this is.",
            [([("version", snapshot.version)], .whole(1))])
        out.single(
            "trivet_workers", .gauge, "Worker threads.",
            .whole(UInt64(snapshot.balancer.workers)))
        out.single(
            "process_resident_memory_bytes", .gauge, "Resident memory of the balancer process.",
            .whole(facts.residentBytes))
        out.single(
            "process_open_fds", .gauge, "Open descriptors of the balancer process.",
            .whole(facts.openDescriptors))
        out.single(
            "process_max_fds", .gauge, "Descriptors that it may open.",
            .whole(facts.descriptorLimit))
        out.single(
            "process_cpu_seconds_total", .counter, "User and system time that it has used.",
            .real(seconds(facts.cpuNanoseconds)))
        out.single(
            "process_start_time_seconds", .gauge, "When it started, in seconds since 1970.",
            .real(seconds(facts.started)))
    }

    private static func writeReloads(_ snapshot: Snapshot, to out: inout PrometheusText) {
        let supervision = snapshot.supervision
        out.single(
            "trivet_balancer_restarts_total", .counter,
            "Balancer processes that were started because the one before had died.",
            .whole(supervision.restarts))
        out.single(
            "trivet_generation", .gauge,
            "Counts up with every reload that this balancer process has taken over.",
            .whole(snapshot.balancer.generation))
        out.family(
            "trivet_reloads_total", .counter, "Reloads, by what came of them.",
            [
                ([("outcome", "done")], .whole(supervision.reloads)),
                ([("outcome", "refused")], .whole(supervision.refusals)),
            ])
        out.single(
            "trivet_last_reload_timestamp_seconds", .gauge,
            "When a reload was last taken over, in seconds since 1970; 0 if none was.",
            .real(seconds(supervision.lastReload)))
    }

    // MARK: Libraries

    private static func writeLibraries(_ status: BalancerStatus, to out: inout PrometheusText) {
        let plugins = status.plugins
        func labels(_ plugin: PluginStatus) -> [Label] {
            [("file", plugin.file), ("plugin", plugin.plugin), ("build", plugin.build)]
        }
        func family(
            _ name: String, _ kind: PrometheusText.Kind, _ help: String,
            _ value: (PluginStatus) -> PrometheusText.Value?
        ) {
            let samples: Samples = plugins.compactMap { plugin in
                value(plugin).map { (labels(plugin), $0) }
            }
            out.family(name, kind, help, samples)
        }
        out.family(
            "trivet_library_info", .gauge,
            "Always 1; each build of a plugin file that was loaded since the process started.",
            plugins.map { (labels($0) + [("version", $0.version)], .whole(1)) })
        family("trivet_library_serving", .gauge, "1 for builds that are in use.") {
            .whole($0.isServing ? 1 : 0)
        }
        family(
            "trivet_library_generation", .gauge, "The generation in which it was last loaded."
        ) { .whole($0.generation) }
        family("trivet_library_loads_total", .counter, "How often it was loaded.") {
            .whole($0.loads)
        }
        out.family(
            "trivet_library_refusals_total", .counter,
            "Reloads that were refused because of a plugin file.",
            status.pluginRefusals.sorted { $0.key < $1.key }.map {
                ([("file", $0.key)], .whole($0.value))
            })
        out.single(
            "trivet_library_mapped_images", .gauge,
            "Images of plugin files that are mapped; none is ever unmapped.",
            .whole(plugins.reduce(0) { $0 &+ $1.loads }))
        family(
            "trivet_library_bad_answers_total", .counter,
            "Picks of a node that does not exist, is down, or may not be picked."
        ) { $0.calls.map { .whole($0.badAnswers) } }
        family(
            "trivet_library_fenced", .gauge, "1 for builds that are asked nothing any more."
        ) { .whole($0.fence == nil ? 0 : 1) }
        family("trivet_library_calls_total", .counter, "Calls into it.") {
            $0.calls.map { .whole($0.calls) }
        }
        family("trivet_library_call_seconds_total", .counter, "Time spent in these calls.") {
            $0.calls.map { .real(seconds($0.nanoseconds)) }
        }
        family("trivet_library_longest_call_seconds", .gauge, "The longest of them.") {
            $0.calls.map { .real(seconds($0.longest)) }
        }
        family(
            "trivet_library_overruns_total", .counter,
            "Calls that took longer than plugins_budget by their own doing."
        ) { $0.calls.map { .whole($0.overruns) } }
        family(
            "trivet_library_excused_overruns_total", .counter,
            "Calls that took longer only because the thread was taken off its core."
        ) { $0.calls.map { .whole($0.excused) } }
    }

    // MARK: Pools and nodes

    private static func writePools(
        _ pools: [PoolStatus], now: UInt64, to out: inout PrometheusText
    ) {
        out.family(
            "trivet_pool_fallback_picks_total", .counter,
            "Picks of the built-in round robin, where no strategy had a usable answer.",
            pools.map { ([("pool", $0.name)], .whole($0.fallbackPicks)) })
        writeTraffic(pools, to: &out)
        func nodes(
            _ name: String, _ kind: PrometheusText.Kind, _ help: String,
            _ values: (BoardRow) -> Samples
        ) {
            var samples: Samples = []
            for pool in pools {
                for node in pool.nodes {
                    for sample in values(node) {
                        let own: [Label] = [("pool", pool.name), ("node", node.name)]
                        samples.append((own + sample.labels, sample.value))
                    }
                }
            }
            out.family(name, kind, help, samples)
        }
        nodes("trivet_node_state", .gauge, "1 for the state that a node is in, 0 for others.") {
            node in
            NodeState.allCases.map {
                ([("state", $0.name)], .whole($0 == node.state ? 1 : 0))
            }
        }
        nodes(
            "trivet_node_ejected", .gauge,
            "1 for nodes that get no requests for a while, since those before failed."
        ) { [([], .whole($0.ejectedUntil > now ? 1 : 0))] }
        nodes("trivet_node_ejections_total", .counter, "How often that was so.") {
            [([], .whole($0.ejections))]
        }
        nodes("trivet_node_weight", .gauge, "Effective weight.") {
            [([], .whole(UInt64($0.weight)))]
        }
        nodes("trivet_node_picks_total", .counter, "Requests that were given to a node.") {
            [([], .whole($0.picks))]
        }
        nodes("trivet_node_in_flight", .gauge, "Requests at a node now.") {
            [([], .whole($0.inFlight))]
        }
        nodes(
            "trivet_node_failures_total", .counter,
            "Requests to a node that failed: no connection, no answer in time, a broken one."
        ) { [([], .whole($0.failures))] }
        nodes("trivet_node_abandoned_total", .counter, "Requests that their clients gave up.") {
            [([], .whole($0.abandoned))]
        }
        nodes("trivet_node_responses_total", .counter, "Answers of a node, by status.") { node in
            node.answers.enumerated().map { ([("class", "\($0 + 1)xx")], .whole($1)) }
        }
        nodes(
            "trivet_node_sent_bytes_total", .counter, "Bytes of bodies that were sent to a node."
        ) { [([], .whole($0.bytesSent))] }
        nodes("trivet_node_received_bytes_total", .counter, "Bytes of bodies that a node sent.") {
            [([], .whole($0.bytesReceived))]
        }
        nodes(
            "trivet_node_first_byte_seconds", .gauge,
            "Moving average of the time to the first byte of an answer."
        ) { $0.latency == 0 ? [] : [([], .real(seconds($0.latency)))] }
    }

    private static func writeTraffic(_ pools: [PoolStatus], to out: inout PrometheusText) {
        func family(
            _ name: String, _ kind: PrometheusText.Kind, _ help: String,
            _ value: (TrafficStatus) -> UInt64
        ) {
            out.family(
                name, kind, help,
                pools.map { ([("pool", $0.name)], .whole(value($0.traffic))) })
        }
        family(
            "trivet_pool_retries_total", .counter,
            "Requests that went to another node since one had failed."
        ) { $0.retries }
        family(
            "trivet_pool_retries_denied_total", .counter,
            "Requests that might have, but for the retry budget."
        ) { $0.deniedRetries }
        family(
            "trivet_pool_queue_waiting", .gauge,
            "Requests that wait for a place at a node with max_in_flight."
        ) { UInt64($0.waiting) }
        family("trivet_pool_queued_total", .counter, "Requests that had to wait for one.") {
            $0.queued
        }
        family("trivet_pool_queue_refused_total", .counter, "Requests that found the queue full.") {
            $0.queueRefusals
        }
        family(
            "trivet_pool_queue_timeouts_total", .counter,
            "Requests that no place came for in time."
        ) { $0.queueTimeouts }
        out.family(
            "trivet_pool_warnings", .gauge,
            "What nodes say of themselves that does not go together, as two versions.",
            pools.map { ([("pool", $0.name)], .whole(UInt64($0.warnings.count))) })
    }

    // MARK: Canaries and shadows

    private static func writeCandidates(_ status: BalancerStatus, to out: inout PrometheusText) {
        func labels(_ canary: CanaryStatus) -> [Label] {
            [
                ("pool", canary.plan.pool), ("strategy", canary.plan.incumbent),
                ("canary", canary.plan.name),
            ]
        }
        func arms(_ name: String, _ help: String, _ value: (CanaryArm) -> UInt64) {
            out.family(
                name, .counter, help,
                status.canaries.flatMap { canary in
                    [("canary", canary.candidate), ("incumbent", canary.incumbent)].map {
                        (labels(canary) + [("arm", $0)], .whole(value($1)))
                    }
                })
        }
        out.family(
            "trivet_canary_withdrawn", .gauge, "1 if the canary gets no picks any more.",
            status.canaries.map { (labels($0), .whole($0.withdrawal == nil ? 0 : 1)) })
        arms("trivet_canary_picks_total", "Picks of the canary, and of what it is compared with.") {
            $0.picks
        }
        arms("trivet_canary_failures_total", "Of the requests that ended: no answer, or a 5xx.") {
            $0.failures
        }
        arms("trivet_canary_bad_answers_total", "Picks of no legal node.") { $0.badAnswers }
        func shadows(
            _ name: String, _ kind: PrometheusText.Kind, _ help: String,
            _ value: (ShadowStatus) -> PrometheusText.Value
        ) {
            out.family(
                name, kind, help,
                status.shadows.map { ([("pool", $0.pool), ("shadow", $0.name)], value($0)) })
        }
        shadows(
            "trivet_shadow_requests_total", .counter, "Requests that the shadow was asked about."
        ) {
            .whole($0.requests)
        }
        shadows(
            "trivet_shadow_diverged_total", .counter,
            "Of these, how many it would have sent elsewhere."
        ) { .whole($0.diverged) }
        shadows(
            "trivet_shadow_imbalance_ratio", .gauge,
            "Requests of the fullest node over the mean, as the shadow's picks would make it."
        ) { .real($0.predictedImbalance.maxOverMean) }
    }

    // MARK: Listeners

    private static func writeListeners(
        _ listeners: [ListenerStatus], to out: inout PrometheusText
    ) {
        out.family(
            "trivet_listener_connections", .gauge, "Open connections of clients.",
            listeners.map { ([("listener", $0.name)], .whole(UInt64(max(0, $0.connections)))) })
        out.family(
            "trivet_listener_max_connections", .gauge, "How many there may be, where that is set.",
            listeners.compactMap { listener in
                listener.connectionLimit.map { ([("listener", listener.name)], .whole(UInt64($0))) }
            })
        out.family(
            "trivet_listener_max_connections_per_client", .gauge,
            "How many one client may have, where that is set.",
            listeners.compactMap { listener in
                listener.connectionLimitPerClient.map {
                    ([("listener", listener.name)], .whole(UInt64($0)))
                }
            })
        out.family(
            "trivet_listener_refused_connections_total", .counter,
            "Connections that were refused, by the limit that was reached.",
            listeners.flatMap { listener in
                [("listener", listener.refusedFull), ("client", listener.refusedCrowded)].map {
                    ([("listener", listener.name), ("limit", $0)], .whole($1))
                }
            })
        out.family(
            "trivet_listener_handshakes_total", .counter,
            "TLS handshakes of clients that have ended.",
            listeners.flatMap { listener in
                listener.handshakes.map { totals in
                    [("full", totals.full), ("resumed", totals.resumed), ("failed", totals.failed)]
                        .map { ([("listener", listener.name), ("outcome", $0)], .whole($1)) }
                } ?? []
            })
    }

    // MARK: What plugins count themselves

    private static func writePlugins(
        _ readings: [Metrics.Reading], to out: inout PrometheusText
    ) {
        struct Family: Hashable {
            var name: String
            var kind: Metrics.Kind
        }
        var order: [Family] = []
        var members: [Family: [Metrics.Reading]] = [:]
        for reading in readings {
            let family = Family(name: reading.name, kind: reading.kind)
            if members[family] == nil { order.append(family) }
            members[family, default: []].append(reading)
        }
        for family in order {
            let readings = members[family] ?? []
            let name = "trivet_plugin_\(family.name)"
            let help = readings.first { !$0.help.isEmpty }?.help ?? "Counted by a plugin."
            func labels(_ reading: Metrics.Reading) -> [Label] {
                [("pool", reading.pool), ("strategy", reading.plugin)]
            }
            if family.kind == .histogram {
                out.histogram(
                    name, help,
                    readings.map { reading in
                        PrometheusText.Distribution(
                            labels: labels(reading), buckets: buckets(reading),
                            count: reading.count, sum: reading.sum)
                    })
            } else {
                out.family(
                    name, family.kind == .counter ? .counter : .gauge, help,
                    readings.map { (labels($0), .real($0.sum)) })
            }
        }
    }

    /// The last bucket is without a bound: what is in it, only the whole count has.
    private static func buckets(_ reading: Metrics.Reading) -> [(Double, UInt64)] {
        reading.buckets.dropLast().enumerated().map { index, count in
            (Double(sign: .plus, exponent: index - 31, significand: 1), count)
        }
    }
}
