// Writing into an output span: every write says whether it fitted and writes nothing when it did
// not, so that a whole head can be written in one go and taken back as one.

import Base

extension OutputSpan<UInt8> {
    // Inlined, these are a comparison and a move or two: heads are written with thirty of them.

    /// Copies `bytes[start..<end]`.
    @inline(__always)
    @_lifetime(self: copy self)
    mutating func write(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Bool {
        let length = end - start
        guard length <= freeCapacity else { return false }
        guard length > 0 else { return true }
        let part = bytes.extracting(start..<end)
        unsafe withUnsafeMutableBufferPointer { buffer, count in
            unsafe part.withUnsafeBufferPointer { source in
                unsafe UnsafeMutableRawPointer(buffer.baseAddress! + count)
                    .copyMemory(from: source.baseAddress!, byteCount: length)
            }
            count += length
        }
        return true
    }

    @_lifetime(self: copy self)
    mutating func write(_ bytes: Span<UInt8>, _ range: ByteRange) -> Bool {
        write(bytes, Int(range.start), Int(range.end))
    }

    @inline(__always)
    @_lifetime(self: copy self)
    mutating func write(_ text: StaticString) -> Bool {
        let length = text.utf8CodeUnitCount
        guard length <= freeCapacity else { return false }
        unsafe withUnsafeMutableBufferPointer { buffer, count in
            unsafe UnsafeMutableRawPointer(buffer.baseAddress! + count)
                .copyMemory(from: text.utf8Start, byteCount: length)
            count += length
        }
        return true
    }

    @_lifetime(self: copy self)
    mutating func write(decimal value: UInt64) -> Bool {
        var divisor: UInt64 = 1
        var digits = 1
        while value / divisor >= 10 {
            divisor *= 10
            digits += 1
        }
        guard digits <= freeCapacity else { return false }
        while divisor > 0 {
            append(48 + UInt8(truncatingIfNeeded: value / divisor % 10))
            divisor /= 10
        }
        return true
    }

    @_lifetime(self: copy self)
    mutating func write(_ address: IPAddress) -> Bool {
        guard freeCapacity >= IPAddress.maxTextLength else { return false }
        address.write(to: &self)
        return true
    }

    /// How a body is delimited, as a header line. Nothing for `none` and `untilClose`.
    @_lifetime(self: copy self)
    mutating func write(framing: BodyFraming) -> Bool {
        switch framing {
        case .none, .untilClose: true
        case .length(let length):
            write("Content-Length: ") && write(decimal: length) && write("\r\n")
        case .chunked: write("Transfer-Encoding: chunked\r\n")
        }
    }
}

/// Copies header lines. Lines that lie beside each other in the input and are already as they should
/// be (one space after the colon, none before the line end) go in one piece, so that a typical head
/// is a few copies; others are written with their white space mended and their bytes unchanged.
struct LineCopier {
    private var start = 0
    private var end = 0

    @_lifetime(out: copy out)
    mutating func add(_ bytes: Span<UInt8>, _ field: FieldRange, to out: inout OutputSpan<UInt8>)
        -> Bool
    {
        let nameStart = Int(field.name.start)
        let nameEnd = Int(field.name.end)
        let valueStart = Int(field.value.start)
        let valueEnd = Int(field.value.end)
        // A line that was parsed has at least ":", CR and LF after its name.
        if valueStart == nameEnd + 2, bytes[nameEnd + 1] == space,
            bytes[valueEnd] == carriageReturn
        {
            if nameStart != end {
                guard flush(bytes, to: &out) else { return false }
                start = nameStart
            }
            end = valueEnd + 2
            return true
        }
        return flush(bytes, to: &out) && out.write(bytes, nameStart, nameEnd) && out.write(": ")
            && out.write(bytes, valueStart, valueEnd) && out.write("\r\n")
    }

    @_lifetime(out: copy out)
    mutating func flush(_ bytes: Span<UInt8>, to out: inout OutputSpan<UInt8>) -> Bool {
        let fitted = out.write(bytes, start, end)
        start = 0
        end = 0
        return fitted
    }
}
