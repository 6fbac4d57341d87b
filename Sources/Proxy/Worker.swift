// A worker: one thread, one event loop, its own listeners, connections, pools of connections to
// nodes, timers and strategy instances. What workers share is published to them (the board, the
// address book, orders) and picked up between two events. The facets of its work are the files
// Worker+*.swift: accepting, requests, connecting, both directions of an exchange, endings.

import Balance
import Base
import Config
import HTTP
import Net

/// A listener as one worker has it.
struct Listening {
    /// -1: closed.
    var fd: Int32
    var plan: ListenerPlan
}

/// One worker's whole state. Lives on its thread's stack; nothing else touches it.
struct Worker: ~Copyable {
    private let staysInPlace = StaysInPlace()
    let shared: WorkerShared
    let index: Int
    let clock: WorkerClock
    let poller: Poller
    var wheel: TimerWheel
    var kit: Kit
    var clients = Slab<Client>()
    var exchanges = Slab<Exchange>(chunk: 64)
    var upstreams = Slab<Upstream>()
    var pools = Slab<PoolView>(chunk: 8)
    /// By the pools' places on the board, as `pools` is.
    var settings: [PoolSettings] = []
    var names: [PoolNames] = []
    var traffics: [PoolTraffic] = []
    var budgets: [RetryBudget] = []
    /// Likewise.
    var affinities = Slab<Affinity>(chunk: 8)
    /// What clients are to carry, of exchanges whose answer has not ended yet.
    var carrieds = Slab<Carried>(chunk: 64)
    /// For session cookies: each number comes once.
    var nonces: SplitMix64
    var setCookie = SetCookieLine()
    /// Seconds since 1970, as of the turn at `wallReadAt`.
    var wall: UInt32 = 0
    var wallReadAt: UInt64 = 0
    var dateLine = DateLine()
    /// By the nodes' rows on the board. Who is gone keeps its name until another takes the row.
    var idle: [IdleList] = []
    /// Since when each drains, as far as its pool cares; 0: it does not.
    var drains: [UInt64] = []
    var nodeNames: [String] = []
    /// How each is known by TLS, and what it gave to take up a session; nil: plain, or nothing.
    var peers: [TLSBehind.Peer?] = []
    var formers: [Former?] = []
    var listeners: [Listening] = []
    var addresses: AddressCopy
    /// One for each listener.
    var requestHeads = Slab<RequestHead>(chunk: 8)
    var responseHead: ResponseHead
    /// Of the connection that was looked at last.
    var clientHello = ClientHello()
    var log: AccessLog
    /// Clients that go on at the end of the turn: a pipelined request, or a stream that has yielded.
    var queue: [UInt64] = []
    var resumed: [UInt64] = []
    var now: UInt64
    var sweptAt: UInt64 = 0
    var isDraining = false
    /// When it is looked again whether clients can be taken; 0: they are.
    var acceptRestsUntil: UInt64 = 0
    /// For saying that a proxy in front did not say whom a connection is for.
    let greetings = Throttle()
    /// For saying that there is no TLS with a node.
    let insecurities = Throttle()
    /// Handshakes of clients that are in progress, and those that came to nothing.
    var handshakes = HandshakeCount()
    /// Who is let go, a few at a time.
    var farewell = Farewell()

    /// What a worker needs of the system, had before the worker is made.
    struct Means: ~Copyable {
        let poller: Poller
        let kit: Kit

        init(worker: Int) throws(Refusal) {
            let poller: Poller
            do throws(SystemError) {
                poller = try Poller()
            } catch {
                throw Refusal("worker \(worker) cannot start: \(error)")
            }
            guard let kit = Kit() else {
                throw Refusal("worker \(worker) cannot start: no memory")
            }
            self.poller = poller
            self.kit = kit
        }
    }

