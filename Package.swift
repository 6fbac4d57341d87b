// swift-tools-version: 6.2
// The house of Trivet: who exists, where it lives, and who may import whom. The same arrows are
// drawn in Sources/README.md and enforced from the import lines by Tests/ArchitectureTests.
// There are no package dependencies, and there will be none.

import PackageDescription

let strict: [SwiftSetting] = [
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableExperimentalFeature("Lifetimes"),
]

/// A release build of the host's modules sees through their borders. Without this flag, the optimizer does not
/// inline what uses anything internal to its module, so that `Buffer.isEmpty` is a call: 13 % fewer
/// instructions a request (Tests/Bench/path), 2 % less CPU. Nothing imports them for testing in release.
let host: [SwiftSetting] =
    strict + [.unsafeFlags(["-enable-testing"], .when(configuration: .release))]

/// A module of the host: `Sources/<name>`.
func module(_ name: String, uses: [Target.Dependency], exclude: [String] = []) -> Target {
    .target(
        name: name, dependencies: uses, path: "Sources/\(name)", exclude: exclude,
        swiftSettings: host)
}

/// A bundled plugin: `Plugins/<folder>`, built into `libtrivet-<name>.so`, by which name the host
/// finds it beside its own binary. It sees the SDK only.
struct Bundled {
    let name: String
    let module: String
    let folder: String
    /// Modules of `Plugins` that it shares with others; linked into its own file.
    var shares: [Target.Dependency] = []

    var target: Target {
        .target(
            name: module, dependencies: ["CTrivet", "TrivetPlugin"] + shares,
            path: "Plugins/\(folder)", swiftSettings: strict)
    }
    var product: Product {
        .library(name: "trivet-\(name)", type: .dynamic, targets: [module])
    }
}

let plugins: [Bundled] = [
    Bundled(name: "round-robin", module: "RoundRobinPlugin", folder: "RoundRobin"),
    Bundled(name: "octopus", module: "OctopusPlugin", folder: "Octopus"),
    Bundled(name: "http", module: "HTTPCheckPlugin", folder: "HTTPCheck"),
    Bundled(name: "tcp", module: "TCPCheckPlugin", folder: "TCPCheck"),
    Bundled(
        name: "weighted-round-robin", module: "WeightedRoundRobinPlugin",
        folder: "WeightedRoundRobin"),
    Bundled(
        name: "least-connections", module: "LeastConnectionsPlugin", folder: "LeastConnections"),
    Bundled(name: "two-choices", module: "TwoChoicesPlugin", folder: "TwoChoices"),
    Bundled(name: "random", module: "RandomPlugin", folder: "Random"),
    Bundled(name: "peak-ewma", module: "PeakEWMAPlugin", folder: "PeakEWMA"),
    Bundled(name: "sticky", module: "StickyPlugin", folder: "Sticky"),
    Bundled(name: "ip-hash", module: "IPHashPlugin", folder: "IPHash", shares: ["Affinity"]),
    Bundled(name: "ring-hash", module: "RingHashPlugin", folder: "RingHash", shares: ["Affinity"]),
    Bundled(name: "maglev", module: "MaglevPlugin", folder: "Maglev", shares: ["Affinity"]),
    Bundled(
        name: "bounded-load", module: "BoundedLoadPlugin", folder: "BoundedLoad",
        shares: ["Affinity"]),
]

/// Tests of one module: `Tests/<name>`. Never depends on a plugin: two of them in one process would
/// export the same symbol.
func tests(_ name: String, uses: [Target.Dependency], exclude: [String] = []) -> Target {
    .testTarget(
        name: name, dependencies: uses, path: "Tests/\(name)", exclude: exclude,
        swiftSettings: strict)
}

/// What the fuzz targets drive.
let fuzzed: [Target.Dependency] = [
    "Proxy", "Loading", "Balance", "Config", "HTTP", "Net", "Base", "CTrivet",
]

/// The fuzzer itself links libFuzzer, which needs flags that Tests/Fuzz/run gives: there is none without it.
let fuzzer: [Target] =
    Context.environment["TRIVET_FUZZ"] == nil
    ? []
    : [
        .target(name: "CFuzzer", path: "Tests/Fuzz/CFuzzer"),
        .executableTarget(
            name: "fuzz", dependencies: ["FuzzTargets", "CFuzzer"], path: "Tests/Fuzz/Driver",
            swiftSettings: strict),
    ]

/// What Tests/Bench/micro counts the instructions of.
let micro: [Target] =
    Context.environment["TRIVET_BENCH"] == nil
    ? []
    : [
        .executableTarget(
            name: "micro", dependencies: ["HTTP", "Net", "Base"], path: "Tests/Bench/Micro",
            swiftSettings: strict)
    ]

