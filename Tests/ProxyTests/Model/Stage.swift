// Where a script is played: a worker of the real kind that takes its turns when the script says so, by
// a clock that is a number, between clients and nodes that are played as well. It remembers what was
// asked and answered, and blames who breaks the rules.

import Balance
import Base
import CLinux
import CTrivet
import Glibc
import HTTP
import Net

@testable import Proxy

/// What scripts of one thread have in common: memory for the board, the log, the strategy.
@safe final class StageRoom {
    let memory: UnsafeMutableRawBufferPointer
    let log: Int32
    let strategy: RandomStrategy
    let kind: StrategyKind
    /// Nil: this machine has no TLS.
    let desk: PeerDesk?

    init() throws {
        desk = TLS.isThere ? try PeerDesk() : nil
        unsafe memory = .allocate(
            byteCount: Board.bytesNeeded(pools: [World.spec(nodes: 3)], workers: 1), alignment: 64)
        log = try Self.memoryFile()
        strategy = RandomStrategy()
        kind = try strategy.kind()
    }

    deinit {
        unsafe memory.deallocate()
        IO.close(log)
    }
}

extension World {
    static func spec(nodes: Int) -> PoolSpec {
        PoolSpec(
            name: "pool",
            nodes: (0..<nodes).map {
                NodeSpec(
                    id: UInt64($0 + 1), name: "node\($0)", address: "127.0.0.1:\($0 + 1)",
                    weight: 1,
                    tier: 0, metadata: [])
            }, rise: 1, fall: 1, hasCheck: false)
    }

    /// The pool as this world has it.
    var pool: PoolSpec {
        var spec = Self.spec(nodes: soundNodes.count)
        for node in spec.nodes.indices { spec.nodes[node].maxInFlight = UInt32(places) }
        let second: UInt64 = 1_000_000_000
        if ejectsAfter > 0 {
            spec.ejection = EjectionRule(
                failures: UInt32(ejectsAfter), time: 10 * second, maxTime: 30 * second)
        }
        if startsSlowly { spec.slowStart = 30 * second }
        return spec
    }
}

/// One thread's.
final class Stage {
    let world: World
    let room: StageRoom
    let shared: WorkerShared
    let board: Board
    let traffic: PoolTraffic
    let address: SocketAddress
    private(set) var worker: Worker
    private(set) var now: UInt64 = 1_000_000_000_000
    private(set) var turns = 0
    private(set) var hasDrained = false
    var clients: [ModelClient] = []
    var nodes: [ModelNode] = []
    private(set) var answers: [AnswerPlan] = []
    /// By request: the answers that were planned for it, in the order in which nodes saw it.
    private(set) var sightings: [Int: [Int]] = [:]
    /// By request: the answer that its client has got something of.
    private var heard: [Int: Int] = [:]
    /// A node has sent an answer nobody asked for, not together with the one before: it may be taken
    /// for the next.
    var extrasMayPass = false
    /// Ends of the worker's that hold little.
    private var small: Set<UInt64> = []
    /// What was wrong.
    private(set) var faults: [String] = []

