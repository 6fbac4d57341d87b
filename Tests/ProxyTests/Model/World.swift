// What a script is played in: who takes part, what the clients ask for and how the nodes answer. All
// of it follows from one number.

import Base
import Net

/// One request, as it goes over the wire.
struct RequestPlan {
    enum Flaw {
        /// Its head is ambiguous.
        case head
        /// Its body's framing breaks in the middle.
        case body
    }

    /// The client's number and the request's: also the name of its body, and its target.
    let id: Int
    let method: String
    let minor: Int
    /// What of the body the node is to get.
    let size: Int
    let hasBody: Bool
    let isChunked: Bool
    let flaw: Flaw?
    /// The client asks for the connection's end after it.
    let closes: Bool
    /// Bytes that go through the tunnel; nil: no handshake.
    let tunnel: Int?
    let wire: [UInt8]
    let headLength: Int

    var target: String { "/\(id)" }
    /// Idempotent and without a body.
    var isReplayable: Bool { size == 0 && !isChunked && method != "POST" }

    init(id: Int, isLast: Bool, mayBeFlawed: Bool, _ random: inout SplitMix64) {
        self.id = id
        let isTunnel = isLast && random.oneIn(8)
        flaw = !isTunnel && mayBeFlawed && random.oneIn(12) ? random.oneIn(2) ? .head : .body : nil
        hasBody = flaw == .body || !isTunnel && random.oneIn(2)
        method =
            isTunnel
            ? "GET"
            : random.pick(
                hasBody
                    ? ["POST", "PUT", "DELETE"] : ["GET", "GET", "GET", "HEAD", "DELETE", "POST"])
        minor = isTunnel || flaw != nil || !random.oneIn(8) ? 1 : 0
        isChunked = hasBody && minor == 1 && (flaw == .body || random.oneIn(2))
        size = hasBody ? random.size() : 0
        closes = minor == 0 ? !random.oneIn(2) : random.oneIn(8)
        tunnel = isTunnel ? random.size() : nil

        var head = "\(method) /\(id) HTTP/1.\(minor)\r\nHost: model\r\n"
        if minor == 0 && !closes { head += "Connection: keep-alive\r\n" }
        if minor == 1 && closes { head += "Connection: close\r\n" }
        if isTunnel {
            head += "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            head += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        }
        if isChunked { head += "Transfer-Encoding: chunked\r\n" }
        if hasBody && !isChunked { head += "Content-Length: \(size)\r\n" }
        if flaw == .head { head += "Content-Length: 7\r\nTransfer-Encoding: chunked\r\n" }
        if hasBody && random.oneIn(6) && minor == 1 { head += "Expect: 100-continue\r\n" }
        var wire = Array((head + "\r\n").utf8)
        headLength = wire.count
        if isChunked {
            wire.append(chunksOf: id, size, hasTrailer: random.oneIn(4), &random)
            // The last chunk's line is no number any more.
            if flaw == .body { wire[wire.lastIndex(of: UInt8(ascii: "0")) ?? 0] = 0x7A }
        } else {
            wire += Noise.bytes(of: id, 0..<size)
        }
        self.wire = wire
    }
}

/// One answer, as a node gives it.
struct AnswerPlan {
    enum Fault: Equatable {
        /// The node leaves after so many bytes of it.
        case cut(at: Int, resets: Bool)
        /// Not a byte of it comes.
        case silence
        /// It is no HTTP, or is framed twice.
        case nonsense
    }

    let number: Int
    let request: Int
    let node: Int
    let status: Int
    let size: Int
    /// It comes before the request's body was read.
    let isEarly: Bool
    /// The connection can be used again.
    let stays: Bool
    /// It is closed while the request may still be coming.
    let isAbrupt: Bool
    let fault: Fault?
    /// Another answer, which nobody asked for, follows it at once.
    let hasExtras: Bool
    let isTunnel: Bool
    /// Its body ends with the connection: nobody can tell that it was to be longer.
    let isOpenEnded: Bool
    let interims: Int
    let wire: [UInt8]
    /// Where the extras begin.
    let length: Int

    /// Answers' bodies are named apart from requests'.
    var body: Int { 1000 + number }
    static let extra = 1_000_000

