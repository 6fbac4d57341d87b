// The memory of the board, or of the page of crumbs, as a descriptor: the supervisor holds it, the
// balancer writes in it, the screen of the demo reads it. What is in it, Balance knows.

import CLinux
import Glibc

/// Shared memory behind a descriptor, mapped for as long as this lives.
@safe
final class BoardMemory: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer
    private let stays: Bool

    /// Maps `count` bytes of `descriptor`. Where it `writes` not, it may be mapped read-only. What
    /// `stays` is mapped until the process is gone, for handlers that run while it exits.
    init(
        _ descriptor: Descriptor, count: Int, writes: Bool, stays: Bool = false
    ) throws(Failure) {
        self.stays = stays
        defer { withExtendedLifetime(descriptor) {} }
        let memory = unsafe mmap(
            nil, count, writes ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED,
            descriptor.number, 0)
        guard let memory = unsafe memory, unsafe memory != MAP_FAILED else {
            throw .system("the board's memory cannot be mapped", code: errno)
        }
        unsafe bytes = UnsafeMutableRawBufferPointer(start: memory, count: count)
    }

    deinit {
        if !stays { _ = unsafe munmap(bytes.baseAddress, bytes.count) }
    }

    /// Bytes behind a descriptor as of now.
    static func size(of descriptor: Descriptor) -> Int {
        var facts = stat()
        return unsafe fstat(descriptor.number, &facts) == 0 ? Int(facts.st_size) : 0
    }
}
