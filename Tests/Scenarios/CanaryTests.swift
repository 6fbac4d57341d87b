// Canaries and shadows under traffic: what a bad build costs that gets a share of the picks. Real
// plugins, processes and sockets.

import Base
import Glibc
import TestKit
import Testing

@Suite("A bad canary costs nothing but its share")
struct CanaryScenarioTests {
    /// Takes turns on all nodes but the last; as FAILING it picks the last, where nobody listens; as
    /// CRASHING it ends the process at its hundredth pick.
    private static let source = """
        #include <stdlib.h>
        #include "trivet_plugin.h"
        static unsigned picks;
        static void *create(const trivet_strategy *s, const trivet_host *h,
                            const trivet_strategy_setup *setup, trivet_error *error) {
            return calloc(1, 1);
        }
        static void destroy(void *self) { free(self); }
        static trivet_decision pick(void *self, const trivet_pool *pool,
                                    const trivet_request *request, trivet_pick *out) {
            out->node = pool->ticket(pool) % (pool->node_count - 1);
        #ifdef FAILING
            out->node = pool->node_count - 1;
        #endif
        #ifdef CRASHING
            // A trial picks less often.
            if (++picks == 100) abort();
        #endif
            return TRIVET_PICKED;
        }
        static void update(void *self, const trivet_pool *pool, uint32_t changed) {}
        static const trivet_strategy strategy = {
            .size = sizeof(trivet_strategy), .name = TRIVET_STR_INIT("nearly-all"),
            .summary = TRIVET_STR_INIT("all but the last"), .create = create, .destroy = destroy,
            .pick = pick, .update = update};
        static const trivet_strategy *const strategies[] = {&strategy, 0};
        static const trivet_plugin plugin = {
            .size = sizeof(trivet_plugin), .abi_minor = TRIVET_ABI_MINOR,
            .name = TRIVET_STR_INIT("nearly-all"), .version = TRIVET_STR_INIT("1"),
            .strategies = strategies};
        TRIVET_EXPORT const trivet_plugin *trivet_plugin_v1(const trivet_host *h, trivet_error *e) {
            return &plugin;
        }
        """

    /// Two nodes and a port where nobody listens, behind a strategy with a canary, and a shadow.
    private struct Stage {
        let folder: TemporaryFolder
        let nodes: [Node]
        let dead: ReservedPort
        let trivet: Trivet
        let port: UInt16

        init(canary defines: [String], share: String) throws {
            folder = try TemporaryFolder()
            try buildPlugin(CanaryScenarioTests.source, as: "libnearly.so", in: folder)
            // In the plugins' own folder, with the same names in it: it is a canary alone.
            try buildPlugin(
                CanaryScenarioTests.source, as: "libnearly-next.so", in: folder, defines: defines)
            nodes = try (1...2).map { try Node("node\($0)") }
            dead = try ReservedPort()
            let addresses = nodes.map(\.address) + ["127.0.0.1:\(dead.number)"]
            let lines = addresses.enumerated().map {
                #"{ name: "node\#($0.offset + 1)", address: "\#($0.element)" }"#
            }
            trivet = try Trivet(
                configuration: """
                    { workers: 2, pid_file: "trivet.pid", access_log: "log.json", plugins: ["."],
                      listeners: [{ name: "web", address: "127.0.0.1:0", pool: "p" }],
                      pools: { p: { ejection: "off",
                        strategy: { name: "nearly-all",
                          canary: { build: "libnearly-next.so", share: "\(share)" } },
                        shadow: "two-choices",
                        nodes: [\(lines.joined(separator: ", "))] } } }
                    """, in: folder)
            port = try Cluster.port(of: trivet)
        }

        func reload() throws -> String {
            let (exit, output, error) = try Trivet.run(["reload", folder.path + "/trivet.json5"])
            guard exit == .code(0) else { throw TestFailure(output + error) }
            return output
        }

        /// Lines of the access log behind the first `count`, once there are `more`.
        func log(after count: Int, more: Int = 0) throws -> [String] {
            try eventually("\(more) lines of the access log") {
                let lines = try String(
                    decoding: readFile(folder.path + "/log.json"), as: UTF8.self
                ).split(separator: "\n").map(String.init)
                return lines.count >= count + more ? Array(lines.dropFirst(count)) : nil
            }
        }
    }

