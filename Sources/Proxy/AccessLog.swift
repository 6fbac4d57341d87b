// The access log: one JSON object a line, written by each worker for itself. Lines gather in a buffer
// and go out with one write a turn; a file is opened for appending, so that workers' writes do not
// mix. Nothing is allocated for a line. Where somebody reads who may be slow (a pipe, a terminal), lines
// wait, and are dropped when too many do: a log that is not read does not hold up the traffic.

import Base
import Net

/// What must be kept of a request until its line is written: the head may be gone by then.
struct LogNote: ~Copyable {
    static let targetLimit = 1024
    var method: [16 of UInt8] = .init(repeating: 0)
    var methodLength = 0
    var target: [1024 of UInt8] = .init(repeating: 0)
    var targetLength = 0
    var reason: [64 of UInt8] = .init(repeating: 0)
    var reasonLength = 0
}

/// What a line says beside its note.
struct LogLine {
    var client: IPAddress
    var pool: String
    var node: String
    var strategy: String
    var status: UInt16
    var wasCut: Bool
    var attempts: UInt32
    /// Payload bytes: of the request's body, and of the response's.
    var received: UInt64
    var sent: UInt64
    /// Nanoseconds; 0 if it did not come to that.
    var connect: UInt64
    var firstByte: UInt64
    var total: UInt64
}

extension LogLine {
    /// Of a request that got nowhere.
    init(client: IPAddress, status: UInt16) {
        self.init(
            client: client, pool: "", node: "", strategy: "", status: status, wasCut: false,
            attempts: 0, received: 0, sent: 0, connect: 0, firstByte: 0, total: 0)
    }
}

/// One worker's part of the log.
struct AccessLog: ~Copyable {
    private var fd: Int32
    /// Its reader may be slow.
    private var hasReader = false
    private var notes = Slab<LogNote>(chunk: 16)
    private var pending: [UInt8] = []
    /// Lines that did not go out, and were not told of yet.
    private(set) var dropped = 0
    private var toldAt: UInt64 = 0
    private static let limit = 65_536
    // How often it is said that lines were dropped, in nanoseconds.
    private static let tellingPause: UInt64 = 10_000_000_000
    // The longest line: a target of 1,024 bytes, each escaped by six, and the rest.
    private static let longest = 8_192

    /// `fd`: where to; negative: there is no log.
    init(fd: Int32) {
        self.fd = -1
        redirect(to: fd)
    }

    /// Goes on in another file, or nowhere. What has gathered still goes to the old one.
    mutating func redirect(to fd: Int32) {
        guard fd != self.fd else { return }
        end()
        self.fd = fd
        hasReader = fd >= 0 && IO.hasReader(fd)
        if fd >= 0 { pending.reserveCapacity(Self.limit + Self.longest) }
    }

    var isOn: Bool { fd >= 0 }

    /// Keeps a request's method and target.
    mutating func note(method: Span<UInt8>, target: Span<UInt8>) -> UInt32 {
        let index = notes.insert(LogNote()).index
        let note = notes.at(index)
        note.it.methodLength = min(method.count, 16)
        for i in 0..<note.it.methodLength { note.it.method[i] = method[i] }
        note.it.targetLength = min(target.count, LogNote.targetLimit)
        for i in 0..<note.it.targetLength { note.it.target[i] = target[i] }
        return index
    }

    /// Keeps why the strategy picked as it did.
    mutating func note(_ index: UInt32, reason: Span<UInt8>) {
        let note = notes.at(index)
        note.it.reasonLength = min(reason.count, 64)
        for i in 0..<note.it.reasonLength { note.it.reason[i] = reason[i] }
    }

    /// Keeps why a request was refused.
    mutating func note(_ index: UInt32, reason: StaticString) {
        reason.withUTF8Buffer { note(index, reason: unsafe Span(_unsafeElements: $0)) }
    }

    /// Writes the line of an exchange that is over, and forgets its note.
    mutating func write(_ index: UInt32, _ line: LogLine) {
        let note = notes.remove(index)
        if pending.count >= Self.limit { send() }
        guard pending.count < Self.limit else {
            dropped += 1
            return
        }
        put("{\"time\":\"")
        put(Timestamp(nanoseconds: wallNow()))
        put("\",\"client\":\"")
        put(line.client)
        put("\",\"method\":\"")
        put(escaped: note.method.span.extracting(0..<note.methodLength))
        put("\",\"target\":\"")
        put(escaped: note.target.span.extracting(0..<note.targetLength))
        put("\",\"status\":")
        put(UInt64(line.status))
        if line.wasCut { put(",\"cut\":true") }
        put(",\"received\":")
        put(line.received)
        put(",\"sent\":")
        put(line.sent)
        put(",\"connect_us\":")
        put(line.connect / 1000)
        put(",\"first_byte_us\":")
        put(line.firstByte / 1000)
        put(",\"total_us\":")
        put(line.total / 1000)
        put(",\"attempts\":")
        put(UInt64(line.attempts))
        put(",\"pool\":\"")
        put(escaped: line.pool.utf8.span)
        put("\",\"node\":\"")
        put(escaped: line.node.utf8.span)
        put("\",\"strategy\":\"")
        put(escaped: line.strategy.utf8.span)
        put("\",\"reason\":\"")
        put(escaped: note.reason.span.extracting(0..<note.reasonLength))
        put("\"}\n")
    }

