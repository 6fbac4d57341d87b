// `trivet run`: from the command line to the supervisor.

import CLinux
import Glibc

enum RunCommand {
    static func run(_ words: Words) throws(Failure) -> Int32 {
        var board: Descriptor?
        if let text = words.options["--board"] {
            guard let number = Int32(text), number > 2, clinux_fcntl(number, F_GETFD, 0) >= 0 else {
                throw Commands.runSyntax.wrong("--board \(text) is no descriptor")
            }
            _ = clinux_fcntl(number, F_SETFD, FD_CLOEXEC)
            board = Descriptor(number)
            // The demo is to leave nothing behind, however it ends.
            guard dieWithParent(SIGTERM) else { return 0 }
        }
        let (bytes, configuration) = try ConfigurationFile.read(words.operands[0])
        startLog(level: configuration.logLevel)
        let supervisor = try Supervisor(configuration, bytes: bytes, board: board)
        return try supervisor.run()
    }
}
