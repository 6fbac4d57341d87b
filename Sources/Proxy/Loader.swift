// The loader: the thread on which everything is made that the workers are to take over, and on which
// what they have done with is destroyed. Trials, loading, `create` and reloads block here, and nowhere
// else.

import Balance
import Base
import Config
import Loading
import Net
import Synchronization

/// Made before its thread is started; from then on its state is that thread's.
final class Loader: @unchecked Sendable {
    private let shared: WorkerShared
    // Made once: descriptors may be short later.
    private let poller: Poller
    private let prober: Prober
    private let checkClock: WorkerClock
    private var nodeNames: NodeNames
    private var named: [NodeAddress] = []
    private var assembly: Assembly
    private var configuration: Configuration
    /// Keys of the listeners, in the configuration's order.
    private var listenerKeys: [String]
    /// What serves. [loader]
    private(set) var catalogue: Catalogue
    /// Who is fenced, and who may stand in. [loader]
    private(set) var fences: FenceList {
        didSet { standing.withLock { [fences] in $0.fences = fences } }
    }
    /// Loaded, but not in use: may be gone back to, or waits to be told that it is over.
    private var standby: [Library] = []
    /// Told of every change of builds and fences.
    private let onRecord: @Sendable (PluginRecord) -> Void
    private var thread: Thread?
    private var hasLeft: [Bool]
    /// The last generation that each worker has taken over.
    private var passed: [UInt64]
    private var isOver = false
    /// Messages that came while a reload waited for the workers.
    private var postponed: [LoaderInbox.Message] = []
    /// Nanoseconds that first probes may take before traffic is let in without them.
    private var firstRoundLimit: UInt64 = 0

    /// What is shown of it.
    private let standing = Guarded(Standing())

    private struct NodeAddress: Equatable {
        var row: Int
        var address: HostPort
    }

    /// The first generation, for workers that do not run yet.
    static func begin(
        _ shared: WorkerShared, configuration: Configuration, catalogue: Catalogue,
        fences: FenceList, sockets: [ListenerSockets], accessLog: Int32, keyring: Keyring,
        onRecord: @escaping @Sendable (PluginRecord) -> Void
    ) throws(Refusal) -> (Loader, Generation) {
        let checkClock = WorkerClock(monotonicNow())
        let next = try Assembly().next(
            configuration, catalogue, sockets: sockets, accessLog: accessLog, keyring: keyring,
            shared, checkClock: checkClock)
        shared.board.commit(next.rows)
        next.assembly.show(in: shared)
        let loader = try Loader(
            shared, configuration, catalogue, fences, next, checkClock, sockets.map(\.key),
            onRecord)
        loader.standing.withLock {
            $0.fences = fences
            $0.note(catalogue.libraries, for: next.generation.number)
            $0.take(next, configuration, catalogue, sockets, now: wallNow())
        }
        return (loader, next.generation)
    }

    private init(
        _ shared: WorkerShared, _ configuration: Configuration, _ catalogue: Catalogue,
        _ fences: FenceList, _ next: Assembly.Next, _ checkClock: WorkerClock,
        _ listenerKeys: [String], _ onRecord: @escaping @Sendable (PluginRecord) -> Void
    ) throws(Refusal) {
        self.configuration = configuration
        self.fences = fences
        self.listenerKeys = listenerKeys
        self.onRecord = onRecord
        self.shared = shared
        poller = try Self.poller(shared.inbox.wakeup)
        self.catalogue = catalogue
        self.checkClock = checkClock
        assembly = next.assembly
        hasLeft = shared.clocks.map { _ in false }
        passed = shared.clocks.map { _ in next.generation.number }
        firstRoundLimit = Self.limit(of: configuration)
        named = Self.addresses(configuration, next.rows)
        do throws(SystemError) {
            prober = try Prober(
                board: shared.board, pools: next.probed, addresses: shared.addresses,
                clock: checkClock, gauges: shared.gauges
            ) { [wakeups = shared.wakeups] in
                for wakeup in wakeups { wakeup.signal() }
            }
            nodeNames = try Self.names(named, shared.addresses, prober)
        } catch {
            throw Refusal("health probing cannot be set up: \(error)")
        }
    }

