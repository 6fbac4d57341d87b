// What a pool does when nodes fail, come back or have enough to do: retries, ejection, slow start,
// places and the queue for them.

import Base

extension Pool {
    static let inFlightRange = 1...1_000_000
}

extension Reader {
    mutating func faults(_ fields: Fields, of pool: inout Pool, _ what: String) {
        pool.retryBudget = percent(fields, "retry_budget", 0...1_000_000) ?? pool.retryBudget
        if let node = fields["ejection"] { pool.ejection = ejection(node, what) }
        if let time = durationOrOff(fields, "slow_start") { pool.slowStart = time }
        pool.maxInFlight = integer(fields, "max_in_flight", Pool.inFlightRange)
        if let node = fields["queue"] { pool.queue = queue(node, what) }
    }

    private mutating func ejection(_ node: JSONNode, _ pool: String) -> Pool.Ejection? {
        if case .string("off") = node.kind { return nil }
        var ejection = Pool.Ejection()
        guard case .object = node.kind else {
            mismatch(node, "the ejection of \(pool)", "an object, or \"off\"")
            return ejection
        }
        guard
            let fields = object(
                node, "the ejection of \(pool)", keys: ["failures", "time", "max_time"])
        else { return ejection }
        ejection.failures = integer(fields, "failures", 1...1_000_000) ?? ejection.failures
        ejection.time = duration(fields, "time") ?? ejection.time
        let most = duration(fields, "max_time")
        // A longer beginning makes for a longer end, unless both are written.
        ejection.maxTime = most ?? max(ejection.maxTime, ejection.time)
        if let written = fields["max_time"], let most, most < ejection.time {
            complain(
                written.place,
                "\"max_time\" in \(fields.what) is shorter than \"time\"; expected at least as long"
            )
        }
        return ejection
    }

    private mutating func queue(_ node: JSONNode, _ pool: String) -> Pool.Queue {
        var queue = Pool.Queue()
        guard let fields = object(node, "the queue of \(pool)", keys: ["length", "timeout"])
        else { return queue }
        queue.length = integer(fields, "length", 0...100_000) ?? queue.length
        queue.timeout = duration(fields, "timeout") ?? queue.timeout
        return queue
    }
}
