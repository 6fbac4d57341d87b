// What every balancer stands on, and what outlives each of them: the listening sockets, the board's
// memory, the access log, the configuration's bytes. Opened once by the supervisor.

import Balance
import Base
import CLinux
import Config
import Glibc
import Net
import Proxy

final class Ground {
    let file: String
    let workers: Int
    private let listeners: [ListeningSockets]
    private let configuration: Descriptor
    private let board: Descriptor
    private let boardBytes: Int
    private let accessLog: Descriptor?

    /// `board`: memory of somebody else's for the board, of any size; otherwise it is made here.
    init(
        _ configuration: Configuration, bytes: [UInt8], board: Descriptor?
    ) throws(Failure) {
        file = configuration.file
        workers = configuration.workers ?? max(1, Int(clinux_cores()))
        Self.raiseDescriptorLimit()
        self.configuration = try .memory("trivet-configuration", bytes)
        accessLog = try Self.openLog(configuration)
        boardBytes = Board.bytesNeeded(pools: poolSpecs(of: configuration), workers: workers)
        if let board { self.board = board } else { self.board = try .memory("trivet-board") }
        if ftruncate(self.board.number, off_t(boardBytes)) != 0 {
            throw .system("the board's memory cannot be had", code: errno)
        }
        var listeners: [ListeningSockets] = []
        for listener in configuration.listeners {
            listeners.append(try ListeningSockets(listener, workers: workers))
        }
        self.listeners = listeners
    }

    /// `web on 127.0.0.1:8080, admin on [::1]:9000 (2 workers)`
    var places: String {
        let all = listeners.map { "\($0.name) on \($0.address)" }.joined(separator: ", ")
        return "\(all) (\(workers) worker\(workers == 1 ? "" : "s"))"
    }

    /// Hands it all to a balancer. False if that one is gone.
    func send(over line: OrderLine, adopts: Bool) -> Bool {
        let assignment = Assignment(
            file: file, workers: workers, listeners: listeners.count, boardBytes: boardBytes,
            hasAccessLog: accessLog != nil, adopts: adopts, descriptors: 0)
        var descriptors = [configuration.number, board.number]
        if let accessLog { descriptors.append(accessLog.number) }
        for listener in listeners { descriptors += listener.sockets.map(\.number) }
        return line.send(assignment, descriptors: descriptors)
    }

    private static func openLog(_ configuration: Configuration) throws(Failure) -> Descriptor? {
        guard let path = configuration.accessLog?.path else { return nil }
        if path == "-" {
            let twin = clinux_fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
            if twin < 0 { throw .system("the access log has no standard output", code: errno) }
            return Descriptor(twin)
        }
        return try .open(
            configuration.resolve(path), O_WRONLY | O_CREAT | O_APPEND, mode: 0o640,
            what: "the access log")
    }

    /// As many descriptors as the system allows; inherited by the balancer. A connection needs two.
    private static func raiseDescriptorLimit() {
        var limit = rlimit()
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard unsafe getrlimit(resource, &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        _ = unsafe setrlimit(resource, &limit)
    }
}