    private static func poller(_ wakeup: Wakeup) throws(Refusal) -> Poller {
        let failure: SystemError
        do throws(SystemError) {
            let poller = try Poller()
            if poller.addLevel(wakeup.fd, token: 0) { return poller }
            failure = .last("epoll_ctl")
        } catch {
            failure = error
        }
        throw Refusal("the loader cannot wait: \(failure)")
    }

    private static func limit(of configuration: Configuration) -> UInt64 {
        (configuration.pools.compactMap { $0.health?.timeout }.max() ?? 0) + 100_000_000
    }

    private static func addresses(
        _ configuration: Configuration, _ rows: [PoolRows]
    ) -> [NodeAddress] {
        zip(configuration.pools, rows).flatMap { pool, rows in
            zip(pool.nodes, rows.rows).map { NodeAddress(row: $1, address: $0.address) }
        }
    }

    private static func names(
        _ nodes: [NodeAddress], _ book: AddressBook, _ prober: Prober
    ) throws(SystemError) -> NodeNames {
        try NodeNames(nodes: nodes.map { ($0.row, $0.address) }, book: book) {
            prober.addressesChanged()
        }
    }

    // MARK: Status [any]

    func status() -> BalancerStatus {
        // A copy is read, so that the loader never waits for a reader.
        var status = standing.withLock { $0 }.status(
            shared.board, shared.metrics, shared.candidates)
        let warnings = prober.warnings
        for pool in status.pools.indices {
            status.pools[pool].warnings = warnings[status.pools[pool].name] ?? []
        }
        return status
    }

    func noteRefusals(of files: [String]) {
        standing.withLock { $0.noteRefusals(of: files) }
    }

    // MARK: Running

    /// Starts to probe, and waits for the first verdicts. [main]
    func startProbing() throws(Refusal) {
        do throws(SystemError) {
            try nodeNames.start()
            try prober.start()
        } catch {
            throw Refusal("health probing cannot start: \(error)")
        }
        prober.awaitFirstRound(timeout: firstRoundLimit)
    }

    func start() throws(Refusal) {
        do throws(SystemError) {
            thread = try Thread("loader") { [self] in run() }
        } catch {
            throw Refusal("the loader cannot start: \(error)")
        }
    }

    /// When all workers have left. [main]
    func stop() {
        shared.inbox.put(.end)
        thread?.join()
        thread = nil
        nodeNames.stop()
        prober.stop()
    }

    private func run() {
        shared.gauges.attach(.loader)
        while !isOver {
            for message in next() { take(message) }
            retire()
        }
        shared.gauges.detach(.loader)
    }

    /// Waits for messages.
    private func next() -> [LoaderInbox.Message] {
        if !postponed.isEmpty {
            defer { postponed = [] }
            return postponed
        }
        _ = poller.wait(milliseconds: -1)
        shared.inbox.wakeup.clear()
        return shared.inbox.take()
    }

    private func take(_ message: LoaderInbox.Message) {
        switch message {
        case .passed(let worker, let generation): passed[worker] = max(passed[worker], generation)
        case .left(let worker): hasLeft[worker] = true
        // Dropped here, and with it the last reference: `destroy` runs on this thread.
        case .returned: break
        case .stale(let worker, let place, let slot, let old):
            makeAnew(worker: worker, place: place, slot: slot, old)
        case .fenced(let build): fence(build)
        case .job(let work): work()
        case .end: isOver = true
        }
    }

