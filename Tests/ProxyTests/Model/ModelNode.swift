// A node of the model: takes connections, reads requests strictly, answers as the world has planned,
// and says what it should never have seen.

import Base
import Glibc
import Net
import Synchronization

/// One connection to a node.
final class NodeConnection {
    let peer: Peer
    let node: Int
    /// Requests that it has begun to carry.
    private(set) var served = 0
    private var reader = MessageReader()
    /// The request that is being served, how much of its body was read, and its answer.
    private(set) var request: RequestPlan?
    private(set) var answer: AnswerPlan?
    private(set) var bodyRead = 0
    private(set) var requestIsRead = false
    private var isAnswering = false
    private var written = 0
    /// When the last byte of the last answer was written; and whether extras went with it.
    private var answeredAtTurn = -1
    /// What came through a tunnel is read to its end.
    private(set) var peerHasEnded = false

    init(_ peer: Peer, node: Int) {
        self.peer = peer
        self.node = node
    }

    /// It has served, and nothing is under way: a node may close such a connection at any time.
    var isIdle: Bool { served > 0 && answer == nil && reader.isIdle }
    var isOpen: Bool { peer.isOpen }

    func close(reset: Bool) { peer.close(reset: reset) }

    /// Reads once. False if nothing came.
    func read(_ limit: Int, _ stage: Stage) -> Bool {
        switch peer.receive(limit) {
        case .bytes(let bytes):
            do {
                try take(bytes, stage)
            } catch {
                stage.blame("node \(node) was sent what it cannot read: \(error)")
                close(reset: true)
            }
            return true
        case .nothing: return false
        case .end:
            peerHasEnded = true
            // A tunnel's other half may go on.
            if answer?.isTunnel != true || !isAnswering || isDone { close(reset: false) }
            return false
        case .reset:
            peerHasEnded = true
            close(reset: true)
            return false
        }
    }

    private func take(_ bytes: [UInt8], _ stage: Stage) throws {
        reader.feed(bytes)
        while isOpen, let part = try reader.next() {
            switch part {
            case .head(let head): try begin(head, stage)
            case .body(let piece):
                guard let request else { return }
                guard bodyRead + piece.count <= request.tunnel ?? request.size,
                    Noise.holds(piece, of: request.id, at: bodyRead)
                else { throw Broken("other bytes of /\(request.id) than were sent") }
                bodyRead += piece.count
            case .end: try requestEnds(stage)
            }
        }
    }

    private func begin(_ head: MessageReader.Head, _ stage: Stage) throws {
        if let answer {
            throw Broken("another request before the answer \(answer.number) was given")
        }
        let words = head.startLine.split(separator: " ")
        guard words.count == 3, let id = Int(words[1].dropFirst()),
            let plan = stage.world.request(id), plan.flaw != .head
        else { throw Broken("a request line \"\(head.startLine)\" that nobody has sent") }
        guard words[0] == plan.method, words[2] == "HTTP/1.1" else {
            throw Broken("\"\(head.startLine)\" for \(plan.method)")
        }
        guard try head.value("host") != nil || plan.minor == 0 else { throw Broken("no Host") }
        let wantsUpgrade = try head.value("upgrade") == "websocket"
        guard wantsUpgrade == (plan.tunnel != nil) else { throw Broken("another Upgrade") }
        let framing = try head.framing(otherwise: .length(0))
        let expected: MessageReader.Framing = plan.isChunked ? .chunked : .length(plan.size)
        guard framing == expected else { throw Broken("framed \(framing), sent \(expected)") }
        request = plan
        answer = try stage.sight(plan, on: self)
        served += 1
        bodyRead = 0
        requestIsRead = false
        written = 0
        isAnswering = answer?.isEarly == true && answer?.isTunnel == false
        reader.expect(framing)
    }

