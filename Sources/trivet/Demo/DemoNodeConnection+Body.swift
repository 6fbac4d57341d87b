// Request bodies of the demo node, piece by piece, whatever their size and framing (RFC 9112,
// section 6). Never held whole.

extension DemoNodeConnection {
    /// Hands out what is left of the body as it arrives, then returns. Sends the 100 that a client
    /// waits for first.
    ///
    /// - Parameter take: gets each piece; false stops the reading.
    /// - Returns: false if the connection broke, the framing is wrong, or `take` said false.
    func readBody(_ take: (Span<UInt8>) -> Bool) -> Bool {
        guard askForBody() else { return false }
        while !body.isRead {
            switch body.framing {
            case .none: body.isRead = true
            case .length:
                guard readPiece(take) else { return false }
                body.isRead = body.left == 0
            case .chunked:
                guard readChunk(take) else { return false }
            }
        }
        return true
    }

    /// Sends the 100 that a client waits for, if it does. To be called before an answer that begins
    /// before the body is read.
    func askForBody() -> Bool {
        guard body.owesContinue else { return true }
        body.owesContinue = false
        return send("HTTP/1.1 100 Continue\r\n\r\n")
    }

    /// Passes over the body. To be called before an answer that does not depend on it.
    func discardBody() -> Bool { readBody { _ in true } }

    /// Passes over what an answer has left unread, so that the next request can follow. A body that
    /// the client holds back until it sees a 100 is not coming any more.
    func finishBody() -> Bool {
        if body.owesContinue { return false }
        return !keepAlive || discardBody()
    }

    private func readPiece(_ take: (Span<UInt8>) -> Bool) -> Bool {
        if heldCount == 0, !fill() { return false }
        let n = min(heldCount, body.left)
        node.bytesIn.add(n, ordering: .relaxed)
        guard takeHeld(n, take) else { return false }
        body.left -= n
        return true
    }

    /// One whole chunk, or the trailer section behind the last.
    private func readChunk(_ take: (Span<UInt8>) -> Bool) -> Bool {
        guard let line = readLine() else { return false }
        let digits = DemoNodeRequest.trimmed(line.prefix { $0 != ";" })
        guard digits.allSatisfy(\.isHexDigit), let size = Int(digits, radix: 16) else {
            return false
        }
        if size == 0 {
            while let trailer = readLine() {
                if trailer.isEmpty {
                    body.isRead = true
                    return true
                }
                guard body.trailers.count < 100 else { return false }
                body.trailers.append(trailer)
            }
            return false
        }
        body.left = size
        while body.left > 0 {
            guard readPiece(take) else { return false }
        }
        return readLine() == ""
    }
}
