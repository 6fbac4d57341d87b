// Pipes through which the kernel moves bodies from one socket to the other (splice(2)). A worker owns
// one pool. A pipe that is not empty is closed, never pooled: its bytes belong to one exchange.

import Base
import CLinux
import Glibc

/// A pipe on loan, or none, and how many bytes lie in it.
package struct Pipe {
    fileprivate(set) package var readEnd: Int32 = -1
    fileprivate(set) package var writeEnd: Int32 = -1
    package var count = 0

    package init() {}

    package var isLent: Bool { readEnd >= 0 }
}

package struct PipePool: ~Copyable {
    private var free: [Pipe] = []
    /// Pipes on loan.
    package private(set) var lent = 0
    /// How many may be: they are descriptors, and others need those too.
    package var most = Int.max
    /// What one splice moves at most: the largest pipe's size. The kernel's default of 64 KiB costs a pair
    /// of calls, and often a sleep at either end, for each: 0.52 s of CPU per GB where 256 KiB cost 0.43
    /// and 1 MiB 0.38. Larger pipes cost next to no memory while they are empty, but a user who is not
    /// root may hold only so many (pipe-user-pages-soft): with many streams each gets a smaller one.
    package static let capacity = 1 << 20
    private static let smallCapacity = 1 << 18
    // More streams at once than this share a worker's time anyway.
    private static let largeOnes = 16
    // Enough for the streams that start and end within a moment of each other.
    private static let kept = 32

    package init() {}

    deinit { for pipe in free { Self.end(pipe) } }

    /// Gives `pipe` its two ends if it has none. False if none can be had: copy instead.
    package mutating func lend(_ pipe: inout Pipe) -> Bool {
        if pipe.isLent { return true }
        if let pooled = free.popLast() {
            pipe = pooled
            lent += 1
            return true
        }
        guard lent < most else { return false }
        var ends: [2 of Int32] = [-1, -1]
        let made = unsafe withUnsafeMutableBytes(of: &ends) {
            unsafe clinux_pipe2(
                $0.assumingMemoryBound(to: Int32.self).baseAddress!, O_NONBLOCK | O_CLOEXEC)
        }
        guard made == 0 else { return false }
        pipe.readEnd = ends[0]
        pipe.writeEnd = ends[1]
        pipe.count = 0
        let isLarge =
            lent < Self.largeOnes
            && clinux_fcntl(ends[1], CLINUX_F_SETPIPE_SZ, Int32(Self.capacity)) >= 0
        // Where this fails, too, the pipe stays as it is, and works.
        if !isLarge { _ = clinux_fcntl(ends[1], CLINUX_F_SETPIPE_SZ, Int32(Self.smallCapacity)) }
        lent += 1
        return true
    }

    package mutating func reclaim(_ pipe: inout Pipe) {
        guard pipe.isLent else { return }
        if pipe.count == 0 && free.count < Self.kept {
            free.append(pipe)
        } else {
            Self.end(pipe)
        }
        pipe = Pipe()
        lent -= 1
    }

    private static func end(_ pipe: Pipe) {
        IO.close(pipe.readEnd)
        IO.close(pipe.writeEnd)
    }
}
