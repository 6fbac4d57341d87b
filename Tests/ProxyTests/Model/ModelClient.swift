// A client of the model: sends what the world has planned, reads answers strictly, and says what it
// should never have got.

import Base
import Net

/// What a client has got for one request.
struct Got {
    let request: Int
    var status: Int
    /// Of the node's answer; nil: the balancer's own.
    var answer: Int?
    var saysClose = false
    /// Bytes of its body.
    var count = 0
    var isWhole = false
    /// Of an answer that has no other end than the connection's.
    var isUntilClose = false
}

/// One client and its one connection.
final class ModelClient {
    let index: Int
    let plans: [RequestPlan]
    private let isPolite: Bool
    private(set) var peer: Peer?
    /// All requests, one after the other.
    private let stream: [UInt8]
    /// Where each request ends in it.
    private let ends: [Int]
    private(set) var sent = 0
    private var tunnelSent = 0
    private var reader = MessageReader()
    /// In order; the last may be under way.
    private(set) var got: [Got] = []
    /// Numbers of answers of which interim responses came.
    private(set) var interims: [Int] = []
    private var isInBody = false
    private(set) var isInTunnel = false
    /// The other side has ended the connection.
    private(set) var hasEnd = false
    private(set) var wasReset = false
    /// It connected to a worker that takes nobody any more.
    private(set) var isLate = false
    /// It has gone, or stopped sending, before it was answered.
    private(set) var hasFailed = false
    /// It has gone without a reset: for all that TCP says, it may still read.
    private(set) var hasLeftQuietly = false

    init(_ index: Int, _ world: World) {
        self.index = index
        plans = world.requests[index]
        isPolite = world.isPolite[index]
        var stream: [UInt8] = []
        var ends: [Int] = []
        for plan in plans {
            stream += plan.wire
            ends.append(stream.count)
        }
        self.stream = stream
        self.ends = ends
    }

    /// Connected, and not gone by itself.
    var isHere: Bool { peer?.isOpen == true }

    func connect(_ stage: Stage) -> Bool {
        guard peer == nil else { return false }
        peer = Peer.connect(to: stage.address)
        isLate = stage.hasDrained
        if let peer, stage.world.isSecure.front, let desk = stage.room.desk {
            peer.secure(
                desk.behind.session(
                    fd: peer.fd, peer: PeerDesk.peer, former: nil, desk: desk.desk), desk)
        }
        if let peer, stage.world.isSmall { Peer.shrink(peer.fd, isLocal: stage.world.isLocal) }
        if peer == nil {
            if !stage.hasDrained { stage.blame("client \(index) could not connect") }
            hasEnd = true
            hasFailed = true
        }
        return true
    }

    func hasSent(_ plan: RequestPlan) -> Bool { sent >= ends[plan.id % 8] }
    func hasSentHead(_ plan: RequestPlan) -> Bool {
        sent >= ends[plan.id % 8] - plan.wire.count + plan.headLength
    }
    func hasBegun(_ index: Int) -> Bool { sent > (index == 0 ? 0 : ends[index - 1]) }

    var hasSentAll: Bool { sent == stream.count && tunnelLeft == 0 }
    private var tunnelLeft: Int { isInTunnel ? (plans.last?.tunnel ?? 0) - tunnelSent : 0 }

    /// Answers that have come whole.
    private var answered: Int { got.count { $0.isWhole } }

    /// Sends once. False if nothing went.
    func write(_ limit: Int) -> Bool {
        guard let peer, peer.isOpen, !peer.hasEndedSending else { return false }
        if tunnelLeft > 0, let body = plans.last?.id {
            let bytes = Array(
                Noise.bytes(of: body, tunnelSent..<tunnelSent + min(tunnelLeft, limit)))
            guard let count = peer.send(bytes, 0..<bytes.count) else { return false }
            tunnelSent += count
            return count > 0
        }
        let end = isPolite ? ends[min(answered, ends.count - 1)] : stream.count
        guard let count = peer.send(stream, sent..<max(sent, min(end, sent + limit))) else {
            return false
        }
        sent += count
        return count > 0
    }

