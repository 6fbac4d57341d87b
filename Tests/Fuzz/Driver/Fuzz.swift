// One fuzzer for all targets: `fuzz TARGET [libFuzzer's own arguments]`. Built and started by
// Tests/Fuzz/run.

import CFuzzer
import FuzzTargets
import Glibc

@main
enum Fuzz {
    // Written once, before libFuzzer starts; its callback has no other way to it.
    nonisolated(unsafe) static var target = FuzzTarget.all[0]

    static func main() {
        var arguments = CommandLine.arguments
        // libFuzzer starts itself again for some jobs (-merge, -fork): by then the name stands here.
        if arguments.count > 1, let named = FuzzTarget.named(arguments[1]) {
            unsafe target = named
            arguments.remove(at: 1)
            unsafe setenv("TRIVET_FUZZ_TARGET", named.name, 1)
        } else if let name = unsafe getenv("TRIVET_FUZZ_TARGET"),
            let named = unsafe FuzzTarget.named(String(cString: name))
        {
            unsafe target = named
        } else {
            for target in FuzzTarget.all { print(target.name, target.longest) }
            exit(arguments.count > 1 && arguments[1] == "list" ? 0 : 2)
        }
        var pointers = unsafe arguments.map { unsafe strdup($0) } + [nil]
        var count = Int32(arguments.count)
        let status = unsafe pointers.withUnsafeMutableBufferPointer { buffer in
            var start = buffer.baseAddress
            return unsafe LLVMFuzzerRunDriver(&count, &start) { bytes, count in
                let input = unsafe Array(UnsafeBufferPointer(start: bytes, count: count))
                do throws(Finding) { try unsafe Fuzz.target.run(input) } catch {
                    fatalError("\(error)")
                }
                return 0
            }
        }
        exit(status)
    }
}