    /// Hands what has gathered to the kernel, as far as it takes it: at the end of each turn. `now`:
    /// monotonic nanoseconds.
    mutating func flush(now: UInt64) {
        guard !pending.isEmpty else { return }
        let before = pending.count
        send()
        guard dropped > 0, pending.count < before, now &- toldAt >= Self.tellingPause else {
            return
        }
        toldAt = now
        tell()
    }

    /// Lines wait for their reader.
    var isBehind: Bool { !pending.isEmpty }

    /// Hands over what still can be, within `patience` nanoseconds. What cannot is dropped.
    mutating func end(patience: UInt64 = 0) {
        let deadline = monotonicNow() &+ patience
        send()
        while isBehind && monotonicNow() < deadline {
            IO.awaitRoom(fd, milliseconds: Int32(clamping: patience / 1_000_000))
            send()
        }
        drop()
        if dropped > 0 { tell() }
    }

    private mutating func tell() {
        Log.warning("\(dropped) lines of the access log were dropped: they were not taken")
        dropped = 0
    }

    private mutating func drop() {
        for byte in pending where byte == 0x0A { dropped += 1 }
        pending.removeAll(keepingCapacity: true)
    }

    private mutating func send() {
        guard fd >= 0, !pending.isEmpty else { return }
        guard hasReader else {
            if IO.writeAll(fd, pending.span) {
                pending.removeAll(keepingCapacity: true)
            } else {
                drop()
            }
            return
        }
        var sent = 0
        while sent < pending.count {
            let end = pieceEnd(from: sent)
            switch IO.writeNow(fd, pending.span.extracting(sent..<end)) {
            case .done(let count): sent += count
            case .wait:
                pending.removeFirst(sent)
                return
            case .closed, .failed:
                pending.removeFirst(sent)
                drop()
                return
            }
        }
        pending.removeAll(keepingCapacity: true)
    }

    /// Whole lines that a pipe takes in one piece, so that those of several workers do not mix; or one
    /// that is longer.
    private func pieceEnd(from start: Int) -> Int {
        var end = min(start + IO.pieceLimit, pending.count)
        if end == pending.count { return end }
        while end > start && pending[end - 1] != 0x0A { end -= 1 }
        return end > start ? end : min(start + IO.pieceLimit, pending.count)
    }

    private mutating func put(_ text: StaticString) {
        text.withUTF8Buffer { unsafe pending.append(contentsOf: $0) }
    }

    private mutating func put(_ number: UInt64) {
        var digits: [20 of UInt8] = .init(repeating: 0)
        var rest = number
        var at = 20
        repeat {
            at -= 1
            digits[at] = 0x30 + UInt8(rest % 10)
            rest /= 10
        } while rest > 0
        for i in at..<20 { pending.append(digits[i]) }
    }

    private mutating func put(_ time: Timestamp) {
        var text: [24 of UInt8] = .init(repeating: 0x20)
        var span = text.mutableSpan
        let count = Proxy.write(into: &span) { time.write(to: &$0) }
        for i in 0..<count { pending.append(text[i]) }
    }

    private mutating func put(_ address: IPAddress) {
        var text: [46 of UInt8] = .init(repeating: 0)
        let count = address.text(into: &text)
        for i in 0..<count { pending.append(text[i]) }
    }

    /// As JSON wants it; bytes beyond ASCII stand as their own code points, since a target is bytes.
    private mutating func put(escaped bytes: Span<UInt8>) {
        for i in 0..<bytes.count {
            let byte = bytes[i]
            switch byte {
            case 0x22, 0x5C:
                pending.append(0x5C)
                pending.append(byte)
            case 0x20...0x7E: pending.append(byte)
            default:
                put("\\u00")
                pending.append(hexDigit(byte >> 4))
                pending.append(hexDigit(byte & 15))
            }
        }
    }

    private func hexDigit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }
}

/// Has `body` write into `room`, and says how many bytes it wrote.
func write(into room: inout MutableSpan<UInt8>, _ body: (inout OutputSpan<UInt8>) -> Void) -> Int {
    unsafe room.withUnsafeMutableBufferPointer { memory in
        var output = unsafe OutputSpan(buffer: memory, initializedCount: 0)
        body(&output)
        return unsafe output.finalize(for: memory)
    }
}

extension IPAddress {
    /// Its text, at the front of `room`; the length of it. No allocation.
    func text(into room: inout [46 of UInt8]) -> Int {
        var span = room.mutableSpan
        return Proxy.write(into: &span) { write(to: &$0) }
    }
}