    init(_ world: World, in room: StageRoom) throws {
        self.world = world
        self.room = room
        let spec = world.pool
        unsafe room.memory.initializeMemory(as: UInt8.self, repeating: 0)
        board = try unsafe Board(memory: room.memory, pools: [spec], workers: 1, adopt: false)
        let addresses = AddressBook()
        let firstFailing = world.soundNodes.firstIndex(of: false)
        for index in spec.nodes.indices {
            board.publish(pool: 0, node: index, state: .up, since: 1)
            let node = try ModelNode(
                index, isLocal: world.isLocal, isSmall: world.isSmall,
                isBlackHole: world.hasBlackHole && index == firstFailing)
            nodes.append(node)
            addresses.publish([node.address], node: index)
        }
        let wish = world.isLocal ? SocketAddress.fresh() : SocketAddress.own()
        let listener = try Socket.listen(wish, shared: false)
        if world.isSmall { Peer.shrink(listener, isLocal: world.isLocal) }
        address = world.isLocal ? wish : Socket.localAddress(listener)!
        shared = WorkerShared(
            board: board, addresses: addresses, metrics: Metrics(), entropy: 1,
            clocks: [WorkerClock(now)], wakeups: [try Wakeup()], inbox: try LoaderInbox(),
            gauges: CallGauges(workers: 1), room: SocketRoom(limit: 1024, own: 24))
        traffic = PoolTraffic(queueLimit: world.queueLimit)
        let place = InstancePlace(
            board: board, pool: board.pools[0], worker: 0, clock: shared.clocks[0],
            metrics: shared.metrics)
        let strategies =
            world.hasStrategy
            ? [try room.kind.make(at: place, slot: 0, options: "{}")] : []
        room.strategy.begin(seed: world.seed)
        let second: UInt64 = 1_000_000_000
        let generation = Generation(
            number: 1,
            pools: [
                PoolPlan(
                    rows: board.pools[0],
                    settings: PoolSettings(
                        connectTimeout: 3 * second, responseTimeout: 20 * second,
                        idleTimeout: 15 * second, tunnelTimeout: 30 * second,
                        retries: UInt32(world.retries), reusesAlways: world.reusesAlways,
                        behind: world.isSecure.behind ? room.desk?.behind : nil),
                    names: PoolNames(pool: "pool", strategies: ["random"]), affinity: .none,
                    peers: world.isSecure.behind
                        ? spec.nodes.map { _ in PeerDesk.peer } : [],
                    traffic: traffic)
            ],
            listeners: [
                ListenerPlan(
                    name: "web", routes: RouteTable(otherwise: 0), trusted: [],
                    limits: HeadLimits(),
                    headerTimeout: 10 * second, idleTimeout: 40 * second,
                    connections: ConnectionCount(limit: nil),
                    front: world.isSecure.front ? room.desk?.front : nil,
                    handshakeTimeout: 10 * second, handshakes: 100)
            ], accessLog: room.log,
            parts: [
                WorkerPart(
                    views: [PreparedView(PoolView(at: place, strategies: strategies), place: 0)],
                    sockets: [(listener: 0, fd: listener)])
            ])
        worker = Worker(shared, index: 0, generation, try Worker.Means(worker: 0))
        // The clock is ours.
        worker.wheel = TimerWheel(now: now)
        worker.sweptAt = now
        guard worker.watch() else { throw Broken("the worker cannot be woken") }
        clients = world.requests.indices.map { ModelClient($0, world) }
    }

    deinit { shared.wakeups[0].close() }

    /// A node takes whoever waits first. False: nobody does.
    func accept(_ node: ModelNode) -> Bool {
        node.accept(world.isSecure.behind ? room.desk : nil)
    }

    func blame(_ what: String) { faults.append(what) }

    /// Has the worker take a turn. False if nothing had happened.
    @discardableResult
    func turn(after span: UInt64 = 0, wait: Int32 = 0) -> Bool {
        now += span
        turns += 1
        let count = worker.poller.wait(milliseconds: wait)
        let isBusy = count > 0 || !worker.queue.isEmpty
        worker.turn(events: count, at: now)
        if world.isSmall { shrinkBuffers() }
        return isBusy
    }

    /// The worker's own ends are to hold little as well. Once each: the kernel tells the poller.
    private func shrinkBuffers() {
        for index in 0..<UInt32(min(8, worker.clients.capacity))
        where worker.clients.isLive(index: index) {
            let name = Token(.client, worker.clients.handle(index)).packed
            if small.insert(name).inserted {
                Peer.shrink(worker.clients[index].link.fd, isLocal: world.isLocal)
            }
        }
        for index in 0..<UInt32(min(8, worker.upstreams.capacity))
        where worker.upstreams.isLive(index: index) {
            let name = Token(.upstream, worker.upstreams.handle(index)).packed
            if small.insert(name).inserted {
                Peer.shrink(worker.upstreams[index].link.fd, isLocal: world.isLocal)
            }
        }
    }

    func drain() {
        hasDrained = true
        shared.orders.give(.drain)
        shared.wakeups[0].signal()
    }

    func end() {
        worker.leave()
        for letter in shared.inbox.take() { _ = letter }
    }

    // MARK: The rules

    /// A request has come to a node: the answer it is to get. Throws if it should not have.
    func sight(_ plan: RequestPlan, on connection: NodeConnection) throws -> AnswerPlan {
        let before = sightings[plan.id, default: []]
        guard clients[plan.id / 8].hasSentHead(plan) else {
            throw Broken("/\(plan.id) before its head was sent")
        }
        if !before.isEmpty {
            guard plan.isReplayable else { throw Broken("/\(plan.id) a second time") }
            // Each attempt may have met a connection that was closing.
            guard before.count < 2 * (world.retries + 1) else {
                throw Broken("/\(plan.id) for the \(before.count + 1)th time")
            }
        }
        if connection.served > 0 && !plan.isReplayable && !world.reusesAlways {
            throw Broken("/\(plan.id), which cannot be sent again, on a used connection")
        }
        let answer = world.answer(
            number: answers.count, to: plan, by: connection.node, sightings: before.count)
        answers.append(answer)
        sightings[plan.id] = before + [answer.number]
        return answer
    }

