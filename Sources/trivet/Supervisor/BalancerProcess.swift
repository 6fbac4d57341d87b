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
            return serve(try Service(assignment, descriptors), line)
        } catch {
            line.send(error)
            return error.reason.rawValue
        }
    }

    /// Serves until the supervisor says otherwise.
    private static func serve(_ service: Service, _ line: OrderLine) -> Int32 {
        line.sendReady()
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
            case .drain: service.balancer.drain()
            case .stop: service.balancer.stop()
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
private final class Service {
    let balancer: Balancer
    let drainTimeout: Nanoseconds
    /// Signalled when the last worker has left.
    let isOver: Wakeup
    // Mapped for as long as the board is in it.
    private let memory: BoardMemory

    /// The listening sockets and the access log among the descriptors become the balancer's.
    init(_ assignment: Assignment, _ descriptors: [Int32]) throws(Failure) {
        let fixed = assignment.hasAccessLog ? 3 : 2
        guard descriptors.count == fixed + assignment.listeners * assignment.workers,
            let bytes = Descriptor(descriptors[0]).contents()
        else { throw .system("the balancer was not given what it needs") }
        let configuration = try ConfigurationFile.parse(bytes, file: assignment.file)
        drainTimeout = configuration.drainTimeout
        startLog(level: configuration.logLevel)
        try Identity(of: configuration).take()
        let review = try PluginReview(ConfigurationParser.read(bytes, file: assignment.file))
        if !review.complaints.isEmpty { throw .input(review.complaints) }
        memory = try BoardMemory(
            Descriptor(descriptors[1]), count: assignment.boardBytes, writes: true)
        let sockets = (0..<assignment.listeners).map { listener in
            let first = fixed + listener * assignment.workers
            return Array(descriptors[first..<first + assignment.workers])
        }
        do throws(Refusal) {
            let board = try unsafe Board(
                memory: memory.bytes, pools: poolSpecs(of: configuration),
                workers: assignment.workers, adopt: assignment.adopts, now: monotonicNow())
            board.resetWorkers()
            balancer = try Balancer(
                configuration: configuration, catalogue: try review.load(), sockets: sockets,
                board: board, accessLog: assignment.hasAccessLog ? descriptors[2] : -1)
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
    }
}

/// Carries a balancer into the thread that waits for its end; its orders may come from any other.
private final class Waiting: @unchecked Sendable {
    let balancer: Balancer
    init(_ balancer: Balancer) { self.balancer = balancer }
}
