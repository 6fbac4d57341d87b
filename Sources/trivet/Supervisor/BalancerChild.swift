// The balancer as the supervisor sees it: a child with a line to it.

import Admin
import Base
import Glibc
import Loading
import Net

final class BalancerChild {
    let line: OrderLine
    /// When it was started (monotonic).
    let born: Nanoseconds
    /// It has closed its end of the line: what remains to be awaited is its end.
    var isSilent = false
    private let child: Child

    /// Starts one and hands it its assignment.
    init(
        _ ground: Ground, adopts: Bool, _ record: PluginRecord, _ supervision: Supervision
    ) throws(Failure) {
        let (ours, theirs) = try Descriptor.pair()
        defer { withExtendedLifetime(theirs) {} }
        // The crash tracer of the Swift runtime takes longer than to start the next one.
        child = try Child(
            ["--balancer"], descriptors: [(from: theirs.number, as: ordersDescriptor)],
            environment: [("SWIFT_BACKTRACE", "enable=no")])
        line = OrderLine(socket: ours)
        born = monotonicNow()
        // If it is gone already, its end will be noticed.
        _ = ground.send(over: line, adopts: adopts, record, supervision)
    }

    var pid: pid_t { child.pid }

    /// Readable when it has something to say, or has ended.
    var watched: [Int32] {
        isSilent ? [child.handle.number] : [line.socket.number, child.handle.number]
    }

    var hasReport: Bool {
        !isSilent && !waitForReading([line.socket.number], milliseconds: 0).isEmpty
    }

    /// How it ended, if it has; reaps it then.
    func ending() -> Ending? {
        child.ending()
    }

    /// Somebody looks at it with a debugger, or has stopped it: it does not move, and is not stuck.
    var isStopped: Bool {
        guard let text = try? readFile("/proc/\(child.pid)/stat", what: "the balancer's state"),
            let end = text.lastIndex(of: UInt8(ascii: ")")), end + 2 < text.count
        else { return false }
        return text[end + 2] == UInt8(ascii: "T") || text[end + 2] == UInt8(ascii: "t")
    }

    /// Kills it, and what it has started.
    func kill() { child.send(SIGKILL) }

    /// Waits for its end, a second at most before it is killed.
    func end() { child.end(within: 1000) }
}
