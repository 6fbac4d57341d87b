// The model test: a worker of the real kind under scripts that follow from a number. What a script may
// do is ModelScript.swift, who plays it World.swift, and what must be true Stage.swift and Ending.swift.
//
//   TRIVET_MODEL_SEED=n     plays one script and tells it
//   TRIVET_MODEL_SCRIPTS=n  plays so many

import Base
import Glibc
import Net
import Synchronization
import Testing

@testable import Proxy

@Suite("The model: a worker under random scripts") struct ModelTests {
    @Test("Whatever clients, nodes and time do, bytes are their own, ends come once, nothing leaks")
    func scripts() async throws {
        if let seed = Self.number("TRIVET_MODEL_SEED") {
            try Self.play(one: seed)
            return
        }
        // In a process of their own: one that another test starts has copies of all descriptors from its
        // fork to its exec, and an end that a script waits for would come whenever that is over.
        await #expect(processExitsWith: .success) { try Self.play() }
    }

    private static func play(one seed: UInt64) throws {
        let room = try StageRoom()
        let faults = try ModelScript(seed: seed).play(in: room)
        guard faults.isEmpty else { throw try Self.failure(seed, faults, room) }
        print("script \(seed) goes well: \(ModelScript(seed: seed))")
    }

    private static func play() throws {
        let count = Self.number("TRIVET_MODEL_SCRIPTS") ?? 1_000
        let next = Atomic<UInt64>(0)
        let failures = Guarded<[any Error]>([])
        // More than there are cores: scripts over TCP wait for the kernel now and then.
        let threads = try (0..<6).map { _ in
            try Thread("model") {
                do {
                    let room = try StageRoom()
                    while true {
                        let seed = next.wrappingAdd(1, ordering: .relaxed).oldValue
                        guard seed < count else { break }
                        let faults = try ModelScript(seed: seed).play(in: room)
                        if !faults.isEmpty { throw try Self.failure(seed, faults, room) }
                    }
                } catch {
                    failures.withLock { $0.append(error) }
                    // One is enough.
                    next.store(count, ordering: .relaxed)
                }
            }
        }
        for thread in threads { thread.join() }
        for failure in failures.withLock({ $0 }) { Issue.record(failure) }
    }

    /// Says what went wrong, and when at the least it does.
    private static func failure(
        _ seed: UInt64, _ faults: [String], _ room: StageRoom
    ) throws -> Broken {
        let script = try ModelScript(seed: seed).shrunk(in: room)
        let still = try script.play(in: room)
        return Broken(
            """
            script \(seed) (TRIVET_MODEL_SEED=\(seed) plays it again): \(faults)
            in short, \(still): \(script)
            """)
    }

    private static func number(_ name: String) -> UInt64? {
        guard let text = unsafe getenv(name) else { return nil }
        return UInt64(unsafe String(cString: text))
    }
}
