// Plugins that crash, leave, hang and dawdle while they serve: what happens to everybody else.

import Base
import Glibc
import TestKit
import Testing

@Suite("A bad plugin is outlived")
struct FenceTests {
    /// A cluster whose strategy is a good build, replaced by one that is not.
    private struct Patient {
        let folder: TemporaryFolder
        let cluster: Cluster
        private let top = #"pid_file: "trivet.pid", plugins: ["."], access_log: "log.json","#

        init(first defines: [String] = [], strategy: String = #""turns""#) throws {
            folder = try TemporaryFolder()
            try buildPlugin(ReloadTests.turns, as: "libturns.so", in: folder, defines: defines)
            cluster = try Cluster(
                workers: 1, health: nil, strategy: strategy, top: top, in: folder)
        }

        func take(_ defines: [String]) throws {
            try buildPlugin(ReloadTests.turns, as: "libturns.so", in: folder, defines: defines)
            let (exit, output, error) = try Trivet.run(["reload", folder.path + "/trivet.json5"])
            guard exit == .code(0) else { throw TestFailure(output + error) }
        }

        /// Waits until the access log ends in a line whose reason begins so: it is written after the
        /// answer.
        func expectReason(_ prefix: String) throws {
            try eventually("a last reason that begins with \(prefix)") {
                try lastReason().hasPrefix(prefix) ? true : nil
            }
        }

        private func lastReason() throws -> String {
            let log = try String(decoding: readFile(folder.path + "/log.json"), as: UTF8.self)
            let line = log.split(separator: "\n").last.map(String.init) ?? ""
            guard let start = line.range(of: "\"reason\":\"")?.upperBound else { return line }
            return String(line[start...].prefix { $0 != "\"" })
        }
    }

    @Test(
        "a strategy that ends the process is fenced, the build before it serves, connections made meanwhile are answered",
        .timeLimit(.minutes(10)),
        arguments: ["CRASHES_AT=100", "LEAVES_AT=100"])
    func crash(how: String) throws {
        let patient = try Patient(first: ["BUILD=\"good\""])
        let cluster = patient.cluster
        let client = try cluster.client()
        for _ in 0..<6 { #expect(try client.get("/").status == 200) }
        try patient.take(["BUILD=\"bad\"", how])
        let end = cluster.logEnd
        let balancer = try cluster.balancer().pid
        // Counts are handed over, so the hundredth pick of both builds together is the bad one's end.
        var lost = 0
        var clients = [client]
        for _ in 0..<120 {
            do {
                let last = clients.removeLast()
                #expect(try last.get("/").status == 200)
                clients.append(last)
            } catch {
                lost += 1
                // The listening socket was never away: this waits, and is answered.
                clients.append(try cluster.client())
            }
        }
        #expect(lost == 1, "the exchange in whose pick it happened is cut, and no other")
        let line = try cluster.trivet.process.waitForLine(containing: "is fenced", from: end)
        #expect(line.contains("libturns.so") && line.contains("pick on worker 0"))
        #expect(try cluster.balancer().pid != balancer)
        try patient.expectReason("good ")
        // A reload with the same content keeps the fence; another content is free.
        let (exit, output, error) = try Trivet.run(
            ["reload", patient.folder.path + "/trivet.json5"])
        #expect(exit == .code(0), "\(output + error)")
        #expect(try cluster.client().get("/").status == 200)
        try patient.expectReason("good ")
        try patient.take(["BUILD=\"mended\""])
        #expect(try cluster.client().get("/").status == 200)
        try patient.expectReason("mended ")
    }

    @Test("without an earlier build the built-in turns serve", .timeLimit(.minutes(10)))
    func noEarlierBuild() throws {
        let patient = try Patient(first: ["CRASHES_AT=70"])
        let cluster = patient.cluster
        for _ in 0..<80 { _ = try? cluster.client().get("/") }
        let nodes = try (0..<6).compactMap { _ in try cluster.client().get("/").node }
        #expect(Set(nodes).count == 3)
        #expect(cluster.trivet.process.lines.count { $0.text.contains("is fenced") } == 1)
    }

    @Test(
        "what was fenced and has no earlier build does not keep the balancer from starting anew",
        .timeLimit(.minutes(10)))
    func deathAfterFence() throws {
        let patient = try Patient(first: ["SLEEPS"])
        let cluster = patient.cluster
        for _ in 0..<12 { #expect(try cluster.client().get("/").status == 200) }
        try cluster.trivet.process.waitForLine(containing: "its pools do without it")
        let end = cluster.logEnd
        kill(try cluster.balancer().pid, SIGKILL)
        try cluster.trivet.process.waitForLine(containing: "serving: ", from: end)
        #expect(try cluster.client().get("/").status == 200)
        let lines = cluster.trivet.process.lines[end...]
        #expect(!lines.contains { $0.text.contains("which no plugin offers") })
    }

    @Test("a strategy that dawdles is fenced within a few requests", .timeLimit(.minutes(10)))
    func slow() throws {
        let patient = try Patient(first: ["BUILD=\"good\""])
        let cluster = patient.cluster
        try patient.take(["BUILD=\"slow\"", "SLEEPS"])
        let end = cluster.logEnd
        let balancer = try cluster.balancer().pid
        let client = try cluster.client()
        for _ in 0..<12 { #expect(try client.get("/").status == 200) }
        try cluster.trivet.process.waitForLine(containing: "plugins_budget", from: end)
        try cluster.trivet.process.waitForLine(containing: "serves in its place", from: end)
        #expect(try client.get("/").status == 200)
        try patient.expectReason("good ")
        #expect(try cluster.balancer().pid == balancer, "nothing had to be started anew")
    }

    @Test(
        "a strategy that never comes back is ended after 3 s and fenced", .timeLimit(.minutes(10)))
    func stuck() throws {
        let patient = try Patient(first: ["BUILD=\"good\""])
        let cluster = patient.cluster
        try patient.take(["BUILD=\"bad\"", "LOOPS_AT=70"])
        let client = try cluster.client()
        client.patience = 15
        for _ in 0..<69 { #expect(try client.get("/").status == 200) }
        #expect(throws: (any Error).self) { try client.get("/") }
        let line = try cluster.trivet.process.waitForLine(containing: "is fenced", within: 15)
        #expect(line.contains("libturns.so"))
        let next = try cluster.client()
        #expect(try next.get("/").status == 200)
        try patient.expectReason("good ")
    }

    @Test("what lies in the plugin folder meanwhile does not keep it from starting anew")
    func badFileBeside() throws {
        let patient = try Patient(first: ["BUILD=\"good\""])
        let cluster = patient.cluster
        try patient.folder.write("no plugin", to: "libtext.so")
        try patient.folder.write("neither", to: "libturns.so")
        kill(try cluster.balancer().pid, SIGKILL)
        try cluster.trivet.process.waitForLine(containing: "another one starts")
        #expect(try cluster.client().get("/").status == 200)
        try patient.expectReason("good ")
    }

    @Test("a kill from outside fences nobody", .timeLimit(.minutes(10)))
    func killed() throws {
        let patient = try Patient()
        let cluster = patient.cluster
        #expect(try cluster.client().get("/").status == 200)
        kill(try cluster.balancer().pid, SIGKILL)
        let line = try cluster.trivet.process.waitForLine(containing: "another one starts")
        #expect(line.contains("no plugin is fenced"))
        #expect(try cluster.client().get("/").status == 200)
    }
}