    /// A strategy without `update` gets an instance that knows the pool as it is now.
    private func makeAnew(worker: Int, place: Int, slot: Int, _ old: StrategyInstance) {
        guard let state = assembly.pools.values.first(where: { $0.rows.pool == place }),
            state.slots[slot]?.kind === old.kind,
            !old.kind.build.isFenced
        else { return }
        let at = InstancePlace(
            board: shared.board, pool: state.rows, worker: worker, clock: shared.clocks[worker],
            metrics: shared.metrics, entropy: shared.entropy &+ wallNow(),
            gauges: shared.gauges)
        do throws(Refusal) {
            let fresh = try old.kind.make(at: at, slot: slot, options: old.options)
            shared.deliver(.instance(fresh, place: place, slot: slot, old: old), to: worker)
        } catch {
            Log.warning("\(error.sentence); its older instance stays")
        }
    }

    // MARK: Reload

    func reload(
        _ configuration: Configuration, _ catalogue: Catalogue, sockets: [ListenerSockets],
        accessLog: Int32, keyring: Keyring
    ) throws(Refusal) -> String {
        let changes = try swap(configuration, catalogue, sockets, accessLog, keyring)
        shared.gauges.setBudget(configuration.pluginsBudget)
        remember(catalogue)
        return changes.description
    }

    private func swap(
        _ configuration: Configuration, _ catalogue: Catalogue, _ sockets: [ListenerSockets],
        _ accessLog: Int32, _ keyring: Keyring
    ) throws(Refusal) -> Assembly.Changes {
        var next: Assembly.Next
        standing.withLock { $0.note(catalogue.libraries, for: assembly.number + 1) }
        do throws(Refusal) {
            next = try assembly.next(
                configuration, catalogue, sockets: sockets, accessLog: accessLog, keyring: keyring,
                shared, checkClock: checkClock)
            try rename(Self.addresses(configuration, next.rows))
        } catch {
            shared.board.sweep()
            throw error
        }
        next.changes.settings = configuration.fingerprint != self.configuration.fingerprint
        // Nothing can be refused from here on. The new nodes are asked first, so that a pool which is
        // new serves as soon as it is there.
        firstRoundLimit = Self.limit(of: configuration)
        prober.replace(pools: next.probed)
        prober.awaitFirstRound(timeout: firstRoundLimit)
        shared.board.commit(next.rows)
        for worker in shared.wakeups.indices {
            shared.deliver(.generation(next.generation), to: worker)
        }
        awaitPassage(next.generation.number)
        let oldLog = assembly.accessLog
        if oldLog >= 0 && oldLog != accessLog { IO.close(oldLog) }
        shared.addresses.forget(shared.board.sweep())
        assembly = next.assembly
        assembly.show(in: shared)
        self.configuration = configuration
        listenerKeys = sockets.map(\.key)
        standing.withLock {
            $0.take(next, configuration, catalogue, sockets, now: wallNow())
        }
        return next.changes
    }

    /// These are the libraries from now on. One that another build of its file has replaced stands
    /// by, and so does its copy.
    private func remember(_ next: Catalogue) {
        let before = catalogue
        catalogue = next
        for library in before.libraries
        where !next.libraries.contains(where: { $0.copy == library.copy }) {
            standby.append(library)
            let isReplaced = next.libraries.contains { $0.origin.file == library.origin.file }
            let isCandidate = before.candidates.contains(library.origin.file)
            guard isReplaced, !isCandidate, !library.build.isFenced else { continue }
            // One earlier build of a file is enough to go back to, beside the fenced ones.
            let others = fences.earlier.filter {
                $0.file != library.origin.file || fences.fence(of: $0.build) != nil
            }
            fences.earlier = [library.facts] + others
        }
        onRecord(record)
    }

    var generation: Int { Int(assembly.number) }

    var record: PluginRecord {
        PluginRecord(list: fences, serving: catalogue.libraries.map(\.facts))
    }

    /// Tells libraries that nobody uses any more, and that nobody will go back to, that it is over.
    private func retire() {
        standby.removeAll { library in
            let mayReturn = fences.earlier.contains { $0.copy == library.copy }
            guard library.build.liveInstances == 0, !mayReturn else { return false }
            library.retire()
            return true
        }
    }

