// Buffers and pipes: no byte lost or made up, memory given back, nothing of one connection shown to
// the next.

import Base
import CLinux
import Glibc
import Net
import Testing

@Suite struct BufferTests {
    private func bytes(_ buffer: borrowing Buffer) -> [UInt8] {
        let span = buffer.bytes
        return (0..<span.count).map { span[$0] }
    }

    @Test func bytesLeaveInTheOrderTheyCame() {
        var pool = BufferPool()
        var buffer = Buffer()
        holds(!buffer.isLent && buffer.room == 0 && buffer.isEmpty)
        holds(bytes(buffer) == [])
        holds(pool.lend(&buffer))
        let text: [UInt8] = Array("one two three".utf8)
        holds(buffer.append(text.span))
        buffer.consume(4)
        holds(bytes(buffer) == Array("two three".utf8))
        buffer.compact()
        holds(bytes(buffer) == Array("two three".utf8))
        holds(buffer.room == Buffer.capacity - 9)
        buffer.consume(9)
        holds(buffer.isEmpty && buffer.room == Buffer.capacity)
        pool.reclaim(&buffer)
    }

    @Test func whatDoesNotFitLeavesTheBufferAsItWas() {
        var pool = BufferPool()
        var buffer = Buffer()
        let some: [UInt8] = [1]
        holds(!buffer.append(some.span), "without memory there is no room")
        holds(pool.lend(&buffer))
        let full = [UInt8](repeating: 7, count: Buffer.capacity)
        holds(buffer.append(full.span))
        holds(!buffer.append(some.span))
        holds(buffer.count == Buffer.capacity && buffer.room == 0)
        buffer.consume(1)
        holds(buffer.room == 0)
        buffer.compact()
        holds(buffer.room == 1 && buffer.append(some.span))
        pool.reclaim(&buffer)
    }

    @Test func aMoveWithinKeepsTheBytesAlsoWhenRunsOverlap() {
        var pool = BufferPool()
        var buffer = Buffer()
        holds(pool.lend(&buffer))
        let text: [UInt8] = Array("xx0123456789".utf8)
        holds(buffer.append(text.span))
        buffer.consume(2)
        buffer.move(ByteRange(2, 8), to: 0)
        holds(bytes(buffer) == Array("2345676789".utf8))
        buffer.move(ByteRange(0, 6), to: 4)
        holds(bytes(buffer) == Array("2345234567".utf8))
        pool.reclaim(&buffer)
    }

    @Test func writingCountsEvenWhenTheWriterGivesUp() {
        var pool = BufferPool()
        var buffer = Buffer()
        holds(pool.lend(&buffer))
        let result = buffer.write { out in
            out.append(1)
            out.append(2)
            return false
        }
        holds(!result)
        holds(bytes(buffer) == [1, 2])
        pool.reclaim(&buffer)
    }

    @Test func memoryIsReusedAndTheNextConnectionSeesNothingInIt() {
        var pool = BufferPool()
        var first = Buffer()
        holds(pool.lend(&first))
        let secret: [UInt8] = Array("secret".utf8)
        holds(first.append(secret.span))
        pool.reclaim(&first)
        holds(!first.isLent && first.isEmpty && pool.lent == 0)
        pool.reclaim(&first)
        holds(pool.lent == 0, "given back twice")
        var second = Buffer()
        holds(pool.lend(&second))
        holds(second.isEmpty && pool.lent == 1)
        holds(pool.lend(&second) && pool.lent == 1, "lent twice")
        pool.reclaim(&second)
        pool.trim(keeping: 0)
        holds(pool.lend(&second) && second.append(secret.span))
        holds(bytes(second) == secret)
        pool.reclaim(&second)
    }

    @Test func fillingSaysWhatTheSocketSays() throws {
        var pool = BufferPool()
        var buffer = Buffer()
        holds(pool.lend(&buffer))
        let pair = try SocketPair()
        holds(buffer.fill(from: pair.a) == .wait)
        let text: [UInt8] = Array("hello".utf8)
        holds(IO.send(pair.b, text.span) == .done(5))
        holds(buffer.fill(from: pair.a, limit: 2) == .done(2))
        holds(buffer.fill(from: pair.a) == .done(3))
        holds(bytes(buffer) == text)
        Socket.endSending(pair.b)
        holds(buffer.fill(from: pair.a) == .closed)
        pool.reclaim(&buffer)
    }

    @Test func aPipeWithBytesInItIsNeverLentAgain() throws {
        var pool = PipePool()
        var pipe = Pipe()
        holds(pool.lend(&pipe))
        let old = pipe.readEnd
        pool.reclaim(&pipe)
        holds(!pipe.isLent)
        holds(pool.lend(&pipe) && pipe.readEnd == old, "an empty one is")
        let pair = try SocketPair()
        let text: [UInt8] = Array("of another".utf8)
        holds(IO.send(pair.b, text.span) == .done(10))
        holds(IO.splice(from: pair.a, to: pipe.writeEnd, count: 100) == .done(10))
        holds(IO.splice(from: pair.a, to: pipe.writeEnd, count: 100) == .wait)
        pipe.count = 10
        pool.reclaim(&pipe)
        holds(pool.lend(&pipe) && pipe.count == 0)
        holds(IO.splice(from: pipe.readEnd, to: pair.a, count: 100) == .wait, "it is empty")
        pool.reclaim(&pipe)
    }
}

/// Two connected sockets over loopback.
final class SocketPair {
    let a: Int32
    let b: Int32

    init() throws {
        let listener = try Socket.listen(SocketAddress(.v4Loopback, port: 0), shared: false)
        defer { IO.close(listener) }
        let address = try #require(Socket.localAddress(listener))
        switch Socket.connect(address) {
        case .connected(let fd), .started(let fd): a = fd
        case .failed(let code): throw SystemError(call: "connect", code: code)
        }
        holds(awaitReadable(listener))
        guard case .connection(let fd, _) = Socket.accept(listener) else {
            throw SystemError.last("accept")
        }
        b = fd
        holds(awaitEvent(a, POLLOUT))
    }

    deinit {
        IO.close(a)
        IO.close(b)
    }
}
