// swift-tools-version: 6.2
// A plugin in a package of its own, outside Trivet's tree. To start one from this folder: copy it,
// and let `sdk` be where Trivet's SDK is (or set TRIVET_SDK). Then:
//
//     swift build -c release && cp .build/release/libTwoChoices.so /where/plugins/are/
//
// `trivet plugin new NAME` writes a package like this one, with tests.

import Foundation
import PackageDescription

let sdk = ProcessInfo.processInfo.environment["TRIVET_SDK"] ?? "../.."

let package = Package(
    name: "two-choices",
    products: [.library(name: "TwoChoices", type: .dynamic, targets: ["TwoChoices"])],
    dependencies: [.package(name: "trivet-sdk", path: sdk)],
    targets: [
        .target(
            name: "TwoChoices",
            dependencies: [.product(name: "TrivetPlugin", package: "trivet-sdk")])
    ]
)
