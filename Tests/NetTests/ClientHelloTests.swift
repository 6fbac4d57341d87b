// The name in a ClientHello: found however the message comes, and never where there is none.

import Net
import TestKit
import Testing

@Suite("The name that a TLS client asks for")
struct ClientHelloTests {
    private func read(_ bytes: [UInt8]) -> (outcome: ClientHello.Outcome, name: String) {
        var hello = ClientHello()
        let outcome = hello.parse(bytes.span)
        let name = (0..<hello.length).map { hello.room[$0] }
        return (outcome, String(decoding: name, as: UTF8.self))
    }

    @Test(
        "is found in one record or in many, down to one byte each",
        arguments: [16_384, 100, 7, 1])
    func found(record: Int) {
        let hello = TLSHello.bytes(name: "tentacles.Example.com", record: record)
        #expect(read(hello) == (.complete, "tentacles.Example.com"))
        // What comes after it is somebody else's.
        #expect(read(hello + [23, 3, 3, 0]) == (.complete, "tentacles.Example.com"))
    }

    @Test("is waited for while the message is not whole, at every length")
    func incomplete() {
        for record in [16_384, 7] {
            let hello = TLSHello.bytes(name: "a.example", record: record)
            for length in 0..<hello.count {
                #expect(read(Array(hello[..<length])) == (.incomplete, ""), "\(length) bytes")
            }
        }
    }

    @Test("is empty where the client names none")
    func none() {
        #expect(read(TLSHello.bytes(name: nil)) == (.complete, ""))
        // Before TLS 1.2: no extensions at all.
        let old =
            [1]
            + TLSHello.counted(
                [3, 1] + [UInt8](repeating: 7, count: 32) + [0, 0, 2, 0, 5, 1, 0], 3)
        #expect(read(TLSHello.records(old, 16_384)) == (.complete, ""))
    }

    @Test("is not looked for in what is no TLS, from the first byte that tells")
    func other() {
        #expect(read(Array("GET / HTTP/1.1\r\n".utf8)).outcome == .other)
        #expect(read(Array("S".utf8)).outcome == .other)
        #expect(read([22, 4]).outcome == .other)
        #expect(read([22, 3, 1, 0, 0]).outcome == .other, "an empty record")
        #expect(read([22, 3, 1, 0x40, 1]).outcome == .other, "a record beyond its limit")
        #expect(read([22, 3, 1, 0, 4, 2]).outcome == .other, "a ServerHello")
        #expect(read([22, 3, 1, 0, 4, 1, 1, 0, 0]).outcome == .other, "16 MB of a hello")
    }

    @Test("is not taken from a message that breaks its own rules")
    func malformed() {
        let name = Array("a.example".utf8)
        let entry = [0] + TLSHello.counted(name, 2)
        func outcome(_ content: [UInt8]) -> ClientHello.Outcome {
            read(TLSHello.message(extensions: TLSHello.wrapped([0, 0], content))).outcome
        }
        #expect(outcome(TLSHello.counted(entry, 2)) == .complete)
        #expect(outcome([]) == .other, "an empty extension")
        #expect(outcome(TLSHello.counted(entry + entry, 2)) == .other, "two names")
        #expect(outcome(TLSHello.counted(entry, 2) + [0]) == .other, "a byte behind the list")
        #expect(outcome(TLSHello.counted([1] + TLSHello.counted(name, 2), 2)) == .other, "no host")
        #expect(outcome(TLSHello.counted([0, 0, 0], 2)) == .other, "a name without a letter")
        let control = [0] + TLSHello.counted([97, 0, 98], 2)
        #expect(outcome(TLSHello.counted(control, 2)) == .other, "a zero in a name")
        let long = [0] + TLSHello.counted([UInt8](repeating: 97, count: 254), 2)
        #expect(outcome(TLSHello.counted(long, 2)) == .other, "a name longer than names are")
        let twice = TLSHello.wrapped([0, 0], TLSHello.counted(entry, 2))
        #expect(read(TLSHello.message(extensions: twice + twice)).outcome == .other)
    }

    @Test("is not waited for beyond any message's length")
    func endless() {
        // A hello of 32,768 bytes, in records of one byte each.
        let body = [UInt8](repeating: 0, count: 32_764)
        let hello = TLSHello.records([1] + TLSHello.counted(body, 3), 1)
        #expect(read(Array(hello.prefix(ClientHello.limit + 1))).outcome == .other)
    }
}
