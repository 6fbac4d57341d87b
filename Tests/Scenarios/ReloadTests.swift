// Reloading while traffic flows: what a user would lose if it went wrong. Real plugins, processes,
// signals and sockets.

import Base
import Glibc
import Synchronization
import TestKit
import Testing

@Suite("A reload loses nothing")
struct ReloadTests {
    /// Takes turns by ticket, and says as the reason which build it is. What it has counted so far, over
    /// all builds, it hands on.
    static let turns = """
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <unistd.h>
        #include "trivet_plugin.h"
        #ifndef BUILD
        #define BUILD "one"
        #endif
        typedef struct { unsigned long picks; char reason[64]; } turns;
        static void *create(const trivet_strategy *s, const trivet_host *h,
                            const trivet_strategy_setup *setup, trivet_error *error) {
        #ifdef REFUSES
            trivet_error_set(error, TRIVET_STR("this build wants nothing to do with it"));
            return 0;
        #endif
            return calloc(1, sizeof(turns));
        }
        static void destroy(void *self) { free(self); }
        static trivet_decision pick(void *self, const trivet_pool *pool,
                                    const trivet_request *request, trivet_pick *out) {
            turns *t = self;
            if (!pool->ready_count) return TRIVET_PASS;
            t->picks++;
        #ifdef CRASHES_AT
            if (t->picks == CRASHES_AT) __builtin_trap();
        #endif
        #ifdef LEAVES_AT
            if (t->picks == LEAVES_AT) _Exit(0);
        #endif
        #ifdef LOOPS_AT
            if (t->picks == LOOPS_AT) for (;;) __asm__ volatile("");
        #endif
        #ifdef SLEEPS
            usleep(20000);
        #endif
            out->node = pool->ready[pool->ticket(pool) % pool->ready_count];
            out->reason.data = t->reason;
            out->reason.len = snprintf(t->reason, sizeof t->reason, BUILD " %lu", t->picks);
            return TRIVET_PICKED;
        }
        static void update(void *self, const trivet_pool *pool, uint32_t changed) {}
        static void save(void *self, trivet_sink *state) {
            turns *t = self;
            trivet_str bytes = {(const char *)&t->picks, sizeof t->picks};
            state->write(state, bytes);
        }
        static bool load(void *self, const trivet_pool *pool, uint32_t version, trivet_str state) {
            turns *t = self;
            if (state.len != sizeof t->picks) return false;
            memcpy(&t->picks, state.data, sizeof t->picks);
            return true;
        }
        static const trivet_strategy strategy = {
            .size = sizeof(trivet_strategy), .name = TRIVET_STR_INIT("turns"),
            .summary = TRIVET_STR_INIT("takes turns"), .create = create, .destroy = destroy,
            .pick = pick, .update = update, .save = save, .load = load};
        static const trivet_strategy *const strategies[] = {&strategy, 0};
        static const trivet_plugin plugin = {
            .size = sizeof(trivet_plugin), .abi_minor = TRIVET_ABI_MINOR,
            .name = TRIVET_STR_INIT("turns"), .version = TRIVET_STR_INIT(BUILD),
            .strategies = strategies};
        TRIVET_EXPORT const trivet_plugin *trivet_plugin_v1(const trivet_host *h, trivet_error *e) {
            return &plugin;
        }
        """

    /// Requests from threads of their own until told to stop; every one that is not answered by a node
    /// is a failure.
    final class Traffic: Sendable {
        private let isOver = Atomic(false)
        private let left: Atomic<Int>
        private let good = Atomic<Int>(0)
        private let bad = Guarded<[String]>([])
        private let threads: Int

        init(port: UInt16, threads: Int = 4) throws {
            self.threads = threads
            left = Atomic(threads)
            for _ in 0..<threads {
                try startThread { [self] in
                    do {
                        var client = try RawClient(port: port)
                        var count = 0
                        while !isOver.load(ordering: .relaxed) {
                            let answer = try client.get("/")
                            if answer.status == 200 {
                                good.wrappingAdd(1, ordering: .relaxed)
                            } else {
                                bad.withLock { $0.append("\(answer.status) \(answer.text)") }
                            }
                            count += 1
                            if count % 50 == 0 { client = try RawClient(port: port) }
                        }
                    } catch {
                        bad.withLock { $0.append("\(error)") }
                    }
                    left.wrappingSubtract(1, ordering: .releasing)
                }
            }
        }

        var answered: Int { good.load(ordering: .relaxed) }

        /// Ends it; how many were answered, and what was not.
        func end() throws -> (answered: Int, failures: [String]) {
            isOver.store(true, ordering: .relaxed)
            try eventually("the clients have ended") {
                left.load(ordering: .acquiring) == 0 ? true : nil
            }
            return (answered, bad.withLock { $0 })
        }
    }

    private func reload(_ cluster: Cluster) throws -> (exit: Child.Exit, said: String) {
        let outcome = try Trivet.run(["reload", cluster.trivet.folder.path + "/trivet.json5"])
        return (outcome.exit, outcome.output + outcome.error)
    }

