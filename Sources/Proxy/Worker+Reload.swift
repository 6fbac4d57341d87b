// Taking over what the loader has made, between two events: other settings, pools, listeners and
// instances of strategies. No request holds a pointer into a plugin, so one turn of the loop is all
// it takes; connections, exchanges and counters stay what they are.

import Balance
import Base
import HTTP
import Net

extension Worker {
    mutating func takeDeliveries() {
        for letter in shared.mailboxes[index].take() {
            switch letter {
            case .generation(let generation):
                takeOver(generation)
                shared.inbox.put(.passed(worker: index, generation: generation.number))
            case .instance(let fresh, let place, let slot, let old):
                let view = pools.at(UInt32(place))
                // What was made for an instance that has been replaced meanwhile is of no use.
                if let present = view.it.instance(slot), present === old,
                    let returned = view.it.replace(slot, with: fresh)
                {
                    shared.inbox.put(.returned([returned]))
                } else {
                    shared.inbox.put(.returned([fresh]))
                }
            case .place(let queue, let exchange):
                called(Handle(packed: exchange), from: queue)
            }
        }
    }

    /// Has the loader make instances of strategies that have missed a change.
    mutating func askAnew(_ place: UInt32, _ slots: UInt16) {
        for slot in 0..<PoolView.slotLimit where slots & 1 << UInt16(slot) != 0 {
            guard let old = pools[place].instance(slot) else { continue }
            shared.inbox.put(.stale(worker: index, place: Int(place), slot: slot, old))
        }
    }

    /// Serves as `generation` says from here on.
    mutating func takeOver(_ generation: Generation) {
        log.redirect(to: generation.accessLog)
        let part = generation.parts[index]
        var left: [StrategyInstance] = []
        // Who is gone makes room first: another may sit there already.
        forget(rows: part.goneRows)
        for place in part.gone { left += vacate(place) }
        for prepared in part.views {
            let view = prepared.take()
            makeRoom(place: prepared.place, rows: view.place.pool.rows)
            left += view.inherit(from: pools[UInt32(prepared.place)])
            let hasMoved = pools[UInt32(prepared.place)].place.pool !== view.place.pool
            pools[UInt32(prepared.place)] = view
            if hasMoved { follow(UInt16(prepared.place)) }
        }
        for plan in generation.pools {
            if settings[plan.rows.pool].behind !== plan.settings.behind {
                for row in plan.rows.rows { closeIdle(row) }
            }
            settings[plan.rows.pool] = plan.settings
            names[plan.rows.pool] = plan.names
            traffics[plan.rows.pool] = plan.traffic
            affinities[UInt32(plan.rows.pool)] = plan.affinity
            for (node, row) in plan.rows.rows.enumerated() {
                nodeNames[row] = plan.rows.spec.nodes[node].name
                secure(row, plan.peers.isEmpty ? nil : plan.peers[node])
            }
        }
        addresses.refresh(shared.addresses)
        listen(generation, part)
        // Limits may be others now, and there may be other nodes.
        for plan in generation.pools { callWaiters(UInt32(plan.rows.pool)) }
        if !left.isEmpty { shared.inbox.put(.returned(left)) }
    }

    private mutating func makeRoom(place: Int, rows: [Int]) {
        while settings.count <= place {
            // A slab gives its slots in order: a pool's place is its index.
            _ = pools.insert(emptyView())
            _ = affinities.insert(.none)
            settings.append(.none)
            names.append(PoolNames(pool: "", strategies: []))
            traffics.append(.none)
            budgets.append(RetryBudget())
        }
        let least = (rows.max() ?? -1) + 1
        while idle.count < least {
            idle.append(IdleList())
            drains.append(0)
            peers.append(nil)
            formers.append(nil)
            nodeNames.append("")
        }
    }

    /// Of a place that is nobody's: it has no node.
    private func emptyView() -> PoolView {
        let nowhere = InstancePlace(
            board: shared.board, pool: .none, worker: index, clock: clock,
            metrics: shared.metrics, entropy: shared.entropy, gauges: shared.gauges)
        return PoolView(at: nowhere, strategies: [])
    }

