// Who is to blame when a balancer has ended: judged from how it ended and where its threads stood.
// Pure functions; what follows from the verdict (a fence, a new balancer) is the supervisor's.

/// How a process ended.
package enum ProcessEnd: Equatable, Sendable {
    case exited(Int32)
    case killed(signal: Int32)
}

/// The judgement, with what it was reached from.
package enum CrashVerdict: Equatable, Sendable {
    /// Threads that were inside the guilty builds, one a build.
    case guilty([Standing])
    /// No plugin is to blame, or nobody can tell which.
    case nobody(Acquittal)

    package enum Acquittal: Equatable, Sendable {
        /// It was told to leave.
        case asked
        /// A signal that no thread of it caused.
        case outside(signal: Int32)
        /// The faulting thread was inside no plugin: the fault is Trivet's.
        case own(ThreadRole)
        /// A thread faulted that calls no plugins: Trivet's own, or one that a plugin has started.
        case stray
        /// It left by itself, and several builds (or none) were running.
        case unclear(inside: Int)
    }

    /// - Parameters:
    ///   - end: of the balancer.
    ///   - wasAsked: it had been told to drain or to stop.
    ///   - stuck: whom the supervisor killed it for (`StuckWatch`), if it did.
    ///   - standings: the page, read after the end.
    ///   - stray: `CrumbReader.strayMark`.
    package init(
        after end: ProcessEnd, wasAsked: Bool, stuck: [Standing], standings: [Standing],
        stray: CrashMark?
    ) {
        let marked = standings.filter { $0.mark != nil }
        // What the crash handler saw outweighs everything: also how it ended, since somebody may
        // have lost patience with a process that was about to die.
        let caught = marked.filter { $0.build != nil }
        if !caught.isEmpty {
            self = .guilty(Self.onePerBuild(caught))
        } else if !stuck.isEmpty {
            self = .guilty(Self.onePerBuild(stuck))
        } else if wasAsked {
            self = .nobody(.asked)
        } else if let own = marked.first {
            self = .nobody(.own(own.role))
        } else {
            self = Self.unmarked(end, standings, stray)
        }
    }

    private static func unmarked(
        _ end: ProcessEnd, _ standings: [Standing], _ stray: CrashMark?
    ) -> Self {
        switch end {
        case .killed(let signal):
            return .nobody(stray == nil ? .outside(signal: signal) : .stray)
        case .exited:
            // `_exit` passes the exit hook by, and a thread that a plugin has started has no line.
            // Then whoever is inside did it, if it is one build alone.
            let inside = onePerBuild(standings.filter { $0.build != nil })
            return inside.count == 1 ? .guilty(inside) : .nobody(.unclear(inside: inside.count))
        }
    }

    private static func onePerBuild(_ standings: [Standing]) -> [Standing] {
        var result: [Standing] = []
        for standing in standings where !result.contains(where: { $0.build == standing.build }) {
            result.append(standing)
        }
        return result
    }

    /// For the log, without the end itself and without the names of builds: "nobody is fenced:
    /// ...".
    package var explanation: String {
        switch self {
        case .guilty(let standings):
            "it happened inside " + standings.map(\.what).joined(separator: " and ")
        case .nobody(.asked): "no plugin is fenced: it had been told to leave"
        case .nobody(.outside): "no plugin is fenced: the signal came from outside"
        case .nobody(.own(let role)): "no plugin is fenced: \(role) was inside none"
        case .nobody(.stray): "no plugin is fenced: it was a thread that calls none"
        case .nobody(.unclear(let inside)):
            inside == 0
                ? "no plugin is fenced: no thread was inside one"
                : "no plugin is fenced: threads were inside \(inside) of them, and none was caught"
        }
    }
}