    private static let pidFile = #"pid_file: "trivet.pid","#

    @Test(
        "two builds of a strategy take turns under load: no request, upload, WebSocket, count or turn is lost",
        .timeLimit(.minutes(10)))
    func alternatingBuilds() throws {
        let folder = try TemporaryFolder()
        try buildPlugin(Self.turns, as: "libturns.so", in: folder)
        let cluster = try Cluster(
            workers: 1, strategy: #""turns""#,
            top: Self.pidFile + #"plugins: ["."], access_log: "log.json","#, in: folder)
        let size = 3_000_000
        let upload = try cluster.client()
        try upload.send(
            "POST /api/packages/raw HTTP/1.1\r\nHost: test\r\nContent-Length: \(size)\r\n\r\n")
        let socket = try cluster.client()
        #expect(try socket.openWebSocket().status == 101)
        let balancer = try cluster.balancer().pid
        let traffic = try Traffic(port: cluster.port)
        let rounds = 20
        for round in 0..<rounds {
            let build = round % 2 == 0 ? "two" : "one"
            try buildPlugin(
                Self.turns, as: "libturns.so", in: folder, defines: ["BUILD=\"\(build)\""])
            let (exit, said) = try reload(cluster)
            #expect(exit == .code(0), "\(said)")
            try upload.send(Pattern.bytes(size / rounds, from: round * (size / rounds)))
            try socket.sendText("round \(round)")
            let echo = try socket.readFrame()
            #expect(String(decoding: echo.payload, as: UTF8.self) == "round \(round)")
        }
        let (answered, failures) = try traffic.end()
        #expect(failures.isEmpty, "\(failures.prefix(3))")
        #expect(answered > rounds)
        #expect(try upload.response().text.contains(Pattern.sum(size)))
        #expect(try cluster.balancer().pid == balancer, "the same process serves")
        // Turns: each node got its share to within one; the upload and the WebSocket took one each.
        let counts = try cluster.nodes.map { try $0.stats().requests }
        #expect(counts.reduce(0, +) == answered + 2)
        #expect((counts.max() ?? 0) - (counts.min() ?? 0) <= 1, "\(counts)")
        // What a build has learnt, the next one knows: the last count is that of all.
        let last = try cluster.client().get("/")
        #expect(last.status == 200)
        let line = try eventually("the line of the last request") {
            let lines = try String(
                decoding: readFile(folder.path + "/log.json"), as: UTF8.self
            ).split(separator: "\n")
            return lines.last(where: { $0.contains("one \(answered + 3)\"") }).map(String.init)
        }
        #expect(line.contains("\"reason\":\"one \(answered + 3)\""))
    }

    @Test("what is refused changes nothing, and one sentence says why", .timeLimit(.minutes(10)))
    func refusals() throws {
        let folder = try TemporaryFolder()
        try buildPlugin(Self.turns, as: "libturns.so", in: folder)
        let cluster = try Cluster(
            strategy: #""turns""#, top: Self.pidFile + #"plugins: ["."],"#, in: folder)
        let traffic = try Traffic(port: cluster.port)
        let good = try readFile(folder.path + "/libturns.so")
        let config = try readFile(cluster.trivet.folder.path + "/trivet.json5")
        func expectRefusal(_ words: String, _ what: String) throws {
            let end = cluster.logEnd
            let (exit, said) = try reload(cluster)
            #expect(exit == .code(1), "\(what): \(said)")
            #expect(said.contains(words), "\(what): \(said)")
            let line = try cluster.trivet.process.waitForLine(
                containing: "reload refused", from: end)
            #expect(line.contains(words))
        }
        try folder.write("hello", to: "libtext.so")
        try expectRefusal("libtext.so", "a text file")
        _ = unsafe unlink(folder.path + "/libtext.so")
        try folder.write(Array(good.prefix(good.count / 2)), to: "libhalf.so")
        try expectRefusal("libhalf.so", "a truncated file")
        _ = unsafe unlink(folder.path + "/libhalf.so")
        var other = good
        other[18] = 0xF3  // e_machine: RISC-V
        try folder.write(other, to: "libother.so")
        try expectRefusal("libother.so", "another architecture")
        _ = unsafe unlink(folder.path + "/libother.so")
        for (source, words) in [
            (
                "#include <stdlib.h>\n__attribute__((constructor)) static void c(void) { abort(); }\n",
                "crashed"
            ),
            (
                "#include <stdlib.h>\n__attribute__((constructor)) static void c(void) { _Exit(0); }\n",
                "ended the process"
            ),
            (
                "void nowhere(void);\n__attribute__((constructor)) static void c(void) { nowhere(); }\n",
                "nowhere"
            ),
        ] {
            try buildPlugin(
                source + Self.turns.replacing("\"turns\"", with: "\"odd\""), as: "libodd.so",
                in: folder)
            try expectRefusal(words, words)
            _ = unsafe unlink(folder.path + "/libodd.so")
        }
        try buildPlugin(Self.turns, as: "libturns.so", in: folder, defines: ["REFUSES"])
        try expectRefusal("this build wants nothing to do with it", "create refuses")
        try buildPlugin(Self.turns, as: "libturns.so", in: folder)
        try cluster.trivet.folder.write("{ listeners: [ }", to: "trivet.json5")
        // The file is too broken to name a pid_file: by signal, then.
        let end = cluster.logEnd
        cluster.trivet.process.signal(SIGHUP)
        try cluster.trivet.process.waitForLine(
            containing: "reload refused, all serves on as before: ", from: end, within: 90)
        try cluster.trivet.folder.write(config, to: "trivet.json5")
        let (exit, said) = try reload(cluster)
        #expect(exit == .code(0), "\(said)")
        let (answered, failures) = try traffic.end()
        #expect(failures.isEmpty && answered > 0, "\(failures.prefix(3))")
    }

    @Test(
        "nodes and listeners come and go, and only what changed is disturbed",
        .timeLimit(.minutes(10)))
    func configuration() throws {
        let nodes = try (1...3).map { try Node("node\($0)") }
        let folder = try TemporaryFolder()
        func configuration(_ nodes: [Node], extra: String = "") -> String {
            let lines = nodes.map { #"{ name: "\#($0.name)", address: "\#($0.address)" }"# }
            return """
                { workers: 2, pid_file: "trivet.pid",
                  listeners: [{ name: "web", address: "127.0.0.1:0", pool: "p" }\(extra)],
                  pools: { p: { health: { check: "octopus", interval: "100ms", rise: 1, fall: 1 },
                    nodes: [\(lines.joined(separator: ", "))] } } }
                """
        }
        let trivet = try Trivet(configuration: configuration(nodes), in: folder)
        let port = try Cluster.port(of: trivet)
        let keptAlive = try RawClient(port: port)
        #expect(try keptAlive.get("/").status == 200)
        // An upload to node1 that outlives its configuration.
        let size = 2_000_000
        var upload = try RawClient(port: port)
        repeat {
            upload = try RawClient(port: port)
            try upload.send(
                "POST /api/packages/raw HTTP/1.1\r\nHost: test\r\nContent-Length: \(size)\r\n\r\n")
            try upload.sendPattern(size / 2)
            try eventually("the upload is somewhere") {
                try nodes.first { try $0.stats().inFlight > 0 }
            }
        } while try nodes[0].stats().inFlight == 0
        func reload(_ text: String) throws -> String {
            try folder.write(text, to: "trivet.json5")
            let (exit, output, error) = try Trivet.run(["reload", folder.path + "/trivet.json5"])
            guard exit == .code(0) else { throw TestFailure(output + error) }
            return output
        }
        let spare = try ReservedPort()
        let second = #", { name: "second", address: "127.0.0.1:\#(spare.number)", pool: "p" }"#
        let said = try reload(configuration(Array(nodes.dropFirst()), extra: second))
        #expect(said.contains("1 node gone") && said.contains("1 new listener"))
        let seen = try Set((0..<20).compactMap { _ in try keptAlive.get("/").node })
        #expect(seen == ["node2", "node3"])
        let other = try RawClient(port: spare.number)
        #expect(try other.get("/").status == 200)
        try upload.sendPattern(size / 2)
        upload.patience = 20
        let outcome = try upload.response()
        #expect(
            outcome.status < 300,
            "\(outcome.status) \(outcome.text): an upload to a node that is gone")
        // The listener goes: who is connected there is let go after its request, and none is reset.
        try other.request("GET", "/slow?ms=300")
        _ = try reload(configuration(nodes))
        let answer = try other.response()
        #expect(answer.status == 200)
        #expect(try other.waitForEnd() == .closed)
        #expect(!RawClient.canConnect(to: spare.number))
        let back = try eventually("node1 serves again") {
            let seen = try Set((0..<6).compactMap { _ in try keptAlive.get("/").node })
            return seen.count == 3 ? seen : nil
        }
        #expect(back.contains("node1"))
        // What only sets a time is no less taken over, and said; a comment is nothing.
        let slower = configuration(nodes).replacing("100ms", with: "90ms")
        #expect(try reload(slower).contains("reloaded: settings alone"))
        #expect(try reload("// as it was\n" + slower).contains("reloaded: nothing differs"))
        let refused = try folder.write(
            configuration(nodes).replacing("workers: 2", with: "workers: 3"), to: "trivet.json5")
        let (exit, output, error) = try Trivet.run(["reload", refused])
        #expect(exit == .code(1) && (output + error).contains("workers has changed"))
    }

    @Test("many who ask at once are all answered, each by a reload that began after it asked")
    func atOnce() throws {
        let folder = try TemporaryFolder()
        let cluster = try Cluster(health: nil, top: Self.pidFile, in: folder)
        let file = folder.path + "/trivet.json5"
        let all = try (0..<5).map { _ in try Child(Trivet.path(), ["reload", file]) }
        for child in all { #expect(try child.waitForEnd(within: 30) == .code(0)) }
        #expect(try cluster.client().get("/").status == 200)
    }
}
