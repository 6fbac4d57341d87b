// Descriptors that close themselves, and files read and written whole. For the command's own files
// and socket pairs; traffic has its calls in Net, without objects.

import CLinux
import Glibc
import Net

/// An open descriptor, closed when the last reference goes. Which an optimised build may let go right
/// after the last mention: who uses only its `number` says `withExtendedLifetime`, or keeps it in
/// something that stays.
final class Descriptor: Sendable {
    let number: Int32

    init(_ number: Int32) { self.number = number }

    deinit { IO.close(number) }

    /// Opens a file. `what` names it in the sentence: "the configuration".
    static func open(
        _ path: String, _ flags: Int32, mode: UInt32 = 0, what: String
    ) throws(Failure) -> Descriptor {
        let number = unsafe clinux_open(path, flags | O_CLOEXEC, mode)
        if number < 0 { throw .system("cannot open \(what) \(path)", code: errno) }
        return Descriptor(number)
    }

    /// Two connected local sockets that keep the boundaries of messages.
    static func pair() throws(Failure) -> (Descriptor, Descriptor) {
        do throws(SystemError) {
            let ends = try Socket.pair()
            return (Descriptor(ends.0), Descriptor(ends.1))
        } catch {
            throw .system("no socket pair can be had: \(error)")
        }
    }

    static func pipe() throws(Failure) -> (reading: Descriptor, writing: Descriptor) {
        var ends: [Int32] = [-1, -1]
        if unsafe clinux_pipe2(&ends, O_CLOEXEC) != 0 {
            throw .system("no pipe can be had", code: errno)
        }
        return (Descriptor(ends[0]), Descriptor(ends[1]))
    }

    /// Memory that can be handed to other processes, with these bytes in it.
    static func memory(_ name: String, _ bytes: [UInt8] = []) throws(Failure) -> Descriptor {
        let number = unsafe clinux_memfd_create(name, CLINUX_MFD_CLOEXEC)
        if number < 0 { throw .system("no shared memory can be had", code: errno) }
        let descriptor = Descriptor(number)
        if !IO.writeAll(number, bytes.span) {
            throw .system("no shared memory can be had", code: errno)
        }
        return descriptor
    }

    /// All that is in a file or memory, from its start. Nil if the system refuses.
    func contents() -> [UInt8]? {
        // Open to the last byte, also if this was the last mention of it.
        withExtendedLifetime(self) {
            guard lseek(number, 0, SEEK_SET) == 0 else { return nil }
            var bytes: [UInt8] = []
            while true {
                switch readSome(number, into: &bytes) {
                case .done: continue
                case .closed: return bytes
                case .wait, .failed: return nil
                }
            }
        }
    }
}

/// Reads at most `limit` bytes and appends them to `bytes`.
func readSome(_ descriptor: Int32, into bytes: inout [UInt8], limit: Int = 65_536) -> Transfer {
    let old = bytes.count
    bytes.append(contentsOf: repeatElement(0, count: limit))
    let outcome = unsafe bytes.withUnsafeMutableBytes { all in
        unsafe IO.read(descriptor, into: UnsafeMutableRawBufferPointer(rebasing: all[old...]))
    }
    if case .done(let n) = outcome {
        bytes.removeLast(limit - n)
    } else {
        bytes.removeLast(limit)
    }
    return outcome
}

/// A whole file. `what` names it in the sentence. Nothing beyond `limit` bytes is a file for us.
func readFile(_ path: String, what: String, limit: Int = 64 << 20) throws(Failure) -> [UInt8] {
    let file = try Descriptor.open(path, O_RDONLY, what: what)
    defer { withExtendedLifetime(file) {} }
    var bytes: [UInt8] = []
    while true {
        switch readSome(file.number, into: &bytes) {
        case .closed: return bytes
        case .done: break
        case .wait: throw .system("cannot read \(what) \(path): it is no plain file")
        case .failed(let code): throw .system("cannot read \(what) \(path)", code: code)
        }
        if bytes.count > limit {
            throw .system(
                "\(what) \(path) is larger than \(limit >> 20) MiB; is it the right file?")
        }
    }
}

/// Waits until one of the descriptors can be read (or its other end is gone) and returns which, by
/// place; empty when `milliseconds` have passed (-1: never) or a signal came.
func waitForReading(_ descriptors: [Int32], milliseconds: Int) -> [Int] {
    var polls = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    let n = unsafe polls.withUnsafeMutableBufferPointer { room in
        unsafe poll(room.baseAddress, nfds_t(room.count), Int32(clamping: milliseconds))
    }
    if n <= 0 { return [] }
    return polls.indices.filter { polls[$0].revents != 0 }
}
