// What a new package has in either language: a configuration to run it with, and a page that says how.

extension NewPlugin {
    var configuration: String {
        let pool =
            switch kind {
            case .strategy: #"strategy: { name: "\#(name)", run: 2 },"#
            case .check:
                #"health: { check: "\#(name)", path: "/api/octopusservernodes/ping", draining: 418 },"#
            }
        return #"""
            // Two nodes behind the \#(noun) "\#(name)"; README.md says how to run it.
            {
              plugins: ["plugins"],
              pid_file: "trivet.pid", // by which `trivet reload` finds the running Trivet
              access_log: "access.log", // a line for each request, with the reason of its pick
              listeners: [{ address: "127.0.0.1:9080", pool: "web" }],
              pools: {
                web: {
                  \#(pool)
                  nodes: [
                    { name: "node1", address: "127.0.0.1:9081" },
                    { name: "node2", address: "127.0.0.1:9082" },
                  ],
                },
              },
            }

            """#
    }

    var readme: String {
        let what =
            switch kind {
            case .strategy:
                """
                Each ready node in its turn, `run` requests in a row: a rule to replace with your own.
                """
            case .check:
                """
                Asks for `path`. A node that answers 200-299 is up; one that answers `draining` keeps the
                requests it has and gets no new ones; any other answer, or none, is down. A rule to
                replace with your own.
                """
            }
        let place =
            switch language {
            case .swift:
                """
                The rule is in `Sources/\(module)/\(type).swift`, its tests are in `Tests`. `Package.swift`
                finds the SDK at `\(sdk)`; if Trivet moves, set `TRIVET_SDK`.
                """
            case .c:
                """
                The rule is in `\(source)`, its tests are in `tests.c`. `trivet_plugin.h` is a copy of the
                contract with Trivet, which holds for every Trivet that loads version 1 of it: no need to
                keep it up to date.
                """
            }
        return #"""
            # \#(name)

            A \#(noun) for Trivet. \#(what)

            \#(place)

            ## Build

            ```console
            $ ./build
            $ \#(testCommand)
            ```

            The first leaves `plugins/\#(library)`, which is all that Trivet needs.

            ## Check

            ```console
            $ trivet plugin check plugins/\#(library)
            $ trivet check trivet.json5
            ```

            The first puts the plugin through the rules that every plugin has to keep; the second
            tries it with the options of the configuration.

            ## Run

            Two nodes to balance between, then Trivet, each in the background:

            ```console
            $ trivet demo-node --name node1 --port 9081 &
            $ trivet demo-node --name node2 --port 9082 &
            $ trivet run trivet.json5 &
            ```

            ```console
            $ \#(run)
            $ cat access.log
            ```

            Change the rule, and have the running Trivet take it over, between two requests:

            ```console
            $ ./build && trivet reload trivet.json5
            ```

            """#
    }

    private var run: String {
        let ask = "curl -s http://127.0.0.1:9080/"
        switch kind {
        case .strategy: return "for i in 1 2 3 4; do \(ask); done"
        case .check:
            return "curl -s -X POST 'http://127.0.0.1:9081/demo/state?set=draining'\n$ \(ask)"
        }
    }
}
