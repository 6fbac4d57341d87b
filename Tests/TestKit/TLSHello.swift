// The first message of a TLS client, as bytes: enough of one to be read for its server's name.

package enum TLSHello {
    /// A ClientHello (RFC 8446 section 4.1.2) that asks for `name`, or for nobody. `record`: how many bytes
    /// of the message go into one record at most.
    package static func bytes(name: String?, record: Int = 16_384) -> [UInt8] {
        var extensions = wrapped([0, 0x17], [])  // extended_master_secret, which is empty
        if let name {
            let entry = [0] + counted(Array(name.utf8), 2)
            extensions += wrapped([0, 0], counted(entry, 2))
        }
        extensions += wrapped([0, 0x2B], counted([3, 4], 1))  // supported_versions: TLS 1.3
        return message(extensions: extensions, record: record)
    }

    /// The same with these extensions, one after the other.
    package static func message(extensions: [UInt8], record: Int = 16_384) -> [UInt8] {
        let body =
            [3, 3] + [UInt8](repeating: 7, count: 32) + counted([UInt8](repeating: 9, count: 32), 1)
            + counted([0x13, 0x01, 0x13, 0x02], 2) + counted([0], 1) + counted(extensions, 2)
        return records([1] + counted(body, 3), record)
    }

    /// An extension of this type.
    package static func wrapped(_ type: [UInt8], _ content: [UInt8]) -> [UInt8] {
        type + counted(content, 2)
    }

    /// A vector with its length before it, in `width` bytes.
    package static func counted(_ content: [UInt8], _ width: Int) -> [UInt8] {
        (0..<width).map { UInt8(truncatingIfNeeded: content.count >> (8 * (width - 1 - $0))) }
            + content
    }

    /// A handshake message in records.
    package static func records(_ message: [UInt8], _ record: Int) -> [UInt8] {
        stride(from: 0, to: message.count, by: record).flatMap { start in
            [22, 3, 1] + counted(Array(message[start..<min(start + record, message.count)]), 2)
        }
    }
}
