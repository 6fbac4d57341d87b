// A request head as it goes to a node: its own request line, its own framing, no hop-by-hop fields,
// and the X-Forwarded fields. All else goes byte for byte, in its order.
//
// No Via field is added, though RFC 9110 section 7.6.3 asks gateways for one: servers switch off
// compression when they see it (nginx, IIS), it tells clients and nodes nothing that X-Forwarded-For
// does not, and no widespread reverse proxy sends it. Those that come through stay, so loops between
// proxies that do use it are still seen.

import Base

/// What a request is forwarded with besides its own bytes.
package struct ForwardingFacts: Sendable {
    /// The address that the client connected from.
    package var client: IPAddress
    /// Whether the client came by TLS: X-Forwarded-Proto is https, else http.
    package var secure: Bool
    /// Whether the client is a proxy that is believed: the X-Forwarded-For it sent is appended to, and
    /// its X-Forwarded-Proto, X-Forwarded-Host and Forwarded are kept. What others sent is dropped.
    package var trusted: Bool
    /// Whether a WebSocket handshake is passed on; without it the request goes as a plain one.
    package var passUpgrade: Bool
    /// The Host to send when an HTTP/1.0 client named none, since a node speaks HTTP/1.1 with us and
    /// wants one. Without it the field is empty, which RFC 9112 section 3.2 allows but some servers
    /// refuse.
    package var node: IPAddress?
    package var nodePort: UInt16

    package init(
        client: IPAddress, secure: Bool, trusted: Bool, passUpgrade: Bool,
        node: IPAddress? = nil, nodePort: UInt16 = 80
    ) {
        self.client = client
        self.secure = secure
        self.trusted = trusted
        self.passUpgrade = passUpgrade
        self.node = node
        self.nodePort = nodePort
    }
}

extension RequestHead {
    /// Writes the head as it goes to the node. `bytes` are those that `parse` called complete. False,
    /// with `out` as it was, when it does not fit; it takes at most 512 bytes more than the head
    /// had, and the subject.
    /// `cookie`: the name of a cookie that the node is not to see; empty: it sees all. `subject`: of a
    /// certificate that the client has shown to us, in visible ASCII and at most 1024 bytes; what it says
    /// of itself under that name is dropped in any case, unless it is trusted.
    @_lifetime(out: copy out)
    package func writeForwarded(
        _ bytes: Span<UInt8>, facts: ForwardingFacts, without cookie: Span<UInt8> = Span(),
        subject: Span<UInt8> = Span(), to out: inout OutputSpan<UInt8>
    ) -> Bool {
        let before = out.count
        if writeStart(bytes, facts, to: &out),
            writeFields(bytes, facts, without: cookie, subject, to: &out)
        {
            return true
        }
        out.removeLast(out.count - before)
        return false
    }

    /// The request line and Host, which comes first (RFC 9110 section 7.2).
    @_lifetime(out: copy out)
    private func writeStart(
        _ bytes: Span<UInt8>, _ facts: ForwardingFacts, to out: inout OutputSpan<UInt8>
    ) -> Bool {
        guard out.write(bytes, methodRange), out.write(" ") else { return false }
        if origin.isEmpty {
            // An absolute-form that ends with its host (RFC 9112 sections 3.2.1 and 3.2.4).
            guard out.write(method == .options ? "*" : "/") else { return false }
        } else {
            if bytes[Int(origin.start)] == UInt8(ascii: "?") {
                guard out.write("/") else { return false }
            }
            guard out.write(bytes, origin) else { return false }
        }
        guard out.write(" HTTP/1.1\r\nHost: ") else { return false }
        if authority.isEmpty, let node = facts.node {
            let brackets = !node.isV4
            guard !brackets || out.write("["), out.write(node), !brackets || out.write("]")
            else { return false }
            if facts.nodePort != 80 {
                guard out.write(":"), out.write(decimal: UInt64(facts.nodePort)) else {
                    return false
                }
            }
        }
        return out.write(bytes, authority) && out.write("\r\n")
    }

    @_lifetime(out: copy out)
    private func writeFields(
        _ bytes: Span<UInt8>, _ facts: ForwardingFacts, without cookie: Span<UInt8>,
        _ subject: Span<UInt8>, to out: inout OutputSpan<UInt8>
    ) -> Bool {
        var copier = LineCopier()
        var sentProto = false
        var sentHost = false
        var sentFor = false
        for index in 0..<table.count {
            let field = table.fields[index]
            switch table.kind(index) {
            case .other, .trailer, .date, .strictTransport: break
            case .cookie:
                guard !cookie.isEmpty, hasCookie(bytes, field, named: cookie) else { break }
                guard copier.flush(bytes, to: &out),
                    writeCookies(bytes, field, without: cookie, to: &out)
                else { return false }
                continue
            case .host, .contentLength, .transferEncoding, .connection, .keepAlive,
                .proxyConnection, .te, .upgrade, .http2Settings, .listed:
                // Written anew, or hop-by-hop (RFC 9110 section 7.6.1). TE goes with them: trailers
                // that a node sends unasked are still passed on.
                continue
            case .expect:
                // An HTTP/1.0 client could not read the 100 that this asks for.
                guard minorVersion == 1 else { continue }
            case .maxForwards:
                guard method != .options else { continue }
            case .forwarded:
                guard facts.trusted else { continue }
            case .clientSubject:
                guard facts.trusted, subject.isEmpty else { continue }
            case .forwardedProto:
                guard facts.trusted else { continue }
                sentProto = true
            case .forwardedHost:
                guard facts.trusted else { continue }
                sentHost = true
            case .forwardedFor:
                if facts.trusted { sentFor = sentFor || !field.value.isEmpty }
                continue
            }
            guard copier.add(bytes, field, to: &out) else { return false }
        }
        guard copier.flush(bytes, to: &out), out.write(framing: framing) else { return false }

        if let maxForwards {
            // At 0 nothing should be forwarded; if it is, it is not let underflow.
            guard out.write("Max-Forwards: "),
                out.write(decimal: maxForwards == 0 ? 0 : maxForwards - 1), out.write("\r\n")
            else { return false }
        }
        if facts.passUpgrade, upgrade == .webSocket {
            guard out.write("Connection: Upgrade\r\nUpgrade: websocket\r\n") else { return false }
        }
        guard out.write("X-Forwarded-For: "), !sentFor || writeForwardedFor(bytes, to: &out),
            out.write(facts.client), out.write("\r\n")
        else { return false }
        if !sentProto {
            guard
                out.write(
                    facts.secure ? "X-Forwarded-Proto: https\r\n" : "X-Forwarded-Proto: http\r\n")
            else { return false }
        }
        if !subject.isEmpty {
            guard out.write("X-Client-Cert-Subject: "), out.write(subject, 0, subject.count),
                out.write("\r\n")
            else { return false }
        }
        if !sentHost, !authority.isEmpty {
            guard out.write("X-Forwarded-Host: "), out.write(bytes, authority), out.write("\r\n")
            else { return false }
        }
        return out.write("\r\n")
    }

    /// The addresses that a trusted proxy sent, from however many lines, each followed by a comma.
    @_lifetime(out: copy out)
    private func writeForwardedFor(
        _ bytes: Span<UInt8>, to out: inout OutputSpan<UInt8>
    ) -> Bool {
        for index in 0..<table.count where table.kind(index) == .forwardedFor {
            let value = table.fields[index].value
            guard value.isEmpty || (out.write(bytes, value) && out.write(", ")) else {
                return false
            }
        }
        return true
    }
}
