// Waiting with a deadline, and saying well what did not come. Everything else of the kit stands on
// this; nothing in it sleeps for a fixed time and hopes.

import CLinux
import Glibc

/// What a test did not get, in sentences: thrown, so that the test ends there.
package struct TestFailure: Error, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}

/// A point in time that a wait does not pass.
package struct Deadline: Sendable {
    private let end: UInt64

    package init(seconds: Double) {
        end = Self.now() + UInt64(max(0, seconds) * 1_000_000_000)
    }

    package var isOver: Bool { Self.now() >= end }

    /// For `poll`: rounded up, so that the last wait does not spin.
    package var milliseconds: Int32 {
        let now = Self.now()
        return now >= end ? 0 : Int32(clamping: (end - now + 999_999) / 1_000_000)
    }

    /// On the monotonic clock, for `pthread_cond_timedwait`.
    var time: timespec {
        timespec(tv_sec: Int(end / 1_000_000_000), tv_nsec: Int(end % 1_000_000_000))
    }

    /// Monotonic nanoseconds.
    package static func now() -> UInt64 {
        var t = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &t)
        return UInt64(t.tv_sec) * 1_000_000_000 + UInt64(t.tv_nsec)
    }
}

/// Asks again and again until the answer is not nil: for what cannot be awaited, as the counts of
/// another process.
///
/// - Parameter what: completes the sentence "... did not come about", should it not.
@discardableResult
package func eventually<R>(
    _ what: String, within seconds: Double = 30, _ body: () throws -> R?
) throws -> R {
    let deadline = Deadline(seconds: seconds)
    while true {
        if let result = try body() { return result }
        if deadline.isOver {
            throw TestFailure("\(what) did not come about within \(seconds) s")
        }
        _ = poll(nil, 0, 5)
    }
}

/// A value that threads change and others wait for.
@safe
final class Watched<State: Sendable>: @unchecked Sendable {
    private var state: State
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init(_ state: State) {
        self.state = state
        unsafe pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        unsafe pthread_condattr_init(&attributes)
        unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        unsafe pthread_cond_init(changed, &attributes)
        unsafe pthread_condattr_destroy(&attributes)
    }

    deinit {
        unsafe pthread_cond_destroy(changed)
        unsafe pthread_mutex_destroy(mutex)
        unsafe changed.deallocate()
        unsafe mutex.deallocate()
    }

    /// Looks at the value, or changes it, and has those who wait look again.
    @discardableResult
    func withLock<R>(_ body: (inout State) throws -> R) rethrows -> R {
        unsafe pthread_mutex_lock(mutex)
        defer {
            unsafe pthread_cond_broadcast(changed)
            unsafe pthread_mutex_unlock(mutex)
        }
        return try body(&state)
    }

    /// Waits until `body` has an answer. Nil if the deadline passes first.
    func wait<R>(until deadline: Deadline, _ body: (State) -> R?) -> R? {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        var time = deadline.time
        while true {
            if let result = body(state) { return result }
            if deadline.isOver { return nil }
            _ = unsafe pthread_cond_timedwait(changed, mutex, &time)
        }
    }
}

private final class ThreadStart {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

/// Runs `body` on a thread of its own, which nobody joins.
package func startThread(_ body: @escaping @Sendable () -> Void) throws {
    let start = unsafe Unmanaged.passRetained(ThreadStart(body))
    var thread = pthread_t()
    let code = unsafe pthread_create(
        &thread, nil,
        { argument in
            _ = pthread_detach(pthread_self())
            let start = unsafe Unmanaged<ThreadStart>.fromOpaque(argument!).takeRetainedValue()
            start.body()
            return nil
        }, start.toOpaque())
    guard code == 0 else {
        unsafe start.release()
        throw TestFailure("pthread_create: \(errorWords(code))")
    }
}

func errorWords(_ code: Int32) -> String {
    unsafe strerror(code).map { unsafe String(cString: $0) } ?? "error \(code)"
}
