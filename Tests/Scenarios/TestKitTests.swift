// The test kit on itself: a kit that leaves processes behind, or whose waits never fail, makes every
// scenario worthless.

import Glibc
import TestKit
import Testing

@Suite("The test kit holds what scenarios rely on")
struct TestKitTests {
    @Test("nothing outlives its test, not even what a program started", .timeLimit(.minutes(10)))
    func killed() throws {
        var child: Child? = try Child(
            "/bin/sh", ["-c", "sleep 1000 & echo started $!; trap '' TERM; wait"])
        let line = try #require(try child?.waitForLine(containing: "started"))
        let grandchild = try #require(pid_t(line.split(separator: " ")[1]))
        let pid = try #require(child?.pid)
        #expect(try child?.facts.children() == [grandchild])
        #expect(try ProcessFacts(pid).residentBytes() > 0)
        #expect(try ProcessFacts(pid).descriptorCount() >= 3)
        #expect(try ProcessFacts(pid).threadCount() == 1)
        child = nil
        #expect(!ProcessFacts.exists(pid))
        try eventually("the end of the grandchild") {
            ProcessFacts.exists(grandchild) ? nil : true
        }
    }

    @Test("lines of both streams, the last one too, and the exit arrive", .timeLimit(.minutes(10)))
    func lines() throws {
        let child = try Child("/bin/sh", ["-c", "echo one; echo two >&2; printf three; exit 7"])
        #expect(try child.waitForEnd() == .code(7))
        #expect(child.text(of: .output) == "one\nthree\n")
        #expect(child.text(of: .error) == "two\n")
        let signalled = try Child("/bin/sh", ["-c", "kill -KILL $$"])
        #expect(try signalled.waitForExit() == .signal(SIGKILL))
    }

    @Test("what a sanitizer finds in a program fails the test that started it")
    func findings() throws {
        func run() throws {
            let report = "==7==ERROR: AddressSanitizer: heap-use-after-free on address 0x1"
            let child = try Child("/bin/sh", ["-c", "echo \"$0\" >&2", report])
            #expect(try child.waitForEnd() == .code(0))
        }
        try withKnownIssue {
            try run()
        } when: {
            !ProcessFacts.isMemoryTelling
        }
    }

    @Test("a line that cannot come any more fails at once, with what was said")
    func missingLine() throws {
        let child = try Child("/bin/sh", ["-c", "echo something else"])
        let failure = #expect(throws: TestFailure.self) {
            try child.waitForLine(containing: "ready", within: 60)
        }
        #expect(failure?.description.contains("something else") == true)
        #expect(failure?.description.contains("exit code 0") == true)
    }

    @Test("a program that does not exist is a failure, not a hang", .timeLimit(.minutes(10)))
    func missingProgram() {
        #expect(throws: TestFailure.self) { try Child("/nowhere/at-all", []) }
    }

    @Test("a reserved port is free for whoever listens on it, and only then open")
    func reservedPort() throws {
        let port = try ReservedPort()
        #expect(!RawClient.canConnect(to: port.number))
        let node = try Node("n", port: port.number)
        #expect(node.port == port.number)
        #expect(try RawClient(port: port.number).get("/").node == "n")
        try node.kill()
        let again = try Node("again", port: port.number)
        #expect(try RawClient(port: port.number).get("/").node == "again")
        #expect(again.process.isRunning)
    }

    @Test("a folder goes with all that is in it", .timeLimit(.minutes(10)))
    func folder() throws {
        var folder: TemporaryFolder? = try TemporaryFolder()
        let path = try #require(folder?.path)
        let file = try #require(try folder?.write("text", to: "deep/in/file.txt"))
        #expect(try readFile(file) == Array("text".utf8))
        let copy = try #require(try folder?.copy(file))
        #expect(try readFile(copy) == Array("text".utf8))
        folder = nil
        #expect(throws: TestFailure.self) { try readFile(path + "/deep/in/file.txt") }
    }

    @Test("a client that waits in vain fails in time, and says what it has")
    func silence() throws {
        let node = try Node()
        let client = try RawClient(port: node.port)
        client.patience = 0.2
        try client.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(throws: TestFailure.self) { try client.response() }
        #expect(throws: TestFailure.self) { try client.waitForEnd() }
        try client.expectSilence(for: 0.05)
        #expect(client.end == nil)
    }

    @Test("a sender notices that nobody reads", .timeLimit(.minutes(10)))
    func stalled() throws {
        let node = try Node()
        let client = try RawClient(port: node.port, receiveBuffer: 16_384)
        // The echo stops reading when its own bytes are not read.
        try client.request("POST", "/echo", fields: [("Content-Length", "1000000000")])
        let sent = try client.sendPatternUntilStalled(quiet: 0.3, limit: 200_000_000)
        #expect(sent > 0)
    }
}
