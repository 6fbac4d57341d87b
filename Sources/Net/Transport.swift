// What carries the bytes of a connection: the socket itself, or TLS on it. Whoever moves bytes asks here and
// does not know which; only what the kernel is to move by itself needs to be plain.

/// Owned by one connection. Descriptors are non-blocking.
package struct Transport: ~Copyable {
    package let fd: Int32
    /// Nil: plain.
    package private(set) var tls: TLSSession?

    package init(fd: Int32) {
        self.fd = fd
        tls = nil
    }

    /// From here on nothing goes but by TLS, whose handshake comes first.
    package mutating func secure(_ session: TLSSession) { tls = session }

    /// The other side does not speak TLS: from here on bytes go as they are.
    package mutating func dropSecurity() { tls = nil }

    /// Bytes are the same in the socket: they may be spliced.
    package var isPlain: Bool { tls == nil }

    /// Something that was taken by `send` is not in the socket yet: `flush` it when that takes more.
    package var hasUnsent: Bool { tls?.hasUnsent ?? false }

    /// Reads behind what `buffer` holds, at most `limit` bytes. Call with room.
    @inline(__always)
    package func receive(
        into buffer: inout Buffer, limit: Int
    ) -> Transfer {
        guard let tls else { return buffer.fill(from: fd, limit: limit) }
        return tls.receive(into: &buffer, limit: limit)
    }

    /// Whether a read that brought `count` of `wanted` bytes has left nothing behind.
    @inline(__always)
    package func isDrained(_ count: Int, of wanted: Int) -> Bool {
        guard let tls else { return count < wanted }
        return tls.isDrained
    }

    /// Sends bytes. What is said to be done may be kept here for a while: see `hasUnsent`.
    @inline(__always)
    package func send(_ bytes: Span<UInt8>) -> Transfer {
        guard let tls else { return IO.send(fd, bytes) }
        return tls.send(bytes, Span(), Span())
    }

    /// Sends up to three runs of bytes, in order; empty ones are skipped.
    @inline(__always)
    package func send(
        _ first: Span<UInt8>, _ second: Span<UInt8>, _ third: Span<UInt8>
    ) -> Transfer {
        guard let tls else { return IO.send(fd, first, second, third) }
        return tls.send(first, second, third)
    }

    /// Sends what `send` has kept. `done`: nothing is left.
    package func flush() -> Transfer { tls?.flush() ?? .done(0) }

    /// Says the last word, if there is one to say before `close`. It may be kept for a while: see
    /// `hasUnsent`.
    package func sayGoodbye() { tls?.sayGoodbye() }

    /// Says that no more bytes will be sent.
    package func endSending() {
        if let tls { tls.endSending() } else { Socket.endSending(fd) }
    }

    /// Makes `close` end the connection so that a reader cannot take what was cut short for the whole.
    package func resetOnClose() {
        tls?.mute()
        Socket.resetOnClose(fd)
    }

    /// Call once.
    package mutating func close() {
        tls?.close()
        tls = nil
        IO.close(fd)
    }
}
