// Why the command cannot go on, and what it exits with. For the command's own doings; modules below
// have their own refusals, which become failures here.

import Net

/// Sentences for the operator, and what `exit` says.
struct Failure: Error, Equatable, Sendable {
    /// The exit codes of the command, which scripts rely on.
    enum Reason: Int32 {
        /// What the operator wrote (configuration, plugin) is wrong.
        case input = 1
        /// The command line is wrong.
        case commandLine = 2
        /// The system refused: a port is taken, a file cannot be read.
        case system = 3
    }

    var reason: Reason
    /// At least one, each a line.
    var sentences: [String]

    static func input(_ sentences: [String]) -> Failure {
        Failure(reason: .input, sentences: sentences)
    }

    static func commandLine(_ sentence: String) -> Failure {
        Failure(reason: .commandLine, sentences: [sentence])
    }

    static func system(_ sentence: String) -> Failure {
        Failure(reason: .system, sentences: [sentence])
    }

    /// The sentence with the system's own words for `code`, an `errno`.
    static func system(_ sentence: String, code: Int32) -> Failure {
        .system(sentence + ": " + errorText(code))
    }
}
