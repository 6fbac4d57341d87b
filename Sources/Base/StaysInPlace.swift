// A stored property that keeps large structs from being copied when they are only looked at.

import Synchronization

/// A struct that has one as a stored property is always passed by its address. Without it the compiler may
/// copy a whole move-only struct to call a method that changes nothing of it: of a worker that was 1 KB,
/// three times a request, and of its view of a pool a quarter of that, ten times (together a tenth of all
/// instructions outside the kernel). One byte; never read.
package struct StaysInPlace: ~Copyable, Sendable {
    private let byte = Atomic<UInt8>(0)

    package init() {}
}
