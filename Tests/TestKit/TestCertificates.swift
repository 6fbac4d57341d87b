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
        var bytes: [UInt8] = []
        var bits = 0
        var held = 0
        for byte in base64.utf8 {
            let digit: Int
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): digit = Int(byte) - 65
            case UInt8(ascii: "a")...UInt8(ascii: "z"): digit = Int(byte) - 71
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = Int(byte) + 4
            case UInt8(ascii: "+"): digit = 62
            case UInt8(ascii: "/"): digit = 63
            default: continue
            }
            bits = bits << 6 | digit
            held += 6
            guard held >= 8 else { continue }
            held -= 8
            bytes.append(UInt8(truncatingIfNeeded: bits >> held))
            bits &= 1 << held - 1
        }
        return bytes
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
