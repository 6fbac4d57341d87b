// What happens on the stage: steps that follow from a number, and can be played without some of them,
// so that a script that fails can be made shorter until only what matters is left.

import Balance
import Base

@testable import Proxy

/// One thing that happens. What cannot happen when its time has come does not: nobody is there, or it
/// has happened before.
enum Step {
    case connect(client: Int)
    case send(client: Int, Int)
    case receive(client: Int, Int)
    case endSending(client: Int)
    case leave(client: Int, resets: Bool)
    case accept(node: Int)
    case nodeReads(Int, connection: Int, Int)
    case nodeWrites(Int, connection: Int, Int)
    case nodeCloses(Int, connection: Int, resets: Bool)
    /// Closes a connection that has served and is not in use, as is its right.
    case nodeClosesIdle(Int, connection: Int)
    case nodeRefuses(Int)
    case nodeState(Int, NodeState)
    case turn
    /// Milliseconds, and a turn.
    case pass(Int)
    case drain
}

struct ModelScript {
    let world: World
    var steps: [Step]

    init(seed: UInt64) {
        world = World(seed: seed)
        var random = SplitMix64(seed: ~seed)
        steps = []
        let count = 10 + random.below(90)
        while steps.count < count { steps += Self.someSteps(world, &random) }
    }

    private static func someSteps(_ world: World, _ random: inout SplitMix64) -> [Step] {
        let client = random.below(world.requests.count)
        let node = random.below(world.soundNodes.count)
        let connection = random.below(4)
        let bytes = random.pick([1, 2, 17, 100, 1000, 5000, 66_000, 1 << 20, 1 << 20])
        switch random.below(40) {
        case 0...3: return [.connect(client: client), .turn]
        case 4...9: return [.send(client: client, bytes)]
        case 10...13: return [.receive(client: client, bytes)]
        case 14...16: return [.accept(node: node)]
        case 17...21: return [.nodeReads(node, connection: connection, bytes)]
        case 22...27: return [.nodeWrites(node, connection: connection, bytes)]
        case 28: return [.nodeClosesIdle(node, connection: connection)]
        case 29 where world.clientsFail:
            return [
                random.oneIn(3)
                    ? .endSending(client: client) : .leave(client: client, resets: random.oneIn(2))
            ]
        case 30 where world.nodesFail:
            return [
                random.oneIn(4)
                    ? .nodeRefuses(node)
                    : .nodeCloses(node, connection: connection, resets: random.oneIn(2))
            ]
        case 31 where world.timePasses:
            return [.pass(random.pick([1, 20, 500, 3000, 11_000, 16_000, 21_000, 41_000, 90_000]))]
        case 32 where world.nodesFail:
            return [.nodeState(node, random.pick([.up, .up, .down, .draining]))]
        case 33 where world.ending == .drain && random.oneIn(4): return [.drain]
        default: return [.turn]
        }
    }

    /// What goes wrong when it is played; nothing, if all is well.
    func play(in room: StageRoom) throws -> [String] {
        let stage = try Stage(world, in: room)
        for step in steps where stage.faults.isEmpty { stage.play(step) }
        stage.finish()
        return stage.faults
    }

    /// The shortest of its variants found that fails too.
    func shrunk(in room: StageRoom) throws -> ModelScript {
        var best = self
        var size = max(1, steps.count / 2)
        var plays = 0
        while plays < 600 {
            var isShorter = false
            var at = 0
            while at < best.steps.count && plays < 600 {
                var variant = best
                variant.steps.removeSubrange(at..<min(at + size, best.steps.count))
                plays += 1
                if try variant.play(in: room).isEmpty {
                    at += size
                } else {
                    best = variant
                    isShorter = true
                }
            }
            if size == 1 && !isShorter { break }
            size = max(1, size / 2)
        }
        return best
    }
}

extension ModelScript: CustomStringConvertible {
    var description: String {
        "\(world)\n"
            + steps.enumerated().map { "  \($0.offset). \($0.element)\n" }.joined()
    }
}

extension Stage {
    func play(_ step: Step) {
        switch step {
        case .connect(let client): _ = clients[client].connect(self)
        case .send(let client, let count): _ = clients[client].write(count)
        case .receive(let client, let count): _ = clients[client].read(count, self)
        case .endSending(let client): clients[client].endSending()
        case .leave(let client, let resets): clients[client].close(reset: resets)
        case .accept(let node): _ = accept(nodes[node])
        case .nodeReads(let node, let connection, let count):
            _ = self.connection(node, connection)?.read(count, self)
        case .nodeWrites(let node, let connection, let count):
            _ = self.connection(node, connection)?.write(count, self)
        case .nodeCloses(let node, let connection, let resets):
            if !world.soundNodes[node] { self.connection(node, connection)?.close(reset: resets) }
        case .nodeClosesIdle(let node, let connection):
            guard let connection = self.connection(node, connection), connection.isIdle else {
                return
            }
            connection.close(reset: false)
        case .nodeRefuses(let node):
            if !world.soundNodes[node] { nodes[node].refuse() }
        case .nodeState(let node, let state):
            if !world.soundNodes[node] {
                board.publish(pool: 0, node: node, state: state, since: 1)
            }
        case .turn: turn()
        case .pass(let milliseconds): turn(after: UInt64(milliseconds) * 1_000_000)
        case .drain: drain()
        }
    }

    private func connection(_ node: Int, _ number: Int) -> NodeConnection? {
        let open = nodes[node].connections.filter(\.isOpen)
        return open.isEmpty ? nil : open[number % open.count]
    }
}
