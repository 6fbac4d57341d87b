// The line for places at nodes with limits: order, bounds, and that nobody is forgotten in it.

import Base
import Synchronization
import Testing

@testable import Proxy

@Suite("Who waits for a place gets one in turn")
struct PoolQueueTests {
    private func waiter(_ number: Int, worker: UInt32 = 0) -> PoolQueue.Waiter {
        PoolQueue.Waiter(worker: worker, exchange: UInt64(number))
    }

    /// As a worker does it; its seat, or -1.
    @discardableResult
    private func join(
        _ queue: PoolQueue, _ number: Int, since: UInt64 = 0, isRetry: Bool = false,
        isNew: Bool = true
    ) -> Int {
        if isNew { queue.announce() }
        var call: PoolQueue.Waiter?
        let joined = queue.join(
            waiter(number), since: since == 0 ? UInt64(number) : since, isRetry: isRetry,
            isNew: isNew, call: &call)
        #expect(call == nil)
        if case .waits(let seat) = joined { return seat }
        return -1
    }

    @Test("first come, first served, from whichever worker")
    func order() {
        let queue = PoolQueue(limit: 10)
        for number in 1...5 { join(queue, number) }
        for number in 1...5 { #expect(queue.call() == waiter(number)) }
        #expect(queue.call() == nil && queue.isBusy)
        for _ in 1...5 { queue.settle() }
        #expect(!queue.isBusy)
    }

    @Test("the line is as long as it may be, and who was called in vain does not lose its turn")
    func limit() {
        let queue = PoolQueue(limit: 3)
        for number in 1...3 { join(queue, number) }
        #expect(join(queue, 4) == -1)
        #expect(queue.call() == waiter(1))
        join(queue, 5)
        // It was there before: beyond the limit, and before those that came later.
        #expect(join(queue, 1, isNew: false) >= 0)
        #expect(queue.length == 4)
        #expect([1, 2, 3, 5].map { waiter($0) } == (0..<4).compactMap { _ in queue.call() })
    }

    @Test("a place that becomes free while somebody is about to join is not lost")
    func missed() {
        let queue = PoolQueue(limit: 3)
        queue.announce()
        #expect(queue.call() == nil)
        var call: PoolQueue.Waiter?
        _ = queue.join(waiter(1), since: 1, isRetry: false, isNew: true, call: &call)
        #expect(call == waiter(1))
        queue.settle()
        #expect(!queue.isBusy)
    }

    @Test("who gives up frees its seat; if it was called meanwhile, that is known")
    func leaving() {
        let queue = PoolQueue(limit: 3)
        let seats = (1...3).map { join(queue, $0) }
        #expect(queue.leave(seats[1], waiter(2)))
        #expect(!queue.leave(seats[1], waiter(2)))
        #expect(queue.call() == waiter(1))
        #expect(!queue.leave(seats[0], waiter(1)))
        // Its seat is another's now.
        join(queue, 7)
        #expect(!queue.leave(seats[0], waiter(1)))
        #expect(queue.call() == waiter(3))
        #expect(queue.call() == waiter(7))
    }

    @Test("a retry waits behind the others, and is passed over where its place would be none")
    func retries() {
        let queue = PoolQueue(limit: 9)
        join(queue, 5, isRetry: true)
        join(queue, 6)
        join(queue, 1, since: 1)
        #expect(queue.call(retryToo: false) == waiter(1))
        #expect(queue.call() == waiter(5))
        #expect(queue.call(retryToo: false) == waiter(6))
        #expect(queue.call() == nil)
    }

    @Test("of 4 threads that come, wait, give up and are called, nobody is forgotten")
    func threads() async {
        let rig = Rig()
        await withTaskGroup(of: Void.self) { group in
            for worker in 0..<4 { group.addTask { await rig.run(worker) } }
        }
        #expect(rig.served.load(ordering: .relaxed) == 4 * Rig.requests)
        #expect(!rig.queue.isBusy && rig.queue.length == 0)
    }
}

/// Three places, and workers that want them again and again.
private final class Rig: Sendable {
    static let requests = 1_000

    private final class Letters: Sendable { let list = Guarded<[UInt64]>([]) }

    let queue = PoolQueue(limit: 1_000_000)
    let served = Atomic<Int>(0)
    private let free = Atomic<Int>(3)
    private let letters = (0..<4).map { _ in Letters() }

    func run(_ worker: Int) async {
        var begun = 0
        var left = Self.requests
        while left > 0 {
            let called = letters[worker].list.withLock { list in
                defer { list = [] }
                return list
            }
            for number in called where attempt(number, worker, isNew: false) { left -= 1 }
            if begun < Self.requests {
                begun += 1
                if attempt(UInt64(begun), worker, isNew: true) { left -= 1 }
            } else if called.isEmpty {
                await Task.yield()
            }
        }
    }

    /// True if the request had its place.
    private func attempt(_ number: UInt64, _ worker: Int, isNew: Bool) -> Bool {
        if isNew { queue.announce() }
        if takePlace() {
            queue.settle()
            free.wrappingAdd(1, ordering: .sequentiallyConsistent)
            if let next = queue.call() { send(next) }
            served.wrappingAdd(1, ordering: .relaxed)
            return true
        }
        var call: PoolQueue.Waiter?
        _ = queue.join(
            PoolQueue.Waiter(worker: UInt32(worker), exchange: number), since: number,
            isRetry: false, isNew: isNew, call: &call)
        if let call { send(call) }
        return false
    }

    private func takePlace() -> Bool {
        let left = free.wrappingSubtract(1, ordering: .sequentiallyConsistent).newValue
        if left >= 0 { return true }
        free.wrappingAdd(1, ordering: .sequentiallyConsistent)
        return false
    }

    private func send(_ waiter: PoolQueue.Waiter) {
        letters[Int(waiter.worker)].list.withLock { $0.append(waiter.exchange) }
    }
}
