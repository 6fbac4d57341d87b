// Health probing as the rest of the process sees it: started, waited for once, told when addresses
// came, stopped. What happens on its thread is ProbeLoop; what a verdict does to a state is
// HealthMachine; what is asked and how an answer is judged is the check's.

import Balance
import Base
import Net
import Synchronization

/// How the nodes of one pool are asked. Rise and fall are in the pool's spec on the board.
package struct ProbedPool: Sendable {
    /// Where the pool lies on the board.
    package var rows: PoolRows
    /// Nil: nobody asks, and its nodes are up. Made with the prober's clock.
    package var check: CheckInstance?
    /// From the beginning of one round to that of the next, nanoseconds; at most: up to a tenth is
    /// taken off by chance, so that rounds do not fall in step.
    package var interval: UInt64
    /// By node: the row of the one whose verdict it takes; nil, or not there: it is asked itself.
    package var leaders: [Int?] = []
    /// By node: what its leader may have in its metadata so that it drains.
    var drainsIf: [[(String, String)]] = []
    /// How nodes are told that a probe is for nobody.
    package var proxyHeader: ProxyHeader.Version?
    /// Nil: plain, unless a check says otherwise.
    var behind: TLSBehind?
    /// By node, with `behind`.
    var peers: [TLSBehind.Peer] = []
    /// What one probe may take in all, milliseconds; a check may ask for another time.
    package var timeoutMs: UInt32

    package init(
        _ rows: PoolRows, check: CheckInstance?, interval: UInt64 = 2_000_000_000,
        timeoutMs: UInt32 = 1000
    ) {
        self.rows = rows
        self.check = check
        self.interval = interval
        self.timeoutMs = timeoutMs
    }
}

/// What passes between the probing thread and the others.
final class ProbeSignals: Sendable {
    let wakeup: Wakeup
    let firstRound: Wakeup
    let isStopped = Atomic<Bool>(false)
    let isFirstRoundOver = Atomic<Bool>(false)
    private let next = Guarded<[ProbedPool]?>(nil)
    /// By pool.
    let warnings = Guarded<[String: [String]]>([:])

    init() throws(SystemError) {
        wakeup = try Wakeup()
        do throws(SystemError) {
            firstRound = try Wakeup()
        } catch {
            wakeup.close()
            throw error
        }
    }

    /// Has the loop take over other pools in its next turn.
    func give(_ pools: [ProbedPool]) {
        isFirstRoundOver.store(false, ordering: .releasing)
        firstRound.clear()
        next.withLock { $0 = pools }
        wakeup.signal()
    }

    func takePools() -> [ProbedPool]? {
        next.withLock { next in
            defer { next = nil }
            return next
        }
    }

    deinit {
        wakeup.close()
        firstRound.close()
    }
}

/// Probes all nodes of all pools on a thread of its own and publishes their states to the board. Each
/// change of state is one log line.
package final class Prober: Sendable {
    private let signals: ProbeSignals
    private let loop: ProbeLoop
    private let gauges: CallGauges?
    private let thread = Guarded<Thread?>(nil)

    /// - Parameters:
    ///   - board: what it says about nodes from an earlier process is where their health goes on from.
    ///   - addresses: of all nodes, by row.
    ///   - clock: the one the checks were made with; set once a turn by the probing thread.
    ///   - entropy: for jitter.
    ///   - onPublish: called on the probing thread after workers have something new to pick up.
    package init(
        board: Board, pools: [ProbedPool], addresses: AddressBook, clock: WorkerClock,
        entropy: UInt64 = monotonicNow(), gauges: CallGauges? = nil,
        onPublish: @escaping @Sendable () -> Void
    ) throws(SystemError) {
        signals = try ProbeSignals()
        self.gauges = gauges
        loop = try ProbeLoop(
            board: board, pools: pools, addresses: addresses, clock: clock, entropy: entropy,
            signals: signals, onPublish: onPublish)
    }

    /// Starts the thread: all nodes are asked at once. Call once.
    package func start() throws(SystemError) {
        let (loop, gauges) = (loop, gauges)
        let started = try Thread("control") {
            gauges?.attach(.control)
            loop.run()
            gauges?.detach(.control)
        }
        thread.withLock { $0 = started }
    }

    /// Waits until every node with a check has had its first verdict (a node that is known from an
    /// earlier process has), at most `timeout` nanoseconds. False: some have not. [any]
    @discardableResult
    package func awaitFirstRound(timeout: UInt64) -> Bool {
        let end = monotonicNow() &+ timeout
        guard let poller = try? Poller(), poller.addLevel(signals.firstRound.fd, token: 0) else {
            return signals.isFirstRoundOver.load(ordering: .acquiring)
        }
        while !signals.isFirstRoundOver.load(ordering: .acquiring) {
            let now = monotonicNow()
            if now >= end || signals.isStopped.load(ordering: .acquiring) { return false }
            _ = poller.wait(milliseconds: Int32(clamping: (end - now) / 1_000_000 + 1))
        }
        return true
    }

    /// Other pools from now on, or other ways to ask them. Nodes that stay keep their health and are
    /// asked when their turn comes; `awaitFirstRound` waits for the others. [loader]
    package func replace(pools: [ProbedPool]) { signals.give(pools) }

    /// What nodes of a pool say of themselves that does not go together, by pool. [any]
    package var warnings: [String: [String]] { signals.warnings.withLock { $0 } }

    /// The address book has something new: probes that wait for it go on. [any]
    package func addressesChanged() { signals.wakeup.signal() }

    /// Ends the thread and closes all its connections; nothing is published afterwards. It waits for
    /// a call into a check, if one is running, and for nothing else. [any but the probing thread]
    package func stop() {
        signals.isStopped.store(true, ordering: .releasing)
        signals.wakeup.signal()
        signals.firstRound.signal()
        let started = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        started?.join()
    }
}
