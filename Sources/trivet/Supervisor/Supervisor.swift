// The process that people start and stop: it opens the sockets, starts the balancer and starts it anew
// when it dies, takes the signals. It loads no plugin and parses no traffic, so that nothing which
// comes over the wire or out of a plugin can end it. One thread; it waits for everything at once.

import Admin
import Balance
import Base
import Config
import Glibc
import Loading
import Net
import Proxy

final class Supervisor {
    enum Phase: Equatable {
        /// The balancer was started and has not said yet that it serves.
        case starting
        case serving
        /// It finishes what is in flight, until then at most.
        case draining(until: Nanoseconds)
        /// It leaves at once, or is killed then.
        case stopping(until: Nanoseconds)
        /// It died; another is started then.
        case resting(until: Nanoseconds)
    }

    var ground: Ground
    var reloading: Reloading?
    /// Asked for while another was under way: it may have read the files already.
    var wantsAnotherReload = false
    private(set) var phase = Phase.starting
    private(set) var balancer: BalancerChild?
    private let signals: SignalSource
    let door: ControlSocket?
    /// Nil if the configuration wants none.
    var watch: PluginWatch?
    private var hasServed = false
    /// What it has counted, for the admin interface.
    private(set) var supervision = Supervision(pid: getpid())
    private var complaints: [String] = []
    private var pace = RestartPace()
    /// Builds and fences, as the balancer said last.
    private var record = PluginRecord()
    private var stuckWatch = StuckWatch()
    /// Why it was killed, if we did it: threads that did not come back from a plugin.
    private var stuck: [Standing] = []

    /// How long a balancer that was told to leave at once may take, to flush its access log.
    private static let stopLimit: Nanoseconds = 1_000_000_000

    /// Opens everything that a balancer needs. `board`: memory of somebody else's for the board.
    init(_ configuration: Configuration, bytes: [UInt8], board: Descriptor?) throws(Failure) {
        signals = try SignalSource([SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2])
        ground = try Ground(configuration, bytes: bytes, board: board)
        watch = PluginWatch.following(configuration, nil)
        door = ControlSocket()
    }

    var configuration: Configuration { ground.configuration }

    /// Serves until it is told to leave; the exit code. Throws if it could not begin to serve.
    func run() throws(Failure) -> Int32 {
        if try Identity(of: configuration).isOutOfReach {
            Log.warning("user and group need root, which this is not: the balancer stays as it is")
        }
        var pidFile: PidFile?
        if let path = configuration.pidFile?.value {
            pidFile = try PidFile(configuration.resolve(path))
        }
        defer { pidFile?.remove() }
        try start()
        while true {
            let (watch, now) = (attentive, monotonicNow())
            let watched =
                [signals.descriptor] + (balancer.map(\.watched) ?? []) + (door?.watched ?? [])
                + (watch?.watched(at: now) ?? [])
            _ = waitForReading(
                watched, milliseconds: min(patience, watch?.patience(at: now) ?? patience))
            while let signal = signals.next() { take(signal) }
            lookForStuck()
            if door?.hasCaller() ?? false { reload("trivet reload") }
            try listen()
            if attentive?.isDue(at: monotonicNow()) ?? false { reload("plugins_watch") }
            if let code = try bury() { return code }
            if try timeHasCome() { return 0 }
        }
    }

    /// The watch, when a reload could be made at once: what happens meanwhile, it sees after.
    private var attentive: PluginWatch? { phase == .serving && reloading == nil ? watch : nil }

    private func start() throws(Failure) {
        phase = .starting
        complaints = []
        var counted = supervision
        if hasServed { counted.restarts += 1 }
        balancer = try BalancerChild(ground, adopts: hasServed, record, counted)
        supervision = counted
        stuckWatch = StuckWatch()
        stuck = []
    }

    /// Counts a reload, and has the balancer know.
    func count(isDone: Bool) {
        if isDone {
            supervision.reloads += 1
            supervision.lastReload = wallNow()
        } else {
            supervision.refusals += 1
        }
        balancer?.line.send(supervision)
    }

    /// Milliseconds until something is due; -1: nothing is.
    private var patience: Int {
        switch phase {
        // Every now and then: whether a thread is stuck in a plugin.
        case .starting, .serving: return Int(StuckWatch.gap / 2 / 1_000_000)
        case .draining(let until), .stopping(let until), .resting(let until):
            let now = monotonicNow()
            return until <= now ? 0 : Int((until - now + 999_999) / 1_000_000)
        }
    }

    // MARK: Signals

    private func take(_ signal: Int32) {
        switch signal {
        case SIGTERM, SIGINT:
            switch phase {
            case .serving: drain(signal)
            case .starting, .draining, .resting: stop(signal)
            case .stopping: balancer?.kill()
            }
        case SIGQUIT: stop(signal)
        case SIGHUP: reload(signalName(signal))
        case SIGUSR1: notYet(signal, "reopen its logs")
        case SIGUSR2: notYet(signal, "replace its binary")
        default: break
        }
    }

    private func notYet(_ signal: Int32, _ deed: String) {
        Log.warning("\(signalName(signal)): this version does not \(deed) yet; restart it instead")
    }

    private func drain(_ signal: Int32) {
        let limit = configuration.drainTimeout
        Log.info(
            "\(signalName(signal)): draining, at most \(limit / 1_000_000_000) s; "
                + "once more ends it at once")
        phase = .draining(until: monotonicNow() &+ limit)
        balancer?.line.sendDrain()
    }