    private func requestEnds(_ stage: Stage) throws {
        guard let request, let answer else { return }
        guard bodyRead == request.size, request.flaw == nil else {
            throw Broken("/\(request.id) looks whole after \(bodyRead) bytes")
        }
        guard stage.clients[request.id / 8].hasSent(request) else {
            throw Broken("/\(request.id) looks whole before it was sent")
        }
        requestIsRead = true
        isAnswering = true
        if answer.isTunnel {
            bodyRead = 0
            reader.expect(.untilClose)
        }
        settle()
    }

    /// Writes once. False if nothing could be.
    func write(_ limit: Int, _ stage: Stage) -> Bool {
        guard isOpen, isAnswering, let answer, !isDone else { return false }
        var end = answer.wire.count
        switch answer.fault {
        case .silence: return false
        case .cut(let at, let resets):
            end = at
            if written >= at {
                close(reset: resets)
                return true
            }
        case .nonsense, nil: break
        }
        guard let count = peer.send(answer.wire, written..<min(end, written + limit)) else {
            // Its peer has gone: what it has said may still be there to be read.
            if reader.isIdle || peerHasEnded { close(reset: true) }
            return false
        }
        if written < answer.length && written + count >= answer.length {
            answeredAtTurn = stage.turns
        }
        written += count
        if answer.hasExtras && written == answer.wire.count && answeredAtTurn != stage.turns {
            stage.extrasMayPass = true
        }
        settle()
        return count > 0
    }

    /// The answer has been written.
    private var isDone: Bool { answer.map { written == $0.wire.count } ?? true }

    /// Goes on to the next request, or ends, once both sides have said what they had to.
    private func settle() {
        guard let answer, isDone, answer.fault == nil else { return }
        if answer.isTunnel {
            peer.endSending()
            if peerHasEnded { close(reset: false) }
        } else if !answer.stays {
            // Closing on bytes that were not read would take the answer from who has yet to read it.
            if requestIsRead || answer.isAbrupt { close(reset: false) } else { peer.endSending() }
        } else if requestIsRead {
            self.answer = nil
            request = nil
            isAnswering = false
        }
    }
}

/// A node: a listening socket and the connections it has taken.
final class ModelNode {
    let number: Int
    let address: SocketAddress
    private(set) var listener: Int32 = -1
    var connections: [NodeConnection] = []
    /// Fills the queue of one that takes no connection.
    private var filler: Peer?

    init(_ number: Int, isLocal: Bool, isSmall: Bool, isBlackHole: Bool) throws {
        self.number = number
        let wish = isLocal ? SocketAddress.fresh() : SocketAddress.own()
        listener = try Socket.listen(wish, shared: false, backlog: isBlackHole ? 0 : 64)
        if isSmall { Peer.shrink(listener, isLocal: isLocal) }
        address = isLocal ? wish : Socket.localAddress(listener)!
        if isBlackHole { filler = Peer.connect(to: address) }
    }

    deinit { refuse() }

    /// Connections are refused from here on.
    func refuse() {
        guard listener >= 0 else { return }
        IO.close(listener)
        listener = -1
    }

    /// `desk`: with TLS.
    func accept(_ desk: PeerDesk?) -> Bool {
        guard listener >= 0, filler == nil, let peer = Peer.accept(listener) else { return false }
        if let desk { peer.secure(desk.front.session(fd: peer.fd, desk: desk.desk), desk) }
        connections.append(NodeConnection(peer, node: number))
        return true
    }
}

private let names = Atomic<Int>(0)

extension SocketAddress {
    /// A local address that nobody has.
    static func fresh() -> SocketAddress {
        let number = names.wrappingAdd(1, ordering: .relaxed).newValue
        return SocketAddress(abstract: "trivet-model-\(getpid())-\(number)")!
    }

    /// An address of this machine that no other script has: the port of a node that refuses may become that
    /// of another script's, which would get its requests.
    static func own() -> SocketAddress {
        let number = UInt32(truncatingIfNeeded: names.wrappingAdd(1, ordering: .relaxed).newValue)
        return SocketAddress(IPAddress(v4: 0x7F00_0000 | 0x1_0000 + number % 0xF0_0000), port: 0)
    }
}