let package = Package(
    name: "trivet",
    products: [
        .executable(name: "trivet", targets: ["trivet"]),
        .library(name: "TrivetPlugin", targets: ["TrivetPlugin"]),
    ] + plugins.map(\.product) + [
        // For the tests alone: a plugin with every facet of the SDK.
        .library(name: "fixture-facets", type: .dynamic, targets: ["FacetsFixture"]),
        // The SDK's examples, as the tests check them.
        .library(name: "example-turns", type: .dynamic, targets: ["TurnsExample"]),
        .library(name: "example-two-choices", type: .dynamic, targets: ["TwoChoicesExample"]),
    ],
    targets: [
        // What a plugin sees.
        .target(name: "CTrivet", path: "SDK/CTrivet"),
        .target(
            name: "TrivetPlugin", dependencies: ["CTrivet"], path: "SDK/TrivetPlugin",
            swiftSettings: strict),
        // What the bundled plugins that hash have in common.
        .target(
            name: "Affinity", dependencies: ["CTrivet", "TrivetPlugin"], path: "Plugins/Affinity",
            swiftSettings: strict),

        // The host, from the ground up.
        .target(name: "CLinux", path: "Sources/CLinux"),
        module("Base", uses: []),
        module("Config", uses: ["Base"]),
        module("Net", uses: ["Base", "CLinux"]),
        module("HTTP", uses: ["Base"], exclude: ["README.md"]),
        module("Balance", uses: ["Base", "CLinux", "CTrivet"]),
        module(
            "Loading", uses: ["Balance", "Base", "CLinux", "CTrivet"],
            exclude: ["Conformance/README.md"]),
        module("Proxy", uses: ["Net", "HTTP", "Balance", "Loading", "Config", "Base"]),
        module(
            "Admin", uses: ["Proxy", "Net", "HTTP", "Balance", "Base"], exclude: ["README.md"]),
        .executableTarget(
            name: "trivet",
            dependencies: [
                "Admin", "Proxy", "Net", "HTTP", "Balance", "Loading", "Config", "Base", "CLinux",
            ],
            path: "Sources/trivet", swiftSettings: host),

        // What proves it.
        .target(
            name: "TestKit", dependencies: ["Base", "CAllocations", "CLinux"],
            path: "Tests/TestKit",
            swiftSettings: strict),
        .target(name: "CAllocations", path: "Tests/Allocations"),
        tests("ArchitectureTests", uses: []),
        tests("BaseTests", uses: ["Base"]),
        tests("ConfigTests", uses: ["Config", "Base"]),
        tests("HTTPTests", uses: ["HTTP", "Base"]),
        tests("NetTests", uses: ["Net", "Base", "CLinux", "TestKit"]),
        tests(
            "BalanceTests", uses: ["Balance", "Base", "CLinux", "CTrivet", "TestKit"],
            exclude: ["Fixtures"]),
        tests(
            "PluginTests",
            uses: ["Loading", "Balance", "Base", "CLinux", "CTrivet", "TestKit", "CAllocations"],
            exclude: ["Fixtures"]),
        tests(
            "ProxyTests",
            uses: [
                "Proxy", "Net", "HTTP", "Balance", "Config", "Base", "CLinux", "CTrivet",
                "CAllocations", "TestKit",
            ]),
        tests(
            "AdminTests",
            uses: ["Admin", "Proxy", "Net", "HTTP", "Balance", "Base", "TestKit", "CTrivet"]),
        .target(
            name: "FacetsFixture", dependencies: ["CTrivet", "TrivetPlugin"],
            path: "Tests/Fixtures/Facets", swiftSettings: strict),
        .target(
            name: "TurnsExample", dependencies: ["TrivetPlugin"], path: "SDK/Examples/one-file",
            exclude: ["build"]),
        .target(
            name: "TwoChoicesExample", dependencies: ["TrivetPlugin"],
            path: "SDK/Examples/package/Sources/TwoChoices"),
        .target(name: "StrictHTTP", path: "Tests/Fuzz/StrictHTTP", swiftSettings: strict),
        .target(
            name: "FuzzTargets", dependencies: fuzzed + ["StrictHTTP"], path: "Tests/Fuzz/Targets",
            swiftSettings: strict),
        tests("FuzzTests", uses: ["FuzzTargets"]),
        tests("Scenarios", uses: ["TestKit", "Base", "CLinux"]),
    ] + plugins.map(\.target) + fuzzer + micro,
    swiftLanguageModes: [.v6],
    cLanguageStandard: .gnu11
)
