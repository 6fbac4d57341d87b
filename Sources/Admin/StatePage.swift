// `/state`: all that an operator may want to know of this moment, as one JSON object. No secrets: what
// signs sessions is in nothing that comes here.

import Balance
import Base
import Proxy

enum StatePage {
    static let contentType = "application/json"

    static func text(of snapshot: Snapshot) -> String {
        var json = JSONText()
        json.object { write(snapshot, to: &$0) }
        return json.text + "\n"
    }

    private static func write(_ snapshot: Snapshot, to json: inout JSONText) {
        let (status, process) = (snapshot.balancer, snapshot.process)
        let supervision = snapshot.supervision
        json.member("version", snapshot.version)
        json.member("pid", UInt64(process.pid))
        json.member("supervisor_pid", UInt64(supervision.pid))
        json.member("started", moment(process.started))
        json.member("uptime_seconds", seconds(process.uptime))
        json.member("workers", UInt64(status.workers))
        json.member("generation", status.generation)
        json.member("generation_since", moment(status.generationSince))
        json.member(
            "reloads",
            object: {
                $0.member("done", supervision.reloads)
                $0.member("refused", supervision.refusals)
                $0.member("last", moment(supervision.lastReload))
            })
        json.member("restarts", supervision.restarts)
        json.member("plugins", array: status.plugins) { json, plugin in
            json.object { write(plugin, status.pluginRefusals[plugin.file] ?? 0, to: &$0) }
        }
        let known = Set(status.plugins.map(\.file))
        let others = status.pluginRefusals.filter { !known.contains($0.key) }
            .sorted { $0.key < $1.key }
        json.member("refused_plugins", array: others) { json, refused in
            json.object {
                $0.member("file", refused.key)
                $0.member("refusals", refused.value)
            }
        }
        json.member("pools", array: status.pools) { json, pool in
            json.object { write(pool, status, snapshot.now, to: &$0) }
        }
        json.member("listeners", array: status.listeners) { json, listener in
            json.object { write(listener, to: &$0) }
        }
    }

    /// RFC 3339; nil of 0, which is never.
    private static func moment(_ nanoseconds: UInt64) -> String? {
        nanoseconds == 0 ? nil : Timestamp(nanoseconds: nanoseconds).description
    }

    private static func write(
        _ plugin: PluginStatus, _ refusals: UInt64, to json: inout JSONText
    ) {
        json.member("file", plugin.file)
        json.member("name", plugin.plugin)
        json.member("version", plugin.version)
        json.member("build", plugin.build)
        json.member("generation", plugin.generation)
        json.member("serving", plugin.isServing)
        json.member("fenced", plugin.fence != nil)
        json.member("fence_reason", plugin.fence)
        json.member("loads", plugin.loads)
        json.member("refusals", refusals)
        json.member("strategies", array: plugin.strategies) { $0.value($1) }
        json.member("checks", array: plugin.checks) { $0.value($1) }
        json.key("calls")
        guard let calls = plugin.calls else { return json.raw("null") }
        json.object {
            $0.member("count", calls.calls)
            $0.member("bad_answers", calls.badAnswers)
            $0.member("seconds", seconds(calls.nanoseconds))
            $0.member("longest_seconds", seconds(calls.longest))
            $0.member("overruns", calls.overruns)
            $0.member("excused", calls.excused)
            $0.member("strikes", calls.strikes)
        }
    }

    private static func write(_ use: PluginInUse, to json: inout JSONText) {
        json.member("name", use.name)
        json.member("file", use.file)
        json.member("build", use.build)
        json.key("options")
        json.raw(use.options)
        json.member("fence_reason", use.fence)
    }

    private static func write(_ canary: CanaryStatus, to json: inout JSONText) {
        json.member("strategy", canary.plan.incumbent)
        json.member("name", canary.plan.name)
        json.member("file", canary.plan.file)
        json.member("build", canary.build == 0 ? nil : Build.text(of: canary.build))
        json.member("share", canary.plan.share)
        json.member("withdrawn", canary.withdrawal != nil)
        json.member("withdrawal", canary.withdrawal)
        for (name, arm) in [("candidate", canary.candidate), ("incumbent", canary.incumbent)] {
            json.member(
                name,
                object: {
                    $0.member("picks", arm.picks)
                    $0.member("results", arm.results)
                    $0.member("failures", arm.failures)
                    $0.member("refusals", arm.refusals)
                    $0.member("bad_answers", arm.badAnswers)
                    $0.member("passes", arm.passes)
                    $0.member("mean_first_byte_seconds", arm.meanLatency / 1000)
                })
        }
    }

