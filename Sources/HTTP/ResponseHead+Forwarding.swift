// A response head as it goes to the client: our version, our framing and connection fields, all else
// byte for byte. No Via field is added, see RequestHead+Forwarding.swift; in responses RFC 9110
// section 7.6.3 leaves it to gateways.

import Base

/// What a response is forwarded with besides its own bytes.
package struct ResponseFacts: Sendable {
    /// 0 or 1: whom it goes to.
    package var clientMinorVersion: UInt8
    /// Whether the client's connection is closed after this response.
    package var closeConnection: Bool
    /// How the body goes to the client. `none` when there is none (HEAD, 1xx, 204, 304).
    package var framing: BodyFraming
    /// Whether this is the 101 that accepts a WebSocket.
    package var passUpgrade: Bool
    /// Said instead of the node's own; nil: that goes on.
    package var strictTransport: StrictTransportLine?

    package init(
        clientMinorVersion: UInt8, closeConnection: Bool, framing: BodyFraming, passUpgrade: Bool,
        strictTransport: StrictTransportLine? = nil
    ) {
        self.clientMinorVersion = clientMinorVersion
        self.closeConnection = closeConnection
        self.framing = framing
        self.passUpgrade = passUpgrade
        self.strictTransport = strictTransport
    }
}

/// How long browsers are to come by https alone (RFC 6797 section 6.1).
package struct StrictTransportLine: Equatable, Sendable {
    package var seconds: UInt64
    package var subdomains: Bool

    package init(seconds: UInt64, subdomains: Bool) {
        self.seconds = seconds
        self.subdomains = subdomains
    }

    @_lifetime(out: copy out)
    func write(to out: inout OutputSpan<UInt8>) -> Bool {
        out.write("Strict-Transport-Security: max-age=") && out.write(decimal: seconds)
            && out.write(subdomains ? "; includeSubDomains\r\n" : "\r\n")
    }
}

extension ResponseHead {
    /// How the body that follows can go to a client of that version: as it comes, but that an
    /// HTTP/1.0 client cannot read chunks (RFC 9112 section 6.1) and gets them until the close.
    package func framing(forClientMinorVersion minor: UInt8) -> BodyFraming {
        switch framing {
        case .chunked: minor == 0 ? .untilClose : .chunked
        // An HTTP/1.1 client can tell the end of chunks from a connection that broke.
        case .untilClose: minor == 0 ? .untilClose : .chunked
        case .none, .length: framing
        }
    }

    /// Writes the head as it goes to the client. `bytes` are those that `parse` called complete.
    /// False, with `out` as it was, when it does not fit; it takes at most 256 bytes more than the
    /// head had, and a byte for each field. With framing `untilClose` the head says that the connection
    /// will be closed.
    /// `lines`: whole header lines of our own to add behind the node's, each with its line end; `date`:
    /// the line for a response that has no Date (RFC 9110 section 6.6.1). None to an interim response.
    @_lifetime(out: copy out)
    package func writeForwarded(
        _ bytes: Span<UInt8>, facts: ResponseFacts, adding lines: Span<UInt8> = Span(),
        date: Span<UInt8> = Span(), to out: inout OutputSpan<UInt8>
    ) -> Bool {
        let before = out.count
        if writeHead(bytes, facts, lines, date, to: &out) { return true }
        out.removeLast(out.count - before)
        return false
    }

    @_lifetime(out: copy out)
    private func writeHead(
        _ bytes: Span<UInt8>, _ facts: ResponseFacts, _ lines: Span<UInt8>, _ date: Span<UInt8>,
        to out: inout OutputSpan<UInt8>
    ) -> Bool {
        // Always our own version (RFC 9112 section 2.3), to an HTTP/1.0 client too.
        guard out.write("HTTP/1.1 "), out.write(decimal: UInt64(status)), out.write(" "),
            out.write(bytes, reason), out.write("\r\n")
        else { return false }
        var copier = LineCopier()
        var hasDate = isInterim
        for index in 0..<table.count {
            switch table.kind(index) {
            case .contentLength, .transferEncoding, .connection, .keepAlive, .proxyConnection, .te,
                .upgrade, .http2Settings, .listed:
                continue
            case .strictTransport where facts.strictTransport != nil && !isInterim: continue
            case .date:
                hasDate = true
                fallthrough
            case .other, .strictTransport, .clientSubject, .trailer, .host, .expect, .maxForwards,
                .forwarded, .forwardedFor,
                .forwardedProto, .forwardedHost, .cookie:
                guard copier.add(bytes, table.fields[index], to: &out) else { return false }
            }
        }
        guard copier.flush(bytes, to: &out) else { return false }
        // An interim response says nothing about the body or the connection.
        if isInterim { return out.write("\r\n") }
        guard hasDate || out.write(date, 0, date.count), out.write(lines, 0, lines.count) else {
            return false
        }
        if let line = facts.strictTransport {
            guard line.write(to: &out) else { return false }
        }
        if facts.framing == .none, let announcedLength {
            guard out.write(framing: .length(announcedLength)) else { return false }
        } else {
            guard out.write(framing: facts.framing) else { return false }
        }
        if facts.passUpgrade, upgradeAccepted {
            return out.write("Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        }
        if facts.closeConnection || facts.framing == .untilClose {
            return out.write("Connection: close\r\n\r\n")
        }
        // HTTP/1.1 connections persist unless told otherwise, HTTP/1.0 ones the other way round.
        return out.write(facts.clientMinorVersion == 0 ? "Connection: keep-alive\r\n\r\n" : "\r\n")
    }
}