    private func stop(_ signal: Int32) {
        Log.info("\(signalName(signal)): leaving at once")
        stop()
    }

    private func stop() {
        phase = .stopping(until: monotonicNow() &+ Self.stopLimit)
        balancer?.line.sendStop()
    }

    // MARK: The balancer

    /// Takes what the balancer has said.
    private func listen() throws(Failure) {
        while let balancer, balancer.hasReport {
            switch balancer.line.nextReport() {
            case .complaint(let sentence): complaints.append(sentence)
            case .failed(let code):
                if !hasServed {
                    balancer.end()
                    self.balancer = nil
                    throw Failure(
                        reason: Failure.Reason(rawValue: code) ?? .system, sentences: complaints)
                }
                for sentence in complaints { Log.error(sentence) }
                complaints = []
            case .record(let record): self.record = record
            case .reloaded(let changes): reloaded(changes)
            case .refused:
                refused(complaints)
                complaints = []
            case .ready:
                if phase == .starting { phase = .serving }
                hasServed = true
                Log.info("serving: \(ground.places)")
            case .end: balancer.isSilent = true
            }
        }
    }

    /// Looks whether the balancer has ended; the exit code if that was the end of it all.
    private func bury() throws(Failure) -> Int32? {
        guard let dead = balancer, let ending = dead.ending() else { return nil }
        try listen()  // its last words
        balancer = nil
        if reloading != nil { refused(["the balancer died meanwhile: \(ending)"]) }
        switch phase {
        case .stopping: return 0
        case .draining:
            if ending == .exited(0) {
                Log.info("drained")
                return 0
            }
            Log.error("the balancer (process \(dead.pid)) died while it drained: \(ending)")
            return Failure.Reason.system.rawValue
        case .starting where !hasServed:
            throw .system("the balancer (process \(dead.pid)) died before it served: \(ending)")
        case .starting, .serving, .resting:
            let (isFenced, explanation) = judge(ending)
            PrivateFolder.sweep(process: dead.pid, keeping: record.copies)
            // With the guilty one fenced there is no reason to wait.
            let rest = isFenced ? 0 : pace.rest(lived: monotonicNow() &- dead.born)
            let moment = rest == 0 ? "at once" : "in \(rest / 1_000_000) ms"
            Log.error(
                "the balancer (process \(dead.pid)) died: \(ending); \(explanation); "
                    + "another one starts \(moment)")
            phase = .resting(until: monotonicNow() &+ rest)
            return nil
        }
    }

    // MARK: Plugins that crash or hang

    /// Fences the builds that the balancer died of, if it died of any; for the log.
    private func judge(_ ending: Ending) -> (isFenced: Bool, explanation: String) {
        let reader = unsafe CrumbReader(memory: UnsafeRawBufferPointer(ground.crumbs.bytes))
        let end: ProcessEnd =
            switch ending {
            case .exited(let code): .exited(code)
            case .killed(let signal): .killed(signal: signal)
            }
        let verdict = CrashVerdict(
            after: end, wasAsked: false, stuck: stuck, standings: reader?.standings() ?? [],
            stray: reader?.strayMark)
        guard case .guilty(let standings) = verdict else { return (false, verdict.explanation) }
        var fenced: [String] = []
        for standing in standings {
            guard let build = standing.build else { continue }
            let label = record.label(of: build)
            let why = stuck.isEmpty ? "\(ending)" : "it did not come back"
            record.fence(build, reason: "\(why) in \(standing.what)")
            fenced.append("\(label) is fenced")
        }
        return (true, verdict.explanation + "; " + fenced.joined(separator: ", "))
    }

    /// A thread that is inside one call into a plugin for seconds ends the balancer: nothing else
    /// gets it out.
    private func lookForStuck() {
        guard phase == .serving || phase == .starting, let balancer, stuck.isEmpty,
            !balancer.isStopped,
            let reader = unsafe CrumbReader(memory: UnsafeRawBufferPointer(ground.crumbs.bytes))
        else { return }
        stuck = stuckWatch.observe(reader.standings(), at: monotonicNow())
        guard let first = stuck.first else { return }
        Log.error(
            "\(first.role) does not come back from \(first.build.map(record.label) ?? "a plugin"): "
                + "the balancer (process \(balancer.pid)) is ended")
        balancer.kill()
    }

    /// Does what is due; true when all is over.
    private func timeHasCome() throws(Failure) -> Bool {
        guard patience == 0 else { return false }
        switch phase {
        case .starting, .serving: break
        case .draining:
            Log.warning("drain_timeout is over: what is still in flight is cut off")
            stop()
        case .stopping:
            guard let balancer else { return true }
            balancer.kill()
            balancer.end()
            return true
        case .resting:
            do throws(Failure) {
                try start()
            } catch {
                for sentence in error.sentences { Log.error(sentence) }
                phase = .resting(until: monotonicNow() &+ pace.rest(lived: 0))
            }
        }
        return false
    }
}

/// How long to wait before a balancer is started anew: not at all if the last one lived, and longer
/// each time if it died young, so that one which cannot live costs little.
struct RestartPace {
    private static let first: Nanoseconds = 100_000_000
    private static let longest: Nanoseconds = 5_000_000_000
    /// Who lived as long did not die of starting.
    private static let grownUp: Nanoseconds = 1_000_000_000

    private var next = first

    /// `lived`: how long the one that just died did.
    mutating func rest(lived: Nanoseconds) -> Nanoseconds {
        if lived >= Self.grownUp {
            next = Self.first
            return 0
        }
        defer { next = min(next * 2, Self.longest) }
        return next
    }
}
