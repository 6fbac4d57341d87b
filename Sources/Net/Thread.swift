// Threads that live as long as the process has use for them: workers, control, resolver. Not a pool.

import CLinux
import Glibc

/// A started thread.
@safe
package struct Thread {
    private let handle: UInt

    private final class Start {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// Starts `body`. `name` is what `top -H` and debuggers show, at most 15 bytes. Every signal is
    /// blocked in it that is not a fault of its own: signals are the main thread's.
    package init(_ name: String, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
        let start = unsafe Unmanaged.passRetained(Start(body))
        var all = sigset_t()
        var before = sigset_t()
        unsafe sigfillset(&all)
        for fault in [SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP] {
            unsafe sigdelset(&all, fault)
        }
        unsafe pthread_sigmask(SIG_SETMASK, &all, &before)
        var handle = pthread_t()
        let code = unsafe pthread_create(
            &handle, nil,
            { argument in
                let start = unsafe Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
                start.body()
                return nil
            }, start.toOpaque())
        unsafe pthread_sigmask(SIG_SETMASK, &before, nil)
        guard code == 0 else {
            unsafe start.release()
            throw SystemError(call: "pthread_create", code: code)
        }
        self.handle = UInt(handle)
        _ = unsafe clinux_set_thread_name(handle, name)
    }

    /// Waits for its end. Call once.
    package func join() { _ = pthread_join(pthread_t(handle), nil) }

    /// Lets it end by itself, for one that may be held up where nothing can end it. Instead of `join`.
    package func detach() { _ = pthread_detach(pthread_t(handle)) }
}
