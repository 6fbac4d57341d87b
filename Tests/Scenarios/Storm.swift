// Who disturbs in the chaos test, and the ground it happens on: nodes and a balancer as processes. At
// most half of the nodes are disturbed at a time, and none before all are in rotation again, so that at
// every moment somebody could serve.

import Base
import Glibc
import TestKit

/// Nodes, a balancer before them, and a look at what it thinks.
final class StormGround {
    private(set) var nodes: [Node]
    let trivet: Trivet
    let port: UInt16
    private let admin: ReservedPort

    init(nodes names: [String]) throws {
        nodes = try names.map { try Node($0) }
        admin = try ReservedPort()
        let text = Self.configuration(nodes, admin: admin.number, strategy: "round-robin")
        trivet = try Trivet(configuration: text)
        port = try Cluster.port(of: trivet)
    }

    private static func configuration(
        _ nodes: [Node], admin: UInt16, strategy: String
    ) -> String {
        let lines = nodes.map { #"{ name: "\#($0.name)", address: "\#($0.address)" }"# }
        return """
            {
              workers: 2, admin: { address: "127.0.0.1:\(admin)" },
              listeners: [{ name: "web", address: "127.0.0.1:0", pool: "octopus" }],
              pools: { octopus: {
                strategy: "\(strategy)", retries: 3, retry_budget: "100%",
                health: { check: "octopus", interval: "100ms", timeout: "400ms", rise: 1, fall: 2 },
                ejection: { failures: 3, time: "500ms", max_time: "1s" },
                timeouts: { connect: "500ms", response: "1s", idle: "2s" },
                nodes: [\(lines.joined(separator: ", "))] } },
            }
            """
    }

    func configure(strategy: String) throws {
        _ = try trivet.folder.write(
            Self.configuration(nodes, admin: admin.number, strategy: strategy), to: "trivet.json5")
    }

    func revive(_ index: Int) throws {
        nodes[index] = try Node(nodes[index].name, port: nodes[index].port)
    }

    /// Waits until the balancer sees every node as one for new requests.
    func awaitRotation() throws {
        try eventually("all nodes are in rotation", within: 20) {
            let state = try RawClient(port: admin.number, host: "127.0.0.1").get("/state").json()
            guard case .array(let pools)? = state["pools"]?.kind,
                case .array(let nodes)? = pools.first?["nodes"]?.kind
            else { throw TestFailure(state.encoded()) }
            let isSo = nodes.allSatisfy {
                $0["state"]?.stringValue == "up" && $0["ejected_for_seconds"]?.kind == .null
            }
            return isSo ? true : nil
        }
    }

    /// Kills the balancer under its traffic: the next one serves on.
    func strike(_ traffic: StormTraffic) throws {
        let end = trivet.process.lines.count
        traffic.noteStrike()
        for child in try trivet.process.facts.children() { kill(child, SIGKILL) }
        try trivet.process.waitForLine(containing: "died: SIGKILL", from: end)
        try trivet.process.waitForLine(containing: "serving: ", from: end)
        traffic.noteStrike()
        let before = traffic.answered
        try eventually("pages after the balancer's death") {
            traffic.answered > before + 20 ? true : nil
        }
    }

    /// When the clients have gone, nothing of them is left anywhere.
    func settle() throws {
        try awaitRotation()
        try eventually("the balancer holds nobody any more") {
            let lines = try RawClient(port: admin.number, host: "127.0.0.1").get("/metrics").text
                .split(separator: "\n")
                .filter {
                    $0.hasPrefix("trivet_node_in_flight{")
                        || $0.hasPrefix("trivet_listener_connections{")
                }
            guard lines.count == nodes.count + 1 else { throw TestFailure("\(lines)") }
            return lines.allSatisfy { $0.hasSuffix(" 0") } ? true : nil
        }
        for node in nodes { try node.waitForStats("nothing in flight") { $0.inFlight == 0 } }
    }
}

/// Disturbs as its number has it.
struct Storm {
    private enum Blow: CaseIterable {
        case death, stillness, draining, maintenance, offline, broken
    }

    private let ground: StormGround
    private var random: SplitMix64
    private(set) var story: [String] = []

    init(_ ground: StormGround, seed: UInt64) {
        self.ground = ground
        random = SplitMix64(seed: seed)
    }

    private mutating func below(_ limit: Int) -> Int { Int(random.next() % UInt64(limit)) }

    mutating func rage(for seconds: Double) throws {
        let deadline = Deadline(seconds: seconds)
        try ground.awaitRotation()
        while !deadline.isOver {
            let first = below(ground.nodes.count)
            let second = below(ground.nodes.count)
            let blows = Set([first, second]).sorted().map { ($0, Blow.allCases[below(6)]) }
            for (index, blow) in blows { try hit(index, blow) }
            if below(3) == 0 { try reload() }
            pause(milliseconds: 20 + below(600))
            for (index, blow) in blows { try heal(index, blow) }
            if below(4) == 0 { try reload() }
            try ground.awaitRotation()
        }
    }

    private func pause(milliseconds: Int) { _ = poll(nil, 0, Int32(milliseconds)) }

    private mutating func hit(_ index: Int, _ blow: Blow) throws {
        let node = ground.nodes[index]
        story.append("\(node.name) \(blow)")
        switch blow {
        case .death: try node.kill()
        case .stillness: node.process.signal(SIGSTOP)
        case .draining, .maintenance, .offline, .broken: try node.set(state: "\(blow)")
        }
    }

    private func heal(_ index: Int, _ blow: Blow) throws {
        switch blow {
        case .death: try ground.revive(index)
        case .stillness: ground.nodes[index].process.signal(SIGCONT)
        case .draining, .maintenance, .offline, .broken:
            try ground.nodes[index].set(state: "up")
        }
    }

    /// The same configuration again, or one with another strategy.
    private mutating func reload() throws {
        let strategy = ["round-robin", "least-connections", "two-choices"][below(3)]
        story.append("reload \(strategy)")
        try ground.configure(strategy: strategy)
        let end = ground.trivet.process.lines.count
        ground.trivet.process.signal(SIGHUP)
        try ground.trivet.process.waitForLine(containing: "reload", from: end)
    }
}
