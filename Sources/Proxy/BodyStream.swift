// One body on its way, from one side of an exchange to the other: read as its framing says, written
// in the framing of the other side, never held whole. Back-pressure: nothing is read while the other
// side takes nothing. Knows no roles: uploads, downloads and tunnels all run through here.

import Base
import HTTP
import Net

struct BodyStream: ~Copyable {
    /// How the body is framed where it comes from.
    let source: BodyFraming
    /// Written as chunks, or as it is.
    let sinkIsChunked: Bool
    /// Bytes still to come of a body with a length.
    private var left: UInt64 = 0
    private var decoder = ChunkedDecoder()
    private var pipe = Pipe()
    /// Payload bytes that have left for the other side.
    private(set) var moved: UInt64 = 0
    /// Payload bytes that were thrown away.
    private(set) var discarded: UInt64 = 0
    /// The whole body was read, and what is left of it lies in `output` or the pipe.
    private var isRead = false
    /// A body that ended with its connection still needs its last chunk.
    private var endsOpenly = false
    /// Of a stream without end: the last read brought as much as it could, so that there is more.
    private var isBulk = false
    /// The whole body has been handed to the kernel.
    private(set) var isDone = false

    init(from source: BodyFraming, chunked sinkIsChunked: Bool) {
        self.source = source
        self.sinkIsChunked = sinkIsChunked
        switch source {
        case .none: isDone = true
        case .length(let n):
            left = n
            isDone = n == 0
        case .untilClose: left = .max
        case .chunked: break
        }
        isRead = isDone
    }

    enum Outcome: Equatable {
        /// Nothing can move now.
        case wait
        /// There is more to do, but others have waited long enough.
        case yield
        case finished
        /// The source ended before its framing says.
        case cutShort
        case sourceFailed(Int32)
        case sinkFailed(Int32)
        case malformed(Fault)
    }

    // A body with a length is spliced while at least this much is to come: below, two calls and a
    // pipe cost more than one copy.
    private static let spliceThreshold: UInt64 = 65_536
    // A stream is spliced while a splice brings at least this much.
    private static let bulkThreshold = 16_384
    // What one stream may move before the other connections of the worker get their turn.
    private static let budget = 2 << 20
    private static let readLimit = 64
    // What a piece of chunks holds at most, so that it fits into a buffer with its framing.
    private static let pieceLimit = 49_152
    private static let headLimit = 7_168

    /// Moves what can be moved now. `kit.scratch` may hold bytes that go out first; it is empty after.
    mutating func pump(
        from source: inout Link, to sink: inout Link, _ kit: inout Kit
    ) -> Outcome {
        // What must wait is kept; so much that a payload would not fit beside it goes ahead alone.
        if kit.scratch.count > Self.headLimit || !sink.canWrite || !sink.isFlushed,
            case .failed(let code) = sink.sendScratch(&kit)
        {
            return .sinkFailed(code)
        }
        let start = moved
        var reads = 0
        while true {
            switch sink.flush(&kit) {
            case .done: break
            case .wait: return rest(&source, &kit)
            case .failed(let code): return .sinkFailed(code)
            }
            if pipe.count > 0 {
                guard sink.canWrite else { return rest(&source, &kit) }
                if let failure = drainPipe(to: &sink) { return failure }
                continue
            }
            if isRead && kit.scratch.isEmpty {
                isDone = true
                kit.pipes.reclaim(&pipe)
                return .finished
            }
            if !kit.scratch.isEmpty || !source.input.isEmpty || endsOpenly {
                guard sink.canWrite || !kit.scratch.isEmpty else { return rest(&source, &kit) }
                let before = source.input.count
                if let outcome = sendPiece(from: &source, to: &sink, &kit) { return outcome }
                // A piece of framing alone, cut in its middle: only more bytes help.
                if source.input.count < before || isRead { continue }
            }
            // Framing moves nothing: reads are counted too.
            if Int(moved &- start) >= Self.budget || reads == Self.readLimit { return .yield }
            reads += 1
            guard sink.canWrite else { return rest(&source, &kit) }
            if let outcome = read(&source, &kit, splices: sink.transport.isPlain) {
                return outcome == .wait ? rest(&source, &kit) : outcome
            }
        }
    }

