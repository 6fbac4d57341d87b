// One side of an exchange: a connection with what is known of its readiness, and the bytes that came in
// but were not dealt with, or are to go out but did not fit. The client's side and the node's are
// alike here; what they mean is Client.swift and Upstream.swift.

import Base
import Net

/// A connected socket of a worker.
struct Link: ~Copyable {
    var transport: Transport
    /// A read may bring something. Edge-triggered: true until a read says `wait`.
    var canRead = false
    /// A write may move something. True until a write says `wait`.
    var canWrite = true
    /// The poller has seen the peer's last byte announced; there may still be bytes before it.
    var peerEnding = false
    /// Nothing goes in either direction any more: reset, or ended by both sides.
    var isBroken = false
    /// A read has come to the peer's last byte.
    var ended = false
    /// What came in and was not dealt with.
    var input = Buffer()
    /// What is to go out before anything else.
    var output = Buffer()

    init(fd: Int32) { transport = Transport(fd: fd) }

    /// Of the socket, for what concerns that alone.
    var fd: Int32 { transport.fd }

    /// All that was sent has gone, or been given up.
    var isFlushed: Bool { output.isEmpty && !transport.hasUnsent }

    /// Nothing has come in that is not dealt with, read or not, and nothing waits to be sent.
    var isQuiet: Bool { input.isEmpty && isFlushed && !canRead }

    /// Whether it may be closed at once: nothing is under way, and the last word is said.
    func mayClose() -> Bool {
        guard isQuiet else { return false }
        transport.sayGoodbye()
        return isFlushed
    }

    /// Takes in what the poller says.
    mutating func note(_ event: Event) {
        if event.readable { canRead = true }
        if event.writable { canWrite = true }
        if event.peerEnded || event.broken { peerEnding = true }
        if event.broken { isBroken = true }
    }

    /// Whether nothing has come in that was not read yet, the peer's end included.
    mutating func isSilent(_ kit: inout Kit) -> Bool {
        guard input.isEmpty && !peerEnding else { return false }
        return !canRead || fill(&kit) == .wait
    }

    enum Filled: Equatable {
        case more
        case wait
        case ended
        case failed(Int32)
    }

    /// Reads once, into a buffer lent by `kit` if need be. `upTo`: how much it may hold then.
    mutating func fill(_ kit: inout Kit, upTo: Int = Buffer.capacity) -> Filled {
        if ended { return .ended }
        guard canRead else { return .wait }
        guard kit.buffers.lend(&input) else { return .failed(12) }  // ENOMEM
        if input.room < upTo - input.count { input.compact() }
        let wanted = min(upTo - input.count, input.room)
        guard wanted > 0 else { return .more }
        switch transport.receive(into: &input, limit: wanted) {
        case .done(let n):
            // Less than asked for: the socket is empty, and the next byte will be a new edge. Not so
            // if its end was announced along with these bytes: that edge is spent.
            if !peerEnding && transport.isDrained(n, of: wanted) { canRead = false }
            return .more
        case .wait:
            canRead = false
            if input.isEmpty { kit.buffers.reclaim(&input) }
            return .wait
        case .closed:
            ended = true
            if input.isEmpty { kit.buffers.reclaim(&input) }
            return .ended
        case .failed(let code):
            return .failed(code)
        }
    }

    enum Flushed: Equatable {
        case done
        case wait
        case failed(Int32)
    }

    /// Sends what waits in `output`.
    mutating func flush(_ kit: inout Kit) -> Flushed {
        while !output.isEmpty {
            guard canWrite else { return .wait }
            switch transport.send(output.bytes) {
            case .done(let n): output.consume(n)
            case .wait, .closed: canWrite = false
            case .failed(let code): return .failed(code)
            }
        }
        kit.buffers.reclaim(&output)
        if !transport.isPlain {
            switch transport.flush() {
            case .done: break
            case .wait, .closed:
                canWrite = false
                return .wait
            case .failed(let code): return .failed(code)
            }
        }
        return .done
    }

    /// Sends what `kit.scratch` holds, or keeps it in `output`, and clears it.
    mutating func sendScratch(_ kit: inout Kit) -> Flushed {
        let flushed = flush(&kit)
        if case .failed = flushed {
            kit.scratch.clear()
            return flushed
        }
        if flushed == .done && canWrite && !kit.scratch.isEmpty {
            switch transport.send(kit.scratch.bytes) {
            case .done(let n):
                kit.scratch.consume(n)
                if !kit.scratch.isEmpty { canWrite = false }
            case .wait, .closed: canWrite = false
            case .failed(let code):
                kit.scratch.clear()
                return .failed(code)
            }
        }
        if kit.scratch.isEmpty { return flushed }
        return keep(&kit) ? .wait : .failed(105)  // ENOBUFS
    }

    /// Moves what `kit.scratch` holds behind `output`. False if there is no room: heads are bounded,
    /// and a peer that reads nothing gets no second one, so there is, unless memory is out.
    mutating func keep(_ kit: inout Kit) -> Bool {
        defer { kit.scratch.clear() }
        guard kit.buffers.lend(&output) else { return false }
        if output.room < kit.scratch.count { output.compact() }
        return output.append(kit.scratch.bytes)
    }

    /// Gives the buffers back that hold nothing.
    mutating func rest(_ kit: inout Kit) {
        if input.isEmpty { kit.buffers.reclaim(&input) }
        if output.isEmpty { kit.buffers.reclaim(&output) }
    }

    /// Says that no more will be sent. Call when everything before it is sent.
    func endSending() { transport.endSending() }

    /// Closes the socket and gives everything back. Call once.
    mutating func close(_ kit: inout Kit) {
        kit.buffers.reclaim(&input)
        kit.buffers.reclaim(&output)
        transport.close()
    }
}

/// What a worker's connections share: memory and pipes to borrow, and room to write heads in.
struct Kit: ~Copyable {
    var buffers = BufferPool()
    var pipes = PipePool()
    /// Bytes that are to go out first with the next write: a head, a chunk's size. Empty between events.
    var scratch = Buffer()
    /// Bytes that go out behind a payload: the end of a chunk, trailers.
    var tail = Buffer()
    /// Where connections with TLS lay what is to go out.
    let desk = TLSDesk()

    /// Nil if the system has no memory for the two buffers it always needs.
    init?() {
        guard buffers.lend(&scratch), buffers.lend(&tail) else { return nil }
    }
}
