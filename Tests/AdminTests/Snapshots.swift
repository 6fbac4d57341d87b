// A snapshot with something of everything in it, names that hurt among them.

@testable import Admin
@testable import Balance
@testable import Proxy

/// Quotes, backslashes, line ends and what is beyond ASCII: all of it may stand in a name.
let cruelName = "a\"b\\c\nd\u{e9}"

func makeSnapshot(nodes: Int = 2) -> Snapshot {
    var status = BalancerStatus(
        generation: 4, generationSince: 1_700_000_000_000_000_000, workers: 2)
    var calls = BuildReading()
    calls.calls = 1000
    calls.nanoseconds = 1_500_000_000
    calls.longest = 7_000_000
    calls.overruns = 2
    calls.excused = 1
    calls.badAnswers = 5
    status.plugins = [
        PluginStatus(
            file: "/plugins/lib\(cruelName).so", plugin: "turns", version: "1",
            build: "00112233445566ff", strategies: ["turns"], generation: 1, loads: 3,
            isServing: false, fence: "it said \"node 7\"\nand meant it", calls: calls),
        PluginStatus(
            file: "/plugins/liboctopus.so", plugin: "octopus", version: "1.0",
            build: "0000000000000001", checks: ["octopus"], generation: 2),
    ]
    status.pluginRefusals = ["/plugins/liboctopus.so": 2, "/plugins/libtext.so": 1]
    status.canaries = [
        CanaryStatus(
            plan: CanaryPlan(
                pool: cruelName, slot: 0, incumbent: "turns", name: "peak-ewma", file: nil,
                options: "{}", share: 0.05, limits: CanaryPlan.Limits()), build: 9,
            candidate: CanaryArm(), incumbent: CanaryArm(), withdrawal: "\"too slow\"")
    ]
    status.shadows = [ShadowStatus(pool: cruelName, name: "least-connections", build: 0)]
    var pool = PoolStatus(name: cruelName)
    pool.strategies = [
        PluginInUse(
            name: "turns", file: "/plugins/libturns.so", build: "00112233445566ff",
            options: #"{"width":3,"words":["a"]}"#)
    ]
    pool.check = CheckStatus(
        plugin: PluginInUse(
            name: "octopus", file: "/plugins/liboctopus.so", build: "0000000000000001",
            options: "{}"), interval: 2_000_000_000, timeout: 1_000_000_000, rise: 2, fall: 3)
    pool.session = SessionStatus(
        cookie: "Keep", maxAge: 60_000_000_000, sameSite: "lax", secure: "auto", hasSecret: true)
    pool.hashKey = "client"
    pool.fallbackPicks = 11
    pool.nodes = (1...nodes).map { index in
        var row = BoardRow()
        row.id = UInt64(index)
        row.pool = cruelName
        row.name = "node\(index)"
        row.address = "10.0.0.\(index % 250):80"
        row.state = index == 1 ? .up : .draining
        row.reason = "said \"so\""
        row.since = 4_000_000_000
        row.weight = 5
        row.picks = 100
        row.inFlight = 3
        row.failures = 2
        row.answers = [0, 90, 1, 2, 3]
        row.bytesSent = 1 << 60
        row.latency = index == 1 ? 2_500_000 : 0
        return row
    }
    status.pools = [pool]
    var listener = ListenerStatus(
        name: "web", address: "127.0.0.1:80", pool: cruelName, connections: 7,
        connectionLimit: 100)
    listener.connectionLimitPerClient = 5
    listener.refusedFull = 2
    listener.refusedCrowded = 3
    listener.routes = [.init(host: "*.example.com", path: nil, pool: cruelName)]
    status.listeners = [
        listener,
        ListenerStatus(name: "other", address: "[::1]:81", pool: nil, connections: 0),
    ]
    var process = ProcessFacts(pid: 42, started: 1_700_000_000_500_000_000)
    process.uptime = 90_000_000_000
    process.residentBytes = 12_345_678
    process.openDescriptors = 20
    process.descriptorLimit = 1024
    process.cpuNanoseconds = 250_000_000
    return Snapshot(
        version: "0.1.0", process: process,
        supervision: Supervision(
            pid: 41, reloads: 3, refusals: 1, lastReload: 1_700_000_001_000_000_000, restarts: 2),
        balancer: status, now: 5_500_000_000)
}