    /// A client has got the head of an answer, perhaps an interim one.
    func check(answer number: Int, status: Int, for plan: RequestPlan) throws {
        if number >= AnswerPlan.extra {
            guard extrasMayPass else { throw Broken("an answer that nobody asked for") }
            return
        }
        guard answers.indices.contains(number) else { throw Broken("an answer \(number)") }
        let answer = answers[number]
        guard answer.request == plan.id else {
            throw Broken("the answer \(number) to /\(answer.request) for /\(plan.id)")
        }
        // Who was passed something on from one node is not sent to another. (One that was given up for
        // its silence may look at the request later.)
        guard sightings[plan.id]?.last == number || world.timePasses,
            heard[plan.id, default: number] == number
        else {
            throw Broken("the answer \(number) for /\(plan.id), which has gone to another node")
        }
        heard[plan.id] = number
        let isInterim = status == 100 || status == 103
        guard isInterim ? answer.interims > 0 : status == answer.status else {
            throw Broken("a \(status) for the answer \(number), which is a \(answer.status)")
        }
    }

    /// A client has got an answer of the balancer's own.
    func check(own status: Int, for plan: RequestPlan) throws {
        let isAllowed =
            switch status {
            case 400: plan.flaw != nil || extrasMayPass
            case 408: world.timePasses || world.ending == .patience
            case 502, 503:
                world.nodesFail || world.hasBlackHole
                    || world.reusesAlways && !plan.isReplayable
                    || status == 503 && mayWaitInVain
            case 504: world.timePasses || world.ending == .patience || world.ending == .drain
            default: false
            }
        guard isAllowed else { throw Broken("a \(status) for \(plan.method) /\(plan.id)") }
        if status == 502 || status == 503, mustBeServed(plan) {
            throw Broken("a \(status) for /\(plan.id), which another node could have served")
        }
    }

    /// Whether there may be no place for a request although all goes well.
    private var mayWaitInVain: Bool {
        world.isCrowded
            || world.places > 0
                && (world.timePasses || world.ending == .patience || world.ending == .drain)
    }

    /// Whether some node was sound, and the rules of retrying would have led to it.
    private func mustBeServed(_ plan: RequestPlan) -> Bool {
        guard plan.isReplayable, plan.flaw == nil, world.soundNodes.contains(true),
            world.retries >= world.soundNodes.count - 1, !mayWaitInVain,
            // A node that no time is given to answer looks as bad as one that cannot.
            !world.timePasses
        else { return false }
        return (sightings[plan.id] ?? []).allSatisfy {
            answers[$0].fault != .nonsense && answers[$0].interims == 0
        } && !extrasMayPass
    }
}

/// Picks any node that is ready and was not tried, and counts what it is told of.
@safe final class RandomStrategy {
    private var random = SplitMix64(seed: 0)
    private(set) var results = 0

    func begin(seed: UInt64) {
        random = SplitMix64(seed: seed)
        results = 0
    }

    func kind() throws -> StrategyKind {
        let data = unsafe Unmanaged.passUnretained(self).toOpaque()
        return unsafe try StrategyKind.ofTest("random-test", "picks any", data: data) { table in
            unsafe table.pointee.pick = { me, pool, request, out in
                let strategy = unsafe Unmanaged<RandomStrategy>.fromOpaque(me!)
                    .takeUnretainedValue()
                return unsafe strategy.pick(pool!.pointee, request!.pointee, out!)
            }
            unsafe table.pointee.result = { me, _, _ in
                let strategy = unsafe Unmanaged<RandomStrategy>.fromOpaque(me!)
                    .takeUnretainedValue()
                strategy.results += 1
            }
        }
    }

    private func pick(
        _ pool: trivet_pool, _ request: trivet_request, _ out: UnsafeMutablePointer<trivet_pick>
    ) -> trivet_decision {
        guard unsafe pool.ready_count > 0 else { return TRIVET_PASS }
        let node = unsafe pool.ready[random.below(Int(pool.ready_count))]
        for index in unsafe 0..<Int(request.tried_count) where unsafe request.tried[index] == node {
            return TRIVET_PASS
        }
        unsafe out.pointee.node = node
        return TRIVET_PICKED
    }
}

extension StageRoom {
    fileprivate static func memoryFile() throws -> Int32 {
        let file = unsafe clinux_memfd_create("log", 0)
        guard file >= 0 else { throw Broken("no file for the log") }
        return file
    }
}