    /// Reads on and throws away what comes, up to the end of the body: for an upload that its node takes
    /// no more of. Never makes the body `isDone`.
    mutating func discard(from source: inout Link, _ kit: inout Kit) -> Outcome {
        end(&kit)
        var reads = 0
        while !isRead {
            if !source.input.isEmpty {
                let before = source.input.count
                let piece = nextPiece(&source.input)
                if let fault = piece.fault { return .malformed(fault) }
                let count = UInt64(piece.payload.length)
                discarded += count
                if case .length = self.source { left -= count }
                source.input.consume(piece.consumed)
                isRead = piece.isLast
                if source.input.count < before { continue }
            }
            guard reads < Self.readLimit else { return .yield }
            reads += 1
            switch source.fill(&kit) {
            case .more: break
            case .wait:
                source.rest(&kit)
                return .wait
            case .ended: return .cutShort
            case .failed(let code): return .sourceFailed(code)
            }
        }
        return .finished
    }

    /// Gives back what it has borrowed.
    mutating func end(_ kit: inout Kit) { kit.pipes.reclaim(&pipe) }

    private mutating func rest(_ source: inout Link, _ kit: inout Kit) -> Outcome {
        if pipe.count == 0 { kit.pipes.reclaim(&pipe) }
        source.rest(&kit)
        return .wait
    }

    /// Brings more bytes in, into the pipe or the buffer. Nil: go on.
    /// `splices`: the other side takes bytes from the kernel.
    private mutating func read(
        _ source: inout Link, _ kit: inout Kit, splices: Bool
    ) -> Outcome? {
        if source.ended { return sourceEnded() }
        guard source.canRead else { return .wait }
        if maySplice, splices, source.transport.isPlain, kit.pipes.lend(&pipe) {
            let count = Int(min(left, UInt64(PipePool.capacity)))
            switch IO.splice(from: source.fd, to: pipe.writeEnd, count: count) {
            case .done(let n):
                pipe.count += n
                if case .length = self.source {
                    left -= UInt64(n)
                    isRead = left == 0
                } else {
                    isBulk = n >= Self.bulkThreshold
                }
                return nil
            case .wait:
                source.canRead = false
                return .wait
            case .closed:
                source.ended = true
                return sourceEnded()
            case .failed(let code): return .sourceFailed(code)
            }
        }
        switch source.fill(&kit, upTo: sinkIsChunked ? Self.pieceLimit : Buffer.capacity) {
        case .more:
            isBulk = source.input.count == Buffer.capacity
            return nil
        case .wait: return .wait
        case .ended: return sourceEnded()
        case .failed(let code): return .sourceFailed(code)
        }
    }

    private var maySplice: Bool {
        switch source {
        case .length: left >= Self.spliceThreshold
        case .untilClose: isBulk && !sinkIsChunked
        case .none, .chunked: false
        }
    }

    /// Nil if that is how this body ends, and its last chunk is to be written.
    private mutating func sourceEnded() -> Outcome? {
        guard case .untilClose = source else { return .cutShort }
        if sinkIsChunked { endsOpenly = true } else { isRead = true }
        return nil
    }

    private mutating func drainPipe(to sink: inout Link) -> Outcome? {
        switch IO.splice(from: pipe.readEnd, to: sink.fd, count: pipe.count) {
        case .done(let n):
            pipe.count -= n
            moved += UInt64(n)
        case .wait: sink.canWrite = false
        case .closed: return .sinkFailed(32)  // EPIPE
        case .failed(let code): return .sinkFailed(code)
        }
        return nil
    }