    init(
        number: Int, to request: RequestPlan, by node: Int, isSound: Bool, isLocal: Bool,
        _ random: inout SplitMix64
    ) {
        self.number = number
        self.request = request.id
        self.node = node
        isTunnel = request.tunnel != nil && !random.oneIn(4)
        isEarly = random.oneIn(6)
        let isHead = request.method == "HEAD"
        let isBodiless = isHead || random.oneIn(8)
        status =
            isTunnel
            ? 101
            : isBodiless && !isHead ? random.pick([204, 304]) : random.pick([200, 201, 404])
        size = isBodiless && !isTunnel ? 0 : random.size()
        let framing = random.below(4)
        isOpenEnded = !isBodiless && !isTunnel && framing == 0
        stays = !isTunnel && !isOpenEnded && !random.oneIn(6)
        interims = random.oneIn(5) ? 1 + random.below(3) : 0
        // What ends with the connection is not whole if it ends with a reset.
        isAbrupt = (isLocal && !isOpenEnded || !isSound) && random.oneIn(2)
        hasExtras = !isSound && !isTunnel && stays && random.oneIn(8)
        var head = ""
        for _ in 0..<interims {
            let status = random.pick(["100 Continue", "103 Early Hints"])
            head += "HTTP/1.1 \(status)\r\nX-Answer: \(number)\r\n\r\n"
        }
        let isNonsense = !isSound && random.oneIn(12)
        head += isNonsense && random.oneIn(2) ? "HTTP/2 hello" : "HTTP/1.1 \(status) Fine"
        head += "\r\nX-Answer: \(number)\r\n"
        if isTunnel {
            head += "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        } else if !stays && random.oneIn(2) {
            head += "Connection: close\r\n"
        }
        let isChunked = !isBodiless && !isTunnel && framing == 1
        if isChunked { head += "Transfer-Encoding: chunked\r\n" }
        if !isBodiless && !isTunnel && framing > 1 { head += "Content-Length: \(size)\r\n" }
        if isHead && framing > 1 { head += "Content-Length: 12345\r\n" }
        if isNonsense { head += "Content-Length: 1\r\nContent-Length: 2\r\n" }
        var wire = Array((head + "\r\n").utf8)
        if isChunked {
            wire.append(chunksOf: 1000 + number, size, hasTrailer: random.oneIn(4), &random)
        } else {
            wire += Noise.bytes(of: 1000 + number, 0..<size)
        }
        length = wire.count
        if hasExtras {
            let number = number + Self.extra
            wire += "HTTP/1.1 200 Evil\r\nX-Answer: \(number)\r\nContent-Length: 0\r\n\r\n".utf8
        }
        if isNonsense {
            fault = .nonsense
        } else if !isSound && random.oneIn(4) {
            let at = random.oneIn(3) ? 0 : random.below(length)
            fault = random.oneIn(4) ? .silence : .cut(at: at, resets: random.oneIn(2))
        } else {
            fault = nil
        }
        self.wire = wire
    }
}

/// Who takes part, and what may happen to them.
struct World {
    enum Ending: String {
        /// Everybody does what is left to do.
        case finish
        /// Nobody does anything any more: time passes.
        case patience
        /// The worker is to drain, and everybody does what is left to do.
        case drain
        /// The worker is to leave at once.
        case stop
    }

    let seed: UInt64
    /// Local sockets deliver at once and in order, so that a script repeats exactly; TCP has resets and
    /// connects that take their time.
    let isLocal: Bool
    /// Clients go away, speak nonsense, or do not wait for answers.
    let clientsFail: Bool
    /// Nodes that are not sound go away, refuse, are silent, and answer with nonsense.
    let nodesFail: Bool
    let timePasses: Bool
    let isSmall: Bool
    let hasStrategy: Bool
    let retries: Int
    let reusesAlways: Bool
    /// Of each node, whether it is sound: it answers every request whole.
    let soundNodes: [Bool]
    /// The first node that is not sound takes no connection, and does not refuse it either.
    let hasBlackHole: Bool
    /// By client.
    let requests: [[RequestPlan]]
    /// Of each client, whether it waits for an answer before it sends the next request.
    let isPolite: [Bool]
    let ending: Ending
    /// Requests that a node may have at a time; 0: any number.
    let places: Int
    /// Requests that may wait for a place.
    let queueLimit: Int
    /// Failures in a row that keep a node out of the pool for a while; 0: it stays whatever happens.
    let ejectsAfter: Int
    /// Who comes back gets little at first.
    let startsSlowly: Bool
    /// TLS on the clients' side, and on the nodes'.
    let isSecure: (front: Bool, behind: Bool)

    /// Somebody is turned away even if all goes well.
    var isCrowded: Bool { places > 0 && queueLimit < requests.count }

