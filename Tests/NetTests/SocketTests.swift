// Sockets and readiness as the workers rely on them, against the kernel itself.

import Base
import CLinux
import Glibc
import Net
import Testing

@Suite struct SocketTests {
    @Test func aPortInUseIsRefusedWithTheSystemsWords() throws {
        let first = try Socket.listen(SocketAddress(.v4Loopback, port: 0), shared: false)
        defer { IO.close(first) }
        let address = try #require(Socket.localAddress(first))
        #expect(throws: SystemError(call: "bind", code: EADDRINUSE)) {
            try Socket.listen(address, shared: false)
        }
        holds(
            SystemError(call: "bind", code: EADDRINUSE).description
                == "bind: address already in use")
    }

    @Test func workersShareAPort() throws {
        let first = try Socket.listen(SocketAddress(.v4Loopback, port: 0), shared: true)
        defer { IO.close(first) }
        let second = try Socket.listen(
            try #require(Socket.localAddress(first)), shared: true)
        IO.close(second)
    }

    @Test func theClientsAddressIsKnown() throws {
        for host in [IPAddress.v4Loopback, try #require(IPAddress("::1"))] {
            guard let listener = try? Socket.listen(SocketAddress(host, port: 0), shared: false)
            else { continue }  // a machine without IPv6
            defer { IO.close(listener) }
            let address = try #require(Socket.localAddress(listener))
            holds(address.ip == host && address.port != 0)
            if case .wait = Socket.accept(listener) {} else { Issue.record("nobody is waiting") }
            let client: Int32
            switch Socket.connect(address) {
            case .connected(let fd), .started(let fd): client = fd
            case .failed(let code): throw SystemError(call: "connect", code: code)
            }
            defer { IO.close(client) }
            holds(awaitReadable(listener))
            guard case .connection(let fd, let peer) = Socket.accept(listener) else {
                Issue.record("the connection was not taken")
                continue
            }
            holds(peer == Socket.localAddress(client))
            IO.close(fd)
        }
    }

    @Test func aRefusedConnectionSaysSo() throws {
        let listener = try Socket.listen(SocketAddress(.v4Loopback, port: 0), shared: false)
        let address = try #require(Socket.localAddress(listener))
        IO.close(listener)
        switch Socket.connect(address) {
        case .started(let fd):
            holds(awaitEvent(fd, POLLOUT))
            holds(Socket.error(fd) == ECONNREFUSED)
            IO.close(fd)
        case .failed(let code): holds(code == ECONNREFUSED)
        case .connected: Issue.record("nobody listens there")
        }
        holds(errorText(ECONNREFUSED) == "connection refused")
    }

    @Test func aLocalSocketTakesConnectionsAndALongPathIsNone() throws {
        let path = "/tmp/trivet-net-\(getpid()).sock"
        defer { unsafe unlink(path) }
        let address = try #require(SocketAddress(path: path))
        let listener = try Socket.listen(address, shared: true)
        defer { IO.close(listener) }
        guard case .connected(let fd) = Socket.connect(address) else {
            Issue.record("not connected")
            return
        }
        IO.close(fd)
        holds(address.isLocal && address.port == 0 && address.ip == nil)
        holds(address.with(port: 80) == address)
        holds(SocketAddress(path: String(repeating: "x", count: 107)) != nil)
        holds(SocketAddress(path: String(repeating: "x", count: 108)) == nil)
        holds(SocketAddress(path: "") == nil)
    }

    @Test func whatWasCutShortIsNotTakenForTheWhole() throws {
        let listener = try Socket.listen(SocketAddress(.v4Loopback, port: 0), shared: false)
        defer { IO.close(listener) }
        let client: Int32
        switch Socket.connect(try #require(Socket.localAddress(listener))) {
        case .connected(let fd), .started(let fd): client = fd
        case .failed(let code): throw SystemError(call: "connect", code: code)
        }
        defer { IO.close(client) }
        holds(awaitReadable(listener))
        guard case .connection(let fd, _) = Socket.accept(listener) else {
            throw SystemError.last("accept")
        }
        Socket.resetOnClose(fd)
        IO.close(fd)
        holds(awaitReadable(client))
        var room = [UInt8](repeating: 0, count: 8)
        let result = unsafe room.withUnsafeMutableBytes { unsafe IO.read(client, into: $0) }
        holds(result == .failed(ECONNRESET))
    }

    @Test func threeRunsGoOutInOrderAndEmptyOnesAreSkipped() throws {
        let pair = try SocketPair()
        let one: [UInt8] = Array("one".utf8)
        let none: [UInt8] = []
        let three: [UInt8] = Array("three".utf8)
        holds(IO.send(pair.a, one.span, none.span, three.span) == .done(8))
        holds(IO.send(pair.a, none.span) == .done(0))
        holds(awaitReadable(pair.b))
        var room = [UInt8](repeating: 0, count: 32)
        let result = unsafe room.withUnsafeMutableBytes { unsafe IO.read(pair.b, into: $0) }
        holds(result == .done(8))
        holds(room.prefix(8).elementsEqual("onethree".utf8))
    }

    @Test func sendingToSomeoneWhoLeftIsAResultNotASignal() throws {
        let pair = try SocketPair()
        let text: [UInt8] = Array("anyone?".utf8)
        Socket.endSending(pair.a)
        holds(IO.send(pair.a, text.span) == .failed(EPIPE))
    }

    @Test func aShortageOfOursIsNotTheNodesFault() {
        holds(Socket.isShortage(EMFILE) && Socket.isShortage(EADDRNOTAVAIL))
        holds(!Socket.isShortage(ECONNREFUSED) && !Socket.isShortage(ENETUNREACH))
    }
}

@Suite struct PollerTests {
    @Test func readinessIsToldOncePerChangeAndTheEndOfThePeerToo() throws {
        let poller = try Poller()
        let pair = try SocketPair()
        holds(poller.add(pair.a, token: 42))
        holds(poller.wait(milliseconds: 10_000) == 1)
        holds(poller[0].token == 42 && poller[0].writable && !poller[0].readable)
        holds(poller.wait(milliseconds: 0) == 0, "told once")
        let text: [UInt8] = [1]
        holds(IO.send(pair.b, text.span) == .done(1))
        holds(poller.wait(milliseconds: 10_000) == 1)
        holds(poller[0].readable && !poller[0].peerEnded)
        Socket.endSending(pair.b)
        holds(poller.wait(milliseconds: 10_000) == 1)
        holds(poller[0].readable && poller[0].peerEnded && !poller[0].broken)
        poller.remove(pair.a)
        holds(IO.send(pair.b, text.span) == .failed(EPIPE))
        holds(poller.wait(milliseconds: 0) == 0)
    }

    @Test func aWakeUpFromAnotherThreadIsSeenUntilItIsCleared() throws {
        let poller = try Poller()
        let wakeup = try Wakeup()
        defer { wakeup.close() }
        holds(poller.addLevel(wakeup.fd, token: 7))
        let thread = try Thread("waker") { wakeup.signal() }
        holds(poller.wait(milliseconds: 10_000) == 1)
        thread.join()
        holds(poller.wait(milliseconds: 0) == 1)
        holds(poller[0].token == 7 && poller[0].readable)
        wakeup.clear()
        holds(poller.wait(milliseconds: 0) == 0)
        wakeup.clear()
    }

    @Test func aDescriptorThatIsNoneIsNotWatched() throws {
        let poller = try Poller()
        holds(!poller.add(-1, token: 0))
    }
}
