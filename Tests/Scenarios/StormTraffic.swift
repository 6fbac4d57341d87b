// The traffic of the chaos test: pages, downloads and uploads, each checked byte by byte by the client
// that asked, from threads of their own.

import Base
import Synchronization
import TestKit

/// Asks until it is told to end.
final class StormTraffic: Sendable {
    struct Outcome: Sendable {
        var pages = 0
        var downloads = 0
        var uploads = 0
        /// What failed visibly and may: uploads, and answers that had begun.
        var losses = 0
        /// What may never be.
        var faults: [String] = []
    }

    private enum Job { case pages, downloads, uploads }

    private let port: UInt16
    private let isOver = Atomic(false)
    private let left: Atomic<Int>
    private let outcome = Guarded(Outcome())
    /// Odd while there may be no balancer: whatever meets such a time is lost, and no fault.
    private let strikes = Atomic(0)

    private static let jobs: [Job] = [.pages, .pages, .pages, .downloads, .uploads, .uploads]
    /// Below and above what is spliced.
    private static let sizes = [1000, 40_000, 300_000, 2_000_000]
    private static let sums = sizes.map(Pattern.sum)

    init(port: UInt16) throws {
        self.port = port
        left = Atomic(Self.jobs.count)
        for job in Self.jobs {
            try startThread { [self] in
                work(at: job)
                left.wrappingSubtract(1, ordering: .releasing)
            }
        }
    }

    /// Before a balancer is killed, and again when there is another.
    func noteStrike() { strikes.wrappingAdd(1, ordering: .sequentiallyConsistent) }

    var answered: Int { outcome.withLock { $0.pages } }

    /// Ends it, and says how it was.
    func end() throws -> Outcome {
        isOver.store(true, ordering: .relaxed)
        try eventually("the clients have ended", within: 30) {
            left.load(ordering: .acquiring) == 0 ? true : nil
        }
        return outcome.withLock { $0 }
    }

    private func work(at job: Job) {
        var client: RawClient?
        // Strikes before the client's connection was made: what came with it may be read long after the
        // balancer at its other end has died.
        var since = 0
        var round = 0
        while !isOver.load(ordering: .relaxed) {
            round += 1
            do {
                // Connections that stay, and new ones.
                if round % 40 == 0 { client = nil }
                if client == nil { since = strikes.load(ordering: .sequentiallyConsistent) }
                let one = try client ?? RawClient(port: port)
                client = one
                let isWhole =
                    switch job {
                    case .pages: try page(one)
                    case .downloads: try download(one, round)
                    case .uploads: try upload(one, round)
                    }
                if !isWhole { client = nil }
            } catch {
                client = nil
                let after = strikes.load(ordering: .sequentiallyConsistent)
                let isExcused = after != since || after % 2 == 1
                if !isExcused { outcome.withLock { $0.faults.append("\(job): \(error)") } }
            }
        }
    }

    /// False: its node died between head and body.
    private func page(_ client: RawClient) throws -> Bool {
        try client.request("GET", "/")
        let head = try client.readHead()
        guard head.status == 200 else { throw TestFailure("a \(head.status) for a page") }
        var text: [UInt8] = []
        do {
            _ = try client.readBody(of: head) { text += $0 }
        } catch {
            outcome.withLock { $0.losses += 1 }
            return false
        }
        let node = head["Octopus-Node"] ?? "nobody"
        guard text.starts(with: "This is \(node), ".utf8) else {
            throw TestFailure(
                "a page that is not \(node)'s: \(String(decoding: text, as: UTF8.self))")
        }
        outcome.withLock { $0.pages += 1 }
        return true
    }

    /// False: it was cut, which may be once it has begun, since nobody else can go on with it.
    private func download(_ client: RawClient, _ round: Int) throws -> Bool {
        let size = Self.sizes[round % Self.sizes.count]
        try client.request("GET", "/bytes?n=\(size)" + (round / 4 % 2 == 0 ? "" : "&chunked=1"))
        let head = try client.readHead()
        guard head.status == 200 else { throw TestFailure("a \(head.status) for a download") }
        var count = 0
        var isWrong = false
        do {
            _ = try client.readBody(of: head) { piece in
                isWrong = isWrong || Pattern.bytes(piece.count, from: count)[...] != piece
                count += piece.count
            }
        } catch {
            if isWrong { throw TestFailure("wrong bytes before \(count)") }
            guard count < size else { throw TestFailure("\(count) bytes and no end: \(error)") }
            outcome.withLock { $0.losses += 1 }
            return false
        }
        guard !isWrong, count == size else {
            throw TestFailure("\(count) bytes that look whole instead of \(size)")
        }
        outcome.withLock { $0.downloads += 1 }
        return true
    }

    /// False: it has failed, which may be, since it cannot be sent to another node.
    private func upload(_ client: RawClient, _ round: Int) throws -> Bool {
        let which = round % Self.sizes.count
        let size = Self.sizes[which]
        let isChunked = round / 4 % 2 == 0
        let answer: Response
        do {
            let framing =
                isChunked ? ("Transfer-Encoding", "chunked") : ("Content-Length", "\(size)")
            try client.request("POST", "/api/packages/raw", fields: [framing])
            if isChunked {
                var at = 0
                while at < size {
                    let count = min(100_000, size - at)
                    try client.sendChunk(Pattern.bytes(count, from: at))
                    at += count
                }
                try client.sendChunk([])
            } else {
                try client.sendPattern(size)
            }
            answer = try client.response()
        } catch {
            outcome.withLock { $0.losses += 1 }
            return false
        }
        switch answer.status {
        case 200, 201:
            guard answer.text.contains(Self.sums[which]) else {
                throw TestFailure("an upload of \(size) bytes came as another: \(answer.text)")
            }
            outcome.withLock { $0.uploads += 1 }
            return true
        case 502, 503, 504:
            outcome.withLock { $0.losses += 1 }
            return false
        default: throw TestFailure("a \(answer.status) for an upload: \(answer.text)")
        }
    }
}