    init(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        self.seed = seed
        isLocal = !random.oneIn(6)
        clientsFail = random.oneIn(2)
        nodesFail = random.oneIn(2)
        timePasses = random.oneIn(3)
        isSmall = random.oneIn(2)
        hasStrategy = random.oneIn(2)
        retries = random.below(4)
        reusesAlways = random.oneIn(6)
        let nodes = 1 + random.below(3)
        let fail = nodesFail
        soundNodes = (0..<nodes).map { _ in !fail || random.oneIn(2) }
        hasBlackHole = !isLocal && timePasses && random.oneIn(2)
        let mayBeFlawed = clientsFail
        requests = (0..<1 + random.below(3)).map { client in
            let count = 1 + random.below(4)
            return (0..<count).map { index in
                RequestPlan(
                    id: client * 8 + index, isLast: index == count - 1, mayBeFlawed: mayBeFlawed,
                    &random)
            }
        }
        isPolite = requests.map { _ in random.oneIn(2) }
        ending = random.pick([.finish, .finish, .finish, .finish, .patience, .drain, .stop])
        places = random.oneIn(3) ? 1 + random.below(2) : 0
        queueLimit = random.below(4)
        ejectsAfter = random.oneIn(2) ? 1 + random.below(2) : 0
        startsSlowly = random.oneIn(3)
        isSecure = TLS.isThere ? (random.oneIn(5), random.oneIn(5)) : (false, false)
    }

    func request(_ id: Int) -> RequestPlan? {
        guard requests.indices.contains(id / 8) else { return nil }
        return requests[id / 8].indices.contains(id % 8) ? requests[id / 8][id % 8] : nil
    }

    /// The answer to a request that reaches a node, which has been at nodes `sightings` times before:
    /// the same whenever that happens.
    func answer(number: Int, to request: RequestPlan, by node: Int, sightings: Int) -> AnswerPlan {
        var random = SplitMix64(
            seed: seed ^ UInt64(request.id << 16 | node << 8 | sightings) &* 0x9E37_79B9)
        return AnswerPlan(
            number: number, to: request, by: node, isSound: soundNodes[node], isLocal: isLocal,
            &random)
    }
}

extension World: CustomStringConvertible {
    var description: String {
        var text = isLocal ? "local sockets" : "TCP"
        text += ", ending: \(ending.rawValue), retries: \(retries)"
        if isSmall { text += ", small buffers" }
        if hasStrategy { text += ", a strategy" }
        if reusesAlways { text += ", reuse always" }
        if places > 0 { text += ", places: \(places) and \(queueLimit) to wait" }
        if ejectsAfter > 0 { text += ", ejects after \(ejectsAfter)" }
        if startsSlowly { text += ", slow start" }
        if isSecure.front { text += ", TLS in front" }
        if isSecure.behind { text += ", TLS behind" }
        text += "\nnodes: " + soundNodes.map { $0 ? "sound" : "failing" }.joined(separator: ", ")
        for (client, plans) in requests.enumerated() {
            text += "\nclient \(client)\(isPolite[client] ? " (waits for answers)" : ""):"
            for plan in plans {
                text += " \(plan.method) /\(plan.id)"
                if plan.minor == 0 { text += " 1.0" }
                if plan.hasBody { text += " \(plan.size)\(plan.isChunked ? " in chunks" : "")" }
                if let tunnel = plan.tunnel { text += " tunnel \(tunnel)" }
                if plan.closes { text += " closes" }
                if let flaw = plan.flaw { text += " (flawed \(flaw))" }
                text += ";"
            }
        }
        return text
    }
}

extension SplitMix64 {
    mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }
    mutating func oneIn(_ count: Int) -> Bool { below(count) == 0 }
    mutating func pick<T>(_ list: [T]) -> T { list[below(list.count)] }

    /// Of a body: mostly small, seldom more than buffers and pipes hold, often just about a limit.
    mutating func size() -> Int {
        switch below(16) {
        case 0: 0
        case 1...9: below(200)
        case 10...12: below(6000)
        case 13: 65_530 + below(12)
        case 14: below(70_000)
        default: oneIn(4) ? below(Noise.longest) : 49_140 + below(24)
        }
    }
}

extension [UInt8] {
    /// The first `size` bytes of a body, in chunks of any size.
    fileprivate mutating func append(
        chunksOf body: Int, _ size: Int, hasTrailer: Bool, _ random: inout SplitMix64
    ) {
        var at = 0
        while at < size {
            // Not so small that framing is all there is to a long body.
            let count = Swift.min(size - at, 1 + random.size() + size / 64)
            append(
                contentsOf: "\(String(count, radix: 16))\(random.oneIn(9) ? ";x=y" : "")\r\n".utf8)
            append(contentsOf: Noise.bytes(of: body, at..<at + count))
            append(contentsOf: [13, 10])
            at += count
        }
        append(contentsOf: "0\r\n\(hasTrailer ? "X-Sum: 1\r\n" : "")\r\n".utf8)
    }
}
