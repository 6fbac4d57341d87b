// The balancer's process from the inside: takes its assignment, becomes who it is to be, loads the
// plugins, serves, and leaves when it is told to or when its supervisor is gone. The traffic itself is
// Proxy's.

import Balance
import Base
import CLinux
import Config
import Glibc
import Loading
import Net
import Proxy
import Synchronization

enum BalancerProcess {
    /// What the command runs for `--balancer`; the exit status.
    static func main() -> Int32 {
        // Signals are the supervisor's; a plain write to a connection that is gone is no reason to die.
        blockSignals([SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGTSTP])
        clinux_ignore_signal(SIGPIPE)
        guard clinux_fcntl(ordersDescriptor, F_SETFD, FD_CLOEXEC) == 0 else {
            complain("trivet --balancer is for trivet run")
            return Failure.Reason.commandLine.rawValue
        }
        let line = OrderLine(socket: Descriptor(ordersDescriptor))
        guard case .serve(let assignment, let descriptors) = line.nextOrder() else { return 0 }
        do throws(Failure) {
            return serve(try Service(assignment, descriptors, line), line)
        } catch {
            line.send(error)
            return error.reason.rawValue
        }
    }

    /// Serves until the supervisor says otherwise.
    private static func serve(_ service: Service, _ line: OrderLine) -> Int32 {
        line.sendReady()
        defer { service.admin.stop() }
        // Without a supervisor: when it has been long enough.
        var deadline: Nanoseconds?
        var wasStopped = false
        while true {
            let patience = deadline.map { due in
                let now = monotonicNow()
                return due <= now ? 0 : Int((due - now) / 1_000_000) + 1
            }
            let watched = [service.isOver.fd] + (deadline == nil ? [line.socket.number] : [])
            let heard = waitForReading(watched, milliseconds: patience ?? -1)
            if heard.contains(0) { return 0 }
            if let due = deadline, due <= monotonicNow() {
                if wasStopped { return 0 }
                service.balancer.stop()
                wasStopped = true
                deadline = due &+ 1_000_000_000
            }
            guard heard.contains(1) else { continue }
            switch line.nextOrder() {
            case .note(let supervision): service.admin.note(supervision)
            case .drain: service.balancer.drain()
            case .stop: service.balancer.stop()
            case .reload(let assignment, let descriptors):
                service.reload(assignment, descriptors, line)
            case .serve: continue
            case .end:
                Log.error("the supervisor is gone: draining")
                service.balancer.drain()
                deadline = monotonicNow() &+ service.drainTimeout
            }
        }
    }
}

/// A balancer that serves, and what it stands on.
private final class Service: @unchecked Sendable {
    let balancer: Balancer
    let admin: AdminDesk
    /// Signalled when the last worker has left.
    let isOver: Wakeup
    // Mapped for as long as the board is in it.
    private let memory: BoardMemory
    // The same for the crumbs, in which every thread writes, and the handler of `exit` after all.
    private let crumbs: BoardMemory
    private let drainLimit: Guarded<Nanoseconds>
    private let workers: Int

    var drainTimeout: Nanoseconds { drainLimit.withLock { $0 } }

    /// The listening sockets and the access log among the descriptors become the balancer's.
    init(_ assignment: Assignment, _ descriptors: [Int32], _ line: OrderLine) throws(Failure) {
        let (configuration, bytes) = try assignment.configuration(descriptors)
        startLog(level: configuration.logLevel)
        try Identity(of: configuration).take()
        workers = assignment.workers
        PrivateFolder.borrow(assignment.folder)
        let record =
            Descriptor(descriptors[3]).contents().flatMap { PluginRecord($0) } ?? PluginRecord()
        let fences = record.list
        crumbs = try BoardMemory(
            Descriptor(descriptors[2]), count: CrumbPage.bytesNeeded(workers: workers),
            writes: true, stays: true)
        let watch = try Self.watch(crumbs, workers: workers, configuration)
        let catalogue = try Self.plugins(configuration, bytes, record, workers: workers)
        memory = try BoardMemory(
            Descriptor(descriptors[1]),
            count: Board.bytesNeeded(assignment.capacity, workers: assignment.workers),
            writes: true)
        drainLimit = Guarded(configuration.drainTimeout)
        do throws(Refusal) {
            let board = try unsafe Board(
                memory: memory.bytes, pools: poolSpecs(of: configuration),
                workers: assignment.workers, adopt: assignment.adopts,
                capacity: assignment.capacity, now: monotonicNow())
            board.resetWorkers()
            balancer = try Balancer(
                configuration: configuration, catalogue: catalogue, fences: fences,
                sockets: assignment.sockets(descriptors), board: board,
                accessLog: assignment.accessLog(descriptors), watch: watch,
                sessionSecret: assignment.sessionSecret.bytes,
                ticketRoot: assignment.ticketRoot, keyring: assignment.keyring(descriptors)
            ) { line.send($0) }
            line.send(balancer.record)
            Self.sayRoom(balancer, configuration)
            try balancer.start()
        } catch {
            throw .input([error.sentence])
        }
        do throws(SystemError) {
            let (waiting, isOver) = (Waiting(balancer), try Wakeup())
            self.isOver = isOver
            try Thread("wait") {
                waiting.balancer.wait()
                isOver.signal()
            }.detach()
        } catch {
            throw .system("the balancer cannot wait for its workers: \(error)")
        }
        admin = AdminDesk(balancer, assignment.supervision)
        try admin.open(assignment)
        admin.listen(assignment, descriptors)
    }