    /// Sends the scratch, what of the body lies in the source's buffer, and the framing that goes with
    /// it, with one call. Nil: go on.
    private mutating func sendPiece(
        from source: inout Link, to sink: inout Link, _ kit: inout Kit
    ) -> Outcome? {
        let piece = nextPiece(&source.input)
        if let fault = piece.fault {
            kit.scratch.clear()
            return .malformed(fault)
        }
        kit.tail.clear()
        if sinkIsChunked {
            let length = Int(piece.payload.length)
            if length > 0 {
                _ = kit.scratch.write {
                    writeChunkHeader(length, to: &$0)
                    return true
                }
                _ = kit.tail.append(Self.lineEnd.span)
            }
            if piece.isLast {
                let bytes = source.input.bytes
                _ = kit.tail.write { writeTrailers(bytes, piece.trailers, to: &$0) }
            }
        }
        let count = Int(piece.payload.length)
        let ahead = kit.scratch.count
        let total = ahead + count + kit.tail.count
        var sent = 0
        if total > 0 {
            let payload = source.input.bytes.extracting(piece.payload.indices)
            let sending = sink.transport.send(
                kit.scratch.bytes, payload, kit.tail.bytes)
            switch sending {
            case .done(let n): sent = n
            case .wait, .closed: break
            case .failed(let code):
                kit.scratch.clear()
                return .sinkFailed(code)
            }
            if sent < total { sink.canWrite = false }
        }
        let isWhole = sent == total
        if isWhole {
            take(piece, count, from: &source)
        } else if sinkIsChunked || self.source == .chunked {
            // Decoded already, or a chunk begun: what did not go is kept as it is to go.
            guard keep(piece, of: source, after: sent, in: &sink, &kit) else {
                return .sinkFailed(105)
            }
            take(piece, count, from: &source)
        } else {
            // As it came: the rest of the payload stays where it is.
            if sent < ahead {
                kit.scratch.consume(sent)
                guard sink.keep(&kit) else { return .sinkFailed(105) }
            }
            let gone = max(0, sent - ahead)
            moved += UInt64(gone)
            if case .length = self.source { left -= UInt64(gone) }
            source.input.consume(gone)
            if case .length = self.source, left == 0 { isRead = true }
        }
        kit.scratch.clear()
        return nil
    }

    /// A piece is on its way, or kept behind what is.
    private mutating func take(_ piece: Piece, _ count: Int, from source: inout Link) {
        moved += UInt64(count)
        if case .length = self.source { left -= UInt64(count) }
        source.input.consume(piece.consumed)
        if piece.isLast {
            isRead = true
            endsOpenly = false
        }
    }

    /// Keeps what of scratch, payload and tail comes after the first `sent` bytes.
    private func keep(
        _ piece: Piece, of source: borrowing Link, after sent: Int, in sink: inout Link,
        _ kit: inout Kit
    ) -> Bool {
        guard kit.buffers.lend(&sink.output) else { return false }
        let payload = source.input.bytes.extracting(piece.payload.indices)
        let ahead = kit.scratch.count
        if sent < ahead {
            let rest = kit.scratch.bytes.extracting(sent..<ahead)
            guard sink.output.append(rest) else { return false }
        }
        let from = min(max(0, sent - ahead), payload.count)
        guard sink.output.append(payload.extracting(from..<payload.count)) else { return false }
        let behind = min(max(0, sent - ahead - payload.count), kit.tail.count)
        return sink.output.append(kit.tail.bytes.extracting(behind..<kit.tail.count))
    }

    private static let lineEnd: [2 of UInt8] = [13, 10]

    private struct Piece {
        /// In the buffer, from its first held byte.
        var payload = ByteRange.empty
        /// What may be dropped from the buffer once the payload has gone.
        var consumed = 0
        var isLast = false
        var trailers = ByteRange.empty
        var fault: Fault?
    }

    /// What of the body lies in the buffer: one run of payload. Runs of several chunks are moved
    /// together, so that they go out as one.
    private mutating func nextPiece(_ buffer: inout Buffer) -> Piece {
        var piece = Piece()
        switch source {
        case .none:
            piece.isLast = true
        case .length:
            let n = Int(min(UInt64(buffer.count), left))
            piece.payload = ByteRange(0, n)
            piece.consumed = n
            piece.isLast = UInt64(n) == left
        case .untilClose:
            let n = min(buffer.count, Self.pieceLimit)
            piece.payload = ByteRange(0, n)
            piece.consumed = n
            piece.isLast = endsOpenly && n == buffer.count
        case .chunked:
            let limit = min(buffer.count, Self.pieceLimit)
            var from = 0
            var end = 0
            var position = 0
            decoding: while position < limit {
                let event = decoder.next(buffer.bytes.extracting(position..<limit))
                switch event {
                case .data(let range, let consumed):
                    let at = position + Int(range.start)
                    if end == 0 {
                        from = at
                        end = at
                    }
                    buffer.move(ByteRange(at, at + Int(range.length)), to: end)
                    end += Int(range.length)
                    position += consumed
                case .more(let consumed):
                    position += consumed
                    break decoding
                case .end(let trailers, let consumed):
                    piece.trailers = ByteRange(
                        position + Int(trailers.start), position + Int(trailers.end))
                    position += consumed
                    piece.isLast = true
                    break decoding
                case .invalid(let fault):
                    piece.fault = fault
                    return piece
                }
            }
            piece.payload = ByteRange(from, end)
            piece.consumed = position
        }
        return piece
    }
}
