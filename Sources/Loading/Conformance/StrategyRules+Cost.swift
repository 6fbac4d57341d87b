// The rules about cost: no allocation and little time for a pick, and nothing of the memory kept after
// destroy. Time is the thread's own, so a busy machine fails nobody.

import Balance
import Base
import CLinux
import CTrivet
import Glibc

extension StrategyRules {
    /// Allocations that 10,000 picks may take: a table that doubles as it grows, not one per pick.
    private static let allocationLimit: UInt64 = 16

    static func noAllocation(_ staged: StagedKind) throws(ConformanceEnd) -> String {
        let pool = StagePool(100)
        let instance = try staged.make(pool)
        guard AllocationWatch.install() else {
            throw .skipped("allocations cannot be counted in this process")
        }
        let ring = RequestRing(256)
        doing("in pick or result, warming up")
        let start = threadTime()
        ask(instance, ring, 256)
        // One that is slow (see pick-time) is asked less often.
        let picks = threadTime() - start > 10_000_000 ? 500 : 10_000
        ask(instance, ring, picks / 2)
        doing("in pick or result")
        let count = AllocationWatch.count { ask(instance, ring, picks) }
        ConformanceChild.say(.figure("allocations", count))
        if count > allocationLimit {
            let each = Double(count) / Double(picks)
            let rounded = (each * 100).rounded() / 100
            throw .failed(
                "\(count) allocations in \(picks) picks with their results (\(rounded) each), where there "
                    + "should be none (a debug build allocates more than a release build)")
        }
        return "\(count) allocations in \(picks) picks with their results"
    }

    /// Picks and their results, without allocations of ours.
    private static func ask(_ instance: StageStrategy, _ ring: RequestRing, _ picks: Int) {
        var result = trivet_result()
        result.status = 200
        result.first_byte_ns = 1_000_000
        result.total_ns = 2_000_000
        for number in 0..<picks {
            instance.host.now += 100_000
            guard instance.ask(ring[number]) == TRIVET_PICKED else { continue }
            let node = unsafe instance.answer.pointee.node
            guard node < 100 else { continue }
            result.node = node
            result.node_id = unsafe instance.pool.lent(Int(node)).pointee.id
            result.token = unsafe instance.answer.pointee.token
            instance.result(result)
        }
    }

    /// Nanoseconds of the thread's time, at 100 nodes. Above the first a worker that does 50,000
    /// requests a second spends a tenth of its time on picks; above the second, all of it on 10,000.
    private static let warningNs: UInt64 = 2_000
    private static let failureNs: UInt64 = 100_000

    static func pickTime(_ staged: StagedKind) throws(ConformanceEnd) -> String {
        let instance = try staged.make(StagePool(100))
        let ring = RequestRing(256)
        doing("in pick")
        // A slow one is asked less often: the answer is clear by then.
        var batches: [UInt64] = []
        let start = threadTime()
        for batch in 0..<40 {
            let before = threadTime()
            for number in 0..<100 { instance.ask(ring[batch * 100 + number]) }
            batches.append((threadTime() - before) / 100)
            if threadTime() - start > 500_000_000 { break }
        }
        batches.sort()
        let median = batches[batches.count / 2]
        ConformanceChild.say(.figure("pick_ns", median))
        let sentence = "\(median) ns a pick at 100 nodes"
        if median > failureNs {
            throw .failed("\(sentence), where \(failureNs) are too much by far")
        }
        if median > warningNs {
            throw .warned("\(sentence), more than \(warningNs) (is it a debug build?)")
        }
        return sentence
    }

    static func givesMemoryBack(_ staged: StagedKind) throws(ConformanceEnd) -> String {
        try HeapGrowth.judge { () throws(ConformanceEnd) in try Traces.live(staged) }
    }
}

/// Nanoseconds that this thread has worked.
func threadTime() -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// How long a rule goes on repeating itself. A strategy with a large table may take its time to be made:
/// that is no fault, and is no reason to run into the time limit.
struct Patience {
    private let end: UInt64

    init(milliseconds: UInt64) { end = threadTime() + milliseconds * 1_000_000 }

    var isOver: Bool { threadTime() > end }
}

/// Whether the heap grows while the same life is lived again and again.
enum HeapGrowth {
    static func judge(
        _ life: () throws(ConformanceEnd) -> Void
    ) throws(ConformanceEnd) -> String {
        // Lives per window. Growth in both windows is a leak: once may be a table of the C library's.
        var lives = 0
        let patience = Patience(milliseconds: 500)
        while lives < 60, lives < 4 || !patience.isOver {
            try life()
            lives += 1
        }
        var least = Int.max
        for _ in 0..<2 {
            let before = clinux_heap_in_use()
            for _ in 0..<lives { try life() }
            least = min(least, Int(clinux_heap_in_use()) - Int(before))
        }
        let each = least / lives
        if each >= 16 {
            throw .failed(
                "\(each) bytes are lost with every instance that is made, used and destroyed")
        }
        return "made, used and destroyed \(lives * 2) times, and nothing was lost"
    }
}
