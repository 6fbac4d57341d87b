// The command `trivet`. The words that begin with two dashes here are for its own processes: a
// balancer under its supervisor, and the children in which plugins are tried and checked.

import CLinux
import Glibc
import Loading

// Children are started from /proc/self/exe, so the kernel calls them "exe"; ps, top and pidof are to
// find them by the name that people know.
_ = unsafe clinux_set_thread_name(pthread_self(), "trivet")
let arguments = Array(CommandLine.arguments.dropFirst())
let rest = Array(arguments.dropFirst())
switch arguments.first {
case "--balancer": exit(BalancerProcess.main())
case "--trial": exit(Trial.main(rest))
case "--rule": exit(ConformanceChild.main(rest))
case "demo-node": exit(DemoNode.main(rest))
default: exit(Dispatch.main(arguments))
}
