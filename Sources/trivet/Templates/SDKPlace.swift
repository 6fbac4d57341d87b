// Where the SDK is that belongs to this command: in the checkout it was built from, or where an
// installation has put it.

import Glibc

enum SDKPlace {
    /// The folder, absolute. `wanted`: what the command line says, else it is looked for from this
    /// command's own file: SDK in any folder above (a checkout), then ../lib/trivet/SDK and
    /// ../share/trivet/SDK (an installation).
    static func find(_ wanted: String?) throws(Failure) -> String {
        if let wanted {
            // A checkout is as good as the SDK in it.
            for candidate in [wanted, wanted + "/SDK"] where isSDK(candidate) {
                return absolute(candidate) ?? candidate
            }
            throw .input(["\(wanted) is not Trivet's SDK: there is no \(mark) in it"])
        }
        guard let own = absolute("/proc/self/exe") else {
            throw .system("the SDK cannot be looked for: /proc/self/exe leads nowhere; use --sdk")
        }
        var above = parent(of: own)
        let installed = parent(of: above)
        while true {
            if isSDK(above + "/SDK") { return above + "/SDK" }
            if above.isEmpty { break }
            above = parent(of: above)
        }
        for place in ["lib", "share"] where isSDK("\(installed)/\(place)/trivet/SDK") {
            return "\(installed)/\(place)/trivet/SDK"
        }
        throw .system(
            "Trivet's SDK is neither in a folder above \(own) nor in \(installed)/lib/trivet or "
                + "\(installed)/share/trivet; say where it is with --sdk")
    }

    /// The header of the C interface, whole.
    static func header(in sdk: String) throws(Failure) -> String {
        String(decoding: try readFile("\(sdk)/\(mark)", what: "the header"), as: UTF8.self)
    }

    private static let mark = "CTrivet/include/trivet_plugin.h"

    private static func isSDK(_ folder: String) -> Bool {
        unsafe access("\(folder)/\(mark)", R_OK) == 0
            && access("\(folder)/Package.swift", R_OK) == 0
    }

    private static func absolute(_ path: String) -> String? {
        guard let found = unsafe realpath(path, nil) else { return nil }
        defer { unsafe free(found) }
        return unsafe String(cString: found)
    }

    /// "" for what lies at the top.
    private static func parent(of path: String) -> String {
        String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
    }
}
