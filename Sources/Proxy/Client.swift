// A client's connection, from accept to close. Between requests it holds no buffer and no exchange.

import Base
import Net

/// Owned by the worker that accepted it.
struct Client: ~Copyable {
    enum Phase: UInt8 {
        /// Waiting for a request head, or reading one.
        case head
        /// A proxy in front is to say whom it is for.
        case greeting
        /// Of a `tcp` listener with routes: waiting for the name that a TLS client asks for.
        case hello
        /// TLS is being agreed on.
        case handshake
        /// A request is being served: `exchange` is its.
        case exchange
        /// The last word is said; what the client still sends is thrown away for a moment, since
        /// closing on unread bytes would reset the connection and take our answer from the client
        /// (RFC 9112 section 9.6).
        case lingering
    }

    var link: Link
    let listener: UInt16
    /// Whether what it says about whom it forwards for is believed.
    var isTrusted: Bool
    /// How it counts among the listener's connections.
    let entry: ConnectionCount.Entry
    /// Who is at the other end of the connection.
    let peer: IPAddress
    /// Whom it is for: the same, unless a proxy in front says otherwise.
    var address: IPAddress
    var port: UInt16
    var phase = Phase.head
    /// It comes by TLS, as far as is known here.
    var isSecure = false
    /// A request of it was begun: the connection is no newcomer.
    var hasServed = false
    /// Bytes of an incomplete head that the parser has seen.
    var seen = 0
    var exchange: UInt32 = .max
    /// When patience ends, in monotonic nanoseconds; 0: never.
    var deadline: UInt64 = 0
    /// The end of lingering, however busy.
    var lingerUntil: UInt64 = 0
    /// Our side of the connection is ended.
    var saidGoodbye = false
    /// In the queue of those that go on at the end of the turn.
    var isQueued = false

    init(
        fd: Int32, listener: UInt16, address: IPAddress, port: UInt16, isTrusted: Bool,
        entry: ConnectionCount.Entry
    ) {
        link = Link(fd: fd)
        self.listener = listener
        peer = address
        self.address = address
        self.port = port
        self.isTrusted = isTrusted
        self.entry = entry
    }
}
