// An expectation about values that cannot be copied or leave their scope, which #expect's expansion
// would do; and waiting for a descriptor, so that no test sleeps.

import CLinux
import Glibc
import Testing

/// Expects a condition that was worked out before.
func holds(
    _ condition: Bool, _ comment: Comment? = nil,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(condition, comment, sourceLocation: sourceLocation)
}

/// Waits until there is something to read, at most ten seconds.
func awaitReadable(_ fd: Int32) -> Bool { awaitEvent(fd, POLLIN) }

/// Waits for events of poll(2), at most ten seconds.
func awaitEvent(_ fd: Int32, _ events: Int32) -> Bool {
    var wait = pollfd(fd: fd, events: Int16(events), revents: 0)
    while true {
        let count = unsafe poll(&wait, 1, 10_000)
        if count < 0 && errno == EINTR { continue }
        return count > 0
    }
}
