// What the supervisor and its balancer say to each other: messages on a SOCK_SEQPACKET pair, one a
// packet. The first byte says which; what follows is text. End of file is a message as well: the other
// side is gone.
//
//   to the balancer                                  from the balancer
//   S  serve: an assignment as JSON, and the         C  complaint: one sentence
//      first of its descriptors                      F  failed: exit code as a digit; the complaints
//   M  more descriptors of the assignment               came before it
//   L  reload: another assignment                    R  ready: it serves
//   D  drain: no new connections, finish, leave      K  it serves as the last reload said: what
//   T  what the supervisor has counted                  that changed
//   X  stop: leave now                               B  builds and fences as they are now: a record of
//                                                       plugins, in a descriptor
//                                                    N  it does not, and serves on as before; the
//                                                       complaints came before it
//
// The descriptors of an assignment, in order: the configuration's bytes, the board, the page of crumbs,
// the record of plugins, the files that TLS needs, the access log and the admin socket if there are any, then the listening
// sockets, worker by worker for each listener that is new.

import Admin
import Balance
import Base
import CLinux
import Glibc
import Loading
import Net

/// Where the balancer's process finds its end of the pair.
let ordersDescriptor: Int32 = 3

/// What a balancer is to do, beside the descriptors that it needs for it.
struct Assignment: Equatable, Sendable {
    /// The configuration's path, for sentences and for paths that are relative to it.
    var file: String
    var workers: Int
    var listeners: [Address]
    /// Room on the board.
    var capacity: BoardCapacity
    /// Where private copies of plugins go.
    var folder: String
    var hasAccessLog: Bool
    var hasAdmin: Bool
    /// The board holds what an earlier balancer knew.
    var adopts: Bool
    var supervision: Supervision
    /// Signs the sessions of pools without a secret of their own.
    var sessionSecret: SessionSecret
    /// The keys of TLS sessions follow from it.
    var ticketRoot: TicketRoot
    /// How many descriptors belong to it, over all packets.
    var descriptors: Int

    /// Where a listener listens.
    struct Address: Equatable, Sendable {
        /// Names the address.
        var key: String
        /// Its sockets come with the assignment; else the balancer has them already.
        var isNew: Bool
    }

    /// Descriptors before those of the listeners.
    var fixedDescriptors: Int { 5 + (hasAccessLog ? 1 : 0) + (hasAdmin ? 1 : 0) }
}

enum Order {
    /// The descriptors are the receiver's to close.
    case serve(Assignment, descriptors: [Int32])
    case reload(Assignment, descriptors: [Int32])
    case note(Supervision)
    case drain
    case stop
    /// The supervisor is gone.
    case end
}

enum Report: Equatable {
    case complaint(String)
    case failed(code: Int32)
    case ready
    case reloaded(String)
    case record(PluginRecord)
    case refused
    /// Nothing more will come.
    case end
}

/// One end of the pair.
struct OrderLine {
    /// A packet may carry as many (SCM_MAX_FD, unix(7)).
    static let descriptorsPerPacket = 253
    /// Well below what a socket's buffer takes by default.
    private static let packetLimit = 32_768

    let socket: Descriptor

    // MARK: Supervisor's side

    /// Hands over an assignment, the first or another one. False if the balancer is gone.
    func send(_ assignment: Assignment, descriptors: [Int32], isReload: Bool = false) -> Bool {
        var assignment = assignment
        assignment.descriptors = descriptors.count
        var rest = descriptors[...]
        var packet = Array("\(isReload ? "L" : "S")\(assignment.text)".utf8)
        repeat {
            let part = rest.prefix(Self.descriptorsPerPacket)
            rest = rest.dropFirst(part.count)
            if !send(packet, Array(part)) { return false }
            packet = [UInt8(ascii: "M")]
        } while !rest.isEmpty
        return true
    }

    @discardableResult
    func send(_ supervision: Supervision) -> Bool { send(Array("T\(supervision.text)".utf8)) }

    @discardableResult
    func sendDrain() -> Bool { send([UInt8(ascii: "D")]) }

