// How a script ends, and what must be true then: every request was answered that could be, every byte
// was its own, nobody is left, and the worker holds nothing.

import Balance
import Base
import CLinux
import Glibc
import Net

@testable import Proxy

extension Stage {
    /// Plays the end of the script and judges.
    func finish() {
        if faults.isEmpty {
            switch world.ending {
            case .finish:
                playOn()
                judgeAnswers()
                judgeAbsence()
            case .drain:
                if !hasDrained { drain() }
                playOn()
                judgeAnswers()
                judgePatience()
                if !worker.isOver { blame("the worker has not drained") }
            case .patience: judgePatience()
            case .stop: break
            }
        }
        end()
        room.desk?.end()
        judgeWorker()
        judgeLog()
        judgeEnds()
    }

    /// Everybody does what is left to do until nothing moves any more.
    private func playOn() {
        var still = 0
        var waits = 0
        var rounds = 0
        while still < 4 && faults.isEmpty {
            rounds += 1
            if rounds == 20_000 { blame("there is no end of events") }
            var hasMoved = false
            for client in clients {
                if !hasDrained { hasMoved = client.connect(self) || hasMoved }
                hasMoved = client.write(1 << 17) || hasMoved
                hasMoved = client.read(1 << 17, self) || hasMoved
                hasMoved = client.peer?.settle() ?? false || hasMoved
            }
            for node in nodes {
                hasMoved = accept(node) || hasMoved
                for connection in node.connections where connection.isOpen {
                    hasMoved = connection.read(1 << 17, self) || hasMoved
                    hasMoved = connection.write(1 << 17, self) || hasMoved
                    hasMoved = connection.peer.settle() || hasMoved
                }
            }
            hasMoved = room.desk?.settle() ?? false || hasMoved
            hasMoved = turn() || hasMoved
            still = hasMoved ? 0 : still + 1
            // What goes by TCP may take a moment even here.
            if still == 4 && !world.isLocal && waits < 100 && !isFinished {
                waits += 1
                if turn(wait: 5) { still = 0 } else { still = 3 }
            }
        }
    }

    private var isFinished: Bool {
        clients.allSatisfy { $0.hasEnd || !$0.isHere || $0.got.count == $0.plans.count }
            && worker.exchanges.count == 0
    }

    /// Every client that has done nothing wrong has got what there was to be had.
    private func judgeAnswers() {
        for client in clients where client.peer != nil && !client.hasFailed && faults.isEmpty {
            judge(client)
        }
    }

    private func judge(_ client: ModelClient) {
        let mayFail = world.nodesFail || world.timePasses || world.hasBlackHole
        let name = "client \(client.index)"
        for got in client.got {
            guard let number = got.answer, number < AnswerPlan.extra, got.isWhole else { continue }
            let plan = answers[number]
            // A local socket has no resets: what ends with it may look whole.
            if got.count != plan.size, got.status != 204, got.status != 304, !isHead(got),
                !(got.isUntilClose && world.isLocal), !plan.isTunnel, !mayEndEarly(plan)
            {
                blame("\(name) took \(got.count) bytes for the answer \(number) of \(plan.size)")
            }
        }
        guard !mayFail else { return }
        if let cut = client.got.first(where: { !$0.isWhole && $0.status != 101 }) {
            blame("\(name) got but \(cut.count) bytes for /\(cut.request)")
        }
        guard client.plans.allSatisfy({ $0.flaw == nil }) else { return }
        for got in client.got where got.answer == nil {
            if !(world.reusesAlways && !client.plans[got.request % 8].isReplayable),
                !(got.status == 503 && world.isCrowded)
            {
                blame("\(name) got a \(got.status) for /\(got.request)")
            }
        }
        if client.got.count < client.plans.count && client.got.last?.saysClose != true {
            // An idle client that a draining worker lets go may ask again elsewhere, and a tunnel may
            // have the place that a request waits for.
            let isHeldUp = world.places > 0 && clients.contains(where: \.isInTunnel)
            let isLetGo = hasDrained && client.hasEnd && (!client.wasReset || client.isLate)
            if !isLetGo && !isHeldUp {
                blame("\(name) got \(client.got.count) answers to \(client.plans.count) requests")
            }
        }
        if let last = client.got.last, last.status == 101, let number = last.answer,
            last.count != answers[number].size
        {
            blame("\(name) got \(last.count) bytes of \(answers[number].size) through a tunnel")
        }
    }

    /// Its node may have closed the connection before it had said all.
    private func mayEndEarly(_ plan: AnswerPlan) -> Bool {
        plan.isOpenEnded && !world.soundNodes[plan.node]
    }

    private func isHead(_ got: Got) -> Bool {
        world.request(got.request)?.method == "HEAD"
    }

    /// When the clients have gone, so has all that was there for them, without any time passing.
    private func judgeAbsence() {
        for client in clients { client.close(reset: true) }
        // Who has closed, and still had something to say by TLS that nobody took, is gone as well.
        room.desk?.end()
        var rounds = 0
        while rounds < 200 && worker.clients.count > 0 {
            rounds += 1
            for node in nodes {
                _ = accept(node)
                for connection in node.connections where connection.isOpen {
                    _ = connection.read(1 << 17, self)
                }
            }
            turn(wait: world.isLocal ? 0 : 1)
        }
        if worker.clients.count > 0 && !world.isLocal && clients.contains(where: \.hasLeftQuietly) {
            // A node that is silent is waited for, on behalf of one that has only ended sending.
            judgePatience()
        } else if worker.clients.count > 0 {
            blame("\(worker.clients.count) clients are kept that have gone")
        }
    }