    @Test(
        "a build that picks a dead node is withdrawn under load, stays so over a reload, and its next build is tried again",
        .timeLimit(.minutes(10)))
    func withdrawn() throws {
        let stage = try Stage(canary: ["FAILING"], share: "20%")
        let checked = try Trivet.run(["check", stage.folder.path + "/trivet.json5"])
        #expect(checked.exit == .code(0), "\(checked.error)")
        let traffic = try ReloadTests.Traffic(port: stage.port)
        let line = try stage.trivet.process.waitForLine(containing: "is withdrawn: ")
        #expect(line.contains(#"pool p: the canary "nearly-all""#), "\(line)")
        #expect(line.contains("100 % of its requests failed"), "\(line)")
        let (answered, failures) = try traffic.end()
        #expect(failures.isEmpty, "\(failures.prefix(3))")
        // It was judged by a hundred requests, each of which another node answered, and had no more than
        // its fifth, give or take five standard deviations.
        let first = try stage.log(after: 0, more: answered)
        let strayed = first.count { $0.contains(#""attempts":2"#) }
        let share = 0.2 * Double(first.count)
        #expect(strayed >= 100)
        #expect(Double(strayed) <= share + 5 * (0.8 * share).squareRoot(), "of \(first.count)")
        // Reloaded as it is: nothing differs, and it stays withdrawn.
        #expect(try stage.reload().contains("nothing differs"))
        let before = first.count
        let client = try RawClient(port: stage.port)
        for _ in 0..<200 { #expect(try client.get("/").status == 200) }
        let later = try stage.log(after: before, more: 200)
        #expect(later.allSatisfy { $0.contains(#""attempts":1"#) }, "\(later.first ?? "")")
        #expect(later.allSatisfy { $0.contains(#""strategy":"nearly-all""#) })
        // In a new process too.
        let balancers = try stage.trivet.process.facts.children()
        let end = stage.trivet.process.lines.count
        _ = kill(balancers[0], SIGKILL)
        try stage.trivet.process.waitForLine(containing: "serving", from: end)
        let again = try RawClient(port: stage.port)
        for _ in 0..<100 { #expect(try again.get("/").status == 200) }
        let afterCrash = try stage.log(after: before + 200, more: 100)
        #expect(afterCrash.allSatisfy { $0.contains(#""attempts":1"#) })
        // Another build of it has a chance of its own.
        let repaired = Self.source.replacing(
            #"TRIVET_STR_INIT("1")"#, with: #"TRIVET_STR_INIT("2")"#)
        try buildPlugin(repaired, as: "libnearly-next.so", in: stage.folder)
        #expect(!(try stage.reload().contains("nothing differs")))
        let fresh = try RawClient(port: stage.port)
        for _ in 0..<500 { #expect(try fresh.get("/").status == 200) }
        let last = try stage.log(after: before + 300, more: 500)
        let canaries = last.count { $0.contains(#""strategy":"nearly-all (canary)""#) }
        #expect(canaries > 50 && canaries < 150)
        let said = stage.trivet.process.lines.count { $0.text.contains("is withdrawn: ") }
        #expect(said == 1)
    }

    @Test(
        "a build that crashes is fenced, and the pool goes on without it", .timeLimit(.minutes(10)))
    func crashes() throws {
        let stage = try Stage(canary: ["CRASHING"], share: "50%")
        let client = try RawClient(port: stage.port)
        do {
            for _ in 0..<400 { _ = try client.get("/") }
            Issue.record("it did not crash")
        } catch {}
        let line = try stage.trivet.process.waitForLine(containing: "fenced")
        #expect(line.contains("libnearly-next.so"), "\(line)")
        let again = try eventually("it serves again") {
            guard let client = try? RawClient(port: stage.port),
                (try? client.get("/").status) == 200
            else { return nil as RawClient? }
            return client
        }
        for _ in 0..<200 { #expect(try again.get("/").status == 200) }
        #expect(try stage.reload().contains("nothing differs"))
        for _ in 0..<20 { #expect(try again.get("/").status == 200) }
    }
}