    @discardableResult
    func sendStop() -> Bool { send([UInt8(ascii: "X")]) }

    /// The next message; waits for one.
    func nextReport() -> Report {
        while true {
            let (packet, descriptors) = receive()
            let attached = descriptors.map { Descriptor($0) }
            guard let kind = packet.first else { return .end }
            let text = String(decoding: packet.dropFirst(), as: UTF8.self)
            switch kind {
            case UInt8(ascii: "R"): return .ready
            case UInt8(ascii: "K"): return .reloaded(text)
            case UInt8(ascii: "N"): return .refused
            case UInt8(ascii: "B"):
                guard let bytes = attached.first?.contents(), let record = PluginRecord(bytes)
                else { continue }
                return .record(record)
            case UInt8(ascii: "C"): return .complaint(text)
            case UInt8(ascii: "F"): return .failed(code: Int32(text) ?? 3)
            default: continue
            }
        }
    }

    // MARK: Balancer's side

    @discardableResult
    func sendReady() -> Bool { send([UInt8(ascii: "R")]) }

    func send(_ failure: Failure) {
        if complain(failure) { _ = send(Array("F\(failure.reason.rawValue)".utf8)) }
    }

    /// Says which builds serve, and which are fenced.
    func send(_ record: PluginRecord) {
        do throws(Failure) {
            let memory = try Descriptor.memory("trivet-plugins", record.encoded)
            _ = send([UInt8(ascii: "B")], [memory.number])
            withExtendedLifetime(memory) {}
        } catch {
            Log.error("the supervisor cannot be told of plugins: \(error.sentences.joined())")
        }
    }

    func sendReloaded(_ changes: String) { _ = send(Array("K\(changes)".utf8)) }

    func sendRefused(_ failure: Failure) {
        if complain(failure) { _ = send([UInt8(ascii: "N")]) }
    }

    private func complain(_ failure: Failure) -> Bool {
        failure.sentences.allSatisfy { send(Array("C\($0)".utf8.prefix(Self.packetLimit))) }
    }

    /// The next message; waits for one.
    func nextOrder() -> Order {
        while true {
            let (packet, descriptors) = receive()
            guard let kind = packet.first else { return .end }
            switch kind {
            case UInt8(ascii: "D"): return .drain
            case UInt8(ascii: "T"):
                let text = String(decoding: packet.dropFirst(), as: UTF8.self)
                guard let supervision = Supervision(text) else { continue }
                return .note(supervision)
            case UInt8(ascii: "X"): return .stop
            case UInt8(ascii: "S"), UInt8(ascii: "L"):
                guard let assignment = Assignment(packet.dropFirst()) else { return .end }
                var all = descriptors
                // As many packets as `send` made of it.
                for _ in 0..<max(0, assignment.descriptors - 1) / Self.descriptorsPerPacket {
                    let (packet, more) = receive()
                    guard packet.first == UInt8(ascii: "M") else { return .end }
                    all += more
                }
                // Where no descriptor is free, the kernel drops those that were sent.
                if all.count < assignment.descriptors {
                    for fd in all { close(fd) }
                    all = []
                }
                return kind == UInt8(ascii: "S")
                    ? .serve(assignment, descriptors: all) : .reload(assignment, descriptors: all)
            default: continue
            }
        }
    }

    // MARK: Packets

    private func send(_ packet: [UInt8], _ descriptors: [Int32] = []) -> Bool {
        while true {
            let n = unsafe packet.withUnsafeBytes { bytes in
                unsafe clinux_send_fds(
                    socket.number, bytes.baseAddress, bytes.count, descriptors, descriptors.count)
            }
            if n < 0 && errno == EINTR { continue }
            return n == packet.count
        }
    }

    /// Empty at the end.
    private func receive() -> ([UInt8], [Int32]) {
        var packet = [UInt8](repeating: 0, count: Self.packetLimit + 1)
        var numbers = [Int32](repeating: -1, count: Self.descriptorsPerPacket)
        var count = 0
        var n: Int
        repeat {
            n = unsafe packet.withUnsafeMutableBytes { room in
                unsafe clinux_receive_fds(
                    socket.number, room.baseAddress, room.count, &numbers, numbers.count, &count)
            }
        } while n < 0 && errno == EINTR
        return (Array(packet.prefix(max(0, n))), Array(numbers.prefix(count)))
    }
}

