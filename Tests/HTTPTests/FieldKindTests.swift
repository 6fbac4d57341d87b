// Tests of header names the proxy must know.

import Testing

@testable import HTTP

@Suite("Field names")
struct FieldKindTests {
    static let names: [(String, FieldKind)] = [
        ("host", .host), ("content-length", .contentLength),
        ("transfer-encoding", .transferEncoding), ("connection", .connection),
        ("keep-alive", .keepAlive), ("proxy-connection", .proxyConnection), ("te", .te),
        ("trailer", .trailer), ("upgrade", .upgrade), ("expect", .expect),
        ("max-forwards", .maxForwards), ("http2-settings", .http2Settings),
        ("forwarded", .forwarded), ("x-forwarded-for", .forwardedFor),
        ("x-forwarded-proto", .forwardedProto), ("x-forwarded-host", .forwardedHost),
    ]

    @Test("a field that frames or routes is known in any case, and nothing else is taken for it")
    func recognition() {
        for (name, kind) in Self.names {
            for variant in [name, name.uppercased(), name.capitalized] {
                let bytes = latin(variant)
                #expect(FieldKind(bytes.span, 0, bytes.count) == kind, "\(variant)")
            }
            let bytes = latin(name)
            for place in 0..<bytes.count {
                for byte in UInt8.min...UInt8.max where isTokenCharacter(byte) {
                    guard lowercased(byte) != bytes[place] else { continue }
                    var other = bytes
                    other[place] = byte
                    if FieldKind(other.span, 0, other.count) != .other {
                        Issue.record("\(text(other)) is taken for \(name)")
                    }
                }
            }
            #expect(FieldKind(latin(name + "x").span, 0, bytes.count + 1) == .other)
            #expect(FieldKind(latin("x-" + name).span, 0, bytes.count + 2) == .other)
        }
    }

    @Test("Connection cannot name away what frames, routes or describes a message")
    func listing() {
        for (_, kind) in Self.names { #expect(kind.canBeListed == (kind == .trailer)) }
        #expect(FieldKind.other.canBeListed)
    }

    @Test("a trailer cannot smuggle in what belongs into a header section")
    func trailers() {
        func isAllowed(_ name: String) -> Bool {
            isAllowedInTrailer(latin(name).span, 0, name.count)
        }
        let forbidden =
            Self.names.map(\.0) + [
                "age", "via", "date", "vary", "range", "cookie", "pragma", "expires", "warning",
                "location", "if-match", "if-range", "set-cookie", "retry-after", "content-type",
                "authorization", "cache-control", "if-none-match", "content-range",
                "content-encoding", "www-authenticate", "x-forwarded-port", "if-modified-since",
                "proxy-authenticate", "proxy-authorization", "if-unmodified-since",
            ]
        for name in forbidden {
            for variant in [name, name.uppercased()] {
                #expect(!isAllowed(variant), "\(variant)")
            }
        }
        for name in ["grpc-status", "Digest", "X-Checksum", "etag", "server-timing", "a"] {
            #expect(isAllowed(name), "\(name)")
        }
    }
}

extension String {
    /// "keep-alive" as "Keep-Alive".
    fileprivate var capitalized: String {
        var result = ""
        var isStart = true
        for character in self {
            result += isStart ? character.uppercased() : String(character)
            isStart = character == "-"
        }
        return result
    }
}
