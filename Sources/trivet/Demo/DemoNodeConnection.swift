// One connection of the demo node: bytes in through a buffer, bytes out, blocking; and the turn of
// requests on it. What is answered is in DemoNodeConnection+Paths.swift. One thread's.

import CLinux
import Glibc
import Net

/// Reads and writes a blocking socket. Whoever made it closes the descriptor.
final class DemoNodeConnection {
    let fd: Int32
    let node: DemoNodeState
    var request = DemoNodeRequest()
    /// Whether another request may follow the answer.
    var keepAlive = true
    var body = Body()
    var answer = Answer()

    /// Where the reading of a request body is.
    struct Body {
        var framing = DemoNodeRequest.Framing.none
        /// Of the length, or of the chunk that is being read.
        var left = 0
        /// A 100 is owed before the first read.
        var owesContinue = false
        var isRead = true
        var trailers: [String] = []
    }

    /// Where the writing of an answer is.
    struct Answer {
        var isChunked = false
        var isHeadOnly = false
    }

    private var buffer = [UInt8](repeating: 0, count: 65_536)
    private var start = 0
    private var end = 0
    private static let headLimit = 131_072
    private static let lineLimit = 65_000

    init(_ fd: Int32, _ node: DemoNodeState) {
        self.fd = fd
        self.node = node
    }

    /// Answers requests, one after the other, until the connection ends.
    func serve() {
        while keepAlive, readHead() {
            let counts = !request.path.hasPrefix("/demo/") && !isPing
            if counts {
                node.requests.add(1, ordering: .relaxed)
                node.inFlight.add(1, ordering: .relaxed)
            }
            let isWhole = respond()
            // Before the end of the connection, which may take its time.
            if counts { node.inFlight.subtract(1, ordering: .relaxed) }
            guard isWhole, finishBody() else { return }
            if !keepAlive { endGently() }
        }
    }

    // MARK: Bytes in

    /// How many bytes have arrived and are not dealt with.
    var heldCount: Int { end - start }

    /// Gives the first `n` of them to `take`; they are dealt with if it says true.
    func takeHeld(_ n: Int, _ take: (Span<UInt8>) -> Bool) -> Bool {
        // A second reference to the bytes, not a copy: `take` may use this connection.
        let bytes = buffer
        guard take(bytes.span.extracting(start..<(start + n))) else { return false }
        start += n
        return true
    }

    /// Reads more behind what is held. False at the end of the connection.
    func fill() -> Bool {
        if start == end {
            start = 0
            end = 0
        } else if end == buffer.count {
            guard start > 0 else { return false }
            buffer.replaceSubrange(0..<(end - start), with: Array(buffer[start..<end]))
            end -= start
            start = 0
        }
        let from = end
        let result = unsafe buffer.withUnsafeMutableBytes {
            unsafe IO.read(fd, into: UnsafeMutableRawBufferPointer(rebasing: $0[from...]))
        }
        guard case .done(let n) = result else { return false }
        end += n
        return true
    }

    /// The next line without its CRLF, or nil if the connection ends first or it is too long. Bytes
    /// that are not UTF-8 become replacement characters.
    func readLine() -> String? {
        var scanned = start
        while true {
            while scanned < end {
                if buffer[scanned] == 0x0a {
                    var last = scanned
                    if last > start, buffer[last - 1] == 0x0d { last -= 1 }
                    let line = String(decoding: buffer[start..<last], as: UTF8.self)
                    start = scanned + 1
                    return line
                }
                scanned += 1
            }
            guard end - start < Self.lineLimit else { return nil }
            let offset = scanned - start
            guard fill() else { return nil }
            scanned = start + offset
        }
    }

    /// Reads the next request head. False if there is none: the connection has ended, or what came
    /// was answered with 400 and ends it.
    private func readHead() -> Bool {
        guard var line = readLine() else { return false }
        // RFC 9112, section 2.2: an empty line before a request is passed over.
        if line.isEmpty {
            guard let next = readLine() else { return false }
            line = next
        }
        var head: [String] = []
        var size = 0
        while !line.isEmpty {
            size += line.utf8.count
            guard size < Self.headLimit else {
                refuse(431, "the request head is too long for this node")
                return false
            }
            head.append(line)
            guard let next = readLine() else { return false }
            line = next
        }
        do throws(DemoNodeRequest.Fault) {
            request = try DemoNodeRequest(head: head)
        } catch {
            refuse(400, error.sentence)
            return false
        }
        body = Body()
        body.framing = request.framing
        body.isRead = request.framing == .none
        if case .length(let n) = request.framing { body.left = n }
        body.owesContinue = request.expectsContinue && !body.isRead
        return true
    }

    private func refuse(_ status: Int, _ sentence: String) {
        request = DemoNodeRequest()
        keepAlive = false
        _ = reply(status, "\(node.name): \(sentence)\n")
        endGently()
    }

    // MARK: Bytes out

    /// Sends all of it. False if the connection is broken.
    func send(_ bytes: Span<UInt8>) -> Bool {
        var sent = 0
        while sent < bytes.count {
            guard case .done(let n) = IO.send(fd, bytes.extracting(sent..<bytes.count)) else {
                return false
            }
            sent += n
        }
        return true
    }

    func send(_ text: String) -> Bool { send(Array(text.utf8).span) }

    /// Ends the connection so that the other side can read all that was sent: closing a socket that
    /// holds unread bytes resets it, and takes back the answer (RFC 9112, section 9.6).
    func endGently() {
        keepAlive = false
        Socket.endSending(fd)
        let deadline = monotonicNow() + 2_000_000_000
        start = 0
        end = 0
        while monotonicNow() < deadline {
            var wait = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
            guard unsafe poll(&wait, 1, 200) > 0, fill() else { return }
            start = end
        }
    }
}