extension Assignment {
    fileprivate var text: String {
        let nowhere = Place(line: 1, column: 1)
        func member(_ key: String, _ kind: JSONNode.Kind) -> JSONNode.Member {
            JSONNode.Member(key: key, keyPlace: nowhere, value: JSONNode(kind, at: nowhere))
        }
        return JSONNode(
            .object([
                member("file", .string(file)), member("folder", .string(folder)),
                member("workers", .number(Double(workers))),
                member(
                    "listeners",
                    .array(
                        listeners.map { place in
                            JSONNode(
                                .object([
                                    member("key", .string(place.key)),
                                    member("isNew", .bool(place.isNew)),
                                ]), at: nowhere)
                        })),
                member("poolRoom", .number(Double(capacity.pools))),
                member("nodeRoom", .number(Double(capacity.nodes))),
                member("hasAccessLog", .bool(hasAccessLog)), member("hasAdmin", .bool(hasAdmin)),
                member("adopts", .bool(adopts)),
                member("supervision", .string(supervision.text)),
                member("sessionSecret", .string(sessionSecret.hex)),
                member("ticketRoot", .string(SHA256.hex(ticketRoot.bytes))),
                member("ticketPeriod", .number(Double(ticketRoot.period))),
                member("descriptors", .number(Double(descriptors))),
            ]), at: nowhere
        ).encoded()
    }

    fileprivate init?(_ bytes: ArraySlice<UInt8>) {
        let node: JSONNode
        do throws(Diagnostic) {
            node = try JSON5.parse(Array(bytes), file: "assignment")
        } catch {
            return nil
        }
        func number(_ key: String) -> Int? {
            guard case .number(let value)? = node[key]?.kind else { return nil }
            return Int(exactly: value)
        }
        func flag(_ key: String) -> Bool { node[key]?.kind == .bool(true) }
        guard case .string(let file)? = node["file"]?.kind, let workers = number("workers"),
            case .array(let listeners)? = node["listeners"]?.kind,
            let pools = number("poolRoom"), let nodes = number("nodeRoom"),
            case .string(let folder)? = node["folder"]?.kind,
            let descriptors = number("descriptors"),
            case .string(let counted)? = node["supervision"]?.kind,
            let supervision = Supervision(counted),
            case .string(let hex)? = node["sessionSecret"]?.kind,
            let sessionSecret = SessionSecret(hex: hex),
            case .string(let root)? = node["ticketRoot"]?.kind,
            let ticketRoot = SessionSecret(hex: root), let period = number("ticketPeriod")
        else { return nil }
        var places: [Address] = []
        for listener in listeners {
            guard case .string(let key)? = listener["key"]?.kind else { return nil }
            places.append(Address(key: key, isNew: listener["isNew"]?.kind == .bool(true)))
        }
        self.init(
            file: file, workers: workers, listeners: places,
            capacity: BoardCapacity(pools: pools, nodes: nodes), folder: folder,
            hasAccessLog: flag("hasAccessLog"), hasAdmin: flag("hasAdmin"), adopts: flag("adopts"),
            supervision: supervision, sessionSecret: sessionSecret,
            ticketRoot: TicketRoot(bytes: ticketRoot.bytes, period: UInt64(max(0, period))),
            descriptors: descriptors)
    }
}

extension Supervision {
    /// Its numbers, in the order of its members.
    fileprivate var text: String { "\(pid) \(reloads) \(refusals) \(lastReload) \(restarts)" }

    fileprivate init?(_ text: String) {
        let numbers = text.split(separator: " ").compactMap { UInt64($0) }
        guard numbers.count == 5, let pid = Int32(exactly: numbers[0]) else { return nil }
        self.init(
            pid: pid, reloads: numbers[1], refusals: numbers[2], lastReload: numbers[3],
            restarts: numbers[4])
    }
}
