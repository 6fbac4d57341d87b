// The texts of a new plugin in Swift: a package outside Trivet's tree that knows the SDK by its path.

extension NewPlugin {
    var swiftManifest: String {
        #"""
        // swift-tools-version: 6.2
        // The \#(noun) "\#(name)" as a plugin for Trivet. `./build` makes it, `swift test` tests it.

        import Foundation
        import PackageDescription

        /// Where Trivet's SDK is.
        let sdk = ProcessInfo.processInfo.environment["TRIVET_SDK"] ?? "\#(quoted(sdk))"

        let package = Package(
            name: "\#(name)",
            products: [.library(name: "\#(name)", type: .dynamic, targets: ["\#(module)"])],
            dependencies: [.package(name: "trivet-sdk", path: sdk)],
            targets: [
                .target(
                    name: "\#(module)",
                    dependencies: [.product(name: "TrivetPlugin", package: "trivet-sdk")]),
                .testTarget(
                    name: "\#(module)Tests",
                    dependencies: [
                        "\#(module)", .product(name: "TrivetTesting", package: "trivet-sdk"),
                    ]),
            ]
        )

        """#
    }

    var swiftBuild: String {
        #"""
        #!/bin/sh
        # Builds the plugin into plugins/. For release: a debug build takes ten times as long for a pick.
        # Moved there whole, so that a running Trivet never finds half of it.
        set -eu
        cd "$(dirname "$0")"
        swift build -c release --product \#(name)
        mkdir -p plugins
        cp "$(swift build -c release --show-bin-path)/\#(library)" plugins/.new
        mv plugins/.new plugins/\#(library)

        """#
    }

    var swiftSource: String { kind == .strategy ? swiftStrategy : swiftCheck }
    var swiftTests: String { kind == .strategy ? swiftStrategyTests : swiftCheckTests }

    private func quoted(_ text: String) -> String {
        var quoted = ""
        for character in text {
            if character == "\"" || character == "\\" { quoted += "\\" }
            quoted.append(character)
        }
        return quoted
    }

    private var swiftEntry: String {
        #"""
        /// The entry that Trivet looks for.
        @c @implementation
        public func trivet_plugin_v1(_ host: HostRef, _ error: ErrorRef) -> TableRef {
            \#(type).export(host, error)
        }

        """#
    }

    private var swiftStrategy: String {
        #"""
        // The strategy "\#(name)": which node gets a request. Trivet does everything else.

        import TrivetPlugin

        /// Each ready node in its turn, so many requests in a row:
        /// `strategy: { name: "\#(name)", run: 2 }`.
        struct \#(type): Strategy, Plugin {
            static let name = "\#(name)"
            static let version = "0.1.0"
            static let summary = "each ready node in its turn, some requests in a row"
            static let options = [
                Option("run", "requests in a row for one node (default 2)")
            ]

            private let run: UInt64

            /// Makes the instance for one worker; refuses what cannot be with a sentence.
            init(_ setup: Setup) throws(Refusal) {
                run = UInt64(try setup.options.integer("run", default: 2, in: 1...1000))
            }

            /// For every request, between two events of a worker: nothing that blocks or allocates.
            mutating func pick(_ pool: Pool, _ request: Request) -> Decision {
                // All workers draw from the same tickets, and so take turns together.
                let turn = Int(truncatingIfNeeded: pool.ticket() / run)
                guard let node = pool.untried(request, from: turn) else { return .pass }
                return .node(node, because: "its turn")
            }
        }

        \#(swiftEntry)
        """#
    }

    private var swiftStrategyTests: String {
        #"""
        // Drives the strategy the way a worker of Trivet does. No network, no waiting.

        import Testing
        import TrivetPlugin
        import TrivetTesting

        @testable import \#(module)

        @Suite struct \#(type)Tests {
            let pool = TestPool(["a", "b", "c"])

