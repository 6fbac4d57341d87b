// Headers as a strategy looks them up: by name in any case, the n-th of its kind, straight from the
// bytes of the request's head.

import Base
import CTrivet

/// What the `header` callback finds through `trivet_request.ctx`; valid during one pick.
@unsafe
struct HeaderRecord {
    var bytes: UnsafePointer<UInt8>?
    var byteCount: Int
    var fields: UnsafePointer<FieldRange>?
    var fieldCount: Int

    static let callback:
        @convention(c) (
            UnsafePointer<trivet_request>?, trivet_str, UInt32, UnsafeMutablePointer<trivet_str>?
        ) -> Bool = { request, name, n, value in
            guard let ctx = unsafe request?.pointee.ctx, let value = unsafe value,
                let wanted = unsafe name.data
            else { return false }
            let record = unsafe ctx.assumingMemoryBound(to: HeaderRecord.self)
            guard let bytes = unsafe record.pointee.bytes, let fields = unsafe record.pointee.fields
            else { return false }
            let length = unsafe name.len
            let limit = unsafe record.pointee.byteCount
            var left = n
            for index in unsafe 0..<record.pointee.fieldCount {
                let field = unsafe fields[index]
                guard Int(field.name.length) == length, field.name.indices.upperBound <= limit,
                    field.value.indices.upperBound <= limit
                else { continue }
                let at = unsafe bytes + Int(field.name.start)
                guard unsafe isSame(at, wanted, length) else { continue }
                if left > 0 {
                    left -= 1
                    continue
                }
                let start = unsafe UnsafeRawPointer(bytes + Int(field.value.start))
                unsafe value.pointee = trivet_str(
                    data: start.assumingMemoryBound(to: CChar.self), len: Int(field.value.length))
                return true
            }
            return false
        }

    /// ASCII letters alike in both cases; field names are tokens, so nothing else needs folding.
    private static func isSame(
        _ a: UnsafePointer<UInt8>, _ b: UnsafePointer<CChar>, _ count: Int
    ) -> Bool {
        for index in 0..<count {
            let (x, y) = unsafe (a[index], UInt8(bitPattern: b[index]))
            guard x != y else { continue }
            let folded = x | 0x20
            guard folded == y | 0x20, folded >= UInt8(ascii: "a"), folded <= UInt8(ascii: "z")
            else { return false }
        }
        return true
    }
}
