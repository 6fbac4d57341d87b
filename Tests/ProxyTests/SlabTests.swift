// The slab: a stale handle must never reach another client's connection, and nothing may move.

import Base
import Testing

@testable import Proxy

/// Counts lives, so that a leak or a double end shows.
private final class Ledger {
    var alive = 0
}

private struct Guest: ~Copyable {
    let ledger: Ledger
    var number: Int
    init(_ number: Int, in ledger: Ledger) {
        self.ledger = ledger
        self.number = number
        ledger.alive += 1
    }
    deinit { ledger.alive -= 1 }
}

@Suite struct SlabTests {
    @Test func `an element is found by its handle until it is removed, and never after`() {
        let ledger = Ledger()
        var slab = Slab<Guest>(chunk: 2)
        let first = slab.insert(Guest(1, in: ledger))
        let second = slab.insert(Guest(2, in: ledger))
        #expect(slab.isLive(first) == true)
        #expect(slab[first.index].number == 1)
        #expect(slab[second.index].number == 2)
        _ = slab.remove(first.index)
        #expect(slab.isLive(first) == false)
        let third = slab.insert(Guest(3, in: ledger))
        #expect(third.index == first.index)
        #expect(third != first)
        #expect(slab.isLive(first) == false)
        #expect(slab.isLive(third) == true)
        #expect(slab.isLive(.none) == false)
        #expect(slab.isLive(Handle(index: 1000, generation: 1)) == false)
        #expect(slab.handle(second.index) == second)
        #expect(slab.count == 2)
        #expect(ledger.alive == 2)
    }

    @Test func `growing moves nothing`() {
        let ledger = Ledger()
        var slab = Slab<Guest>(chunk: 4)
        let handle = slab.insert(Guest(7, in: ledger))
        let before = unsafe slab.pointer(handle.index)
        for number in 0..<1000 { _ = slab.insert(Guest(number, in: ledger)) }
        let after = unsafe slab.pointer(handle.index)
        #expect(unsafe before == after)
        #expect(slab[handle.index].number == 7)
        #expect(slab.capacity >= 1001)
    }

    @Test func `elements change in place`() {
        let ledger = Ledger()
        var slab = Slab<Guest>(chunk: 1)
        let handle = slab.insert(Guest(1, in: ledger))
        // Not `+= 41`: Swift 6.3.1 with the thread sanitizer crashes on it.
        slab[handle.index].number = slab[handle.index].number + 41
        #expect(slab[handle.index].number == 42)
        let guest = slab.remove(handle.index)
        #expect(guest.number == 42)
    }

    @Test func `a long random life leaks nothing and mixes nothing up`() {
        let ledger = Ledger()
        var random = SplitMix64(seed: 99)
        do {
            var slab = Slab<Guest>(chunk: 8)
            var live: [(handle: Handle, number: Int)] = []
            var stale: [Handle] = []
            for step in 0..<20_000 {
                if live.isEmpty || (live.count < 100 && random.next() % 2 == 0) {
                    live.append((slab.insert(Guest(step, in: ledger)), step))
                } else {
                    let gone = live.remove(at: Int(random.next() % UInt64(live.count)))
                    #expect(slab.remove(gone.handle.index).number == gone.number)
                    stale.append(gone.handle)
                }
            }
            for (handle, number) in live {
                #expect(slab.isLive(handle) == true)
                #expect(slab[handle.index].number == number)
            }
            for handle in stale { #expect(slab.isLive(handle) == false) }
            #expect(slab.count == live.count)
            #expect(ledger.alive == live.count)
            // The steady state: freed slots are used again.
            #expect(slab.capacity <= 104)
            var walked = 0
            for index in 0..<UInt32(slab.capacity) where slab.isLive(index: index) { walked += 1 }
            #expect(walked == live.count)
        }
        #expect(ledger.alive == 0)
    }

    @Test func `a handle survives the trip through one number`() {
        let handle = Handle(index: 0xDEAD_BEEF, generation: 0x1234_5679)
        #expect(Handle(packed: handle.packed) == handle)
        #expect(Handle(packed: Handle.none.packed) == .none)
    }
}
