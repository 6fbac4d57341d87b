// The balancer: workers, health, names and the loader put together from a configuration, started,
// reloaded, drained and ended. One per process; it knows nothing of signals, files or the supervisor.

import Balance
import Base
import Config
import Loading
import Net
import Synchronization

/// Started and waited for by one thread; told to drain or stop by any; reloaded by its loader's.
package final class Balancer: @unchecked Sendable {
    private let shared: WorkerShared
    /// Connections of clients that there may be at one time, and the descriptors that they are part of.
    package var room: (clients: Int, descriptors: Int) {
        (shared.room.plan.clients, shared.room.limit)
    }
    // Outlives all threads that are measured.
    private let watch: Watch
    private let loader: Loader
    private var threads: [Thread] = []
    private let first: Generation

    /// What watches over calls into plugins; made before the first library is loaded.
    package final class Watch: Sendable {
        package let gauges: CallGauges
        let inbox: LoaderInbox

        /// `page`: shared with the supervisor, or nil.
        package init(
            workers: Int, page: CrumbPage?, budget: Nanoseconds
        ) throws(SystemError) {
            let inbox = try LoaderInbox()
            self.inbox = inbox
            gauges = CallGauges(workers: workers, page: page, budget: budget) { build in
                inbox.put(.fenced(build))
            }
        }
    }

    /// Makes every instance of every plugin in use, and nothing that runs yet.
    ///
    /// - Parameters:
    ///   - sockets: of each listener, in the file's order; the balancer owns them from here on.
    ///   - accessLog: a descriptor to append to, or -1.
    ///   - fences: what the catalogue was loaded under.
    ///   - sessionSecret: random bytes that sign the sessions of pools without a secret of their own;
    ///     the same for every balancer that is to take them up.
    ///   - ticketRoot: what the keys of TLS sessions follow from; of the same kind.
    ///   - keyring: what the files hold that the configuration names for TLS.
    ///   - onRecord: told on the loader's thread of every change of builds and fences.
    package init(
        configuration: Configuration, catalogue: Catalogue, fences: FenceList = FenceList(),
        sockets: [ListenerSockets], board: Board, accessLog: Int32, watch: Watch,
        sessionSecret: [UInt8], ticketRoot: TicketRoot, keyring: Keyring,
        onRecord: @escaping @Sendable (PluginRecord) -> Void = { _ in }
    ) throws(Refusal) {
        var wakeups: [Wakeup] = []
        do throws(SystemError) {
            for _ in 0..<board.workers { wakeups.append(try Wakeup()) }
        } catch {
            throw Refusal("the workers cannot be made: \(error)")
        }
        shared = WorkerShared(
            board: board, addresses: AddressBook(), metrics: Metrics(), entropy: wallNow(),
            clocks: (0..<board.workers).map { _ in WorkerClock(monotonicNow()) },
            wakeups: wakeups, inbox: watch.inbox, gauges: watch.gauges,
            sessionSecret: sessionSecret, ticketRoot: ticketRoot)
        self.watch = watch
        (loader, first) = try Loader.begin(
            shared, configuration: configuration, catalogue: catalogue, fences: fences,
            sockets: sockets, accessLog: accessLog, keyring: keyring, onRecord: onRecord)
    }

    /// What serves now. [loader]
    package var catalogue: Catalogue { loader.catalogue }
    /// Who is fenced now. [loader]
    package var fences: FenceList { loader.fences }
    /// Counts up with each reload. [loader]
    package var generation: Int { loader.generation }
    /// Of what serves now; before `start`, or on the loader.
    package var record: PluginRecord { loader.record }

    /// Canaries and shadows of what serves now, with their figures. [any]
    package var canaries: [CanaryStatus] { shared.candidates.canaries }
    package var shadows: [ShadowStatus] { shared.candidates.shadows }

    /// Starts to probe, waits for the first verdicts (at most the longest probe timeout), then lets
    /// the workers accept.
    package func start() throws(Refusal) {
        try loader.startProbing()
        for index in shared.wakeups.indices {
            let means = try Worker.Means(worker: index)
            try start(index, means)
        }
        try loader.start()
    }

    private func start(_ index: Int, _ means: consuming Worker.Means) throws(Refusal) {
        let (shared, generation) = (self.shared, first)
        let handover = Handover(means)
        do throws(SystemError) {
            threads.append(
                try Thread("worker \(index)") {
                    shared.gauges.attach(.worker(index))
                    defer { shared.gauges.detach(.worker(index)) }
                    var worker = Worker(shared, index: index, generation, handover.take())
                    if worker.watch() {
                        worker.run()
                    } else {
                        Log.error("worker \(index) cannot watch its sockets")
                    }
                })
        } catch {
            throw Refusal("worker \(index) cannot start: \(error)")
        }
    }

    /// Carries a move-only value into a thread, once.
    private final class Handover: @unchecked Sendable {
        private var means: Worker.Means?
        init(_ means: consuming Worker.Means) { self.means = consume means }
        func take() -> Worker.Means { means.take()! }
    }

    /// Has `work` run on the loader's thread, after what it has to do already: the place for all that
    /// blocks, and for `reload`. [any]
    package func onLoader(_ work: @escaping @Sendable () -> Void) { shared.inbox.put(.job(work)) }

    /// Serves as another configuration says, with other plugins, without touching what stays the
    /// same: all or nothing. Returns when every worker has taken it over; what changed, for the log.
    /// On a refusal the descriptors are still the caller's. [loader]
    package func reload(
        _ configuration: Configuration, _ catalogue: Catalogue, sockets: [ListenerSockets],
        accessLog: Int32, keyring: Keyring
    ) throws(Refusal) -> String {
        try loader.reload(
            configuration, catalogue, sockets: sockets, accessLog: accessLog, keyring: keyring)
    }

    /// What it is and does at this moment. Copies a lot; nobody waits for it. [any]
    package func status() -> BalancerStatus { loader.status() }

    /// These plugin files were the reason to refuse a reload: for `status`. [any]
    package func noteRefusals(of files: [String]) { loader.noteRefusals(of: files) }

    /// No new connections; what is in flight is finished. [any]
    package func drain() { give(.drain) }

    /// Ends everything that is in flight. [any]
    package func stop() { give(.stop) }

    private func give(_ order: Orders.Order) {
        shared.orders.give(order)
        for wakeup in shared.wakeups { wakeup.signal() }
    }

    /// Waits until every worker has left, then ends loading and probing.
    package func wait() {
        for thread in threads { thread.join() }
        threads = []
        loader.stop()
    }
}
