// Tests of writing into a span without overrunning it.

import Base
import Testing

@testable import HTTP

@Suite("Writing")
struct WritingTests {
    @Test("numbers are written as they are read")
    func decimals() {
        for value: UInt64 in [0, 1, 9, 10, 99, 100, 12_345, UInt64(Int64.max), .max] {
            #expect(written { $0.write(decimal: value) }.map(text) == "\(value)")
            #expect(written(capacity: "\(value)".count) { $0.write(decimal: value) } != nil)
            #expect(written(capacity: "\(value)".count - 1) { $0.write(decimal: value) } == nil)
        }
    }

    @Test("a write that does not fit writes nothing")
    func bounds() {
        let bytes = latin("abcdef")
        #expect(written(capacity: 4) { $0.write(bytes.span, 1, 5) }.map(text) == "bcde")
        #expect(written(capacity: 3) { $0.write(bytes.span, 1, 5) } == nil)
        #expect(written(capacity: 3) { $0.write("abcd") } == nil)
        #expect(written(capacity: 4) { $0.write("abcd") }.map(text) == "abcd")
        #expect(written(capacity: 0) { $0.write(bytes.span, 2, 2) && $0.write("") } == [])
        #expect(written(capacity: 38) { $0.write(IPAddress(v4: 1)) } == nil)
    }

    @Test("lines side by side are copied as one, and none is lost or doubled between them")
    func lines() {
        let input = "A: 1\r\nB: 2\r\nC:3\r\nD: 4 \r\nE: 5\r\nF: 6\r\nG: 7\r\n"
        let bytes = latin(input)
        let mended = ["A: 1", "B: 2", "C: 3", "D: 4", "E: 5", "F: 6", "G: 7"]
        for kept in 0..<128 {
            let out = written { out in
                var copier = LineCopier()
                var index = 0
                var line = 0
                while case .field(let field, let end) = readFieldLine(bytes.span, index) {
                    if kept >> line & 1 == 1 {
                        guard copier.add(bytes.span, field, to: &out) else { return false }
                    }
                    line += 1
                    index = end
                }
                return copier.flush(bytes.span, to: &out)
            }
            let expected = mended.indices.filter { kept >> $0 & 1 == 1 }
                .map { mended[$0] + "\r\n" }.joined()
            #expect(out.map(text) == expected)
        }
    }
}
