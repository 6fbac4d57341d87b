// Tests of the table of a head's fields.

import Testing

@testable import HTTP

@Suite("Header sections")
struct FieldTableTests {
    /// What a section made of these lines (each gets a CRLF) comes to.
    private func parse(_ section: String, capacity: Int = 200) -> FieldSection {
        var table = FieldTable(capacity: capacity)
        return table.parse(latin(section).span, from: 0)
    }

    private func status(_ section: String, capacity: Int = 200) -> UInt16? {
        if case .invalid(let fault) = parse(section, capacity: capacity) {
            fault.status
        } else {
            nil
        }
    }

    @Test("lines that two readers could take for different things are refused")
    func refused() {
        let inputs = [
            " A: b\r\n\r\n", "\tA: b\r\n\r\n", "A: b\r\n c\r\n\r\n", "A: b\r\n\tc\r\n\r\n",
            "A : b\r\n\r\n", "A\t: b\r\n\r\n", ": b\r\n\r\n", "A\r\n\r\n", "A b\r\n\r\n",
            "A: b\n\r\n", "A: b\nC: d\r\n\r\n", "A: b\r\n\n", "A: b\rC: d\r\n\r\n",
            "A: b\r\r\n\r\n",
            "A: b\u{0}c\r\n\r\n", "A: \u{7F}\r\n\r\n", "A: \u{1B}[0m\r\n\r\n", "A(b): c\r\n\r\n",
            "\u{E9}: b\r\n\r\n", "A\u{0}: b\r\n\r\n", "A: b\r\n\rX", "\"A\": b\r\n\r\n",
            "A\n: b\r\n\r\n",
            "A[]: b\r\n\r\n", "A,B: c\r\n\r\n", "A@: b\r\n\r\n", "A/B: c\r\n\r\n", "A;B: c\r\n\r\n",
        ]
        for section in inputs {
            #expect(status(section) == 400, "\(section)")
        }
    }

    @Test("values keep every byte that may stand in one, without the white space around them")
    func values() {
        let section =
            "A:b\r\nB: \t c d\t \r\nC:\r\nD:  \r\nE: x:y\r\nF: \u{E9}\u{FF}\u{80}\"\\\tz\r\n\r\n!"
        let bytes = latin(section)
        var table = FieldTable(capacity: 6)
        #expect(table.parse(bytes.span, from: 0) == .complete(end: bytes.count - 1))
        var values: [String] = []
        for index in 0..<table.fields.count {
            let field = table.fields[index]
            values.append(text(bytes, field.name) + "=" + text(bytes, field.value))
        }
        #expect(
            values == ["A=b", "B=c d", "C=", "D=", "E=x:y", "F=\u{E9}\u{FF}\u{80}\"\\\tz"])
    }

    @Test("more fields than the table has room for are refused, exactly as many are not")
    func capacity() {
        #expect(status("A: 1\r\nB: 2\r\n\r\n", capacity: 1) == 431)
        #expect(parse("A: 1\r\nB: 2\r\n\r\n", capacity: 2) == .complete(end: 14))
    }

    @Test("a section is incomplete at every byte before its last")
    func incomplete() {
        let section = latin("Host: a\r\nX: \u{E9} y\r\nConnection: close\r\n\r\n")
        for length in 0..<section.count {
            var table = FieldTable(capacity: 9)
            #expect(table.parse(Array(section[..<length]).span, from: 0) == .incomplete)
        }
    }

    @Test("what Connection lists is found before and after it, in any case, in any number of lines")
    func listed() {
        let section =
            "Foo: 1\r\nConnection: foo , ,close\r\nBAR: 2\r\nconnection:,bar\r\nBaz: 3\r\n"
            + "Host: a\r\nConnection: host, Keep-Alive, UPGRADE\r\n\r\n"
        var table = FieldTable(capacity: 20)
        guard case .complete = table.parse(latin(section).span, from: 0) else {
            Issue.record("not complete")
            return
        }
        let kinds = (0..<table.count).map { table.kind($0) }
        #expect(
            kinds == [.listed, .connection, .listed, .connection, .other, .host, .connection])
        #expect(table.options.close)
        #expect(table.options.keepAlive)
        #expect(table.options.upgrade)
        #expect(!table.options.malformed)
    }

    @Test("Connection values that are no lists of tokens, or endless ones, are malformed")
    func malformedConnection() {
        let endless = (0...40).map { "x\($0)" }.joined(separator: ",")
        for value in ["a b", "close;x", "\"close\"", "a=b", "clos\u{E9}", "(x)", endless] {
            var table = FieldTable(capacity: 3)
            _ = table.parse(latin("Connection: \(value)\r\n\r\n").span, from: 0)
            #expect(table.options.malformed, "\(value)")
        }
        for value in ["", ",", " , close ,, ", "keep-alive", "a,b,c,d,e,f,g,h"] {
            var table = FieldTable(capacity: 3)
            _ = table.parse(latin("Connection: \(value)\r\n\r\n").span, from: 0)
            #expect(!table.options.malformed, "\(value)")
        }
    }

    @Test("a transfer coding is chunked only when it is that word alone, empty elements aside")
    func codings() {
        func coding(_ value: String) -> TransferCoding {
            let bytes = latin(value)
            return TransferCoding(bytes.span, .init(0, bytes.count))
        }
        for value in ["chunked", "CHUNKED", "Chunked", "chunked,", ",chunked", " , ,chunked ,"] {
            #expect(coding(value) == .chunked, "\(value)")
        }
        for value in ["gzip, chunked", "gzip,deflate,chunked", "x , Chunked"] {
            #expect(coding(value) == .unsupported, "\(value)")
        }
        let ambiguous = [
            "", "identity", "gzip", "chunked, gzip", "chunked, chunked", ",", " , ,",
            "chunked" + String(repeating: ",", count: 17), "chunked;q=1", "\"chunked\"",
            "chunked x", "xchunked", "chunked\u{0B}", "'chunked'",
            "chunk", "chunked, identity", "gzip;x=1, chunked", "chunked\u{A0}",
        ]
        for value in ambiguous { #expect(coding(value) == .ambiguous, "\(value)") }
    }
}
