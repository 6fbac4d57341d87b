// What the connections of one demo node share: its state, as the ping tells it, and its counts. All
// of it atomic; nothing here waits.

import Base
import Synchronization

extension DemoNode {
    /// The state of a node, as its ping tells it.
    enum Mood: String, CaseIterable, Sendable {
        /// 200: takes work.
        case up
        /// 418 with the drain flag: finishes what it has; everything but the ping answers as before.
        case draining
        /// 418 with `IsOffline`.
        case offline
        /// 200 with the drain flag set: the status says up, and the status counts.
        case maintenance
        /// 500 with a page of HTML, as from a server in trouble.
        case broken

        static var list: String { allCases.map(\.rawValue).joined(separator: ", ") }
    }
}

/// One node: shared by all of its threads.
final class DemoNodeState: Sendable {
    let name: String
    let maxTasks: Int
    let release: String

    /// Requests whose head was read, without pings and those below /demo/.
    let requests = Atomic<Int>(0)
    let pings = Atomic<Int>(0)
    /// Of `requests`, those not answered yet.
    let inFlight = Atomic<Int>(0)
    /// Connections that are open, and that were ever taken.
    let connections = Atomic<Int>(0)
    let accepted = Atomic<Int>(0)
    /// Bytes of request bodies, without their chunk framing; counted as they arrive.
    let bytesIn = Atomic<Int>(0)
    private let moodIndex: Atomic<Int>

    init(_ settings: DemoNode.Settings) {
        name = settings.name
        maxTasks = settings.maxTasks
        release = settings.release
        moodIndex = Atomic(Self.index(of: settings.mood))
    }

    var mood: DemoNode.Mood {
        get { DemoNode.Mood.allCases[moodIndex.load(ordering: .acquiring)] }
        set { moodIndex.store(Self.index(of: newValue), ordering: .releasing) }
    }

    private static func index(of mood: DemoNode.Mood) -> Int {
        DemoNode.Mood.allCases.firstIndex(of: mood) ?? 0
    }

    /// The answer to `GET /demo/stats`.
    func statsText() -> String {
        """
        {"name":\(quoted(name)),"state":"\(mood.rawValue)",\
        "requests":\(requests.load(ordering: .relaxed)),\
        "pings":\(pings.load(ordering: .relaxed)),\
        "in_flight":\(inFlight.load(ordering: .relaxed)),\
        "connections":\(connections.load(ordering: .relaxed)),\
        "accepted":\(accepted.load(ordering: .relaxed)),\
        "bytes_in":\(bytesIn.load(ordering: .relaxed))}\n
        """
    }

    /// The body of a ping, with the members that Octopus Server sends.
    func pingText(_ mood: DemoNode.Mood) -> String {
        """
        {"Id":\(quoted("OctopusServerNodes-" + name)),"Name":\(quoted(name)),\
        "Version":\(quoted(release)),"MaxConcurrentTasks":\(maxTasks),\
        "IsInMaintenanceMode":\(mood == .draining || mood == .maintenance),\
        "IsOffline":\(mood == .offline),"LastSeen":"2026-11-24T20:18:38.123+00:00",\
        "Rank":"\(mood == .offline ? "Offline" : "Active")",\
        "Links":{"Self":\(quoted("/api/octopusservernodes/OctopusServerNodes-" + name))}}\n
        """
    }

    private func quoted(_ text: String) -> String {
        var out = ""
        JSON.quote(text, into: &out)
        return out
    }
}
