// The command. So far it only serves as the child in which plugins are tried.

import Glibc
import Loading

if CommandLine.arguments.dropFirst().first == "--trial" {
    exit(Trial.main(Array(CommandLine.arguments.dropFirst(2))))
}
print("trivet")
