// What the failures of requests lead to, without any check: nodes left alone for a while, other nodes
// asked, and no more of that than the budget allows.

import TestKit
import Testing

@Suite("Requests themselves show which nodes fail")
struct PassiveHealthTests {
    @Test(
        "a dead node is left alone, and gets requests again when it is back",
        .timeLimit(.minutes(10)))
    func ejected() throws {
        let cluster = try Cluster(
            health: nil, pool: #"ejection: { failures: 3, time: "1s", max_time: "1s" },"#)
        let client = try cluster.client()
        for _ in 0..<6 { #expect(try client.get("/").status == 200) }
        let victim = cluster.nodes[1]
        let end = cluster.logEnd
        try victim.kill()
        for _ in 0..<12 { #expect(try client.get("/").status == 200) }
        let line = try cluster.trivet.process.waitForLine(containing: "ejected", from: end)
        #expect(
            line.contains(
                "node octopus/node2: ejected for 1 s by its traffic: 3 attempts in a row failed, the "
                    + "last: no connection"), "\(line)")
        let back = try Node("node2", port: victim.port)
        try cluster.trivet.process.waitForLine(
            containing: "node octopus/node2: gets requests again after its ejection", from: end)
        try eventually("a request at node2") { try client.get("/").node == "node2" ? true : nil }
        #expect(back.name == "node2")
    }

    @Test("what a check says is told apart from what the traffic says", .timeLimit(.minutes(10)))
    func toldApart() throws {
        let cluster = try Cluster(pool: #"ejection: { failures: 2, time: "10s" },"#)
        let client = try cluster.client()
        // Alive by its check, and bad at requests.
        for _ in 0..<12 { _ = try? client.exchange("GET", "/garbage") }
        let line = try cluster.trivet.process.waitForLine(containing: "ejected for 10 s")
        #expect(line.contains("by its traffic: 2 attempts in a row failed"))
        #expect(line.contains("malformed"))
        // One of three at most, and no check has said a word.
        let log = cluster.trivet.process.lines
        #expect(log.count { $0.text.contains("ejected for") } == 1)
        #expect(!log.contains { $0.text.contains("-> down") })
    }

    @Test("while every node fails, retries stay within their budget", .timeLimit(.minutes(10)))
    func budget() throws {
        let cluster = try Cluster(
            health: nil, pool: #"ejection: "off", retry_budget: "10%","#)
        let requests = 800
        // Over connections that stay, as the traffic of an outage comes.
        for _ in 0..<8 {
            let client = try cluster.client()
            for _ in 0..<(requests / 8) {
                #expect(try client.get("/reset").status == 502)
            }
        }
        let attempts = try cluster.nodes.reduce(0) { try $0 + $1.stats().requests }
        // A tenth of them, and a hundred for each worker; unbounded it would be three times as many.
        #expect(attempts > requests && attempts <= requests + requests / 10 + 200)
        try cluster.trivet.process.waitForLine(containing: "retry_budget")
    }
}
