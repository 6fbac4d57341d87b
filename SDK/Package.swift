// swift-tools-version: 6.2
// The SDK as a package: what a plugin in a package of its own depends on, by path. Trivet's own
// package has the same targets, for the plugins that come with it.
//
//     dependencies: [.package(name: "trivet-sdk", path: "/where/trivet/is/SDK")]
//     .product(name: "TrivetPlugin", package: "trivet-sdk")      what a plugin is written with
//     .product(name: "TrivetTesting", package: "trivet-sdk")     what its tests are written with

import PackageDescription

let settings: [SwiftSetting] = [
    .strictMemorySafety(), .enableExperimentalFeature("Lifetimes"),
]

let package = Package(
    name: "trivet-sdk",
    products: [
        .library(name: "TrivetPlugin", targets: ["TrivetPlugin"]),
        .library(name: "TrivetTesting", targets: ["TrivetTesting"]),
    ],
    targets: [
        .target(name: "CTrivet", path: "CTrivet"),
        .target(
            name: "TrivetPlugin", dependencies: ["CTrivet"], path: "TrivetPlugin",
            swiftSettings: settings),
        .target(
            name: "TrivetTesting", dependencies: ["CTrivet", "TrivetPlugin"],
            path: "TrivetTesting", swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .gnu11
)
