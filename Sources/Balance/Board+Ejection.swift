// Ejections on the board: decided under its lock, so that workers agree on who may be sent away, and
// ended by whichever worker first sees that the time is over. Rare; nothing here is on a request's way.

import Base

extension Board {
    /// The attempts at the node in `row` of `pool` have failed one after the other, as its rule says:
    /// it gets no requests for a while, unless half of the pool is away already or nobody else would
    /// be left. `cause`: of the last failure. True if it was ejected. [worker]
    @discardableResult
    package func eject(row: Int, of pool: PoolRows, cause: String, now: UInt64) -> Bool {
        guard let rule = pool.spec.ejection else { return false }
        words[rowWord(row) + BoardLayout.Row.failuresInRow] = 0
        let ejected: (name: String, time: UInt64, count: UInt64)? = seating.withLock { seating in
            guard var seated = seating.rows[row], seated.state.takesTraffic,
                !seated.ejection.isEjected
            else { return nil }
            var away = 1
            var isAnyLeft = false
            for other in pool.rows where other != row {
                guard let node = seating.rows[other] else { continue }
                if node.ejection.isEjected {
                    away += 1
                } else if node.state.takesTraffic {
                    isAnyLeft = true
                }
            }
            guard isAnyLeft, away * 2 <= pool.rows.count else { return nil }
            let time = seated.ejection.begin(rule, now: now)
            seating.rows[row] = seated
            write(row, seated)
            return (seated.spec.name, time, seated.ejection.count)
        }
        guard let ejected else { return false }
        noteChange()
        Log.warning(
            "node \(pool.spec.name)/\(ejected.name): ejected for \(Self.seconds(ejected.time)) by its "
                + "traffic: \(rule.failures) attempts in a row failed, the last: \(cause)")
        return true
    }

    /// Ends the ejections of a pool whose time is over. [worker]
    package func endEjections(of pool: PoolRows, now: UInt64) {
        var returned: [String] = []
        seating.withLock { seating in
            for row in pool.rows {
                guard var seated = seating.rows[row], seated.ejection.isEjected,
                    seated.ejection.until <= now
                else { continue }
                seated.ejection.end(now: now)
                seated.returned = now
                seating.rows[row] = seated
                words[rowWord(row) + BoardLayout.Row.failuresInRow] = 0
                write(row, seated)
                returned.append(seated.spec.name)
            }
        }
        guard !returned.isEmpty else { return }
        noteChange()
        for name in returned {
            Log.info("node \(pool.spec.name)/\(name): gets requests again after its ejection")
        }
    }

    private static func seconds(_ nanoseconds: UInt64) -> String {
        if nanoseconds < 1_000_000_000 { return "\(nanoseconds / 1_000_000) ms" }
        let tenths = (nanoseconds + 50_000_000) / 100_000_000
        return tenths % 10 == 0 ? "\(tenths / 10) s" : "\(tenths / 10).\(tenths % 10) s"
    }
}