    private static func write(_ shadow: ShadowStatus, to json: inout JSONText) {
        json.member("name", shadow.name)
        json.member("build", shadow.build == 0 ? nil : Build.text(of: shadow.build))
        json.member("fenced", shadow.isFenced)
        json.member("requests", shadow.requests)
        json.member("diverged", shadow.diverged)
        json.member("divergence", shadow.divergence)
        json.member("passes", shadow.passes)
        json.member("refusals", shadow.refusals)
        json.member("bad_answers", shadow.badAnswers)
        for (name, imbalance) in [
            ("predicted_imbalance", shadow.predictedImbalance),
            ("actual_imbalance", shadow.actualImbalance),
        ] {
            json.member(
                name,
                object: {
                    $0.member("max_over_mean", imbalance.maxOverMean)
                    $0.member("variation", imbalance.variation)
                })
        }
    }

    private static func write(
        _ pool: PoolStatus, _ status: BalancerStatus, _ now: UInt64, to json: inout JSONText
    ) {
        json.member("name", pool.name)
        json.member("warnings", array: pool.warnings) { $0.value($1) }
        json.member("strategies", array: pool.strategies) { json, use in
            json.object { write(use, to: &$0) }
        }
        json.key("check")
        if let check = pool.check {
            json.object {
                write(check.plugin, to: &$0)
                $0.member("interval_seconds", seconds(check.interval))
                $0.member("timeout_seconds", seconds(check.timeout))
                $0.member("rise", UInt64(check.rise))
                $0.member("fall", UInt64(check.fall))
            }
        } else {
            json.raw("null")
        }
        json.key("session")
        if let session = pool.session {
            json.object {
                $0.member("cookie", session.cookie)
                $0.member("max_age_seconds", session.maxAge.map(seconds))
                $0.member("same_site", session.sameSite)
                $0.member("secure", session.secure)
                $0.member("has_secret", session.hasSecret)
            }
        } else {
            json.raw("null")
        }
        json.member("hash", pool.hashKey)
        json.member("canaries", array: status.canaries.filter { $0.plan.pool == pool.name }) {
            json, canary in
            json.object { write(canary, to: &$0) }
        }
        json.key("shadow")
        if let shadow = status.shadows.first(where: { $0.pool == pool.name }) {
            json.object { write(shadow, to: &$0) }
        } else {
            json.raw("null")
        }
        json.member("fallback_picks", pool.fallbackPicks)
        json.member("retries", pool.traffic.retries)
        json.member("denied_retries", pool.traffic.deniedRetries)
        json.member(
            "queue",
            object: {
                $0.member("waiting", UInt64(pool.traffic.waiting))
                $0.member("queued", pool.traffic.queued)
                $0.member("refused", pool.traffic.queueRefusals)
                $0.member("timed_out", pool.traffic.queueTimeouts)
            })
        json.member("nodes", array: pool.nodes) { json, node in
            json.object { write(node, now, to: &$0) }
        }
    }

    private static func write(_ node: BoardRow, _ now: UInt64, to json: inout JSONText) {
        json.member("id", hexadecimal(node.id))
        json.member("name", node.name)
        json.member("address", node.address)
        json.member("state", node.state.name)
        json.member("reason", node.reason)
        json.member("since_seconds", seconds(now > node.since ? now - node.since : 0))
        let left = node.ejectedUntil > now ? node.ejectedUntil - now : 0
        json.member("ejected_for_seconds", left > 0 ? seconds(left) : nil)
        json.member("ejections", node.ejections)
        json.member("weight", UInt64(node.weight))
        json.member("weight_percent", UInt64(node.weightPercent))
        json.member("tier", UInt64(node.tier))
        json.member("in_flight", node.inFlight)
        json.member("picks", node.picks)
        json.member("failures", node.failures)
        json.member("abandoned", node.abandoned)
        json.member(
            "responses",
            object: {
                for (index, count) in node.answers.enumerated() {
                    $0.member("\(index + 1)xx", count)
                }
            })
        json.member("bytes_sent", node.bytesSent)
        json.member("bytes_received", node.bytesReceived)
        json.member("first_byte_seconds", node.latency == 0 ? nil : seconds(node.latency))
    }

    private static func hexadecimal(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    private static func write(_ listener: ListenerStatus, to json: inout JSONText) {
        json.member("name", listener.name)
        json.member("address", listener.address)
        json.member("protocol", listener.protocolName)
        json.member("pool", listener.pool)
        json.member("routes", array: listener.routes) { json, route in
            json.object {
                $0.member("host", route.host)
                $0.member("path", route.path)
                $0.member("pool", route.pool)
            }
        }
        json.member("connections", UInt64(max(0, listener.connections)))
        json.member("max_connections", listener.connectionLimit.map(Double.init))
        json.member(
            "max_connections_per_client", listener.connectionLimitPerClient.map(Double.init))
        if let handshakes = listener.handshakes {
            json.member("handshakes") {
                $0.member("full", handshakes.full)
                $0.member("resumed", handshakes.resumed)
                $0.member("failed", handshakes.failed)
            }
        }
        json.member("refused_connections") {
            $0.member("listener", listener.refusedFull)
            $0.member("client", listener.refusedCrowded)
        }
    }
}
