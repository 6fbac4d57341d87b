// What every balancer stands on, and what outlives each of them: the listening sockets, the board's
// memory, the access log, the configuration's bytes. Opened by the supervisor, for a start or for a
// reload, of which the second keeps what stays the same.

import Admin
import Balance
import Base
import CLinux
import Config
import Glibc
import Loading
import Net
import Proxy

final class Ground {
    let configuration: Configuration
    let workers: Int
    private let listeners: [ListeningSockets]
    /// Keys of those that are new with this ground.
    private let fresh: Set<String>
    private let bytes: Descriptor
    private let board: Descriptor
    /// Which plugin each thread of the balancer is inside.
    let crumbs: BoardMemory
    private let crumbPage: Descriptor
    private let folder: String
    private let capacity: BoardCapacity
    private let accessLog: Descriptor?
    private let sessionSecret: SessionSecret
    private let tickets: TicketSource
    /// Certificates and keys.
    private let keyring: Descriptor
    private let admin: AdminSocket?
    /// What a balancer has open without traffic, with plugins and workers, and room for some clients.
    private static let leastDescriptors = 128

    /// `board`: memory of somebody else's for the board, of any size; otherwise it is made here.
    init(
        _ configuration: Configuration, bytes: [UInt8], board: Descriptor?
    ) throws(Failure) {
        self.configuration = configuration
        workers = configuration.workers ?? max(1, Int(clinux_cores()))
        Descriptors.raise(for: configuration.descriptorsWanted)
        guard Descriptors.limit >= Self.leastDescriptors else {
            throw .system(
                "\(Descriptors.limit) descriptors, the limit of this process, are too few; raise it to "
                    + "\(Self.leastDescriptors) at least (LimitNOFILE, ulimit -Hn)")
        }
        self.bytes = try .memory("trivet-configuration", bytes)
        accessLog = try Self.openLog(configuration)
        sessionSecret = try SessionSecret()
        tickets = try TicketSource()
        keyring = try .memory("trivet-keys", Keyring.read(for: configuration).encoded)
        capacity = BoardCapacity(roomFor: poolSpecs(of: configuration))
        let size = Board.bytesNeeded(capacity, workers: workers)
        if let board { self.board = board } else { self.board = try .memory("trivet-board") }
        if ftruncate(self.board.number, off_t(size)) != 0 {
            throw .system("the board's memory cannot be had", code: errno)
        }
        let pageSize = CrumbPage.bytesNeeded(workers: workers)
        crumbPage = try .memory("trivet-crumbs")
        if ftruncate(crumbPage.number, off_t(pageSize)) != 0 {
            throw .system("the page of crumbs cannot be had", code: errno)
        }
        crumbs = try BoardMemory(crumbPage, count: pageSize, writes: false)
        do throws(Refusal) {
            folder = try PrivateFolder.lend(to: try? Identity(of: configuration).userNumber)
        } catch {
            throw .system(error.sentence)
        }
        var listeners: [ListeningSockets] = []
        for listener in configuration.listeners {
            listeners.append(try ListeningSockets(listener, workers: workers))
        }
        self.listeners = listeners
        fresh = Set(listeners.map(\.key))
        admin = try configuration.admin.map(AdminSocket.init)
    }

    /// The ground of another configuration: listeners whose addresses stay keep their sockets, and
    /// with them who waits there. Nothing of `old` is closed while it is in use.
    init(
        _ configuration: Configuration, bytes: [UInt8], after old: Ground
    ) throws(Failure) {
        self.configuration = configuration
        workers = old.workers
        self.bytes = try .memory("trivet-configuration", bytes)
        board = old.board
        capacity = old.capacity
        crumbs = old.crumbs
        crumbPage = old.crumbPage
        folder = old.folder
        sessionSecret = old.sessionSecret
        tickets = old.tickets
        keyring = try .memory("trivet-keys", Keyring.read(for: configuration).encoded)
        accessLog = try Self.openLog(configuration)
        var listeners: [ListeningSockets] = []
        var fresh: Set<String> = []
        for listener in configuration.listeners {
            let key = ListeningSockets.key(of: listener)
            if let present = old.listeners.first(where: { $0.key == key }) {
                listeners.append(ListeningSockets(listener, keeping: present))
            } else {
                listeners.append(try ListeningSockets(listener, workers: workers))
                fresh.insert(key)
            }
        }
        self.listeners = listeners
        self.fresh = fresh
        if let wanted = configuration.admin {
            let present = old.admin?.key == AdminSocket.key(of: wanted) ? old.admin : nil
            if let present { admin = present } else { admin = try AdminSocket(wanted) }
        } else {
            admin = nil
        }
    }

    /// `web on 127.0.0.1:8080, other on [::1]:9000 (2 workers); admin on 127.0.0.1:9900`
    var places: String {
        let all = listeners.map { "\($0.name) on \($0.address)" }.joined(separator: ", ")
        return "\(all) (\(workers) worker\(workers == 1 ? "" : "s"))"
            + (admin.map { "; admin on \($0.address)" } ?? "")
    }

    /// Hands it all to a balancer that begins. False if that one is gone.
    func send(
        over line: OrderLine, adopts: Bool, _ record: PluginRecord, _ supervision: Supervision
    ) -> Bool {
        send(
            over: line, Set(listeners.map(\.key)), record, supervision, adopts: adopts,
            isReload: false)
    }

    /// Hands what is new to the balancer that serves. False if it is gone.
    func sendReload(over line: OrderLine, _ supervision: Supervision) -> Bool {
        send(over: line, fresh, PluginRecord(), supervision, adopts: true, isReload: true)
    }

    private func send(
        over line: OrderLine, _ fresh: Set<String>, _ record: PluginRecord,
        _ supervision: Supervision, adopts: Bool,
        isReload: Bool
    ) -> Bool {
        guard let plugins = try? Descriptor.memory("trivet-plugins", record.encoded) else {
            return false
        }
        defer { withExtendedLifetime(plugins) {} }
        let assignment = Assignment(
            file: configuration.file, workers: workers,
            listeners: listeners.map { .init(key: $0.key, isNew: fresh.contains($0.key)) },
            capacity: capacity, folder: folder, hasAccessLog: accessLog != nil,
            hasAdmin: admin != nil, adopts: adopts, supervision: supervision,
            sessionSecret: sessionSecret, ticketRoot: tickets.root(), descriptors: 0)
        var descriptors = [
            bytes.number, board.number, crumbPage.number, plugins.number, keyring.number,
        ]
        if let accessLog { descriptors.append(accessLog.number) }
        if let admin { descriptors.append(admin.socket.number) }
        for listener in listeners where fresh.contains(listener.key) {
            descriptors += listener.sockets.map(\.number)
        }
        return line.send(assignment, descriptors: descriptors, isReload: isReload)
    }

    private static func openLog(_ configuration: Configuration) throws(Failure) -> Descriptor? {
        guard let path = configuration.accessLog?.path else { return nil }
        if path == "-" {
            let twin = clinux_fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
            if twin < 0 { throw .system("the access log has no standard output", code: errno) }
            return Descriptor(twin)
        }
        // A named pipe that nobody reads is refused then, not waited for.
        return try .open(
            configuration.resolve(path), O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK, mode: 0o640,
            what: "the access log")
    }
}