    init(
        _ shared: WorkerShared, index: Int, _ generation: Generation, _ means: consuming Means
    ) {
        self.shared = shared
        self.index = index
        poller = means.poller
        kit = means.kit
        kit.pipes.most = max(1, shared.room.plan.pipes / shared.clocks.count)
        now = monotonicNow()
        clock = shared.clocks[index]
        wheel = TimerWheel(now: now)
        addresses = AddressCopy(shared.addresses)
        responseHead = ResponseHead()
        log = AccessLog(fd: generation.accessLog)
        clock.now = now
        // Started where no worker of this or another life started, but by a chance of 2^-64.
        nonces = SplitMix64(seed: shared.nonceSeed(worker: index))
        queue.reserveCapacity(256)
        resumed.reserveCapacity(256)
        takeOver(generation)
    }

    /// Registers what wakes the worker. False: the system lets it not.
    func watch() -> Bool {
        poller.addLevel(shared.wakeups[index].fd, token: Token.wakeup.packed)
    }

    /// Serves until it is told to stop, or has drained.
    mutating func run() {
        while !isOver {
            let count = poller.wait(milliseconds: patience())
            turn(events: count, at: monotonicNow())
        }
        leave()
    }

    /// One turn of the loop: the poller's first `count` events are dealt with, and whatever time it is
    /// for, `time` being monotonic nanoseconds. Tests take turns by themselves, by a clock of their own.
    mutating func turn(events count: Int, at time: UInt64) {
        now = time
        clock.now = time
        refresh()
        for i in 0..<count { noteIdle(poller[i]) }
        for i in 0..<count { handle(poller[i]) }
        runQueue()
        expire()
        if handshakes.due > 0 { tellOfHandshakes() }
        log.flush(now: now)
    }

    /// Ends whatever is still there. Nothing may be asked of the worker after it.
    mutating func leave() {
        closeEverything()
        log.end(patience: 500_000_000)
        shared.inbox.put(.left(worker: index))
    }

    /// Whether it has nothing to do any more: it was told to stop, or has drained.
    var isOver: Bool {
        switch shared.orders.current {
        case .serve: false
        case .drain: isDraining && clients.count == 0
        case .stop: true
        }
    }

    /// Milliseconds the poller may wait.
    private func patience() -> Int32 {
        if !queue.isEmpty { return 0 }
        var wait = wheel.wait(now: now)
        // Idle connections to nodes are looked at once a second.
        if upstreams.count > 0 { wait = wait < 0 ? 1000 : min(wait, 1000) }
        if log.isBehind { wait = wait < 0 ? 100 : min(wait, 100) }
        wait = sooner(wait, acceptRestsUntil)
        return sooner(sooner(wait, farewell.next), handshakes.due)
    }

    /// The shorter of a wait in milliseconds (negative: for ever) and the time until `due` (0: none).
    private func sooner(_ wait: Int32, _ due: UInt64) -> Int32 {
        guard due > 0 else { return wait }
        let left = due <= now ? 0 : Int32(clamping: (due - now) / 1_000_000 + 1)
        return wait < 0 ? left : min(wait, left)
    }

    /// Takes over what other threads have published.
    private mutating func refresh() {
        if !shared.mailboxes[index].isEmpty { takeDeliveries() }
        for pool in 0..<UInt32(settings.count) {
            if pools[pool].refresh(now: now) { callWaiters(pool) }
            let stale = pools[pool].takeStale(now: now)
            if stale != 0 { askAnew(pool, stale) }
        }
        addresses.refresh(shared.addresses)
        if shared.orders.current != .serve && !isDraining { beginDrain() }
        if acceptRestsUntil > 0 && now >= acceptRestsUntil { resumeAccepting() }
        if farewell.next > 0 && now >= farewell.next { sayFarewell() }
    }

    /// What an idle connection to a node says, or that it has ended, is heard before any request of this
    /// turn takes it: else it would be the answer to that.
    private mutating func noteIdle(_ event: Event) {
        let token = Token(packed: event.token)
        guard token.kind == .upstream, upstreams.isLive(token.handle) else { return }
        let upstream = upstreams.at(token.handle.index)
        guard upstream.it.client == .max else { return }
        upstream.it.link.note(event)
        drop(idle: token.handle.index)
    }

