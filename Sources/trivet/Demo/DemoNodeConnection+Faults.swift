// What no server should do, and some do: for tests of how a balancer takes it. Chosen by the target,
// so that one node can serve well and badly at a time.

import CLinux
import Glibc
import Net

extension DemoNodeConnection {
    /// Answers a path of bad or rare behaviour.
    ///
    /// - Returns: as `respond`; nil if the path is none of these.
    func misbehave(_ path: String) -> Bool? {
        switch path {
        case "/reset":
            // With `?how=end` an orderly end instead of a reset; no answer either way.
            if request.option("how") != "end" { Socket.resetOnClose(fd) }
            return false
        case "/half":
            let n = request.number("n", default: 1000)
            _ = discardBody() && begin(200, .known(n)) && writePattern(n / 2)
            return false
        case "/early":
            keepAlive = false
            _ = reply(413, "\(node.name) does not take this\n")
            DemoNode.pause(milliseconds: 500)
            return false
        case "/interim":
            return discardBody()
                && send("HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
                && reply(200, "\(node.name) hinted first\n")
        case "/garbage":
            _ = discardBody() && send("\u{1}\u{2}\u{3} this is not HTTP\r\n\r\n")
            endGently()
            return false
        case "/trailers":
            return discardBody()
                && begin(200, fields: [("Trailer", "X-Checksum")], .unknown)
                && write("\(node.name) says something ") && write("behind the body\n")
                && end(trailers: ["X-Checksum: 1234"])
        case "/vanish":
            // A whole answer that promises another; then the connection is gone.
            _ = discardBody() && reply(200, "\(node.name) leaves without a word\n")
            return false
        case "/hang":
            guard discardBody() else { return false }
            waitForPeer()
            return false
        default: return nil
        }
    }

    /// Returns when the other side has ended the connection. POLLRDHUP (0x2000) is behind
    /// _GNU_SOURCE, where Swift does not see it.
    private func waitForPeer() {
        var wait = pollfd(fd: fd, events: 0x2000, revents: 0)
        while unsafe poll(&wait, 1, -1) < 0, errno == EINTR {}
    }
}
