// What a command's words may be, and how they are taken apart. Knows no command; what they are is in
// Commands.swift. Options may stand anywhere, as "--port 80" or "--port=80"; after "--" nothing is
// an option.

import Base

/// One option of a command.
struct Option {
    /// With its dashes.
    let name: String
    /// What its value is called in the help text; nil if it takes none.
    var value: String?
    let help: String
    /// Not in the help text: for our own processes among each other.
    var isHidden = false
}

/// One command as it is written.
struct Syntax {
    /// "plugin list"
    let name: String
    /// Of its operands, in order: "CONFIG", "[CONFIG]" for one that may be missing, and at the end
    /// "FILE..." for one or more.
    var operands: [String] = []
    var options: [Option] = []
    /// One line, for the list of commands.
    let summary: String
    /// What follows the usage line in its help text.
    let help: String
}

/// A command line that follows its syntax.
struct Words {
    var operands: [String] = []
    /// By name with dashes; "" for options without a value.
    var options: [String: String] = [:]
    var asksForHelp = false
}

extension Syntax {
    /// Takes apart what follows the command's name.
    func parse(_ arguments: [String]) throws(Failure) -> Words {
        var words = Words()
        var rest = arguments[...]
        var onlyOperands = false
        while let word = rest.popFirst() {
            if onlyOperands || !word.hasPrefix("-") || word == "-" {
                words.operands.append(word)
            } else if word == "--" {
                onlyOperands = true
            } else if word == "--help" || word == "-h" {
                words.asksForHelp = true
                return words
            } else {
                try take(word, &rest, into: &words)
            }
        }
        let takesMore = operands.last?.hasSuffix("...") == true
        if words.operands.count > operands.count, !takesMore {
            let extra = words.operands[operands.count]
            let wanted = operands.isEmpty ? "no operand" : operands.joined(separator: " ")
            throw wrong("\"\(extra)\" is one word too many; it takes \(wanted)")
        }
        if words.operands.count < operands.count {
            let missing = operands[words.operands.count]
            let bare = missing.hasSuffix("...") ? String(missing.dropLast(3)) : missing
            if !missing.hasPrefix("[") { throw wrong("\(bare) is missing") }
        }
        return words
    }

    private func take(
        _ word: String, _ rest: inout ArraySlice<String>, into words: inout Words
    ) throws(Failure) {
        let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0])
        guard let option = options.first(where: { $0.name == name }) else {
            let known = options.filter { !$0.isHidden }.map(\.name) + ["--help"]
            throw wrong(
                "unknown option \"\(name)\"" + suggestion(name, known, "options"))
        }
        if words.options[name] != nil { throw wrong("\(name) is there twice") }
        if option.value == nil {
            if parts.count > 1 { throw wrong("\(name) takes no value") }
            words.options[name] = ""
        } else if parts.count > 1 {
            words.options[name] = String(parts[1])
        } else if let value = rest.popFirst() {
            words.options[name] = value
        } else {
            throw wrong("\(name) needs \(option.value ?? "a value") behind it")
        }
    }

    /// A complaint about the command line of this command.
    func wrong(_ sentence: String) -> Failure {
        .commandLine("trivet \(name): \(sentence); see trivet \(name) --help")
    }

    /// The whole help text.
    var helpText: String {
        let visible = options.filter { !$0.isHidden }
        var usage = "usage: trivet \(name)"
        for option in visible { usage += " [\(option.signature)]" }
        for operand in operands { usage += " \(operand)" }
        var text = "\(usage)\n\n\(help)\n"
        let width = (visible.map(\.signature.count) + [6]).max() ?? 6
        text += "\nOptions:\n"
        for option in visible {
            text += "  \(padded(option.signature, to: width))  \(option.help)\n"
        }
        return text + "  \(padded("--help", to: width))  say this"
    }
}

extension Option {
    var signature: String { value.map { "\(name) \($0)" } ?? name }
}

/// `; did you mean "check"? commands: run, check`, or without what is near.
func suggestion(_ word: String, _ known: [String], _ what: String) -> String {
    let near = nearest(word, in: known).map { " did you mean \"\($0)\"?" } ?? ""
    return ";\(near) \(what): \(known.joined(separator: ", "))"
}

/// `text` with spaces behind it, `width` characters at least.
func padded(_ text: String, to width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
}