    // MARK: Fences

    /// A build has been fenced at run time: the build before it serves in its place, or else the next
    /// strategy of each pool does, and a TCP connect for a check.
    private func fence(_ build: Build) {
        guard let library = catalogue.libraries.first(where: { $0.build === build }) else { return }
        let fence = Fence(
            build: build.id, file: library.origin.file, reason: build.fenceReason ?? "")
        var record = record
        record.fence(build.id, reason: fence.reason)
        fences = record.list
        let sockets = listenerKeys.map { ListenerSockets(key: $0, fds: nil) }
        let isCandidate = catalogue.candidates.contains(library.origin.file)
        if !isCandidate, let earlier = fences.earlier(of: library.origin.file),
            earlier.build != build.id
        {
            do throws(Refusal) {
                let standIn = try self.library(earlier)
                let next = try catalogue.replacing(library, with: standIn, fence: fence)
                _ = try swap(configuration, next, sockets, assembly.accessLog, assembly.keyring)
                Log.error("\(standIn.build.label) serves in its place")
                standby.removeAll { $0.copy == standIn.copy }
                remember(next)
                return
            } catch {
                Log.error("the build before \(build.label) cannot serve: \(error.sentence)")
            }
        }
        do throws(Refusal) {
            let next = try catalogue.replacing(library, with: nil, fence: fence)
            _ = try swap(configuration, next, sockets, assembly.accessLog, assembly.keyring)
            if !isCandidate {
                Log.error(
                    "no earlier build of \(library.origin.file) is there: its pools do without it")
            }
            remember(next)
        } catch {
            Log.error("pools cannot do without \(build.label): \(error.sentence)")
            onRecord(self.record)
        }
    }

    /// A build that is to serve again: still here, or loaded anew after a restart.
    private func library(_ facts: BuildFacts) throws(Refusal) -> Library {
        if let present = standby.first(where: { $0.copy == facts.copy }) { return present }
        var loader = PluginLoader(files: [])
        loader.generation = Int(assembly.number) + 1
        loader.workers = shared.clocks.count
        return try loader.load(earlier: facts)
    }

    /// Names are looked up for the nodes that there are now. The old look-ups end first: what they
    /// find has no place any more.
    private func rename(_ addresses: [NodeAddress]) throws(Refusal) {
        guard addresses != named else { return }
        do throws(SystemError) {
            let names = try Self.names(addresses, shared.addresses, prober)
            nodeNames.stop()
            nodeNames = names
            try names.start()
            named = addresses
        } catch {
            throw Refusal("names cannot be resolved: \(error)")
        }
    }

    /// Waits until every worker that has not left serves as `generation` says.
    private func awaitPassage(_ generation: UInt64) {
        while zip(passed, hasLeft).contains(where: { $0 < generation && !$1 }) {
            _ = poller.wait(milliseconds: -1)
            shared.inbox.wakeup.clear()
            for message in shared.inbox.take() {
                switch message {
                case .passed, .left, .returned: take(message)
                case .stale, .fenced, .job, .end: postponed.append(message)
                }
            }
        }
    }
}

extension Assembly.Changes: CustomStringConvertible {
    /// "2 pools, 4 instances, 1 node more": what is made anew; if nothing is, whether anything differs.
    var description: String {
        func count(_ number: Int, _ thing: String) -> String? {
            number == 0 ? nil : "\(number) \(thing)\(number == 1 ? "" : "s")"
        }
        let parts = [
            count(pools, "pool"), count(instances, "strategy instance"),
            count(listeners, "new listener"),
            certificates == 0
                ? nil : "the certificates of \(count(certificates, "listener") ?? "")",
            count(nodesAdded, "new node"),
            count(nodesGone, "node").map { $0 + " gone" },
        ].compactMap { $0 }
        guard parts.isEmpty else { return parts.joined(separator: ", ") }
        return settings ? "settings alone" : "nothing differs"
    }
}
