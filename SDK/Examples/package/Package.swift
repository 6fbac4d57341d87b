// swift-tools-version: 6.2
// A plugin in a package of its own, outside Trivet's tree. To start one from this folder: copy it,
// and let `path` point to a clone of Trivet (or set TRIVET_PATH). Then:
//
//     swift build -c release && cp .build/release/libTwoChoices.so /where/plugins/are/

import Foundation
import PackageDescription

let trivet = ProcessInfo.processInfo.environment["TRIVET_PATH"] ?? "../../.."

let package = Package(
    name: "two-choices",
    products: [.library(name: "TwoChoices", type: .dynamic, targets: ["TwoChoices"])],
    dependencies: [.package(name: "trivet", path: trivet)],
    targets: [
        .target(
            name: "TwoChoices",
            dependencies: [.product(name: "TrivetPlugin", package: "trivet")])
    ]
)
