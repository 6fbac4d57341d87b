// The certificates of Tests/Fixtures/TLS, for tests of TLS.

import Base
import Glibc

package enum TestCertificates {
    /// Where the files lie.
    package static var folder: String {
        String(#filePath.dropLast("TestKit/TestCertificates.swift".count)) + "Fixtures/TLS"
    }

    package static func path(_ name: String) -> String { "\(folder)/\(name)" }

    package static func bytes(_ name: String) throws -> [UInt8] {
        let file = unsafe fopen(path(name), "r")
        guard let file = unsafe file else { throw TestFailure("no \(path(name))") }
        defer { unsafe _ = fclose(file) }
        var bytes: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = unsafe fread(&room, 1, room.count, file)
            if count == 0 { return bytes }
            bytes += room.prefix(count)
        }
    }

    /// What a responder says of `web-ec.crt`, in DER.
    package static func staple() throws -> [UInt8] {
        decoded(String(decoding: try bytes("web-ec.ocsp.base64"), as: UTF8.self))
    }

    private static func decoded(_ base64: String) -> [UInt8] {
        let text = base64.utf8.compactMap { byte -> UInt8? in
            switch byte {
            case UInt8(ascii: "+"): UInt8(ascii: "-")
            case UInt8(ascii: "/"): UInt8(ascii: "_")
            case UInt8(ascii: "="), UInt8(ascii: "\n"): nil
            default: byte
            }
        }
        var bytes = [UInt8](repeating: 0, count: text.count)
        var room = bytes.mutableSpan
        let count = Base64URL.decode(text.span, into: &room) ?? 0
        return Array(bytes.prefix(count))
    }

    /// SHA-256 of a certificate in DER, as `fingerprints` wants it.
    package static func fingerprint(_ name: String) throws -> String {
        let text = String(decoding: try bytes(name), as: UTF8.self)
        let lines = text.split(separator: "\n")
        guard let begin = lines.firstIndex(where: { $0.contains("BEGIN CERT") }),
            let end = lines.firstIndex(where: { $0.contains("END CERT") })
        else { throw TestFailure("\(name) is no PEM") }
        let der = decoded(lines[(begin + 1)..<end].joined())
        return SHA256.hex(SHA256.digest(der.span))
    }
}
