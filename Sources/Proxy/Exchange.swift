// One request and its response: who serves it, how far both bodies are, what was tried. Exists from
// the end of the request's head to the end of the response.

import Balance
import Base
import HTTP

/// Owned by the worker of its client.
struct Exchange: ~Copyable {
    enum Phase: UInt8 {
        /// Every node has as many requests as it may have: in the pool's queue.
        case waiting
        case connecting
        case running
        /// A stream, or the node has accepted a WebSocket: bytes go both ways until both ends are done.
        case tunnel
    }

    enum Answer: UInt8 {
        case awaited
        case streaming
        case done
    }

    /// What is waited for.
    enum Wait: UInt8 {
        /// A byte in either direction.
        case progress
        /// The response, the request being through.
        case answer
        /// That the node goes on to take an upload it has answered already, while nothing else moves.
        case room
    }

    let client: UInt32
    let pool: UInt16
    /// A connection of a `tcp` listener: there is no request, no answer and no head.
    let isStream: Bool
    var phase = Phase.connecting
    var upstream: UInt32 = .max

    // The request.
    let method: HTTP.Method
    let minorVersion: UInt8
    let clientStays: Bool
    let wantsWebSocket: Bool
    /// The head's length while it lies at the front of the client's input, to be sent again if need
    /// be; 0 once it is dropped.
    var headLength: Int
    var up: BodyStream
    /// No more of the request's body is sent: the node does not read it. What the client still sends
    /// of it is thrown away, so that the client comes to read its answer.
    var uploadAbandoned = false
    /// Idempotent and without a body: may go to another node until a byte of a response was forwarded.
    let isReplayable: Bool

    // The attempts.
    var attempt: UInt32 = 0
    /// How often a node was picked.
    var picks: UInt32 = 0
    var tried: [8 of UInt32] = .init(repeating: .max)
    /// In the present pool; `UInt32.max`: none, or it is no longer configured.
    var node: UInt32 = .max
    /// The node's row on the board: where its addresses and idle connections are.
    var row: UInt32 = .max
    /// Its pool is no longer configured: it ends with the node it has.
    var isOrphan = false
    var token: UInt64 = 0
    var strategy: UInt8 = .max
    var generation: UInt32 = 0
    /// Whether `began` was said of the node without `ended` yet.
    var isCounted = false
    /// It has a place at a node with a limit.
    var holdsPlace = false
    /// Its seat in the pool's queue; negative: it is not there.
    var seat = -1
    /// Called from there, or announced to it: the queue waits for an answer.
    var isCalled = false
    /// When it first found no place, monotonic nanoseconds; 0: it never had to wait.
    var waitingSince: UInt64 = 0
    /// The address of the node that is being tried.
    var addressIndex = 0
    /// How the attempt before this one failed, if there was one.
    var lastFailure = AttemptFailure.unreachable
    /// A connection that had been idle was lost under this request once.
    var metStaleConnection = false

    // The response.
    var answer = Answer.awaited
    /// Bytes of an incomplete head that the parser has seen.
    var answerSeen = 0
    /// An interim response has gone to the client: nothing is sent to another node any more, but an
    /// answer of our own still makes sense.
    var interimSent = false
    /// A byte of the final response has gone to the client: there is no way back.
    var responseStarted = false
    var status: UInt16 = 0
    var down = BodyStream(from: .none, chunked: false)
    var upstreamStays = false
    var closesClient = false
    /// The response was not sent to its end.
    var wasCut = false

    // The timer: set at all, and for which wait.
    var isArmed = false
    var awaits = Wait.progress

    // For counters and the log; monotonic nanoseconds.
    let startedAt: UInt64
    var pickedAt: UInt64
    var connectNs: UInt64 = 0
    var firstByteAt: UInt64 = 0
    var session = SessionNote()
    /// Its lines in the access log's notes, if there is a log.
    var note: UInt32 = .max

    init(
        client: UInt32, pool: UInt16, head: borrowing RequestHead, headLength: Int, now: UInt64
    ) {
        self.client = client
        self.pool = pool
        isStream = false
        method = head.method
        minorVersion = head.minorVersion
        clientStays = head.keepAlive
        wantsWebSocket = head.upgrade == .webSocket
        self.headLength = headLength
        up = BodyStream(from: head.framing, chunked: head.framing == .chunked)
        isReplayable = head.method.isIdempotent && !head.framing.hasBody
        startedAt = now
        pickedAt = now
    }

    /// A connection of a `tcp` listener.
    init(streamOf client: UInt32, pool: UInt16, now: UInt64) {
        self.client = client
        self.pool = pool
        isStream = true
        method = .other
        minorVersion = 1
        clientStays = false
        wantsWebSocket = false
        headLength = 0
        up = BodyStream(from: .untilClose, chunked: false)
        down = BodyStream(from: .untilClose, chunked: false)
        isReplayable = false
        closesClient = true
        startedAt = now
        pickedAt = now
    }

    /// Counts up with every byte that has moved on, or was thrown away.
    var progress: UInt64 { up.moved &+ up.discarded &+ down.moved }

    /// Whether a node that has answered before the end of the request's body is to get the rest of it.
    /// By an error, or by closing, it says that it wants no more.
    var wantsRest: Bool {
        !up.isDone && !uploadAbandoned && upstreamStays && status < 300
    }

    var triedCount: Int { min(Int(attempt), 8) }

    /// The present node has failed: the next attempt is another's.
    mutating func nodeFailed() {
        if attempt < 8 { tried[Int(attempt)] = node }
        attempt += 1
    }

    func hasTried(_ node: UInt32) -> Bool {
        for i in 0..<triedCount where tried[i] == node { return true }
        return false
    }
}

/// How an attempt failed after which another node may be asked.
enum AttemptFailure {
    case unreachable
    case connectTimedOut
    /// The connection ended before an answer.
    case lost
    /// No TLS could be agreed on.
    case insecure
    /// The whole request was sent, and no answer came in time.
    case late
}
