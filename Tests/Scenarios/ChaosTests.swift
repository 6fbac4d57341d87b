// Everything at once: nodes die, stand still, drain and come back, the balancer is told to reload, and
// GETs and uploads go on all the while. Who disturbs is Storm.swift, who asks is StormTraffic.swift.
//
//   TRIVET_CHAOS_SEED=n     the storm of that number; else it is another one each time
//   TRIVET_CHAOS_SECONDS=n  how long it lasts

import Base
import Glibc
import TestKit
import Testing

@Suite("Chaos: nodes and balancer are disturbed while they serve")
struct ChaosTests {
    private static let names = ["node1", "node2", "node3", "node4"]

    private static func number(_ name: String) -> UInt64? {
        guard let text = unsafe getenv(name) else { return nil }
        return UInt64(unsafe String(cString: text))
    }

    @Test(
        "no byte is ever wrong, and no GET fails that a healthy node could have served",
        .timeLimit(.minutes(90)))
    func storm() throws {
        let seed = Self.number("TRIVET_CHAOS_SEED") ?? Deadline.now() % 1_000_000
        let seconds = Double(Self.number("TRIVET_CHAOS_SECONDS") ?? 8)
        let ground = try StormGround(nodes: Self.names)
        let traffic = try StormTraffic(port: ground.port)
        var storm = Storm(ground, seed: seed)
        var trouble: [String] = []
        do {
            try storm.rage(for: seconds)
            try ground.strike(traffic)
        } catch {
            trouble.append("\(error)")
        }
        let outcome = try traffic.end()
        trouble += outcome.faults
        if trouble.isEmpty {
            do { try ground.settle() } catch { trouble.append("\(error)") }
        }
        let story = "storm \(seed): \(storm.story.joined(separator: ", "))"
        #expect(trouble.isEmpty, "\(story)\n\(trouble.prefix(20).joined(separator: "\n"))")
        if Self.number("TRIVET_CHAOS_SEED") != nil {
            print("\(story)\n\(outcome), \(outcome.pages) pages")
        }
        // It is no proof if nothing was asked, or nobody disturbed.
        let minimum = ProcessFacts.isMemoryTelling ? Int(seconds) : 1
        #expect(outcome.pages > 20 * minimum && outcome.uploads > minimum, "\(story); \(outcome)")
        #expect(storm.story.count >= minimum, "\(story)")
    }
}
