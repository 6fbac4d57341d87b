// The command under test, and demo nodes behind it.

import Base
import CLinux
import Glibc

/// A `trivet run` with a configuration of its own.
package final class Trivet: Sendable {
    /// Holds the configuration, and what else the test puts there.
    package let folder: TemporaryFolder
    package let process: Child

    /// Starts it; it may not listen yet. `configuration` is JSON5.
    ///
    /// - Parameter folder: one that already holds files the configuration names.
    /// - Parameter arguments: go behind the file's path.
    /// - Parameter descriptors: how many it may have open; nil: as many as the test itself.
    package init(
        configuration: String, in folder: TemporaryFolder? = nil, arguments: [String] = [],
        descriptors: Int? = nil
    ) throws {
        self.folder = try folder ?? TemporaryFolder()
        let file = try self.folder.write(configuration, to: "trivet.json5")
        let words = [try Self.path(), "run", file] + arguments
        if let descriptors {
            let script = "ulimit -Sn \(descriptors) && ulimit -Hn \(descriptors) && exec \"$@\""
            process = try Child("/bin/sh", ["-c", script, "sh"] + words)
        } else {
            process = try Child(words[0], Array(words.dropFirst()))
        }
    }

    /// The built command, which lies beside the test's own binary.
    package static func path() throws -> String {
        var room = [UInt8](repeating: 0, count: 4096)
        let n = unsafe room.withUnsafeMutableBytes {
            unsafe readlink(
                "/proc/self/exe", $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
        }
        guard n > 0 else { throw TestFailure("/proc/self/exe cannot be read") }
        let own = String(decoding: room[..<n], as: UTF8.self)
        let path = own[..<(own.lastIndex(of: "/") ?? own.endIndex)] + "/trivet"
        guard unsafe access(String(path), X_OK) == 0 else {
            throw TestFailure(
                "there is no command at \(path): `swift build --product trivet` makes it")
        }
        return String(path)
    }

    /// Runs the command to its end and gives what it said: for `check`, `plugin list`, `--help`.
    package static func run(
        _ arguments: [String], within seconds: Double = 90
    ) throws -> (exit: Child.Exit, output: String, error: String) {
        let child = try Child(path(), arguments)
        let exit = try child.waitForEnd(within: seconds)
        return (exit, child.text(of: .output), child.text(of: .error))
    }
}

/// One `trivet demo-node`.
package final class Node: Sendable {
    package let name: String
    package let port: UInt16
    package let process: Child

    package var address: String { "127.0.0.1:\(port)" }

    /// Starts it and waits until it listens.
    ///
    /// - Parameter port: 0 lets the kernel choose; a number is for one that comes back.
    package init(_ name: String = "node1", port: UInt16 = 0, arguments: [String] = []) throws {
        self.name = name
        process = try Child(
            Trivet.path(), ["demo-node", "--name", name, "--port", "\(port)"] + arguments)
        let line = try process.waitForLine(containing: "listening on 127.0.0.1:")
        guard let colon = line.lastIndex(of: ":"),
            let number = UInt16(line[line.index(after: colon)...])
        else { throw TestFailure("no port in \"\(line)\"") }
        self.port = number
    }

    /// What it counts; `requests` are without pings and those below /demo/.
    package struct Stats: Sendable {
        package let state: String
        package let requests: Int
        package let pings: Int
        package let inFlight: Int
        package let connections: Int
        package let accepted: Int
        package let bytesIn: Int
    }

    /// Asks the node itself.
    package func stats() throws -> Stats {
        let json = try RawClient(port: port).get("/demo/stats").json()
        func number(_ key: String) throws -> Int {
            guard case .number(let value)? = json[key]?.kind else {
                throw TestFailure("no number \(key) in \(json.encoded())")
            }
            return Int(value)
        }
        guard case .string(let state)? = json["state"]?.kind else {
            throw TestFailure("no state in \(json.encoded())")
        }
        return Stats(
            state: state, requests: try number("requests"), pings: try number("pings"),
            inFlight: try number("in_flight"), connections: try number("connections"),
            accepted: try number("accepted"), bytesIn: try number("bytes_in"))
    }

    /// Waits until its counts are as told.
    @discardableResult
    package func waitForStats(
        _ what: String, within seconds: Double = 30, _ isSo: (Stats) -> Bool
    ) throws -> Stats {
        try eventually("\(what) at \(name)", within: seconds) {
            let stats = try stats()
            return isSo(stats) ? stats : nil
        }
    }

    /// up, draining, offline, maintenance or broken.
    package func set(state: String) throws {
        let answer = try RawClient(port: port).exchange("POST", "/demo/state?set=\(state)")
        guard answer.status == 200 else { throw TestFailure("\(name): \(answer.text)") }
    }

    /// Ends it the hard way and waits until it is gone.
    package func kill() throws {
        process.signal(SIGKILL)
        try process.waitForExit()
    }
}
