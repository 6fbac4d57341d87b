// Where somebody listens: an address and a port, a name and a port, or a socket in the file system.
// Names stay names; resolving them is the business of Net.

/// An address as configurations write it: `10.0.0.1:80`, `[::1]:80`, `node1.example.com:80` or
/// `unix:/run/node.sock`.
package enum HostPort: Equatable, Hashable, Sendable, CustomStringConvertible {
    case ip(IPAddress, port: UInt16)
    /// Lower case, without the dot of the root.
    case name(String, port: UInt16)
    case unix(path: String)

    /// Nil for anything else. Port 0 is a port here: to the kernel it means any free one.
    package init?(_ text: String) {
        // In any case: a host of that name would else be written as what is read as a path.
        if text.prefix(5).lowercased() == "unix:" {
            let path = String(text.dropFirst(5))
            // sun_path holds 108 bytes with its NUL (unix(7)).
            guard !path.isEmpty, path.utf8.count <= 107, !path.utf8.contains(0) else { return nil }
            self = .unix(path: path)
            return
        }
        guard let colon = text.lastIndex(of: ":"),
            let port = Self.port(text[text.index(after: colon)...])
        else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            guard host.utf8.contains(UInt8(ascii: ":")),
                let address = IPAddress(String(host.dropFirst().dropLast()))
            else { return nil }
            self = .ip(address, port: port)
        } else if let address = IPAddress(String(host)) {
            // IPv6 without brackets would be ambiguous.
            guard !host.utf8.contains(UInt8(ascii: ":")) else { return nil }
            self = .ip(address, port: port)
        } else {
            if host.hasSuffix(".") { host = host.dropLast() }
            guard Self.isName(host) else { return nil }
            self = .name(host.lowercased(), port: port)
        }
    }

    /// Nil for a socket in the file system.
    package var port: UInt16? {
        switch self {
        case .ip(_, let port), .name(_, let port): port
        case .unix: nil
        }
    }

    package var description: String {
        switch self {
        case .ip(let address, let port):
            address.isV4 ? "\(address):\(port)" : "[\(address)]:\(port)"
        // With the dot of the root, or it would be read as a path.
        case .name("unix", let port): "unix.:\(port)"
        case .name(let name, let port): "\(name):\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }

    /// A host name by RFC 1123 section 2.1, and the underscore, which container networks use. The last
    /// label is not a number, or 10.0.0.300 would be a name.
    package static func isName(_ text: some StringProtocol) -> Bool {
        guard !text.isEmpty, text.utf8.count <= 253 else { return false }
        let labels = Array(text.utf8).split(
            separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        for label in labels {
            guard !label.isEmpty, label.count <= 63, label.first != UInt8(ascii: "-"),
                label.last != UInt8(ascii: "-"), label.allSatisfy(isNameByte)
            else { return false }
        }
        return !labels[labels.count - 1].allSatisfy { $0 &- 48 < 10 }
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        byte &- 48 < 10 || (byte | 0x20) &- 97 < 26 || byte == UInt8(ascii: "-")
            || byte == UInt8(ascii: "_")
    }

    private static func port(_ text: Substring) -> UInt16? {
        guard !text.isEmpty, text.utf8.count <= 5, text.utf8.allSatisfy({ $0 &- 48 < 10 }) else {
            return nil
        }
        return UInt16(text)
    }
}
