// Signals as things to read: blocked in every thread and taken from a descriptor, so that no code
// ever runs inside a handler.

import CLinux
import Glibc

/// The signals of a process, read one after another. Made before any other thread is started, since
/// threads inherit what is blocked.
final class SignalSource: Sendable {
    private let source: Descriptor

    /// Blocks `signals` for this thread and all that it starts from here on.
    init(_ signals: [Int32]) throws(Failure) {
        var set = blockSignals(signals)
        let number = unsafe signalfd(-1, &set, Int32(SFD_CLOEXEC) | Int32(SFD_NONBLOCK))
        if number < 0 { throw .system("no signals can be taken", code: errno) }
        source = Descriptor(number)
    }

    /// To wait on: readable when a signal has come.
    var descriptor: Int32 { source.number }

    /// The next signal, or nil when there is none.
    func next() -> Int32? {
        var record = signalfd_siginfo()
        let size = MemoryLayout<signalfd_siginfo>.size
        let n = unsafe withUnsafeMutableBytes(of: &record) { room in
            unsafe read(source.number, room.baseAddress, size)
        }
        return n == size ? Int32(record.ssi_signo) : nil
    }
}

/// Blocks `signals` for this thread and all that it starts; the set of them.
@discardableResult
func blockSignals(_ signals: [Int32]) -> sigset_t {
    var set = sigset_t()
    unsafe sigemptyset(&set)
    for signal in signals { unsafe sigaddset(&set, signal) }
    unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    return set
}

/// Asks the system to send this process `signal` when its parent dies, and says whether the parent
/// is still there: `parent` is what `getppid` said before. The parent's thread that started us must
/// live as long as the parent.
func dieWithParent(_ signal: Int32) -> Bool {
    let parent = getppid()
    _ = clinux_prctl(PR_SET_PDEATHSIG, UInt(signal))
    return getppid() == parent
}

/// `SIGSEGV`, or `signal 64`.
func signalName(_ signal: Int32) -> String {
    guard let name = unsafe clinux_signal_name(signal) else { return "signal \(signal)" }
    return unsafe "SIG" + String(cString: name)
}
