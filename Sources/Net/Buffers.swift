// Memory for bytes in flight. A worker owns one pool; a connection borrows a buffer when bytes come
// and gives it back when it holds none, so that an idle connection costs no memory here.

import Base
import CLinux
import Glibc

/// A buffer on loan, or none: bytes come in at the end and leave at the front.
@safe
package struct Buffer: ~Copyable {
    // Nil while it is not lent.
    fileprivate var memory: UnsafeMutablePointer<UInt8>?
    private var first: UInt32 = 0
    private var last: UInt32 = 0

    /// Bytes that a lent buffer holds at most. A request head must fit whole (64 KiB: a Kerberos
    /// ticket in an Authorization field alone may take 48). Memory that was never touched is not
    /// resident, so small traffic pays for a page or two.
    package static let capacity = 65_536

    /// No buffer: costs nothing.
    package init() { unsafe memory = nil }

    package var isLent: Bool { unsafe memory != nil }
    package var isEmpty: Bool { first == last }
    package var count: Int { Int(last &- first) }
    /// How many bytes fit behind those that are held. Without memory: 0.
    package var room: Int { isLent ? Self.capacity - Int(last) : 0 }

    /// What it holds.
    package var bytes: Span<UInt8> {
        @_lifetime(borrow self)
        get {
            let span = unsafe Span(
                _unsafeStart: UnsafePointer(memory ?? Self.nowhere) + Int(first), count: count)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// A pointer to give for no bytes at all; never read.
    private static var nowhere: UnsafeMutablePointer<UInt8> {
        unsafe UnsafeMutablePointer(bitPattern: 1).unsafelyUnwrapped
    }

    /// The first `n` bytes are dealt with.
    package mutating func consume(_ n: Int) {
        precondition(n <= count, "more than there is")
        first &+= UInt32(n)
        if first == last {
            first = 0
            last = 0
        }
    }

    package mutating func clear() {
        first = 0
        last = 0
    }

    /// Moves what it holds to the front, to make room.
    package mutating func compact() {
        guard first > 0, let memory = unsafe memory else { return }
        unsafe memmove(memory, memory + Int(first), count)
        last &-= first
        first = 0
    }

    /// Moves a run of held bytes to another place among them. Both offsets are from the first held
    /// byte; runs may overlap.
    package mutating func move(_ range: ByteRange, to offset: Int) {
        precondition(Int(range.end) <= count && offset + Int(range.length) <= count, "outside")
        guard let memory = unsafe memory, Int(range.start) != offset else { return }
        let base = unsafe memory + Int(first)
        unsafe memmove(base + offset, base + Int(range.start), Int(range.length))
    }

    /// Reads from a socket behind what is held: at most `limit` bytes. Call with room.
    package mutating func fill(from fd: Int32, limit: Int = .max) -> Transfer {
        guard let memory = unsafe memory else { return .wait }
        let result = unsafe IO.receive(
            fd,
            into: UnsafeMutableRawBufferPointer(
                start: memory + Int(last), count: min(room, limit)))
        if case .done(let n) = result { last &+= UInt32(n) }
        return result
    }

    /// Lets `body` write behind what is held, into at most `limit` bytes, and say how many it wrote. Call
    /// with room.
    package mutating func fill(
        limit: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int
    ) {
        guard let memory = unsafe memory else { return }
        let space = unsafe UnsafeMutableRawBufferPointer(
            start: memory + Int(last), count: min(room, limit))
        let count = unsafe body(space)
        precondition(count >= 0 && count <= space.count, "more than there is room for")
        last &+= UInt32(count)
    }

    /// Appends; false, and nothing happens, if it does not fit.
    package mutating func append(_ bytes: Span<UInt8>) -> Bool {
        guard bytes.count <= room, let memory = unsafe memory else { return bytes.isEmpty }
        unsafe bytes.withUnsafeBufferPointer {
            guard let start = $0.baseAddress else { return }
            unsafe memcpy(memory + Int(last), start, $0.count)
        }
        last &+= UInt32(bytes.count)
        return true
    }

    /// Lets `body` write behind what is held, into all the room there is. What it wrote counts even
    /// if it says false.
    package mutating func write(
        _ body: (inout OutputSpan<UInt8>) -> Bool
    ) -> Bool {
        guard let memory = unsafe memory else { return false }
        let target = unsafe UnsafeMutableBufferPointer(start: memory + Int(last), count: room)
        var output = unsafe OutputSpan(buffer: target, initializedCount: 0)
        let result = body(&output)
        last &+= UInt32(unsafe output.finalize(for: target))
        return result
    }
}

/// A worker's buffers: a stack, so that the one last used, whose bytes are still in the cache, is the
/// next to be lent.
@safe
package struct BufferPool: ~Copyable {
    private var free: [UnsafeMutablePointer<UInt8>] = unsafe []
    private var all: [UnsafeMutablePointer<UInt8>] = unsafe []
    /// Buffers on loan.
    package private(set) var lent = 0
    // Of the free ones, from the bottom of the stack: not lent since the last trim, and of these
    // those whose memory was returned already.
    private var unused = 0
    private var returned = 0

    package init() {}

    deinit {
        for i in 0..<(unsafe all.count) { unsafe munmap(all[i], Buffer.capacity) }
    }

    /// Gives `buffer` memory if it has none. False if the system has none: then the connection must
    /// be dropped. Allocates only when more buffers are in use than ever before.
    package mutating func lend(_ buffer: inout Buffer) -> Bool {
        if buffer.isLent { return true }
        if let memory = unsafe free.popLast() {
            unsafe buffer.memory = memory
            unused = min(unused, unsafe free.count)
            returned = min(returned, unused)
        } else {
            let memory = unsafe mmap(
                nil, Buffer.capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            guard let memory = unsafe memory, unsafe memory != MAP_FAILED else { return false }
            let bytes = unsafe memory.assumingMemoryBound(to: UInt8.self)
            unsafe all.append(bytes)
            unsafe free.reserveCapacity(all.count)
            unsafe buffer.memory = bytes
        }
        lent += 1
        return true
    }

    /// Takes the memory back, with whatever it holds.
    package mutating func reclaim(_ buffer: inout Buffer) {
        guard let memory = unsafe buffer.memory else { return }
        unsafe free.append(memory)
        unsafe buffer.memory = nil
        buffer.clear()
        lent -= 1
    }

    /// Returns the memory behind buffers that nobody has borrowed since the last call to the system,
    /// but for a few: after a burst. Their addresses stay reserved.
    package mutating func trim(keeping: Int = 16) {
        let end = unused - keeping
        if returned < end {
            for i in returned..<end { unsafe madvise(free[i], Buffer.capacity, MADV_DONTNEED) }
            returned = end
        }
        unused = unsafe free.count
    }
}
