// The name of the server that a TLS client asks for, read from its first message without ending TLS: RFC 8446
// section 4.1.2 for the message, RFC 6066 section 3 for the name, RFC 8446 section 5.1 for the records
// it comes in. Looks only: whoever asks presents the same bytes again, and they go on to the node as they
// came. Spans in, no memory, no waiting.

import Base

/// What a connection begins with. Holds until the next `parse`, and only if that said `complete`.
package struct ClientHello: ~Copyable {
    package enum Outcome: Equatable {
        /// The message is whole; it may name no server.
        case complete
        case incomplete
        /// Something other than TLS, or a message that breaks its own rules.
        case other
    }

    /// Bytes of a name in the DNS.
    package static let nameLimit = 253
    /// Bytes of a whole message: those of today take one or two thousand. What is longer is not waited for.
    package static let limit = 32_768

    /// The name in the case it came in: the first `length` bytes. None: the client names nobody.
    package private(set) var room: [253 of UInt8] = .init(repeating: 0)
    package private(set) var length = 0

    package init() {}

    package mutating func parse(_ bytes: Span<UInt8>) -> Outcome {
        length = 0
        var cursor = Cursor()
        let outcome = read(bytes, &cursor)
        if outcome != .complete { length = 0 }
        if outcome == .incomplete, bytes.count > Self.limit { return .other }
        return outcome
    }

    private mutating func read(_ bytes: Span<UInt8>, _ cursor: inout Cursor) -> Outcome {
        guard let type = cursor.next(bytes) else { return cursor.outcome }
        guard type == 1 else { return .other }
        guard let size = cursor.number(bytes, 3) else { return cursor.outcome }
        guard size <= Self.limit else { return .other }
        cursor.end = cursor.taken + size
        // Version and random.
        guard cursor.skip(bytes, 2 + 32),
            // Session identifier, cipher suites, compression methods.
            cursor.skipVector(bytes, 1), cursor.skipVector(bytes, 2), cursor.skipVector(bytes, 1)
        else { return cursor.outcome }
        // Before TLS 1.2 there could be no extensions.
        if cursor.isAtEnd { return .complete }
        guard let all = cursor.number(bytes, 2) else { return cursor.outcome }
        guard cursor.taken + all == cursor.end else { return .other }
        while !cursor.isAtEnd {
            guard let extensionType = cursor.number(bytes, 2), let size = cursor.number(bytes, 2)
            else { return cursor.outcome }
            guard cursor.taken + size <= cursor.end else { return .other }
            guard extensionType == 0 else {
                guard cursor.skip(bytes, size) else { return cursor.outcome }
                continue
            }
            // A second name would be for somebody else to read.
            guard length == 0 else { return .other }
            let outcome = readName(bytes, &cursor, size)
            guard outcome == .complete else { return outcome }
        }
        return .complete
    }

    /// The extension `server_name`: a list, in which nothing but one host name was ever defined.
    private mutating func readName(
        _ bytes: Span<UInt8>, _ cursor: inout Cursor, _ size: Int
    ) -> Outcome {
        guard size >= 5 else { return .other }
        guard let list = cursor.number(bytes, 2), let type = cursor.next(bytes),
            let count = cursor.number(bytes, 2)
        else { return cursor.outcome }
        guard list == size - 2, type == 0, count == list - 3, count > 0, count <= Self.nameLimit
        else { return .other }
        for i in 0..<count {
            guard let byte = cursor.next(bytes) else { return cursor.outcome }
            // Visible ASCII: internationalised names come as A-labels.
            guard byte > 0x20, byte < 0x7F else { return .other }
            room[i] = byte
        }
        length = count
        return .complete
    }

    /// Goes through the bytes of the message, which may lie in several records.
    private struct Cursor {
        /// In the input.
        var position = 0
        /// Of the record it is in.
        var left = 0
        /// Bytes of the message.
        var taken = 0
        /// Of the message; not beyond it.
        var end = Int.max
        /// Why there was no next byte.
        var outcome = Outcome.incomplete

        var isAtEnd: Bool { taken == end }

        mutating func next(_ bytes: Span<UInt8>) -> UInt8? {
            guard taken < end else {
                outcome = .other
                return nil
            }
            if left == 0, !beginRecord(bytes) { return nil }
            guard position < bytes.count else { return nil }
            let byte = bytes[position]
            position += 1
            left -= 1
            taken += 1
            return byte
        }

        /// The five bytes before a record. Handshake records only, and none of them empty.
        private mutating func beginRecord(_ bytes: Span<UInt8>) -> Bool {
            let have = bytes.count - position
            let isHandshake =
                (have < 1 || bytes[position] == 22) && (have < 2 || bytes[position + 1] == 3)
            guard isHandshake else {
                outcome = .other
                return false
            }
            guard have >= 5 else { return false }
            left = Int(bytes[position + 3]) << 8 | Int(bytes[position + 4])
            guard left > 0, left <= 16_384 else {
                outcome = .other
                return false
            }
            position += 5
            return true
        }

        mutating func number(_ bytes: Span<UInt8>, _ width: Int) -> Int? {
            var value = 0
            for _ in 0..<width {
                guard let byte = next(bytes) else { return nil }
                value = value << 8 | Int(byte)
            }
            return value
        }

        mutating func skip(_ bytes: Span<UInt8>, _ count: Int) -> Bool {
            for _ in 0..<count {
                guard next(bytes) != nil else { return false }
            }
            return true
        }

        /// A vector with its length before it.
        mutating func skipVector(_ bytes: Span<UInt8>, _ width: Int) -> Bool {
            guard let count = number(bytes, width) else { return false }
            return skip(bytes, count)
        }
    }
}
