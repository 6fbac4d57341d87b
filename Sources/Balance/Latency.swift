// Averages of time to first byte: one worker's own, and that of all workers together.

/// Moving average of one worker: the newest sample counts an eighth, as in TCP's estimate of the
/// round trip (RFC 6298, 2.3). `average` 0 means none yet.
func movingAverage(_ average: UInt64, adding sample: UInt64) -> UInt64 {
    guard average > 0 else { return max(sample, 1) }
    let next = average - average / 8 + sample / 8
    return max(next, 1)
}

/// Mean of the workers' averages, in which a worker that has been silent counts half as much with
/// every second of silence (down to a thousandth): what it knows is old.
struct LatencyMean {
    private let now: UInt64
    private var sum: UInt64 = 0
    private var weights: UInt64 = 0

    /// `now` may be `.max`, where the clock is not known: all count alike.
    init(now: UInt64) { self.now = now }

    mutating func add(_ average: UInt64, at: UInt64) {
        guard average > 0 else { return }
        let silence = now == .max || now < at ? 0 : (now - at) / 1_000_000_000
        let weight: UInt64 = 1024 >> min(silence, 10)
        // An hour in nanoseconds, times 1024, times 4096 workers, still fits in 64 bits.
        sum += min(average, 3_600_000_000_000) * weight
        weights += weight
    }

    var value: UInt64 { weights == 0 ? 0 : sum / weights }
}
