// The commands: what each is called, what its help says, and which function does it. Exit codes: 0
// done, 1 the input is wrong, 2 the command line is wrong, 3 the system refused.

/// What `--version` says.
let trivetVersion = "0.1.0"

struct Command {
    let syntax: Syntax
    let run: (Words) throws(Failure) -> Int32
}

/// All commands that people use.
enum Commands {
    static var all: [Command] {
        [
            Command(syntax: runSyntax, run: RunCommand.run),
            Command(syntax: checkSyntax, run: CheckCommand.run),
            Command(syntax: reloadSyntax, run: ReloadCommand.run),
            Command(syntax: demoSyntax, run: DemoCommand.run),
            Command(syntax: pluginListSyntax, run: PluginListCommand.run),
            Command(syntax: pluginCheckSyntax, run: PluginCheckCommand.run),
            Command(syntax: pluginNewSyntax, run: PluginNewCommand.run),
        ]
    }

    static let runSyntax = Syntax(
        name: "run", operands: ["CONFIG"],
        options: [
            Option(
                name: "--board", value: "FD",
                help: "keep the board in the memory behind this descriptor; end with the parent",
                isHidden: true)
        ],
        summary: "balance as CONFIG says",
        help: """
            Balances as CONFIG (JSON5) says, until it is told to stop. Log lines go to standard error.
            SIGTERM or SIGINT: take no new connections, finish what is in flight (at most
            drain_timeout), and leave; a second one, or SIGQUIT: leave at once. SIGHUP: read CONFIG and
            the plugins again, and serve as they say now; trivet reload does the same and waits for
            the outcome. With plugins_watch: true in CONFIG, it does so by itself when a file that
            plugins names has been replaced and nothing has moved for 0.3 s: rename new builds into
            their place.

            Example: trivet run /etc/trivet/trivet.json5
            """)

    static let checkSyntax = Syntax(
        name: "check", operands: ["CONFIG"],
        options: [
            Option(name: "--expand", help: "print what CONFIG stands for, its profile written out")
        ],
        summary: "say what is wrong with CONFIG, all of it",
        help: """
            Reads CONFIG, tries the plugins it names, and says everything that is wrong, one line
            each: file:line:column: sentence. Opens no port. Exits with 0 if nothing is wrong, else 1.
            Certificates and keys are read as well.

            Example: trivet check trivet.json5 && systemctl restart trivet
            """)

    static let reloadSyntax = Syntax(
        name: "reload", operands: ["CONFIG"],
        summary: "have a running Trivet take over CONFIG and its plugins as they are now",
        help: """
            Finds the Trivet that serves CONFIG by the pid_file that CONFIG names, or else by its admin
            address, has it read CONFIG and all plugins again, and waits until every worker serves as
            they say. All or nothing: if anything is refused, everything goes on as before, the reasons
            are printed, and the exit code is 1. No connection, session, count or health state is lost
            either way.

            Example: cp new/libacme.so plugins/.new && mv plugins/.new plugins/libacme.so
                     trivet reload /etc/trivet/trivet.json5
            """)

    static let demoSyntax = Syntax(
        name: "demo",
        options: [
            Option(
                name: "--port", value: "N",
                help: "where the balancer listens on 127.0.0.1 (8080, or a free one)"),
            Option(name: "--workers", value: "N", help: "worker threads (2)"),
        ],
        summary: "see it work: three nodes, a balancer, and what to try",
        help: """
            Starts three small servers that behave like nodes of Octopus Deploy, and a balancer before
            them, all on 127.0.0.1. Shows what goes where, and says what to try from another terminal.
            Ctrl-C ends it and leaves nothing behind.

            Example: trivet demo --port 9000
            """)

    static let pluginListSyntax = Syntax(
        name: "plugin list", operands: ["[CONFIG]"],
        summary: "show the strategies and checks there are",
        help: """
            Shows the plugins that come with Trivet, and with CONFIG those that it names as well:
            name, kind, version, file and what it does. A file that is no good is named with the
            reason, and the exit code is 1. If CONFIG has an admin address at which Trivet runs, the builds
            that are fenced there are shown, with the reason.

            Example: trivet plugin list trivet.json5
            """)

    static let pluginCheckSyntax = Syntax(
        name: "plugin check", operands: ["FILE..."],
        options: [
            Option(name: "--json", help: "write one JSON document instead of a table"),
            Option(
                name: "--options", value: "JSON",
                help: "what to make instances with, by name: {\"sticky\": {header: \"x-user\"}}"),
            Option(
                name: "--rules", value: "NAMES",
                help: "only these, with commas between them (and tables and creates)"),
            Option(
                name: "--limit", value: "SECONDS",
                help: "of its own time that one rule may take (20)"),
        ],
        summary: "put plugin files through the conformance kit",
        help: """
            Tries each plugin FILE against every rule that applies, each rule in a process of its own
            with a time limit: what a strategy may pick, pools of every size, changes, state, hostile
            requests, allocations, time; what a check may ask and what it makes of any answer. A
            crash, a hang or an exit is the failure of its rule. Exits with 1 if a rule fails, else 0.

            Example: trivet plugin check plugins/libturns.so
            """)

    static let pluginNewSyntax = Syntax(
        name: "plugin new", operands: ["NAME"],
        options: [
            Option(name: "--c", help: "in C rather than Swift"),
            Option(name: "--check", help: "a health check rather than a balancing strategy"),
            Option(name: "--into", value: "DIR", help: "where the folder NAME is made (here)"),
            Option(
                name: "--sdk", value: "DIR",
                help: "Trivet's SDK, if it is not with this command"),
        ],
        summary: "write the package of a new plugin",
        help: """
            Makes the folder NAME with a plugin that builds, tests itself, passes plugin check and
            runs: the source with a small rule to replace, its tests, a build script, a trivet.json5
            to run it with, and a README.md that says how. NAME is what a configuration calls it:
            lower-case letters, digits, "-", "_" and ".". A Swift package knows the SDK by its path;
            a C plugin keeps a copy of the header.

            Example: trivet plugin new left-most && cd left-most && ./build
            """)

    /// The help text of the whole.
    static var helpText: String {
        let width = all.map(\.syntax.signature.count).max() ?? 0
        var text = """
            trivet: a load balancer whose every decision is a plugin's.

            usage: trivet COMMAND ...

            Commands:

            """
        for command in all {
            text += "  \(padded(command.syntax.signature, to: width))  \(command.syntax.summary)\n"
        }
        return text + """

            trivet COMMAND --help says more; trivet --version says which one this is.
            Exit codes: 0 done, 1 the input is wrong, 2 the command line is wrong, 3 the system refused.

            Example: trivet demo
            """
    }
}

extension Syntax {
    /// `plugin list [CONFIG]`
    var signature: String { ([name] + operands).joined(separator: " ") }
}