    /// Nodes that are no longer configured: what they serve is served to the end, and counted no more.
    private mutating func forget(rows: [Int]) {
        guard !rows.isEmpty else { return }
        let gone = Set(rows.map { UInt32($0) })
        for row in rows where row < idle.count {
            closeIdle(row)
            idle[row] = IdleList()
            drains[row] = 0
            peers[row] = nil
            formers[row] = nil
        }
        for i in 0..<UInt32(upstreams.capacity) where upstreams.isLive(index: i) {
            if gone.contains(upstreams[i].row) { upstreams[i].row = .max }
        }
        for i in 0..<UInt32(exchanges.capacity) where exchanges.isLive(index: i) {
            let exchange = exchanges.at(i)
            guard gone.contains(exchange.it.row) else { continue }
            exchange.it.row = .max
            exchange.it.node = .max
            exchange.it.isCounted = false
            exchange.it.holdsPlace = false
        }
    }

    private mutating func closeIdle(_ row: Int) {
        while idle[row].oldest != .max {
            let oldest = idle[row].oldest
            idle[row].remove(oldest, in: upstreams)
            close(upstream: oldest)
        }
    }

    /// How a node is known by TLS from here on: connections under another name are not its.
    private mutating func secure(_ row: Int, _ peer: TLSBehind.Peer?) {
        guard peers[row] != peer else { return }
        peers[row] = peer
        closeIdle(row)
    }

    /// A pool that is no longer configured leaves an empty one behind.
    private mutating func vacate(_ place: Int) -> [StrategyInstance] {
        guard place < settings.count else { return [] }
        let left = pools[UInt32(place)].dismiss()
        pools[UInt32(place)] = emptyView()
        affinities[UInt32(place)] = .none
        for i in 0..<UInt32(exchanges.capacity) where exchanges.isLive(index: i) {
            let exchange = exchanges.at(i)
            guard exchange.it.pool == UInt16(place) else { continue }
            exchange.it.isOrphan = true
            guard exchange.it.phase == .waiting else { continue }
            // Its queue is gone with the pool.
            exchange.it.seat = -1
            exchange.it.isCalled = false
            enqueue(client: exchange.it.client)
        }
        traffics[place] = .none
        budgets[place] = RetryBudget()
        return left
    }

    /// The pool's nodes have other numbers now: exchanges follow theirs by its row.
    private mutating func follow(_ place: UInt16) {
        let view = pools.at(UInt32(place))
        for i in 0..<UInt32(exchanges.capacity) where exchanges.isLive(index: i) {
            let exchange = exchanges.at(i)
            guard exchange.it.pool == place else { continue }
            if exchange.it.row != .max { exchange.it.node = view.it.node(row: exchange.it.row) }
            // Nodes that were tried are known by their old numbers: the one that failed last is what
            // matters, and it is not the one in use.
            exchange.it.tried = .init(repeating: .max)
        }
    }

    private mutating func listen(_ generation: Generation, _ part: WorkerPart) {
        for (number, plan) in generation.listeners.enumerated() {
            let plan = plan ?? .none
            if number == listeners.count {
                listeners.append(Listening(fd: -1, plan: plan))
                _ = requestHeads.insert(RequestHead(limits: plan.limits))
                continue
            }
            let before = listeners[number].plan
            if plan.limits != before.limits {
                requestHeads[UInt32(number)] = RequestHead(limits: plan.limits)
            }
            listeners[number].plan = plan
            guard plan.isLeaving, listeners[number].fd >= 0 else { continue }
            if isDraining { continue }
            stopListening(number)
            letGo()
        }
        for (number, fd) in part.sockets {
            listeners[number].fd = fd
            if isDraining {
                IO.close(fd)
                listeners[number].fd = -1
            } else if !poller.addLevel(fd, token: Token.listener(number).packed) {
                Log.error("worker \(index) cannot watch listener \(number)")
            }
        }
    }
}

extension PoolSettings {
    /// Of a place that is nobody's.
    static var none: Self {
        Self(
            connectTimeout: 0, responseTimeout: 0, idleTimeout: 0, tunnelTimeout: 0, retries: 0,
            reusesAlways: false)
    }
}

extension ListenerPlan {
    /// Of a number that is nobody's.
    static var none: Self {
        Self(
            name: "", routes: RouteTable(otherwise: nil), trusted: [], limits: HeadLimits(),
            headerTimeout: 0, idleTimeout: 0, connections: ConnectionCount(limit: nil),
            isLeaving: true)
    }
}
