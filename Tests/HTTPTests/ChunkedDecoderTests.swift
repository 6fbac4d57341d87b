// Tests of chunked bodies, however they are cut on the wire.

import Base
import Testing

@testable import HTTP

/// What a chunked body comes to when it arrives in `pieces`.
struct Decoded: Equatable {
    var payload: [UInt8] = []
    var trailers = ""
    /// nil while the end has not come.
    var rest: [UInt8]?
    var fault: Fault?

    init(_ pieces: [[UInt8]]) {
        var decoder = ChunkedDecoder()
        var buffer: [UInt8] = []
        for piece in pieces {
            buffer += piece
            var isWaiting = false
            while !isWaiting {
                switch decoder.next(buffer.span) {
                case .data(let range, let consumed):
                    payload += buffer[range.indices]
                    buffer.removeFirst(consumed)
                case .more(let consumed):
                    buffer.removeFirst(consumed)
                    isWaiting = true
                case .end(let trailers, let consumed):
                    self.trailers = text(buffer, trailers)
                    rest = Array(buffer[consumed...])
                    return
                case .invalid(let fault):
                    self.fault = fault
                    return
                }
            }
        }
    }

    init(_ whole: String) {
        self.init([latin(whole)])
    }
}

@Suite("Chunked bodies")
struct ChunkedDecoderTests {
    static let good: [(String, payload: String, trailers: String)] = [
        ("0\r\n\r\n", "", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello", ""),
        ("5\r\nhello\r\n6\r\n world\r\n000\r\n\r\n", "hello world", ""),
        ("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", ""),
        ("00005\r\nhello\r\n0\r\n\r\n", "hello", ""),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", ""),
        ("1;a\r\nx\r\n0;b=c\r\n\r\n", "x", ""),
        ("1;a=b;c=\"d;\\\"\"\r\nx\r\n0\r\n\r\n", "x", ""),
        ("1 ; a = \"\u{E9} \t\" ; b\t= c\r\nx\r\n0\r\n\r\n", "x", ""),
        ("1\t;a\r\nx\r\n0\r\n\r\n", "x", ""),
        ("1\r\nx\r\n0\r\nA: b\r\nC:d \r\n\r\n", "x", "A: b\r\nC:d \r\n"),
    ]

    @Test("a body is the same however it is cut into pieces, down to single bytes")
    func splits() {
        for (body, payload, trailers) in Self.good {
            let bytes = latin(body)
            let whole = Decoded([bytes + latin("GET ")])
            #expect(text(whole.payload) == payload, "\(body)")
            #expect(whole.trailers == trailers, "\(body)")
            #expect(whole.rest == latin("GET "), "\(body)")
            #expect(whole.fault == nil, "\(body)")

            let single = Decoded(bytes.map { [$0] })
            #expect(text(single.payload) == payload && single.trailers == trailers)
            #expect(single.rest == [])
            for first in 0...bytes.count {
                for second in first...bytes.count {
                    let cut = Decoded([
                        Array(bytes[..<first]), Array(bytes[first..<second]),
                        Array(bytes[second...]),
                    ])
                    guard text(cut.payload) == payload, cut.trailers == trailers, cut.rest == []
                    else {
                        Issue.record("\(body) cut at \(first) and \(second)")
                        continue
                    }
                }
            }
            // Nothing but the last byte ends a body.
            for length in 0..<bytes.count {
                let part = Decoded([Array(bytes[..<length])])
                #expect(part.rest == nil && part.fault == nil)
            }
        }
    }

    @Test("a body that two readers could cut at different places is refused, however it arrives")
    func refused() {
        let inputs = [
            "\r\n", "x\r\n", "-1\r\n", "+1\r\n", "0x1\r\n", " 1\r\n", "\t1\r\n", ";a\r\n", "g\r\n",
            "1 \r\nx", "1\t\r\nx", "1 1\r\n", "1\nx\n0\n\n", "1\r\rx", "1\rx", "1\r\nxy",
            "1\r\nx\n",
            "1\r\nx\rx", "1\r\nx0\r\n", "1\r\nx\r\n\r\n", "1,\r\n", "1_0\r\n", "1.0\r\n", "1h\r\n",
            "8000000000000000\r\n", "ffffffffffffffff\r\n", "10000000000000000\r\n",
            "100000000000000000000\r\n", "1;\r\n", "1;=\r\n", "1;a=\r\n", "1;;a\r\n", "1;a b\r\n",
            "1;a\nx\r\n", "1;a\rX\r\n", "1;a=\"b\r\n", "1;a=\"b\nc\"\r\n", "1;a=\"b\"c\r\n",
            "1;a=b c\r\n",
            "1;a=\"\u{0}\"\r\n", "1;a=\"\\\r\"\r\n", "1;\u{E9}\r\n", "1;a=\u{7F}\r\n", "1;a \r\n",
            "0\r\n\n", "0\r\n\rX", "0\n\r\n", "0\r\nA b\r\n\r\n", "0\r\n A: b\r\n\r\n",
            "0\r\nA : b\r\n\r\n", "0\r\nA: b\r\n c\r\n\r\n", "0\r\nA: b\n\r\n", "0\r\n: b\r\n\r\n",
            "0\r\nGET / HTTP/1.1\r\n", "0;a=\"\r\n\r\n\"\r\n", "\u{0}1\r\n", "1\u{0}\r\n",
            "\u{B2}\r\n",
            "1\u{B}\r\n", "3\r\nabcd\r\n0\r\n\r\n",
        ]
        for body in inputs {
            let bytes = latin(body)
            let whole = Decoded([bytes])
            #expect(whole.fault?.status == 400, "\(body)")
            #expect(Decoded(bytes.map { [$0] }) == whole, "\(body)")
        }
    }

    @Test("sizes up to 2^63-1 are followed")
    func hugeChunk() {
        var decoder = ChunkedDecoder()
        let start = latin("7FFFFFFFFFFFFFFF\r\nab")
        #expect(
            decoder.next(start.span) == .data(ByteRange(18, 20), consumed: 20))
        #expect(decoder.remainingInChunk == UInt64(Int64.max) - 2)
        decoder.skip(decoder.remainingInChunk - 1)
        #expect(decoder.next(latin("c\r\n0\r\n\r\n").span) == .data(ByteRange(0, 1), consumed: 1))
        #expect(
            decoder.next(latin("\r\n0\r\n\r\n").span)
                == .end(trailers: ByteRange(5, 5), consumed: 7))
    }

    @Test("payload that went past by splice is accounted for")
    func skipping() {
        var decoder = ChunkedDecoder()
        #expect(decoder.next(latin("5\r\n").span) == .more(consumed: 3))
        #expect(decoder.remainingInChunk == 5)
        decoder.skip(2)
        #expect(decoder.remainingInChunk == 3)
        decoder.skip(3)
        #expect(decoder.next(latin("x").span) != .more(consumed: 1))
        var other = ChunkedDecoder()
        _ = other.next(latin("5\r\n").span)
        other.skip(5)
        #expect(other.next(latin("\r\n0\r\n").span) == .more(consumed: 5))
        let nothing: [UInt8] = []
        #expect(other.next(nothing.span) == .more(consumed: 0))
    }

    @Test("what has ended stays ended, and what is broken stays broken")
    func final() {
        var decoder = ChunkedDecoder()
        _ = decoder.next(latin("0\r\n\r\n").span)
        #expect(decoder.next(latin("5\r\n").span) == .end(trailers: .empty, consumed: 0))
        var broken = ChunkedDecoder()
        _ = broken.next(latin("x").span)
        guard case .invalid = broken.next(latin("5\r\nhello\r\n").span) else {
            Issue.record("a broken body went on")
            return
        }
    }

    @Test(
        "extensions are bounded, by line and in all, so that they cannot keep us busy for nothing")
    func extensions() {
        func chunk(_ extensionLength: Int, data: Int = 1) -> String {
            String(data, radix: 16) + ";" + String(repeating: "a", count: extensionLength) + "\r\n"
                + String(repeating: "x", count: data) + "\r\n"
        }
        let end = "0\r\n\r\n"
        #expect(Decoded(chunk(16_000) + end).rest == [])
        #expect(Decoded(chunk(16_384) + end).fault != nil)
        #expect(Decoded(String(repeating: "0", count: 17_000)).fault != nil)
        // Short ones are free for ever, long ones on small chunks are not, on large chunks they are.
        #expect(Decoded(String(repeating: chunk(8), count: 5_000) + end).rest == [])
        #expect(Decoded(String(repeating: chunk(100), count: 5_000) + end).fault != nil)
        #expect(Decoded(String(repeating: chunk(100, data: 64), count: 5_000) + end).rest == [])
    }

    @Test("trailer sections are bounded")
    func trailerBounds() {
        let long = "A: " + String(repeating: "b", count: trailerLimit - 7)
        #expect(Decoded("0\r\n" + long + "\r\n\r\n").trailers == long + "\r\n")
        #expect(Decoded("0\r\n" + long + "b\r\n\r\n").fault != nil)
        #expect(Decoded("0\r\n" + long + "bbbb").fault != nil)
    }

    @Test("chunk headers are hexadecimal without anything around them")
    func headers() {
        for count in [1, 9, 10, 15, 16, 255, 256, 65_535, 65_536, 1 << 32, Int.max] {
            let bytes = [UInt8](capacity: 18) { writeChunkHeader(count, to: &$0) }
            #expect(text(bytes) == String(count, radix: 16) + "\r\n")
        }
    }

    @Test("trailers go on, but for those that would change a message after the fact")
    func trailers() {
        let section =
            "A: 1\r\ncontent-LENGTH: 5\r\nHost: b\r\nB:2\r\nTransfer-Encoding: chunked\r\n"
            + "Authorization: x\r\nGrpc-Status: 0\r\nSet-Cookie: y\r\n"
        let bytes = latin("..." + section)
        let range = ByteRange(3, bytes.count)
        let whole = written { writeTrailers(bytes.span, range, to: &$0) } ?? []
        #expect(text(whole) == "0\r\nA: 1\r\nB: 2\r\nGrpc-Status: 0\r\n\r\n")
        #expect(written { writeTrailers(bytes.span, .empty, to: &$0) } == latin("0\r\n\r\n"))
        for capacity in 0..<whole.count {
            let out = [UInt8](capacity: capacity) { out in
                #expect(!writeTrailers(bytes.span, range, to: &out))
            }
            #expect(out.isEmpty)
        }
    }
}
