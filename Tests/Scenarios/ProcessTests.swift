// Supervisor and balancer as processes: started, drained by a signal, killed and started anew, told
// off for a bad configuration. And plugins dropped in from outside.

import Glibc
import TestKit
import Testing

@Suite("The processes: signals, crashes, mistakes")
struct ProcessTests {
    @Test("SIGTERM lets an upload in flight end and exits with 0", .timeLimit(.minutes(10)))
    func drain() throws {
        let cluster = try Cluster(nodes: 1)
        let upload = try cluster.client()
        try upload.send(
            "POST /api/packages/raw HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        try upload.send(Pattern.bytes(50_000))
        try cluster.nodes[0].waitForStats("the upload") { $0.inFlight == 1 }
        let idle = try cluster.client()
        #expect(try idle.get("/").status == 200)
        cluster.trivet.process.signal(SIGTERM)
        #expect(try idle.waitForEnd(within: 5) == .closed)
        _ = try eventually("an end of accepting") {
            RawClient.canConnect(to: cluster.port) ? nil : true
        }
        try upload.send(Pattern.bytes(50_000, from: 50_000))
        #expect(try upload.response().text.contains(Pattern.sum(100_000)))
        #expect(try cluster.trivet.process.waitForExit() == .code(0))
    }

    @Test("a second signal ends it at once", .timeLimit(.minutes(10)))
    func impatience() throws {
        let cluster = try Cluster(nodes: 1)
        let stuck = try cluster.client()
        try stuck.request("GET", "/hang")
        try cluster.nodes[0].waitForStats("a request in flight") { $0.inFlight == 1 }
        let end = cluster.logEnd
        cluster.trivet.process.signal(SIGINT)
        try cluster.trivet.process.waitForLine(containing: "draining", from: end)
        cluster.trivet.process.signal(SIGINT)
        #expect(try cluster.trivet.process.waitForExit(within: 5) == .code(0))
    }

    @Test("drain_timeout ends what does not end by itself", .timeLimit(.minutes(10)))
    func drainTimeout() throws {
        let cluster = try Cluster(nodes: 1, top: #"drain_timeout: "300ms","#)
        let stuck = try cluster.client()
        try stuck.request("GET", "/hang")
        try cluster.nodes[0].waitForStats("a request in flight") { $0.inFlight == 1 }
        cluster.trivet.process.signal(SIGTERM)
        #expect(try cluster.trivet.process.waitForExit(within: 5) == .code(0))
    }

    @Test("a balancer that dies is started anew on the same sockets", .timeLimit(.minutes(10)))
    func crash() throws {
        let cluster = try Cluster()
        #expect(try cluster.client().get("/").status == 200)
        let end = cluster.logEnd
        let first = try cluster.balancer().pid
        kill(first, SIGKILL)
        try cluster.trivet.process.waitForLine(containing: "died: SIGKILL", from: end)
        // Connections wait meanwhile; none is refused.
        #expect(try cluster.client().get("/").status == 200)
        #expect(try cluster.balancer().pid != first)
    }

    @Test("the balancer does not outlive its supervisor", .timeLimit(.minutes(10)))
    func orphan() throws {
        let cluster = try Cluster(nodes: 1)
        let balancer = try cluster.balancer().pid
        cluster.trivet.process.signal(SIGKILL)
        try cluster.trivet.process.waitForExit()
        _ = try eventually("the balancer's end") { ProcessFacts.exists(balancer) ? nil : true }
    }

    @Test("whoever looks for trivet among the processes finds all of it", .timeLimit(.minutes(10)))
    func names() throws {
        let cluster = try Cluster(nodes: 1)
        #expect(try ProcessFacts(cluster.trivet.process.pid).name() == "trivet")
        #expect(try cluster.balancer().name() == "trivet")
    }

    @Test("thousands of connections leave no descriptor behind", .timeLimit(.minutes(10)))
    func noLeaks() throws {
        let cluster = try Cluster()
        for _ in 0..<10 { _ = try cluster.client().get("/") }
        func descriptors() throws -> Int { try cluster.balancer().descriptorCount() }
        let before = try descriptors()
        for i in 0..<2000 {
            let client = try cluster.client()
            if i % 3 == 0 { continue }  // says nothing
            try client.request(i % 3 == 1 ? "GET" : "POST", "/", body: i % 3 == 1 ? [] : [1, 2, 3])
            if i % 2 == 0 { _ = try client.response() }  // or goes away
        }
        // Idle connections to nodes may have come; two workers keep a handful each.
        _ = try eventually("descriptors as before") {
            try descriptors() <= before + 24 ? true : nil
        }
    }

    @Test("every mistake of a configuration is told at once, with its place")
    func mistakes() throws {
        let folder = try TemporaryFolder()
        let file = try folder.write(
            """
            {
              listener: [],
              listeners: [{ address: "127.0.0.1:0", pool: "web" }],
              workers: "two",
              pools: { web: { strategy: "round-robbin", nodes: [{ name: "a", address: "127.0.0.1:1" }] } },
            }
            """, to: "bad.json5")
        for command in ["check", "run"] {
            let (exit, output, error) = try Trivet.run([command, file])
            #expect(exit == .code(1))
            let said = output + error
            #expect(said.contains("bad.json5:2:3: unknown key"))
            #expect(said.contains("listeners"))
            #expect(said.contains("bad.json5:4:12:"))
            #expect(said.contains("bad.json5:5:29: unknown strategy \"round-robbin\""))
            #expect(said.contains("did you mean \"round-robin\"?"))
        }
    }

    @Test("a missing file, a port in use and a wrong word are told apart")
    func refusals() throws {
        let missing = try Trivet.run(["run", "/nowhere/trivet.json5"])
        #expect(missing.exit == .code(3))
        #expect(missing.error.contains("/nowhere/trivet.json5"))
        let word = try Trivet.run(["chek", "x"])
        #expect(word.exit == .code(2))
        #expect(word.error.contains("check"))
        let taken = try Node()
        let folder = try TemporaryFolder()
        let file = try folder.write(
            """
            { listeners: [{ name: "web", address: "\(taken.address)", pool: "p" }],
              pools: { p: { nodes: [{ name: "a", address: "127.0.0.1:1" }] } } }
            """, to: "t.json5")
        let port = try Trivet.run(["run", file])
        #expect(port.exit == .code(3))
        #expect(port.error.contains(taken.address))
    }

    @Test("what is bundled is listed, and help is help")
    func listing() throws {
        let list = try Trivet.run(["plugin", "list"])
        #expect(list.exit == .code(0))
        for name in ["round-robin", "octopus", "http", "tcp"] {
            #expect(list.output.contains(name))
        }
        let help = try Trivet.run(["--help"])
        #expect(help.exit == .code(0))
        #expect(help.output.contains("trivet demo"))
    }
}

@Suite("Plugins from outside")
struct DroppedInPluginTests {
    private func build(_ source: String, in folder: TemporaryFolder) throws -> String {
        try buildPlugin(source, as: "libmine.so", in: folder)
    }

    /// A C strategy that always takes the node with the last name.
    static let lastNode = """
        #include "trivet_plugin.h"
        static void *create(const trivet_strategy *s, const trivet_host *h,
                            const trivet_strategy_setup *setup, trivet_error *error) {
            static int one;
            if (setup->config.len > 2) {
                trivet_error_set(error, TRIVET_STR("I take no options"));
                return 0;
            }
            return &one;
        }
        static void destroy(void *self) {}
        static trivet_decision pick(void *self, const trivet_pool *pool,
                                    const trivet_request *request, trivet_pick *out) {
            if (!pool->ready_count) return TRIVET_PASS;
            out->node = pool->ready[pool->ready_count - 1];
            return TRIVET_PICKED;
        }
        static const trivet_strategy last = {
            .size = sizeof(trivet_strategy), .name = TRIVET_STR_INIT("last"),
            .summary = TRIVET_STR_INIT("the last one"), .create = create, .destroy = destroy,
            .pick = pick};
        static const trivet_strategy *const strategies[] = {&last, 0};
        static const trivet_plugin plugin = {
            .size = sizeof(trivet_plugin), .abi_minor = TRIVET_ABI_MINOR,
            .name = TRIVET_STR_INIT("mine"), .version = TRIVET_STR_INIT("1"),
            .strategies = strategies};
        TRIVET_EXPORT const trivet_plugin *trivet_plugin_v1(const trivet_host *h, trivet_error *e) {
            return &plugin;
        }
        """

    @Test("a strategy in C, dropped into a folder, rules the traffic", .timeLimit(.minutes(10)))
    func inC() throws {
        let folder = try TemporaryFolder()
        _ = try build(Self.lastNode, in: folder)
        let cluster = try Cluster(strategy: #""last""#, top: #"plugins: ["."],"#, in: folder)
        let client = try cluster.client()
        for _ in 0..<10 { #expect(try client.get("/").node == "node3") }
    }

    @Test("a strategy that refuses its options keeps Trivet from starting, in its own words")
    func refusing() throws {
        let folder = try TemporaryFolder()
        _ = try build(Self.lastNode, in: folder)
        let file = try folder.write(
            """
            { plugins: ["."], listeners: [{ address: "127.0.0.1:0", pool: "p" }],
              pools: { p: { strategy: { name: "last", x: 1 },
                nodes: [{ name: "a", address: "127.0.0.1:1" }] } } }
            """, to: "t.json5")
        let (exit, output, error) = try Trivet.run(["run", file])
        #expect(exit == .code(1))
        #expect((output + error).contains("x"))
    }

    @Test("a file that is no plugin is refused in one sentence that names it")
    func noPlugin() throws {
        let folder = try TemporaryFolder()
        _ = try folder.write("hello", to: "libtext.so")
        let file = try folder.write(
            """
            { plugins: ["."], listeners: [{ address: "127.0.0.1:0", pool: "p" }],
              pools: { p: { nodes: [{ name: "a", address: "127.0.0.1:1" }] } } }
            """, to: "t.json5")
        for command in ["check", "run"] {
            let (exit, output, error) = try Trivet.run([command, file])
            #expect(exit == .code(1))
            #expect((output + error).contains("libtext.so"))
        }
    }
}
