// From the words of the command line to a command and an exit code.

import Base

enum Dispatch {
    /// Does what `arguments` (without the program's name) say; the exit code.
    static func main(_ arguments: [String]) -> Int32 {
        do throws(Failure) {
            return try perform(arguments)
        } catch {
            return report(error)
        }
    }

    private static func perform(_ arguments: [String]) throws(Failure) -> Int32 {
        guard let first = arguments.first else {
            complain(Commands.helpText)
            return Failure.Reason.commandLine.rawValue
        }
        switch first {
        case "--help", "-h", "help":
            say(Commands.helpText)
            return 0
        case "--version":
            say("trivet \(trivetVersion)")
            return 0
        default: break
        }
        for command in Commands.all {
            let name = command.syntax.name.split(separator: " ").map(String.init)
            guard arguments.starts(with: name) else { continue }
            let words = try command.syntax.parse(Array(arguments.dropFirst(name.count)))
            if words.asksForHelp {
                say(command.syntax.helpText)
                return 0
            }
            return try command.run(words)
        }
        let group = Commands.all.filter { $0.syntax.name.hasPrefix(first + " ") }
        if !group.isEmpty,
            arguments.dropFirst().first.map({ ["--help", "-h"].contains($0) }) == true
        {
            say(group.map(\.syntax.helpText).joined(separator: "\n\n"))
            return 0
        }
        throw unknown(arguments, first)
    }

    /// What to say of words that begin no command.
    private static func unknown(_ arguments: [String], _ first: String) -> Failure {
        let names = Commands.all.map(\.syntax.name)
        let second = names.filter { $0.hasPrefix(first + " ") }.map {
            String($0.dropFirst(first.count + 1))
        }
        if !second.isEmpty {
            guard arguments.count > 1 else {
                return .commandLine(
                    "trivet \(first): a word is missing: \(second.joined(separator: ", "))")
            }
            return .commandLine(
                "trivet \(first): unknown word \"\(arguments[1])\""
                    + suggestion(arguments[1], second, "known"))
        }
        let kind = first.hasPrefix("-") ? "option" : "command"
        let known = kind == "option" ? ["--help", "--version"] : firstWords(names)
        return .commandLine(
            "trivet: unknown \(kind) \"\(first)\"" + suggestion(first, known, kind + "s"))
    }

    private static func firstWords(_ names: [String]) -> [String] {
        var words: [String] = []
        for name in names {
            let word = String(name.prefix { $0 != " " })
            if !words.contains(word) { words.append(word) }
        }
        return words
    }
}