    private static func sayRoom(_ balancer: Balancer, _ configuration: Configuration) {
        let (room, descriptors) = balancer.room
        Log.info("\(descriptors) descriptors: room for \(room) connections of clients")
        for line in configuration.warnings(room: room, descriptors: descriptors) {
            Log.warning(line)
        }
    }

    /// What served before, if this one takes the place of another; else what the files hold.
    private static func plugins(
        _ configuration: Configuration, _ bytes: [UInt8], _ record: PluginRecord, workers: Int
    ) throws(Failure) -> Catalogue {
        do throws(Refusal) {
            if !record.serving.isEmpty {
                return try record.restore(for: configuration, workers: workers)
            }
        } catch {
            Log.error("what served before cannot be loaded again: \(error.sentence)")
        }
        let review = try PluginReview(
            ConfigurationParser.read(bytes, file: configuration.file),
            on: .init(fenced: record.list, workers: workers))
        if !review.complaints.isEmpty { throw .input(review.complaints) }
        do throws(Refusal) {
            return try review.load()
        } catch {
            throw .input([error.sentence])
        }
    }

    /// Crumbs and gauges, before the first library is loaded.
    private static func watch(
        _ crumbs: BoardMemory, workers: Int, _ configuration: Configuration
    ) throws(Failure) -> Balancer.Watch {
        let page = unsafe CrumbPage(memory: crumbs.bytes, workers: workers)
        do throws(Refusal) {
            try page.installCrashHandler()
        } catch {
            Log.warning("\(error.sentence): a plugin that crashes will not be known")
        }
        do throws(SystemError) {
            let watch = try Balancer.Watch(
                workers: workers, page: page, budget: configuration.pluginsBudget)
            watch.gauges.attach(.main)
            return watch
        } catch {
            throw .system("the balancer cannot watch over its plugins: \(error)")
        }
    }

    /// Has the loader try, load and take over another configuration, and say what came of it.
    func reload(_ assignment: Assignment, _ descriptors: [Int32], _ line: OrderLine) {
        balancer.onLoader { [self] in
            do throws(Failure) {
                line.sendReloaded(try reload(assignment, descriptors))
            } catch {
                for fd in descriptors.dropFirst(5) { IO.close(fd) }
                line.sendRefused(error)
            }
        }
    }

    private func reload(
        _ assignment: Assignment, _ descriptors: [Int32]
    ) throws(Failure) -> String {
        // Board and crumbs are mapped already, and of plugins we know more than the supervisor.
        for fd in descriptors.dropFirst().prefix(3) { IO.close(fd) }
        let keyring = assignment.keyring(descriptors)
        let (configuration, bytes) = try assignment.configuration(descriptors)
        let review = try PluginReview(
            ConfigurationParser.read(bytes, file: assignment.file),
            on: .init(
                serving: balancer.catalogue, fenced: balancer.fences,
                generation: balancer.generation + 1, workers: workers))
        if !review.complaints.isEmpty {
            review.discard()
            balancer.noteRefusals(of: review.refusedFiles)
            throw .input(review.complaints)
        }
        try admin.open(assignment)
        let changes: String
        do throws(Refusal) {
            let next = try review.load()
            changes = try balancer.reload(
                configuration, next, sockets: assignment.sockets(descriptors),
                accessLog: assignment.accessLog(descriptors), keyring: keyring)
        } catch {
            throw .input([error.sentence])
        }
        admin.listen(assignment, descriptors)
        let (room, limit) = balancer.room
        for line in configuration.warnings(room: room, descriptors: limit) { Log.warning(line) }
        Log.setLevel(configuration.logLevel)
        drainLimit.withLock { $0 = configuration.drainTimeout }
        return changes
    }
}

extension Assignment {
    /// Reads the configuration among the descriptors, and closes that one.
    fileprivate func configuration(
        _ descriptors: [Int32]
    ) throws(Failure) -> (Configuration, bytes: [UInt8]) {
        let sockets = workers * listeners.count { $0.isNew }
        guard !descriptors.isEmpty else {
            throw .system("the balancer has too few descriptors left to be given what it needs")
        }
        guard descriptors.count == fixedDescriptors + sockets,
            let bytes = Descriptor(descriptors[0]).contents()
        else { throw .system("the balancer was not given what it needs") }
        return (try ConfigurationFile.parse(bytes, file: file), bytes)
    }

    /// Of each listener, those that came with the assignment.
    fileprivate func sockets(_ descriptors: [Int32]) -> [ListenerSockets] {
        var first = fixedDescriptors
        return listeners.map { place in
            guard place.isNew else { return ListenerSockets(key: place.key, fds: nil) }
            defer { first += workers }
            return ListenerSockets(
                key: place.key, fds: Array(descriptors[first..<first + workers]))
        }
    }

    fileprivate func accessLog(_ descriptors: [Int32]) -> Int32 {
        hasAccessLog ? descriptors[5] : -1
    }

    /// Reads the files of TLS among the descriptors, and closes that one.
    fileprivate func keyring(_ descriptors: [Int32]) -> Keyring {
        guard descriptors.count >= fixedDescriptors else { return Keyring() }
        return Descriptor(descriptors[4]).contents().flatMap { Keyring($0) } ?? Keyring()
    }
}

/// Carries a balancer into the thread that waits for its end; its orders may come from any other.
private final class Waiting: @unchecked Sendable {
    let balancer: Balancer
    init(_ balancer: Balancer) { self.balancer = balancer }
}
