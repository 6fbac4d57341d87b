// The command `trivet`. The words that begin with two dashes here are for its own processes: a
// balancer under its supervisor, and the child in which plugins are tried.

import Glibc
import Loading

let arguments = Array(CommandLine.arguments.dropFirst())
let rest = Array(arguments.dropFirst())
switch arguments.first {
case "--balancer": exit(BalancerProcess.main())
case "--trial": exit(Trial.main(rest))
case "demo-node": exit(DemoNode.main(rest))
default: exit(Dispatch.main(arguments))
}
