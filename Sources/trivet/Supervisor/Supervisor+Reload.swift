// Reloading as the supervisor sees it: read the file, open what is new, hand it to the balancer, and
// change over when that one says that every worker serves it. A refusal, from whomever, leaves all as it
// was.

import Base
import Config
import Glibc

/// A reload that the balancer is at work on.
struct Reloading {
    let ground: Ground
    let watch: PluginWatch?
}

extension Supervisor {
    /// Starts a reload, or notes that another one is due after the one under way. `who`: for the log.
    func reload(_ who: String) {
        guard reloading == nil else {
            wantsAnotherReload = true
            return
        }
        door?.begin()
        guard phase == .serving, let balancer else {
            refused(["the balancer does not serve at the moment"])
            return
        }
        watch?.note()
        do throws(Failure) {
            let (bytes, next) = try ConfigurationFile.read(configuration.file)
            try refuseWhatNeedsRestart(next)
            let ground = try Ground(next, bytes: bytes, after: ground)
            reloading = Reloading(ground: ground, watch: .following(next, watch))
            Log.info("\(who): reloading \(configuration.file)")
            if !ground.sendReload(over: balancer.line, supervision) {
                refused(["the balancer is gone"])
            }
        } catch {
            refused(error.sentences)
        }
    }

    /// The balancer serves as the last reload said.
    func reloaded(_ changes: String) {
        guard let done = reloading else { return }
        // Sockets of listeners that are gone close with the old ground: the workers have left them.
        ground = done.ground
        watch = done.watch
        reloading = nil
        count(isDone: true)
        Log.info("reloaded: \(changes); serving: \(ground.places)")
        door?.answer(.done("reloaded: \(changes)"))
        goOn()
    }

    /// It serves on as before.
    func refused(_ sentences: [String]) {
        reloading = nil
        count(isDone: false)
        Log.error("reload refused, all serves on as before: " + sentences.joined(separator: "; "))
        door?.answer(.refused(sentences))
        goOn()
    }

    private func goOn() {
        guard wantsAnotherReload else { return }
        wantsAnotherReload = false
        reload("asked meanwhile")
    }

    /// What only a new start can change.
    private func refuseWhatNeedsRestart(_ next: Configuration) throws(Failure) {
        var sentences: [String] = []
        func compare<Value: Equatable>(_ key: String, _ old: Value, _ new: Value) {
            if old != new {
                sentences.append("\(next.file): \(key) has changed, which needs a restart")
            }
        }
        compare("workers", configuration.workers ?? ground.workers, next.workers ?? ground.workers)
        compare("user", configuration.user?.value, next.user?.value)
        compare("group", configuration.group?.value, next.group?.value)
        compare("pid_file", configuration.pidFile?.value, next.pidFile?.value)
        if !sentences.isEmpty { throw .input(sentences) }
    }
}
