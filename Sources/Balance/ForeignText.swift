// Text across the ABI. What comes in is hostile: lengths lie, pointers are null, bytes are no
// UTF-8. Everything is bounded and copied before anyone here looks at it twice.

import Base
import CTrivet

/// Storage for text that is lent to plugins: one block, freed as one.
@safe
final class LentText {
    private let block: UnsafeMutablePointer<UInt8>
    private let capacity: Int
    private var used = 0

    init(capacity: Int) {
        self.capacity = max(capacity, 1)
        unsafe block = .allocate(capacity: self.capacity)
    }

    deinit { unsafe block.deallocate() }

    /// Copies `bytes` into the block, which must have been made large enough.
    func keep(_ bytes: some Sequence<UInt8>) -> trivet_str {
        let start = unsafe UnsafeRawPointer(block + used).assumingMemoryBound(to: CChar.self)
        var count = 0
        for byte in bytes {
            precondition(used < capacity, "the block was measured before it was filled")
            unsafe block[used] = byte
            used += 1
            count += 1
        }
        return unsafe trivet_str(data: start, len: count)
    }

    func keep(_ text: String) -> trivet_str { unsafe keep(text.utf8) }
}

/// The bytes of a plugin's text, at most `limit` of them; empty where the pointer is null.
package func foreignBytes(_ text: trivet_str, limit: Int) -> [UInt8] {
    guard let data = unsafe text.data, unsafe text.len > 0 else { return [] }
    let count = unsafe min(text.len, limit)
    let raw = unsafe UnsafeRawBufferPointer(start: data, count: count)
    return unsafe [UInt8](raw)
}

/// The same as text: damaged UTF-8 is mended, a character cut by `limit` is dropped, and what would
/// break a line becomes a space.
package func foreignText(_ text: trivet_str, limit: Int) -> String {
    let bytes = unsafe foreignBytes(text, limit: limit)
    var result = ""
    for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
        result.unicodeScalars.append(scalar.value < 0x20 || scalar.value == 0x7F ? " " : scalar)
    }
    return cut(result, limit)
}

/// At most `limit` bytes of `text`, never half a character.
func cut(_ text: String, _ limit: Int) -> String {
    guard text.utf8.count > limit else { return text }
    var result = ""
    var count = 0
    for scalar in text.unicodeScalars {
        count += UTF8.width(scalar)
        if count > limit { break }
        result.unicodeScalars.append(scalar)
    }
    return result
}

/// Pairs of a plugin: at most `count` of them, those with a key or value beyond `limit` bytes left
/// out. Lengths beyond Int.max look negative here, and are no lengths.
func foreignPairs(
    _ pairs: UnsafePointer<trivet_pair>?, count: Int, limit: (count: Int, bytes: Int)
) -> [(String, String)] {
    guard let pairs = unsafe pairs else { return [] }
    var result: [(String, String)] = []
    for index in 0..<max(0, min(count, limit.count)) {
        let pair = unsafe pairs[index]
        guard unsafe pair.key.len > 0, unsafe pair.key.len <= limit.bytes,
            unsafe (0...limit.bytes).contains(pair.value.len)
        else { continue }
        unsafe result.append(
            (foreignText(pair.key, limit: limit.bytes), foreignText(pair.value, limit: limit.bytes))
        )
    }
    return result
}

/// Lends `text` for the length of `body`.
func lend<Result, Failure: Error>(
    _ text: String, _ body: (trivet_str) throws(Failure) -> Result
) throws(Failure) -> Result {
    let block = LentText(capacity: text.utf8.count)
    let lent = unsafe block.keep(text)
    let result = unsafe try body(lent)
    withExtendedLifetime(block) {}
    return result
}

/// Lends room for one sentence, and gives back what was written, if anything.
func lendError<Result>(_ body: (UnsafeMutablePointer<trivet_error>) -> Result) -> (Result, String) {
    let capacity = 512
    let room = UnsafeMutablePointer<CChar>.allocate(capacity: capacity)
    defer { unsafe room.deallocate() }
    var error = unsafe trivet_error(data: room, capacity: capacity, len: 0)
    let result = unsafe withUnsafeMutablePointer(to: &error) { unsafe body($0) }
    // The plugin writes `data` and `len` as it likes: only our own room is read.
    let written = unsafe trivet_str(data: room, len: min(error.len, capacity))
    return unsafe (result, foreignText(written, limit: capacity))
}
