// `/socket`: a WebSocket that echoes (RFC 6455). Messages come back whole, whatever pieces they came
// in. No extensions, no subprotocols.

extension DemoNodeConnection {
    private static let messageLimit = 1_048_576

    private enum Opcode: UInt8 {
        case continuation = 0
        case text = 1
        case binary = 2
        case close = 8
        case ping = 9
        case pong = 10

        var isControl: Bool { rawValue >= 8 }
    }

    private struct Frame {
        var isFinal: Bool
        var opcode: Opcode
        var payload: [UInt8]
    }

    /// Why the socket is closed from here (section 7.4.1).
    private enum Fault: UInt16, Error {
        case protocolError = 1002
        case notText = 1007
        case tooBig = 1009
        /// The connection is gone: nobody is told.
        case gone = 0
    }

    /// Opens the socket, and echoes until it is closed.
    func socket() -> Bool {
        guard discardBody() else { return false }
        guard request.method == "GET", request.minorVersion == 1,
            request.list("upgrade").contains("websocket"),
            request.list("connection").contains("upgrade"),
            request.field("sec-websocket-version") == "13",
            let key = request.field("sec-websocket-key"), key.utf8.count == 24
        else {
            return reply(
                426, "\(node.name) speaks WebSocket, version 13, here\n",
                fields: [
                    ("Upgrade", "websocket"), ("Connection", "Upgrade"),
                    ("Sec-WebSocket-Version", "13"),
                ])
        }
        let accept = SHA1.base64(
            SHA1.digest(Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8)))
        guard
            send(
                """
                HTTP/1.1 101 Switching Protocols\r
                Octopus-Node: \(node.name)\r
                Upgrade: websocket\r
                Connection: Upgrade\r
                Sec-WebSocket-Accept: \(accept)\r
                \r\n
                """)
        else { return false }
        keepAlive = false
        do throws(Fault) {
            try echoMessages()
        } catch {
            if error != .gone { _ = sendFrame(.close, Self.codeBytes(error.rawValue)) }
        }
        return true
    }

    /// Returns when the other side has closed.
    private func echoMessages() throws(Fault) {
        var begun: Frame?
        while true {
            let frame = try readFrame()
            switch frame.opcode {
            case .ping:
                guard sendFrame(.pong, frame.payload) else { throw .gone }
                continue
            case .pong: continue
            case .close:
                guard frame.payload.count != 1 else { throw .protocolError }
                guard sendFrame(.close, frame.payload) else { throw .gone }
                return
            case .text, .binary:
                guard begun == nil else { throw .protocolError }
                begun = frame
            case .continuation:
                guard begun != nil else { throw .protocolError }
                begun?.payload += frame.payload
            }
            guard let message = begun else { continue }
            guard message.payload.count <= Self.messageLimit else { throw .tooBig }
            guard frame.isFinal else { continue }
            if message.opcode == .text, String(validating: message.payload, as: UTF8.self) == nil {
                throw .notText
            }
            guard sendFrame(message.opcode, message.payload) else { throw .gone }
            begun = nil
        }
    }

    /// Section 5.2.
    private func readFrame() throws(Fault) -> Frame {
        let head = try readBytes(2)
        guard head[0] & 0x70 == 0, let opcode = Opcode(rawValue: head[0] & 0x0f),
            head[1] & 0x80 != 0  // section 5.1: what a client sends is masked
        else { throw .protocolError }
        let isFinal = head[0] & 0x80 != 0
        var length = Int(head[1] & 0x7f)
        if opcode.isControl, length > 125 || !isFinal { throw .protocolError }
        if length >= 126 {
            let bytes = try readBytes(length == 126 ? 2 : 8)
            guard bytes.count == 2 || bytes[0] & 0x80 == 0 else { throw .protocolError }
            length = bytes.reduce(0) { $0 << 8 | Int($1) }
        }
        guard length <= Self.messageLimit else { throw .tooBig }
        let mask = try readBytes(4)
        var payload = try readBytes(length)
        for i in payload.indices { payload[i] ^= mask[i & 3] }
        return Frame(isFinal: isFinal, opcode: opcode, payload: payload)
    }

    private func readBytes(_ n: Int) throws(Fault) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(n)
        while bytes.count < n {
            if heldCount == 0, !fill() { throw .gone }
            _ = takeHeld(min(heldCount, n - bytes.count)) { piece in
                unsafe piece.withUnsafeBufferPointer { unsafe bytes.append(contentsOf: $0) }
                return true
            }
        }
        return bytes
    }

    private func sendFrame(_ opcode: Opcode, _ payload: [UInt8]) -> Bool {
        var bytes = [0x80 | opcode.rawValue]
        switch payload.count {
        case ..<126: bytes.append(UInt8(payload.count))
        case ..<65_536:
            bytes.append(126)
            bytes += Self.codeBytes(UInt16(payload.count))
        default:
            bytes.append(127)
            for shift in stride(from: 56, through: 0, by: -8) {
                bytes.append(UInt8(truncatingIfNeeded: payload.count >> shift))
            }
        }
        bytes += payload
        return send(bytes.span)
    }

    private static func codeBytes(_ code: UInt16) -> [UInt8] {
        [UInt8(code >> 8), UInt8(truncatingIfNeeded: code)]
    }
}