    private mutating func handle(_ event: Event) {
        let token = Token(packed: event.token)
        switch token.kind {
        case .client:
            guard clients.isLive(token.handle) else { return }
            clients.at(token.handle.index).it.link.note(event)
            advance(client: token.handle.index, broken: event.broken)
        case .upstream:
            guard upstreams.isLive(token.handle) else { return }
            let upstream = upstreams.at(token.handle.index)
            upstream.it.link.note(event)
            if upstream.it.client == .max {
                // Idle: whatever it says, it is of no use any more.
                drop(idle: token.handle.index)
            } else if !upstream.it.isConnected {
                connectEnded(token.handle.index)
            } else {
                drive(clients.at(upstream.it.client).it.exchange)
            }
        case .listener:
            // The event may be older than this turn's order to drain, and the descriptor closed.
            if !isDraining { accept(Int(token.handle.index)) }
        case .wakeup:
            shared.wakeups[index].clear()
        }
    }

    /// Goes on with a client after something happened on its side.
    mutating func advance(client index: UInt32, broken: Bool = false) {
        let client = clients.at(index)
        switch client.it.phase {
        case .head: readHead(index)
        case .greeting: readGreeting(index)
        case .hello: readHello(index)
        case .handshake: shakeHands(index)
        case .exchange:
            // What came through a tunnel before its client ended is still there to be passed on.
            if broken && exchanges[client.it.exchange].phase != .tunnel {
                clientGone(client.it.exchange)
            } else {
                drive(client.it.exchange)
            }
        case .lingering: linger(index)
        }
    }

    /// Has a client go on at the end of this turn.
    mutating func enqueue(client index: UInt32) {
        let client = clients.at(index)
        guard !client.it.isQueued else { return }
        client.it.isQueued = true
        queue.append(clients.handle(index).packed)
    }

    private mutating func runQueue() {
        guard !queue.isEmpty else { return }
        swap(&queue, &resumed)
        for packed in resumed {
            let handle = Handle(packed: packed)
            guard clients.isLive(handle) else { continue }
            clients.at(handle.index).it.isQueued = false
            advance(client: handle.index)
        }
        resumed.removeAll(keepingCapacity: true)
    }

    /// Sets when the patience with a client ends; `span` 0: never.
    mutating func arm(_ index: UInt32, after span: UInt64) {
        let client = clients.at(index)
        client.it.deadline = span == 0 ? 0 : now &+ span
        if span > 0 { wheel.set(index, at: now &+ span) }
    }

    private mutating func expire() {
        while let index = wheel.expired(now: now) {
            guard index < UInt32(clients.capacity), clients.isLive(index: index) else { continue }
            let deadline = clients[index].deadline
            if deadline == 0 { continue }
            if deadline > now { wheel.set(index, at: deadline) } else { timedOut(index) }
        }
        if now &- sweptAt >= 1_000_000_000 {
            sweptAt = now
            sweepIdle()
            sweepDraining()
            kit.buffers.trim()
        }
    }
}

/// What the poller hands back with an event: what kind of descriptor, and which.
struct Token {
    enum Kind: UInt32 {
        case client = 0
        case upstream = 1
        case listener = 2
        case wakeup = 3
    }
    let kind: Kind
    let handle: Handle

    init(_ kind: Kind, _ handle: Handle) {
        self.kind = kind
        self.handle = handle
    }
    static func listener(_ index: Int) -> Token {
        Token(.listener, Handle(index: UInt32(index), generation: 0))
    }
    static var wakeup: Token { Token(.wakeup, Handle(index: 0, generation: 0)) }

    // The kind lies in the upper two bits of the index: a worker has fewer than 2^30 connections.
    var packed: UInt64 {
        Handle(index: handle.index | kind.rawValue << 30, generation: handle.generation).packed
    }
    init(packed: UInt64) {
        let both = Handle(packed: packed)
        kind = Kind(rawValue: both.index >> 30) ?? .wakeup
        handle = Handle(index: both.index & (1 << 30 - 1), generation: both.generation)
    }
}