    /// When nobody does anything any more, time ends whatever there is.
    private func judgePatience() {
        for _ in 0..<40 where worker.clients.count > 0 { turn(after: 16_000_000_000) }
        if worker.clients.count > 0 { blame("\(worker.clients.count) clients are kept for ever") }
    }

    /// The worker has given everything back.
    private func judgeWorker() {
        let left = [
            "clients": worker.clients.count, "exchanges": worker.exchanges.count,
            "connections to nodes": worker.upstreams.count, "sessions": worker.carrieds.count,
            "buffers": worker.kit.buffers.lent - 2, "pipes": worker.kit.pipes.lent,
            "descriptors": shared.room.count, "requests in the queue": traffic.queue.length,
        ]
        if !worker.kit.desk.isClean { blame("something of TLS is left") }
        for (what, count) in left where count != 0 { blame("\(count) \(what) are left") }
        if traffic.queue.isBusy { blame("somebody is still called to a place") }
        let rows = board.snapshot()
        let inFlight = rows.reduce(0) { $0 + $1.inFlight }
        if inFlight != 0 { blame("\(inFlight) requests are still counted as in flight") }
        let picks = rows.reduce(0) { $0 + Int($1.picks) }
        if world.hasStrategy && picks != room.strategy.results {
            blame("\(picks) attempts have had \(room.strategy.results) ends")
        }
    }

    /// One line for each request that got anywhere, and it says what came of it.
    private func judgeLog() {
        var lines: [Int: (status: Int, sent: Int, isCut: Bool)] = [:]
        for line in room.takeLog() {
            guard let target = line.value(of: "target\":\"/"),
                let status = line.value(of: "status\":"),
                let sent = line.value(of: "\"sent\":")
            else { continue }
            if lines[target] != nil { blame("/\(target) has two lines in the log") }
            lines[target] = (status, sent, line.has("\"cut\":true"))
        }
        for request in sightings.keys where lines[request] == nil {
            blame("/\(request) has no line in the log")
        }
        for got in clients.flatMap(\.got) {
            guard let line = lines[got.request] else {
                if got.answer != nil { blame("/\(got.request) was answered and has no line") }
                continue
            }
            if line.status != got.status {
                blame("the log has \(line.status) for /\(got.request), which got \(got.status)")
            }
            guard let number = got.answer, number < AnswerPlan.extra, got.isWhole,
                got.status != 101
            else { continue }
            if line.sent != got.count && !line.isCut {
                blame("the log has \(line.sent) bytes for /\(got.request), which got \(got.count)")
            }
            let plan = answers[number]
            if got.count != plan.size && !line.isCut && got.isUntilClose && !mayEndEarly(plan) {
                blame("/\(got.request) looks whole and is not")
            }
        }
    }

    /// Each connection that the worker had has ended: none is forgotten.
    private func judgeEnds() {
        let peers =
            clients.compactMap(\.peer) + nodes.flatMap(\.connections).map(\.peer)
        for peer in peers where peer.isOpen {
            // What was sent before the end comes first.
            reading: while true {
                switch peer.receive(1 << 17) {
                case .bytes: continue
                case .end, .reset: break reading
                case .nothing:
                    // TCP ends a little later. So does a local socket while a process that another test
                    // starts still has its copies of all descriptors, from its fork to its exec.
                    var wait = pollfd(fd: peer.fd, events: Int16(POLLIN), revents: 0)
                    if unsafe poll(&wait, 1, 2000) == 1 { continue }
                    blame("a connection is left open")
                    break reading
                }
            }
        }
    }
}

extension StageRoom {
    /// The log's lines, which are gone then.
    func takeLog() -> [ArraySlice<UInt8>] {
        let size = Int(lseek(log, 0, SEEK_END))
        guard size > 0 else { return [] }
        var text = [UInt8](repeating: 0, count: size)
        let count = unsafe pread(log, &text, size, 0)
        ftruncate(log, 0)
        lseek(log, 0, SEEK_SET)
        return text[..<max(0, count)].split(separator: 10)
    }
}

extension ArraySlice<UInt8> {
    private func end(of words: StaticString) -> Int? {
        let wanted = unsafe UnsafeBufferPointer(
            start: words.utf8Start, count: words.utf8CodeUnitCount)
        var at = startIndex
        while at + wanted.count <= endIndex {
            if unsafe self[at..<at + wanted.count].elementsEqual(wanted) {
                return at + wanted.count
            }
            at += 1
        }
        return nil
    }

    fileprivate func has(_ words: StaticString) -> Bool { end(of: words) != nil }

    /// The number that stands behind `words`.
    fileprivate func value(of words: StaticString) -> Int? {
        guard let start = end(of: words) else { return nil }
        let digits = self[start...].prefix { (0x30...0x39).contains($0) }
        return Int(String(decoding: digits, as: UTF8.self))
    }
}
