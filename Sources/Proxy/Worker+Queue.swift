// Waiting for a place at a node, and going to another node after a failure: what a worker does about
// both. Who waits is in the pool's queue, which the workers share; a place that becomes free on any of
// them goes to whoever has waited longest. Faults/PoolQueue.swift says why nobody is forgotten.

import Balance
import Base

extension Worker {
    // MARK: Waiting

    /// Others wait already: a request that comes now joins them. It is announced then.
    mutating func overtakes(_ exchange: Ref<Exchange>) -> Bool {
        guard !exchange.it.isCalled, exchange.it.attempt == 0 else { return false }
        let queue = traffics[Int(exchange.it.pool)].queue
        guard queue.isBusy else { return false }
        queue.announce()
        exchange.it.isCalled = true
        return true
    }

    /// It has found no place: places that become free from here on are not missed. False if it was
    /// announced, or called, already.
    mutating func announce(_ exchange: Ref<Exchange>) -> Bool {
        guard !exchange.it.isCalled else { return false }
        traffics[Int(exchange.it.pool)].queue.announce()
        exchange.it.isCalled = true
        return true
    }

    /// It waits no longer.
    mutating func answerCall(_ exchange: Ref<Exchange>) {
        exchange.it.isCalled = false
        traffics[Int(exchange.it.pool)].queue.settle()
    }

    /// An announced or called exchange for which there is no place joins the line.
    mutating func wait(_ index: UInt32) {
        let exchange = exchanges.at(index)
        let queue = traffics[Int(exchange.it.pool)].queue
        let isNew = exchange.it.waitingSince == 0
        if isNew { exchange.it.waitingSince = max(now, 1) }
        let isRetry = exchange.it.attempt > 0
        exchange.it.isCalled = false
        var next: PoolQueue.Waiter?
        let joined = queue.join(
            waiter(index), since: exchange.it.waitingSince, isRetry: isRetry, isNew: isNew,
            call: &next)
        switch joined {
        case .waits(let seat):
            exchange.it.phase = .waiting
            exchange.it.seat = seat
            exchange.it.isArmed = false
            let end = exchange.it.waitingSince &+ settings[Int(exchange.it.pool)].queueTimeout
            arm(exchange.it.client, after: end > now ? end - now : 1)
            // The place that it was called for is none for it; it may be for another.
            if isRetry && !isNew && next == nil { next = queue.call(retryToo: false) }
        case .isFull:
            fail(index, 503, "every node has as many requests as it may have, and so has the queue")
        }
        if let next { pass(next, from: queue) }
    }

    private func waiter(_ index: UInt32) -> PoolQueue.Waiter {
        PoolQueue.Waiter(worker: UInt32(self.index), exchange: exchanges.handle(index).packed)
    }

    /// A place of a pool is free.
    mutating func callWaiter(_ pool: Int) {
        let queue = traffics[pool].queue
        if let next = queue.call() { pass(next, from: queue) }
    }

    /// Other nodes may take a pool's requests now: as many are called as there are places.
    mutating func callWaiters(_ pool: UInt32) {
        let queue = traffics[Int(pool)].queue
        guard queue.isBusy else { return }
        for _ in 0..<min(pools[pool].freePlaces, queue.length) {
            guard let next = queue.call() else { return }
            pass(next, from: queue)
        }
    }

    private mutating func pass(_ waiter: PoolQueue.Waiter, from queue: PoolQueue) {
        if waiter.worker == UInt32(index) {
            called(Handle(packed: waiter.exchange), from: queue)
        } else {
            shared.deliver(.place(queue, exchange: waiter.exchange), to: Int(waiter.worker))
        }
    }

    /// An exchange of this worker has been called. If it is not there any more, the next one is.
    mutating func called(_ handle: Handle, from queue: PoolQueue) {
        guard exchanges.isLive(handle), exchanges[handle.index].phase == .waiting,
            traffics[Int(exchanges[handle.index].pool)].queue === queue
        else {
            queue.settle()
            if let next = queue.call() { pass(next, from: queue) }
            return
        }
        let exchange = exchanges.at(handle.index)
        exchange.it.seat = -1
        exchange.it.isCalled = true
        enqueue(client: exchange.it.client)
    }

    /// An exchange that ends waits no longer, and what it was called for goes to the next one.
    mutating func leaveQueue(_ index: UInt32) {
        let exchange = exchanges.at(index)
        if exchange.it.seat >= 0 {
            // If it was called meanwhile, the call finds nobody, and is passed on then.
            _ = traffics[Int(exchange.it.pool)].queue.leave(exchange.it.seat, waiter(index))
            exchange.it.seat = -1
        } else if exchange.it.isCalled {
            answerCall(exchange)
            callWaiter(Int(exchange.it.pool))
        }
    }

    // MARK: Retries

    /// Whether another attempt may be made after one that has just failed. `wasSent`: a node may have
    /// seen something of the request, so that it counts against the budget.
    mutating func mayRetry(_ exchange: Ref<Exchange>, wasSent: Bool) -> Bool {
        let pool = Int(exchange.it.pool)
        guard exchange.it.attempt <= settings[pool].retries else { return false }
        if wasSent && !budgets[pool].spend(share: settings[pool].retryShare, now: now) {
            traffics[pool].noteDenied()
            if budgets[pool].isToBeTold(now: now) {
                Log.warning(
                    "pool \(names[pool].pool): requests that failed are not sent to another node for "
                        + "now: retries have reached their share of the requests (retry_budget)")
            }
            return false
        }
        traffics[pool].noteRetry()
        return true
    }
}
