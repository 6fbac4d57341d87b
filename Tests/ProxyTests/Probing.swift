// One pool under a prober, as the balancer would set it up, for one test.

import Balance
import Base
import CTrivet
import Net
import Proxy
import Synchronization
import Testing

/// A board, an address book, a check and a prober over them.
@safe
final class Probing {
    let board: Board
    let book: AddressBook
    let check: ScriptedCheck?
    let prober: Prober
    let gate: Gate
    private let memory: Memory

    /// Memory of a board that may outlive it.
    @safe
    final class Memory {
        let bytes: UnsafeMutableRawBufferPointer

        init(_ count: Int) {
            unsafe bytes = .allocate(byteCount: count, alignment: 64)
            unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0)
        }

        deinit { unsafe bytes.deallocate() }
    }

    static func board(
        _ name: String, nodes: Int, rise: Int = 2, fall: Int = 3, hasCheck: Bool = true,
        in memory: Memory? = nil
    ) throws -> (Board, Memory) {
        let specs = (1...nodes).map { number in
            NodeSpec(
                id: hash64("\(name)\0node\(number)"), name: "node\(number)",
                address: "node\(number).test:80")
        }
        let pools = [
            PoolSpec(name: name, nodes: specs, rise: rise, fall: fall, hasCheck: hasCheck)
        ]
        let memory = memory ?? Memory(Board.bytesNeeded(pools: pools, workers: 1))
        let board = unsafe try Board(
            memory: memory.bytes, pools: pools, workers: 1, adopt: true, now: monotonicNow())
        return (board, memory)
    }

    /// `nodes`: the addresses of each. Without a script there is no check.
    init(
        _ name: String, nodes: [[SocketAddress]], rise: Int = 2, fall: Int = 3,
        interval: UInt64 = 50, timeoutMs: UInt32 = 5000, script: Script? = Script(),
        memory: Memory? = nil,
        onPublish: @escaping @Sendable (Board, ScriptedCheck?) -> Void = { _, _ in }
    ) throws {
        Lines.collect()
        (board, self.memory) = try Self.board(
            name, nodes: nodes.count, rise: rise, fall: fall, hasCheck: script != nil, in: memory)
        book = AddressBook()
        for (at, addresses) in nodes.enumerated() where !addresses.isEmpty {
            book.publish(addresses, node: at)
        }
        let clock = WorkerClock()
        check = script.map { ScriptedCheck($0) }
        let instance = try check?.instance(
            InstancePlace(
                board: board, pool: board.pools[0], worker: 0, clock: clock, metrics: Metrics()))
        gate = try Gate()
        let (gate, board, check) = (gate, board, check)
        prober = try Prober(
            board: board,
            pools: [
                ProbedPool(
                    board.pools[0], check: instance, interval: interval * 1_000_000,
                    timeoutMs: timeoutMs)
            ],
            addresses: book, clock: clock
        ) {
            onPublish(board, check)
            gate.ring()
        }
    }

    deinit { prober.stop() }

    /// Starts, waits for the first verdicts and says what they were about.
    func firstReplies() throws -> [SeenReply] {
        try prober.start()
        #expect(prober.awaitFirstRound(timeout: 10_000_000_000))
        return check?.replies ?? []
    }

    func states() -> [NodeState] { board.snapshot().map(\.state) }

    /// The reply to a single node that behaves like this, and what the board says then.
    static func reply(
        _ name: String, timeoutMs: UInt32 = 5000, question: Script.Question = Script.Question(),
        _ manners: @escaping @Sendable (TinyServer.Connection) -> Void
    ) throws -> SeenReply {
        let gone = try Gate()
        let left = Atomic<Int>(0)
        let server = try TinyServer { connection in
            manners(connection)
            if connection.awaitEnd() { left.wrappingAdd(1, ordering: .releasing) }
            gone.ring()
        }
        defer { server.end() }
        var script = Script()
        script.ask = { _, _ in question }
        let probing = try Probing(
            name, nodes: [[server.address]], interval: 60_000, timeoutMs: timeoutMs,
            script: script)
        let first = try #require(try probing.firstReplies().first)
        // Whatever came of it, the probe's connection is closed.
        #expect(gone.await { left.load(ordering: .acquiring) == 1 })
        return first
    }
}
