// The trial as the child sees it: load every file, look at its tables, make an instance of
// everything in use, pick, probe, judge, destroy. It runs where nothing can be harmed; the host
// only reads what it says, and whether it came to its end. Started as `trivet --trial`.

import Balance
import CLinux
import CTrivet
import Glibc

package enum Trial {
    /// Picks of each strategy in use.
    private static let picks = 64
    /// The descriptor on which the child speaks.
    static let voice: Int32 = 3

    /// What the command runs for `--trial`: the job on standard input, the answers on descriptor 3.
    /// The exit status; 0 says only that the child has nothing more to say.
    package static func main(_ arguments: [String]) -> Int32 {
        expectTheWorst(arguments)
        guard let job = TrialJob(readAll(0)) else { return 2 }
        var libraries: [(file: Int, library: Library)] = []
        for (index, file) in job.files.enumerated() {
            say(.begins(file: index, deed: "while it was loaded"))
            do throws(Refusal) {
                let library = try Library.load(
                    path: file.copy, file: file.file, content: .init(build: 1))
                libraries.append((index, library))
                say(.listing(file: index, listing(of: library)))
            } catch {
                say(.refusesFile(file: index, error.sentence))
            }
        }
        let candidates = Set(job.uses.compactMap(\.file))
        for use in job.uses {
            for (index, library) in libraries {
                let file = library.origin.file
                guard use.file == file || use.file == nil && !candidates.contains(file) else {
                    continue
                }
                do throws(Refusal) {
                    try attempt(use, index, library)
                } catch {
                    say(.refusesUse("\(library.origin.file): \(error.sentence)"))
                }
            }
        }
        say(.done)
        // Not exit: a plugin's handlers for it are nothing that a trial is about.
        _exit(0)
    }

    /// A plugin that crashes here is expected to: no core file, nothing that outlives the host, and
    /// nothing that lasts longer than the first argument says, in seconds.
    static func expectTheWorst(_ arguments: [String]) {
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
        _ = clinux_prctl(PR_SET_PDEATHSIG, UInt(SIGKILL))
        // Traffic goes first: on a machine that is busy a reload may take its time.
        _ = nice(10)
        if let seconds = arguments.first.flatMap({ UInt32($0) }) { alarm(seconds) }
    }

    private static func attempt(_ use: PluginUse, _ file: Int, _ library: Library) throws(Refusal) {
        switch use.kind {
        case .strategy:
            guard let kind = library.strategies.first(where: { $0.name == use.name }) else {
                return
            }
            try attempt(kind, use, file)
        case .check:
            guard let kind = library.checks.first(where: { $0.name == use.name }) else { return }
            try attempt(kind, use, file)
        }
    }

    private static func attempt(
        _ kind: StrategyKind, _ use: PluginUse, _ file: Int
    ) throws(Refusal) {
        let name = "strategy \"\(kind.name)\""
        let ground = try Ground(pool: use.pool)
        say(.begins(file: file, deed: "in create of \(name)"))
        let instance = try kind.make(at: ground.place, slot: 0, options: use.options)
        let view = PoolView(at: ground.place, strategies: [instance])
        say(.begins(file: file, deed: "in pick of \(name)"))
        let (method, target) = (Array("GET".utf8), Array("/".utf8))
        let (authority, client) = (Array("example.com".utf8), Array("192.0.2.1".utf8))
        for _ in 0..<picks {
            let facts = PickFacts(
                method: method.span, target: target.span, authority: authority.span,
                client: client.span, bytes: Span(), fields: Span(), tried: Span())
            ground.clock.now += 1_000_000
            guard case .node(let node, let token, let strategy) = view.pick(facts) else { continue }
            view.began(node)
            view.ended(
                node,
                AttemptResult(
                    outcome: .ok, status: 200, strategy: strategy, token: token,
                    generation: view.generation, firstByteNs: 1_000_000, totalNs: 2_000_000))
        }
        say(.begins(file: file, deed: "in update or destroy of \(name)"))
        ground.board.publish(pool: 0, node: 1, state: .down, reason: "trial", since: 1)
        view.refresh(now: ground.clock.now)
    }

    private static func attempt(
        _ kind: CheckKind, _ use: PluginUse, _ file: Int
    ) throws(Refusal) {
        let name = "check \"\(kind.name)\""
        let ground = try Ground(pool: use.pool)
        say(.begins(file: file, deed: "in create of \(name)"))
        let instance = try kind.make(at: ground.place, options: use.options)
        say(.begins(file: file, deed: "in probe of \(name)"))
        let plan = instance.probe(node: 0, step: 0, timeoutMs: 1000)
        say(.begins(file: file, deed: "in judge of \(name)"))
        let replies = [
            ProbeReply(outcome: .connectFailed, detail: "connection refused"),
            ProbeReply(outcome: .ok, status: plan?.kind == .tcp ? 0 : 200, body: Array("{}".utf8)),
            ProbeReply(outcome: .ok, status: plan?.kind == .tcp ? 0 : 418),
        ]
        for reply in replies { _ = instance.judge(node: 0, reply: reply) }
        say(.begins(file: file, deed: "in destroy of \(name)"))
    }

    /// A board with a pool of three nodes, for one use.
    private struct Ground {
        let board: Board
        let clock = WorkerClock(1)
        let place: InstancePlace

        init(pool: String) throws(Refusal) {
            let nodes = (1...3).map {
                NodeSpec(id: UInt64($0), name: "node\($0)", address: "192.0.2.\($0):80")
            }
            let spec = PoolSpec(name: pool, nodes: nodes)
            let size = Board.bytesNeeded(pools: [spec], workers: 1)
            // Kept until the child ends, as the board has to be.
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 64)
            board = unsafe try Board(memory: memory, pools: [spec], workers: 1, adopt: false)
            place = InstancePlace(
                board: board, pool: board.pools[0], worker: 0, clock: clock, metrics: Metrics())
        }
    }

    private static func listing(of library: Library) -> PluginListing {
        let strategies = library.strategies.map {
            PluginOffer(kind: .strategy, name: $0.name, summary: $0.summary, options: $0.options)
        }
        let checks = library.checks.map {
            PluginOffer(kind: .check, name: $0.name, summary: $0.summary, options: $0.options)
        }
        return PluginListing(
            file: library.origin.file, isBundled: false, plugin: library.origin.plugin,
            version: library.origin.version, offers: strategies + checks)
    }

    private static func say(_ word: TrialWord) {
        var writer = FieldWriter()
        word.write(to: &writer)
        say(writer.bytes)
    }

    /// Hands bytes to the host.
    static func say(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let n = unsafe rest.withUnsafeBytes { buffer in
                uninterrupted { unsafe write(voice, buffer.baseAddress!, buffer.count) }
            }
            // Nobody listens any more.
            guard n > 0 else { _exit(3) }
            rest = rest.dropFirst(n)
        }
    }

    static func readAll(_ fd: Int32) -> [UInt8] {
        var bytes: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 65_536)
        while true {
            let n = unsafe room.withUnsafeMutableBytes { buffer in
                uninterrupted { unsafe read(fd, buffer.baseAddress!, buffer.count) }
            }
            guard n > 0 else { return bytes }
            bytes += room[..<n]
        }
    }
}
