// Thousands of connections that do nothing: that they are held, for little, through reloads, and that they
// are not all let go at once.

import Base
import Glibc
import TestKit
import Testing

/// One test at a time: each has thousands of descriptors.
@Suite("Idle connections are held and let go gently", .serialized)
struct IdleTests {
    /// As many clients as told, each with one request behind it.
    private func crowd(_ count: Int, at port: UInt16) throws -> [RawClient] {
        var clients: [RawClient] = []
        while clients.count < count {
            let some = try (0..<min(100, count - clients.count)).map { _ in
                try RawClient(port: port, within: 30)
            }
            for client in some { try client.request("GET", "/") }
            for client in some {
                guard try client.response().status == 200 else { throw TestFailure("refused") }
            }
            clients += some
        }
        return clients
    }

    /// How many of them answer.
    private func served(_ clients: [RawClient]) throws -> Int {
        var count = 0
        for start in stride(from: 0, to: clients.count, by: 100) {
            let some = clients[start..<min(start + 100, clients.count)]
            for client in some { try client.request("GET", "/") }
            for client in some where try client.response().status == 200 { count += 1 }
        }
        return count
    }

    private func descriptors(for wanted: UInt) throws -> Bool {
        var limit = rlimit()
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard unsafe getrlimit(resource, &limit) == 0 else { return false }
        limit.rlim_cur = limit.rlim_max
        _ = unsafe setrlimit(resource, &limit)
        return limit.rlim_cur >= wanted
    }

    private func signalReload(_ cluster: Cluster) throws {
        let end = cluster.logEnd
        cluster.trivet.process.signal(SIGHUP)
        try cluster.trivet.process.waitForLine(containing: "reloaded: ", from: end)
    }

    @Test(
        "ten thousand idle connections are held for next to nothing, and a reload cuts none",
        .timeLimit(.minutes(10)))
    func tenThousand() throws {
        guard try descriptors(for: 15_000) else {
            try Test.cancel("the hard limit of descriptors (ulimit -Hn) is below 15000")
        }
        let cluster = try Cluster(nodes: 1)
        let warm = try crowd(200, at: cluster.port)
        let before = try cluster.balancer().residentBytes()
        let clients = try crowd(10_000, at: cluster.port)
        let each = (try cluster.balancer().residentBytes() - before) / clients.count
        if ProcessFacts.isMemoryTelling { #expect(each < 1024, "\(each) bytes each") }
        try signalReload(cluster)
        #expect(clients.allSatisfy { (try? $0.waitForEnd(within: 0)) == nil })
        let some = stride(from: 0, to: clients.count, by: 10).map { clients[$0] }
        #expect(try served(some + warm) == 1200)
    }

    /// Another listener beside the first one of a cluster, in its file.
    private func addListener(_ cluster: Cluster, _ name: String) throws -> UInt16 {
        let file = cluster.trivet.folder.path + "/trivet.json5"
        let text = String(decoding: try readFile(file), as: UTF8.self)
        let more = #", { name: "\#(name)", address: "127.0.0.1:0", pool: "octopus" }],"#
        try cluster.trivet.folder.write(
            text.replacing(" }],\n", with: " }" + more + "\n", maxReplacements: 1),
            to: "trivet.json5")
        let end = cluster.logEnd
        cluster.trivet.process.signal(SIGHUP)
        let line = try cluster.trivet.process.waitForLine(containing: "reloaded: ", from: end)
        let start = try #require(line.range(of: "\(name) on 127.0.0.1:")?.upperBound)
        return try #require(UInt16(line[start...].prefix { $0.isNumber }))
    }

    /// Waits until all have been ended, and says how long after the first of them the last one was.
    private func awaitEnds(_ clients: [RawClient]) throws -> Double {
        var open = clients
        var first: UInt64 = 0
        let deadline = Deadline(seconds: 20)
        while true {
            // Looking at all of them takes a while of its own.
            let now = Deadline.now()
            open = open.filter { (try? $0.waitForEnd(within: 0)) == nil }
            if first == 0, open.count < clients.count { first = now }
            if open.isEmpty { return Double(Deadline.now() - first) / 1e9 }
            if deadline.isOver { throw TestFailure("\(open.count) clients were not let go") }
            _ = poll(nil, 0, 2)
        }
    }

    @Test(
        "a thousand clients keep their connections when other listeners come and go",
        .timeLimit(.minutes(10)))
    func otherListener() throws {
        let cluster = try Cluster(nodes: 1)
        let file = cluster.trivet.folder.path + "/trivet.json5"
        let text = try readFile(file)
        let clients = try crowd(1000, at: cluster.port)
        let side = try addListener(cluster, "side")
        #expect(try served(clients) == 1000)
        let others = try crowd(1000, at: side)
        try cluster.trivet.folder.write(text, to: "trivet.json5")
        try signalReload(cluster)
        // Those of the listener that is gone do not all come back at the same moment.
        let took = try awaitEnds(others)
        // With a sanitizer most have gone before the first look.
        #expect(
            took > 0.2 || !ProcessFacts.isMemoryTelling, "a thousand were let go within \(took) s")
        #expect(others.allSatisfy { $0.end == .closed })
        #expect(try served(clients) == 1000)
        #expect(!RawClient.canConnect(to: side))
    }

    @Test(
        "SIGTERM lets a thousand idle clients go one after the other, and few of them at once",
        .timeLimit(.minutes(10)), arguments: [1000, 8])
    func drain(count: Int) throws {
        let cluster = try Cluster(nodes: 1)
        let clients = try crowd(count, at: cluster.port)
        let start = Deadline.now()
        cluster.trivet.process.signal(SIGTERM)
        let took = try awaitEnds(clients)
        #expect(clients.allSatisfy { $0.end == .closed })
        if count == 1000 { #expect(took > 0.2, "within \(took) s") }
        #expect(try cluster.trivet.process.waitForExit() == .code(0))
        let all = Double(Deadline.now() - start) / 1e9
        #expect(all < (count == 1000 ? 5 : 2), "\(all) s")
    }
}
