// Memory that crosses the boundary: text kept for ever in tables, text lent until the next call,
// and the reading of what the host lends. All raw pointers to bytes are made here.

import CTrivet

extension trivet_str {
    /// Text that outlives everything: for tables, which live as long as the library is mapped.
    init(keeping text: String) {
        let bytes = Array(text.utf8)
        guard !bytes.isEmpty else {
            unsafe self.init(data: nil, len: 0)
            return
        }
        unsafe self.init(data: keep(bytes.map { CChar(bitPattern: $0) }), len: bytes.count)
    }

    /// A pointer into storage that its owner keeps for as long as the header says.
    init(_ start: UnsafeRawPointer, count: Int) {
        unsafe self.init(data: start.assumingMemoryBound(to: CChar.self), len: count)
    }

    /// The bytes. The caller ties the span to whatever lends it.
    var span: Span<UInt8> {
        @_lifetime(borrow self) get {
            let buffer = unsafe UnsafeRawBufferPointer(start: data, count: data == nil ? 0 : len)
            return unsafe _overrideLifetime(
                Span(_unsafeElements: buffer.assumingMemoryBound(to: UInt8.self)), borrowing: self)
        }
    }

    /// A copy as a string; damaged UTF-8 is repaired with U+FFFD.
    var string: String { unsafe String(utf8: span) }
}

/// Copies `elements` into memory that is never freed.
func keep<Element>(_ elements: [Element]) -> UnsafeMutablePointer<Element> {
    let copy = UnsafeMutablePointer<Element>.allocate(capacity: max(elements.count, 1))
    for (index, element) in elements.enumerated() {
        unsafe (copy + index).initialize(to: element)
    }
    return unsafe copy
}

extension Refusal {
    /// Writes the sentence into the room that the host lends.
    func write(to error: ErrorRef) {
        guard let error = unsafe error else { return }
        var sentence = description
        sentence.withUTF8 { bytes in
            guard let start = bytes.baseAddress else { return }
            unsafe trivet_error_set(error, trivet_str(UnsafeRawPointer(start), count: bytes.count))
        }
    }
}

/// What one instance has lent to the host: kept until the instance is called again.
/// Owned by the instance's box; not for a worker's picks, since it allocates.
@safe
final class Lent {
    private var blocks: [UnsafeMutableRawPointer] = unsafe []

    func str(_ text: String) -> trivet_str { unsafe str(Array(text.utf8)) }

    func str(_ bytes: [UInt8]) -> trivet_str {
        guard !bytes.isEmpty else { return unsafe trivet_str(data: nil, len: 0) }
        let block = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 1)
        unsafe blocks.append(block)
        unsafe bytes.withUnsafeBytes { source in
            if let start = source.baseAddress {
                unsafe block.copyMemory(from: start, byteCount: source.count)
            }
        }
        return unsafe trivet_str(UnsafeRawPointer(block), count: bytes.count)
    }

    func pairs(_ pairs: [(String, String)]) -> UnsafePointer<trivet_pair>? {
        guard !pairs.isEmpty else { return nil }
        let block = unsafe UnsafeMutableRawPointer.allocate(
            byteCount: pairs.count * MemoryLayout<trivet_pair>.stride,
            alignment: MemoryLayout<trivet_pair>.alignment)
        unsafe blocks.append(block)
        let array = unsafe block.bindMemory(to: trivet_pair.self, capacity: pairs.count)
        for (index, (key, value)) in pairs.enumerated() {
            unsafe (array + index).initialize(
                to: trivet_pair(key: str(key), value: str(value)))
        }
        return unsafe UnsafePointer(array)
    }

    /// The instance is being called again: what was lent may go.
    func takeBack() {
        unsafe blocks.forEach { unsafe $0.deallocate() }
        unsafe blocks.removeAll(keepingCapacity: true)
    }

    deinit { takeBack() }
}
