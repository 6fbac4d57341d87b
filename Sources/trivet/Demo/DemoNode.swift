// A server that behaves as a node of Octopus Deploy does towards a balancer, and, when a test asks for
// it, as no server should. It runs as a child process (`trivet demo-node`) of the demo and of the
// scenario tests. Not a server for anything else: a thread a connection, blocking, and a reader of
// HTTP of its own, so that a mistake in the balancer's is not shared by what it is tested against.

import Base
import CLinux
import Glibc
import Net

/// The `demo-node` command.
enum DemoNode {
    static let usage = """
        usage: trivet demo-node [--name NAME] [--port PORT] [--state STATE] [--max-tasks N]
                                [--release TEXT]

        Serves as one Octopus-like node on 127.0.0.1 and says where on standard output. Ends with the
        process that started it. Without --port the kernel chooses one.
        STATE is up, draining, offline, maintenance or broken; POST /demo/state?set=STATE changes it.

        """

    /// Runs until it is killed, or its parent ends. Call from the main thread of the process.
    ///
    /// - Parameter arguments: what follows `demo-node`.
    /// - Returns: 0 after `--help`, 2 if the arguments are wrong, 3 if the system refused.
    static func main(_ arguments: [String]) -> Int32 {
        endWithParent()
        let settings: Settings
        do throws(Mistake) {
            guard let read = try Settings(arguments) else {
                say(1, usage)
                return 0
            }
            settings = read
        } catch {
            say(2, "trivet demo-node: \(error.sentence)\n")
            return 2
        }
        let listener: Int32
        do throws(SystemError) {
            listener = try Socket.listen(
                SocketAddress(IPAddress(v4: 0x7f00_0001), port: settings.port), shared: false)
        } catch {
            say(2, "trivet demo-node: cannot listen on 127.0.0.1:\(settings.port): \(error)\n")
            return 3
        }
        setBlocking(listener)
        let port = Socket.localAddress(listener)?.port ?? settings.port
        say(1, "listening on 127.0.0.1:\(port)\n")
        return accept(on: listener, DemoNodeState(settings))
    }

    /// Takes connections until that fails for good.
    private static func accept(on listener: Int32, _ node: DemoNodeState) -> Int32 {
        while true {
            switch Socket.accept(listener) {
            case .connection(let fd, _):
                setBlocking(fd)
                node.accepted.add(1, ordering: .relaxed)
                node.connections.add(1, ordering: .relaxed)
                do throws(SystemError) {
                    _ = try Thread("connection") {
                        _ = pthread_detach(pthread_self())
                        DemoNodeConnection(fd, node).serve()
                        IO.close(fd)
                        node.connections.subtract(1, ordering: .relaxed)
                    }
                } catch {
                    IO.close(fd)
                    node.connections.subtract(1, ordering: .relaxed)
                }
            case .wait, .gone: continue
            case .exhausted: pause(milliseconds: 10)
            case .failed(let code):
                say(2, "trivet demo-node: accept: \(errorText(code))\n")
                return 3
            }
        }
    }

    /// Has the kernel kill this process when the thread that started it ends, however it ends.
    private static func endWithParent() {
        let parent = getppid()
        _ = clinux_prctl(PR_SET_PDEATHSIG, UInt(SIGKILL))
        // It may have ended before the kernel was told.
        if getppid() != parent { exit(0) }
    }

    private static func setBlocking(_ fd: Int32) {
        let flags = clinux_fcntl(fd, F_GETFL, 0)
        _ = clinux_fcntl(fd, F_SETFL, flags & ~O_NONBLOCK)
    }

    private static func say(_ fd: Int32, _ text: String) {
        IO.writeAll(fd, Array(text.utf8).span)
    }

    /// Lets time pass: the pace of what it serves, never a wait for something.
    static func pause(milliseconds: Int) {
        var time = timespec(
            tv_sec: milliseconds / 1000, tv_nsec: (milliseconds % 1000) * 1_000_000)
        var left = timespec()
        while unsafe nanosleep(&time, &left) != 0 && errno == EINTR { time = left }
    }
}

extension DemoNode {
    /// What is wrong with the arguments, in one sentence.
    struct Mistake: Error {
        let sentence: String
    }

    /// What the arguments say.
    struct Settings: Sendable {
        var name = "node1"
        var port: UInt16 = 0
        var mood = Mood.up
        var maxTasks = 5
        var release = "2026.3.1842"

        /// - Returns: nil if `--help` is among the arguments.
        init?(_ arguments: [String]) throws(Mistake) {
            var rest = arguments[...]
            while let option = rest.popFirst() {
                if option == "--help" { return nil }
                guard ["--name", "--port", "--state", "--max-tasks", "--release"].contains(option)
                else { throw Mistake(sentence: "unknown argument \"\(option)\", see --help") }
                guard let value = rest.popFirst() else {
                    throw Mistake(sentence: "\(option) needs a value behind it")
                }
                switch option {
                case "--name":
                    // It goes into a header field and into JSON: plain characters only.
                    guard !value.isEmpty, value.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
                        throw Mistake(sentence: "--name must be visible ASCII without spaces")
                    }
                    name = value
                case "--port":
                    guard let number = UInt16(value) else {
                        throw Mistake(sentence: "--port is a number up to 65535, not \"\(value)\"")
                    }
                    port = number
                case "--state":
                    guard let known = Mood(rawValue: value) else {
                        throw Mistake(sentence: "--state is one of \(Mood.list), not \"\(value)\"")
                    }
                    mood = known
                case "--max-tasks":
                    guard let number = Int(value), number >= 0 else {
                        throw Mistake(sentence: "--max-tasks is a number, not \"\(value)\"")
                    }
                    maxTasks = number
                default: release = value
                }
            }
        }
    }
}
