// What a demo consists of: three nodes as child processes, a configuration in a folder of its own, and
// `trivet run` on it. Built up in order, and taken down however far that came.

import Base
import CLinux
import Glibc
import Net

/// One node of the demo.
struct DemoMember {
    let name: String
    let child: Child
    let port: UInt16
    var isDead = false

    /// Its process id, for `kill`; nil once it is dead.
    var process: pid_t? { isDead ? nil : child.pid }
}

final class DemoStage {
    private(set) var nodes: [DemoMember] = []
    private(set) var port: UInt16 = 0
    private var isPortOther = false
    private var workers = 1
    private var folder: String?
    private var started: Child?
    private var parts: (board: Descriptor, log: Descriptor)?

    /// Where the balancer keeps its board.
    var board: Descriptor { parts!.board }
    /// What the balancer logs.
    var log: Descriptor { parts!.log }
    var supervisor: Child { started! }

    private static let usualPort: UInt16 = 8080

    /// Starts everything. `port` 0: any free one; nil: 8080, or any free one if that is taken.
    func build(port: UInt16?, workers: Int) throws(Failure) {
        self.workers = workers
        try choosePort(port)
        for index in 1...3 { try startNode("node\(index)") }
        let path = try writeConfiguration()
        let board = try Descriptor.memory("trivet-board")
        let log = try Descriptor.pipe()
        defer { withExtendedLifetime(log) {} }
        parts = (board, log.reading)
        started = try Child(
            ["run", "--board", "3", path],
            descriptors: [(from: log.writing.number, as: 2), (from: board.number, as: 3)])
    }

    /// Ends the balancer in order; another signal hurries it.
    func leave(hurriedBy signals: SignalSource) {
        guard let started else { return }
        started.send(SIGTERM)
        let heard = waitForReading(
            [started.handle.number, signals.descriptor], milliseconds: 5000)
        if !heard.contains(0) { started.send(SIGQUIT) }
        started.end(within: 2000)
        self.started = nil
    }

    /// Ends and removes whatever is left.
    func clear() {
        if let started {
            started.send(SIGQUIT)
            started.end(within: 2000)
        }
        started = nil
        for node in nodes where !node.isDead {
            node.child.send(SIGKILL)
            node.child.end(within: 2000)
        }
        nodes = []
        removeFolder()
    }

    /// Removes the configuration. The supervisor keeps what it has read, so once it serves the file is
    /// of no use, and even a demo that is killed leaves none.
    func removeFolder() {
        guard let folder else { return }
        _ = unsafe unlink(folder + "/trivet.json5")
        _ = unsafe rmdir(folder)
        self.folder = nil
    }

    /// Notices nodes that somebody has killed.
    func reapNodes() {
        for index in nodes.indices where !nodes[index].isDead {
            if nodes[index].child.ending() != nil { nodes[index].isDead = true }
        }
    }

    /// The log has come to its end.
    func silenceLog() {
        guard let parts else { return }
        // A descriptor that never has anything to say.
        do throws(Failure) {
            let silent = try Descriptor.pipe()
            silence = silent.writing
            self.parts = (parts.board, silent.reading)
        } catch {
            self.parts = parts
        }
    }
    private var silence: Descriptor?

    private func choosePort(_ wanted: UInt16?) throws(Failure) {
        let loopback = IPAddress(v4: 0x7F00_0001)
        var first = wanted ?? Self.usualPort
        while true {
            do throws(SystemError) {
                let fd = try Socket.listen(SocketAddress(loopback, port: first), shared: false)
                port = Socket.localAddress(fd)?.port ?? first
                IO.close(fd)
                return
            } catch {
                if wanted != nil || first == 0 || error.code != EADDRINUSE {
                    throw .system(
                        "port \(first) of 127.0.0.1 cannot be had: \(errorText(error.code)); "
                            + "name another with --port, or none")
                }
                isPortOther = true
                first = 0
            }
        }
    }

