// The client's side of a WebSocket (RFC 6455), frame by frame, so that a test can send wrong ones.

extension RawClient {
    package enum Opcode: UInt8, Sendable {
        case continuation = 0
        case text = 1
        case binary = 2
        case close = 8
        case ping = 9
        case pong = 10
    }

    package struct Frame: Equatable, Sendable {
        package var isFinal: Bool
        package var opcode: Opcode
        package var payload: [UInt8]

        package init(isFinal: Bool = true, opcode: Opcode, payload: [UInt8]) {
            self.isFinal = isFinal
            self.opcode = opcode
            self.payload = payload
        }

        package var text: String { String(decoding: payload, as: UTF8.self) }
        /// The number in a close frame.
        package var closeCode: Int? {
            opcode == .close && payload.count >= 2
                ? Int(payload[0]) << 8 | Int(payload[1]) : nil
        }
    }

    /// Opens a WebSocket with the key of RFC 6455's own example, whose answer is known.
    @discardableResult
    package func openWebSocket(_ target: String = "/socket") throws -> Response {
        let response = try exchange(
            "GET", target,
            fields: [
                ("Connection", "Upgrade"), ("Upgrade", "websocket"),
                ("Sec-WebSocket-Version", "13"),
                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ])
        guard response.status == 101,
            response["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            response["Upgrade"]?.lowercased() == "websocket",
            response["Connection"]?.lowercased() == "upgrade"
        else { throw TestFailure("no WebSocket: \(response.head)") }
        return response
    }

    /// Sends one frame, masked unless told otherwise.
    package func sendFrame(
        _ opcode: Opcode, _ payload: [UInt8], isFinal: Bool = true, isMasked: Bool = true
    ) throws {
        var bytes = [opcode.rawValue | (isFinal ? 0x80 : 0)]
        let flag: UInt8 = isMasked ? 0x80 : 0
        switch payload.count {
        case ..<126: bytes.append(flag | UInt8(payload.count))
        case ..<65_536:
            bytes.append(flag | 126)
            bytes += [UInt8(payload.count >> 8), UInt8(payload.count & 0xff)]
        default:
            bytes.append(flag | 127)
            for shift in stride(from: 56, through: 0, by: -8) {
                bytes.append(UInt8(payload.count >> shift & 0xff))
            }
        }
        let mask: [UInt8] = [0x12, 0x34, 0x56, 0x78]
        if isMasked { bytes += mask }
        for (i, byte) in payload.enumerated() { bytes.append(isMasked ? byte ^ mask[i & 3] : byte) }
        try send(bytes)
    }

    package func sendText(_ text: String) throws { try sendFrame(.text, Array(text.utf8)) }

    /// Reads one frame of the server, which must not be masked.
    package func readFrame() throws -> Frame {
        let head = try read(exactly: 2)
        guard let opcode = Opcode(rawValue: head[0] & 0x0f), head[0] & 0x70 == 0,
            head[1] & 0x80 == 0
        else { throw TestFailure("not a server's frame: \(head)") }
        var length = Int(head[1])
        if length >= 126 {
            length = try read(exactly: length == 126 ? 2 : 8).reduce(0) { $0 << 8 | Int($1) }
        }
        return Frame(
            isFinal: head[0] & 0x80 != 0, opcode: opcode, payload: try read(exactly: length))
    }
}