            @Test("each node gets its requests in a row")
            func turns() throws {
                let strategy = try TestStrategy(\#(type).self, on: pool, options: #"{"run": 2}"#)
                #expect(strategy.picks(7) == ["a", "a", "b", "b", "c", "c", "a"])
            }

            @Test("a node that is down gets no turn, and no node means no opinion")
            func down() throws {
                let strategy = try TestStrategy(\#(type).self, on: pool, options: #"{"run": 1}"#)
                pool["b"].state = .down
                #expect(strategy.picks(4) == ["a", "c", "a", "c"])
                pool.nodes = []
                #expect(strategy.pick().decision == .pass)
            }

            @Test("a retry goes to a node that was not tried")
            func retry() throws {
                let strategy = try TestStrategy(\#(type).self, on: pool)
                #expect(strategy.pick(tried: ["a", "b"]).node == "c")
            }

            @Test("a wrong option is refused in a sentence")
            func refusal() {
                let sentence = "option \"run\" must be a whole number from 1 to 1000, not 0"
                #expect(throws: Refusal(sentence)) {
                    try TestStrategy(\#(type).self, on: pool, options: #"{"run": 0}"#)
                }
            }
        }

        """#
    }

    private var swiftCheck: String {
        #"""
        // The health check "\#(name)": what to ask a node, and what its answer means. Trivet asks, on its
        // schedule, and counts how often in a row an answer has to come (`rise`, `fall`).

        import TrivetPlugin

        /// Asks for a path: `health: { check: "\#(name)", path: "/healthz", draining: 503 }`.
        struct \#(type): HealthCheck, Plugin {
            static let name = "\#(name)"
            static let version = "0.1.0"
            static let summary = "asks for a path; one status means that the node drains"
            static let options = [
                Option("path", "what to ask for (default /)"),
                Option("draining", "status of a node that takes no new requests (default 503)"),
            ]

            private let path: String
            private let draining: Int

            /// Makes the instance for one pool; refuses what cannot be with a sentence.
            init(_ setup: CheckSetup) throws(Refusal) {
                path = try setup.options.path("path", default: "/")
                draining = try setup.options.integer("draining", default: 503, in: 300...599)
            }

            mutating func probe(_ node: Node, step: Int) -> Probe? { Probe(.http(target: path)) }

            mutating func judge(_ node: Node, _ reply: Reply) -> Judgement {
                guard reply.outcome == .answered else {
                    return .done(Verdict(.down, because: reply.failure))
                }
                switch reply.status {
                case 200...299:
                    return .done(Verdict(.up, because: "answered \(reply.status)"))
                case draining:
                    // The node itself says so: no need to hear it twice.
                    return .done(Verdict(.draining, because: "says that it drains", atOnce: true))
                default:
                    return .done(Verdict(.down, because: "answered \(reply.status)"))
                }
            }
        }

        \#(swiftEntry)
        """#
    }

    private var swiftCheckTests: String {
        #"""
        // Drives the check the way Trivet does. No network, no waiting.

        import Testing
        import TrivetPlugin
        import TrivetTesting

        @testable import \#(module)

        @Suite struct \#(type)Tests {
            @Test("it asks for the path it is told")
            func question() throws {
                #expect(try TestCheck(\#(type).self).probe()?.target == "/")
                let check = try TestCheck(\#(type).self, options: #"{"path": "/healthz"}"#)
                #expect(check.probe()?.target == "/healthz")
            }

            @Test("the status decides")
            func verdicts() throws {
                let check = try TestCheck(\#(type).self, options: #"{"draining": 418}"#)
                #expect(check.judge(status: 204)?.state == .up)
                #expect(check.judge(status: 418)?.state == .draining)
                #expect(check.judge(status: 418)?.atOnce == true)
                #expect(check.judge(status: 503)?.state == .down)
            }

            @Test("a node that does not answer is down, in Trivet's words")
            func silence() throws {
                let check = try TestCheck(\#(type).self)
                let verdict = check.judge(outcome: .connectFailed, detail: "connection refused")
                #expect(verdict?.state == .down)
                #expect(verdict?.reason == "connection refused")
            }

            @Test("a wrong option is refused in a sentence")
            func refusal() {
                let sentence = "option \"draining\" must be a whole number from 300 to 599, not 200"
                #expect(throws: Refusal(sentence)) {
                    try TestCheck(\#(type).self, options: #"{"draining": 200}"#)
                }
            }
        }

        """#
    }
}