    private func startNode(_ name: String) throws(Failure) {
        let pipe = try Descriptor.pipe()
        defer { withExtendedLifetime(pipe) {} }
        let child = try Child(
            ["demo-node", "--name", name], descriptors: [(from: pipe.writing.number, as: 1)])
        nodes.append(DemoMember(name: name, child: child, port: 0))
        var text: [UInt8] = []
        while !text.contains(UInt8(ascii: "\n")) {
            let heard = waitForReading(
                [pipe.reading.number, child.handle.number], milliseconds: 10_000)
            guard heard.contains(0), case .done = readSome(pipe.reading.number, into: &text) else {
                throw .system("\(name) does not start")
            }
        }
        // "listening on 127.0.0.1:40123"
        let line = String(decoding: text, as: UTF8.self).prefix { $0 != "\n" }
        guard let colon = line.lastIndex(of: ":"),
            let port = UInt16(line[line.index(after: colon)...])
        else { throw .system("\(name) says something else than where it listens: \(line)") }
        nodes[nodes.count - 1] = DemoMember(name: name, child: child, port: port)
    }

    private func writeConfiguration() throws(Failure) -> String {
        let base = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp"
        var template = Array("\(base)/trivet-demo-XXXXXX".utf8CString)
        let made = unsafe template.withUnsafeMutableBufferPointer { room in
            unsafe mkdtemp(room.baseAddress!) != nil
        }
        guard made else {
            throw .system(
                "no folder for the demo's configuration can be made in \(base)", code: errno)
        }
        let folder = String(
            decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        self.folder = folder
        let path = folder + "/trivet.json5"
        let file = try Descriptor.open(
            path, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600, what: "the demo's configuration")
        defer { withExtendedLifetime(file) {} }
        if !IO.writeAll(file.number, Array(configuration.utf8).span) {
            throw .system("cannot write \(path)", code: errno)
        }
        return path
    }

    private var configuration: String {
        let list = nodes.map { "{ name: \"\($0.name)\", address: \"127.0.0.1:\($0.port)\" }" }
        return """
            // What `trivet demo` runs. Pings are twice as frequent as usual, so that one sees more.
            {
              workers: \(workers),
              drain_timeout: "3s",
              listeners: [{ name: "web", address: "127.0.0.1:\(port)", pool: "octopus" }],
              pools: {
                octopus: {
                  strategy: "round-robin",
                  health: { check: "octopus", interval: "1s", timeout: "500ms", rise: 1, fall: 2 },
                  nodes: [
                    \(list.joined(separator: ",\n        ")),
                  ],
                },
              },
            }

            """
    }

    /// What runs, and what to try.
    func introduction(_ terminal: Terminal) -> String {
        let web = "http://127.0.0.1:\(port)"
        var text = ""
        if isPortOther { text += "Port \(Self.usualPort) is taken, so it is port \(port).\n" }
        text += "Trivet balances \(terminal.styled(web, .bold)) over three nodes that behave like "
        text += "Octopus Deploy's:\n"
        for node in nodes {
            text += "  \(node.name)  http://127.0.0.1:\(node.port)  process \(node.child.pid)\n"
        }
        let (first, second) = (nodes[0], nodes[1])
        let tries = [
            ("a request, again and again", "curl \(web)/"),
            (
                "an upload of 1 GiB, and its SHA-256",
                "head -c 1G /dev/zero | curl -T - \(web)/api/packages/raw"
            ),
            ("events, one by one", "curl -N \(web)/events"),
            (
                "drain \(first.name)",
                "curl -X POST 'http://127.0.0.1:\(first.port)/demo/state?set=draining'"
            ),
            (
                "restore it",
                "curl -X POST 'http://127.0.0.1:\(first.port)/demo/state?set=up'"
            ),
            ("kill \(second.name)", "kill \(second.child.pid)"),
        ]
        text += "\nTry in another terminal:\n"
        for (what, how) in tries { text += "  \(terminal.styled("# " + what, .dim))\n  \(how)\n" }
        return text + "\nCtrl-C ends it and leaves nothing behind.\n"
    }
}