    /// Says that it will send no more.
    func endSending() {
        guard let peer, peer.isOpen else { return }
        if !hasSentAll { hasFailed = true }
        peer.endSending()
    }

    func close(reset: Bool) {
        guard let peer, peer.isOpen else { return }
        hasFailed = true
        hasLeftQuietly = !reset
        peer.close(reset: reset)
    }

    /// Reads once. False if nothing came.
    func read(_ limit: Int, _ stage: Stage) -> Bool {
        guard let peer, peer.isOpen, !hasEnd else { return false }
        switch peer.receive(limit) {
        case .bytes(let bytes):
            do {
                try take(bytes, stage)
            } catch {
                stage.blame("client \(index) got what it cannot read: \(error)")
                close(reset: true)
            }
            return true
        case .nothing: return false
        case .end: end(reset: false)
        case .reset: end(reset: true)
        }
        return true
    }

    private func end(reset: Bool) {
        hasEnd = true
        wasReset = reset
        if isInBody, reader.isUntilClose, !reset { got[got.count - 1].isWhole = true }
    }

    private func take(_ bytes: [UInt8], _ stage: Stage) throws {
        reader.feed(bytes)
        while let part = try reader.next() {
            switch part {
            case .head(let head): try begin(head, stage)
            case .body(let piece):
                guard let last = got.last else { return }
                if let number = last.answer, number < AnswerPlan.extra {
                    let plan = stage.answers[number]
                    guard last.count + piece.count <= plan.size,
                        Noise.holds(piece, of: plan.body, at: last.count)
                    else { throw Broken("other bytes than answer \(number) has") }
                }
                got[got.count - 1].count += piece.count
            case .end:
                isInBody = false
                got[got.count - 1].isWhole = true
            }
        }
    }

    private func begin(_ head: MessageReader.Head, _ stage: Stage) throws {
        if let last = got.last, last.saysClose { throw Broken("an answer after the last one") }
        let words = head.startLine.split(separator: " ", maxSplits: 2)
        guard words.count >= 2, words[0] == "HTTP/1.1", let status = Int(words[1]) else {
            throw Broken("a status line \"\(head.startLine)\"")
        }
        let request = got.count
        guard request < plans.count, hasBegun(request) else {
            throw Broken("an answer, \(status), that it has not asked for")
        }
        let plan = plans[request]
        var answer: Int?
        if let text = try head.value("x-answer") {
            guard let number = Int(text) else { throw Broken("an answer \(text)") }
            answer = number
            try stage.check(answer: number, status: status, for: plan)
        }
        if status < 200 && status != 101 {
            guard let answer, plan.minor == 1 else { throw Broken("an interim \(status)") }
            interims.append(answer)
            reader.expect(.length(0))
            // No answer yet: the end of the part is that of this head alone.
            guard case .end? = try reader.next() else { return }
            return
        }
        if answer == nil { try stage.check(own: status, for: plan) }
        var now = Got(request: plan.id, status: status, answer: answer)
        now.saysClose = try head.value("connection") == "close"
        let framing: MessageReader.Framing
        // That it is a HEAD may not have come: then there is a body.
        let isUntold = status == 408 && plan.method == "HEAD"
        if isUntold {
            framing = .untilClose
        } else if status == 101 {
            guard plan.tunnel != nil, answer != nil else { throw Broken("a tunnel") }
            isInTunnel = true
            framing = .untilClose
            now.saysClose = true
        } else if plan.method == "HEAD" || status == 204 || status == 304 {
            framing = .length(0)
        } else {
            framing = try head.framing(otherwise: .untilClose)
        }
        now.isUntilClose = framing == .untilClose
        if framing == .untilClose && plan.minor == 1 && status != 101 && !isUntold {
            throw Broken("a body without an end")
        }
        if framing == .untilClose { now.saysClose = true }
        got.append(now)
        isInBody = true
        reader.expect(framing)
    }
}
