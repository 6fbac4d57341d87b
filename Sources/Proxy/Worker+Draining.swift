// Long connections of a node that drains: tunnels and streams, which may be idle for hours and end when they
// like. They are left alone for as long as their pool says, and then let go a few per second: clients
// that poll connect again at once, and a thousand of them must not do so in the same moment.

import Balance
import Base

extension Worker {
    // As many are let go each second, and as many as it takes to be done within about a minute.
    private static let leastShare = 5
    private static let seconds = 30

    /// Once a second: notes which nodes drain, and lets go of those that have stayed too long.
    mutating func sweepDraining() {
        var isAnyDue = false
        for place in 0..<settings.count {
            let patience = settings[place].drainTimeout
            guard patience > 0 else { continue }
            let view = pools.at(UInt32(place))
            for node in 0..<UInt32(view.it.nodeCount) {
                let row = Int(view.it.row(node))
                if !view.it.isDraining(node) {
                    drains[row] = 0
                } else if drains[row] == 0 {
                    drains[row] = max(now, 1)
                }
                if drains[row] > 0, now &- drains[row] >= patience { isAnyDue = true }
            }
        }
        if isAnyDue { letGoOfDraining() }
    }

    private mutating func letGoOfDraining() {
        var due = 0
        for index in 0..<UInt32(exchanges.capacity) where isOverdue(index) { due += 1 }
        var left = max(Self.leastShare, due / Self.seconds)
        for index in 0..<UInt32(exchanges.capacity) where left > 0 && isOverdue(index) {
            left -= 1
            settle(index, .ok)
            endTunnel(index)
        }
    }

    private func isOverdue(_ index: UInt32) -> Bool {
        guard exchanges.isLive(index: index) else { return false }
        let exchange = exchanges.at(index)
        guard exchange.it.phase == .tunnel, exchange.it.row != .max else { return false }
        let (since, patience) = (
            drains[Int(exchange.it.row)], settings[Int(exchange.it.pool)].drainTimeout
        )
        return since > 0 && patience > 0 && now &- since >= patience
    }
}
