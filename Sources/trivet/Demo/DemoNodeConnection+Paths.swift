// What the demo node answers where: the paths of an Octopus server that a balancer meets, and simple
// ones to watch traffic with. What no server should do is in DemoNodeConnection+Faults.swift.

import Base
import Glibc
import Net

extension DemoNodeConnection {
    var isPing: Bool { request.path.lowercased() == "/api/octopusservernodes/ping" }

    /// Answers the request that was read.
    ///
    /// - Returns: false if the connection is to end at once, with whatever is unread or unsent.
    func respond() -> Bool {
        let path = request.path.lowercased()
        let parts = path.split(separator: "/", omittingEmptySubsequences: true)
        if parts.first == "api", parts.count <= 4, parts.suffix(2) == ["packages", "raw"],
            parts.count >= 3
        {
            return receivePackage()
        }
        if let fault = misbehave(path) { return fault }
        switch path {
        case "/socket": return socket()
        case "/echo": return echo()
        case "/firstbyte": return timeBody()
        default: break
        }
        // None of the others depends on the body: it is passed over first, so that the answer does
        // not cross it.
        guard discardBody() else { return false }
        switch path {
        case "/": return page()
        case "/api/octopusservernodes/ping": return ping()
        case "/slow":
            let time = request.number("ms", default: 1000)
            DemoNode.pause(milliseconds: time)
            return reply(200, "\(node.name) took its time: \(time) ms\n")
        case "/events": return events()
        case "/bytes": return download()
        case "/status":
            let code = request.number("code", default: 200)
            guard (200...999).contains(code) else {
                return reply(400, "code is a number from 200 to 999\n")
            }
            return reply(code, code == 304 ? "" : "\(node.name) was asked for \(code)\n")
        case "/demo/state": return changeState()
        case "/demo/stats": return reply(200, json: node.statsText())
        default: return reply(404, "\(node.name) has nothing at \(request.path)\n")
        }
    }

    /// `/`: what the node saw, for people.
    private func page() -> Bool {
        var text = """
            This is \(node.name), a demo node of Trivet, and it is \(node.mood.rawValue).

            request            \(request.line)\n
            """
        for (name, value) in request.fields {
            let lower = name.lowercased()
            guard lower == "host" || lower.hasPrefix("x-forwarded-") else { continue }
            let gap = String(repeating: " ", count: max(1, 19 - name.count))
            text += name + gap + value + "\n"
        }
        return reply(200, text)
    }

    /// The ping of a node, in all its states.
    private func ping() -> Bool {
        node.pings.add(1, ordering: .relaxed)
        let mood = node.mood
        switch mood {
        case .up, .maintenance: return reply(200, json: node.pingText(mood))
        case .draining, .offline: return reply(418, json: node.pingText(mood))
        case .broken:
            return reply(
                500, "<html><body><h1>Oops! Something went wrong</h1></body></html>\n",
                type: "text/html")
        }
    }

    /// `/api/packages/raw`, with or without a space before `packages`: says what arrived. The sum is
    /// over the body as it came, multipart framing and all; `?sum=off` leaves it out, for transfers
    /// that are to be measured.
    private func receivePackage() -> Bool {
        guard request.method == "POST" || request.method == "PUT" else {
            return discardBody()
                && reply(
                    405, "packages come by POST or PUT\n", fields: [("Allow", "POST, PUT")])
        }
        let isSummed = request.option("sum") != "off"
        var sum = SHA256()
        var bytes = 0
        let isWhole = readBody { piece in
            if isSummed { sum.update(piece) }
            bytes += piece.count
            return true
        }
        guard isWhole else { return false }
        let digest = isSummed ? ",\"sha256\":\"\(SHA256.hex(sum.finalize()))\"" : ""
        return reply(201, json: "{\"node\":\"\(node.name)\",\"bytes\":\(bytes)\(digest)}\n")
    }

    /// `/echo`: the head as it came, an empty line, and the body as it comes: both at once, so a
    /// client must read while it writes. Trailers come back as trailers.
    private func echo() -> Bool {
        var head = request.line + "\r\n"
        for (name, value) in request.fields { head += "\(name): \(value)\r\n" }
        head += "\r\n"
        let length: Length =
            switch request.framing {
            case .none: .known(head.utf8.count)
            case .length(let n): .known(head.utf8.count + n)
            case .chunked: .unknown
            }
        return askForBody() && begin(200, fields: [("Content-Type", "message/http")], length)
            && write(head) && readBody { write($0) } && end(trailers: body.trailers)
    }

    /// `/firstbyte`: how a body arrived: milliseconds from the head to its first byte, and from there
    /// to its last.
    private func timeBody() -> Bool {
        let begun = monotonicNow()
        var first: UInt64?
        var last = begun
        var bytes = 0
        var reads = 0
        let isWhole = readBody { piece in
            last = monotonicNow()
            first = first ?? last
            bytes += piece.count
            reads += 1
            return true
        }
        guard isWhole else { return false }
        let start = first ?? begun
        return reply(
            200,
            json: """
                {"node":"\(node.name)","bytes":\(bytes),"reads":\(reads),\
                "first_ms":\((start - begun) / 1_000_000),"span_ms":\((last - start) / 1_000_000)}\n
                """)
    }

    /// `/events?count=N&every=MS`: server-sent events, each with one write.
    private func events() -> Bool {
        let count = request.number("count", default: 10)
        let every = request.number("every", default: 1000)
        let fields = [("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache")]
        guard begin(200, fields: fields, .unknown) else { return false }
        for number in 0..<count {
            if number > 0 { DemoNode.pause(milliseconds: every) }
            guard write("id: \(number)\ndata: \(node.name) event \(number)\n\n") else {
                return false
            }
        }
        return end()
    }

    /// `/bytes?n=N`: N bytes that anyone can compute, with `&chunked=1` or, with `&close=1`, until
    /// the connection is closed.
    private func download() -> Bool {
        let n = request.number("n", default: 1_048_576)
        let length: Length =
            if request.option("close") == "1" {
                .untilClose
            } else if request.option("chunked") == "1" {
                .unknown
            } else {
                .known(n)
            }
        let fields = [("Content-Type", "application/octet-stream")]
        guard begin(200, fields: fields, length) else { return false }
        return writePattern(n) && end()
    }

    /// Writes the first `n` bytes of the pattern.
    func writePattern(_ n: Int) -> Bool {
        if answer.isHeadOnly { return true }
        let pattern = Self.pattern
        var left = n
        while left > 0 {
            let size = min(left, pattern.count)
            guard write(pattern.span.extracting(0..<size)) else { return false }
            left -= size
        }
        return true
    }

    /// The bytes of a download, which begin anew every 65,521: a prime, so that a piece that is lost,
    /// doubled or swapped by a buffer of any usual size does not look right.
    static let pattern: [UInt8] = {
        var random = SplitMix64(seed: 1)
        return (0..<65_521).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }()

    /// `POST /demo/state?set=STATE`.
    private func changeState() -> Bool {
        if request.method == "POST" {
            guard let word = request.option("set"), let mood = DemoNode.Mood(rawValue: word) else {
                return reply(400, "say ?set= and one of \(DemoNode.Mood.list)\n")
            }
            node.mood = mood
        }
        return reply(
            200, json: "{\"name\":\"\(node.name)\",\"state\":\"\(node.mood.rawValue)\"}\n")
    }
}
