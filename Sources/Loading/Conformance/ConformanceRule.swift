// The rules by name: what each demands of a plugin, and of which part of it. How a rule is proved is in
// the files named after them; who runs them is Conformance. The table for people is README.md beside
// this.

/// One rule of the conformance kit. The raw value is its name in every output, and stays.
package enum ConformanceRule: String, CaseIterable, Sendable {
    // Of the file.
    case tables

    // Of strategies and checks.
    case creates
    case badConfiguration = "bad-configuration"
    case deterministic
    case givesMemoryBack = "gives-memory-back"
    case nothingLeftBehind = "nothing-left-behind"

    // Of strategies.
    case neverDown = "never-down"
    case retries
    case sizes
    case strides
    case comingsAndGoings = "comings-and-goings"
    case saveLoad = "save-load"
    case updateEqualsRebuild = "update-equals-rebuild"
    case describe
    case hostileRequests = "hostile-requests"
    case noAllocation = "no-allocation"
    case pickTime = "pick-time"

    // Of checks.
    case probeSane = "probe-sane"
    case everyStatus = "every-status"
    case damagedBodies = "damaged-bodies"
    case roundsEnd = "rounds-end"

    /// The rules of one kind of offer, in the order in which they are run and shown.
    package static func all(of kind: OfferKind) -> [ConformanceRule] {
        let both: [ConformanceRule] = [.creates, .badConfiguration, .deterministic]
        let after: [ConformanceRule] = [.givesMemoryBack, .nothingLeftBehind]
        switch kind {
        case .strategy:
            return both + [
                .neverDown, .retries, .sizes, .strides, .comingsAndGoings, .saveLoad,
                .updateEqualsRebuild, .describe, .hostileRequests, .noAllocation, .pickTime,
            ] + after
        case .check:
            return both + [.probeSane, .everyStatus, .damagedBodies, .roundsEnd] + after
        }
    }
}

/// What became of one rule.
package struct ConformanceFinding: Equatable, Sendable {
    package enum Outcome: String, Sendable {
        case passed
        /// Passed, with something that the author should know.
        case warned
        case failed
        /// Does not apply, or cannot be judged here.
        case skipped
    }

    package var rule: ConformanceRule
    /// Nil for a rule of the file as a whole.
    package var kind: OfferKind?
    /// Of the strategy or check; empty for the file.
    package var name: String
    package var outcome: Outcome
    /// What was seen, or what is wrong, as one sentence.
    package var sentence: String
    /// What was measured, by name with its unit: "pick_ns".
    package var figures: [(name: String, value: UInt64)]

    package static func == (a: ConformanceFinding, b: ConformanceFinding) -> Bool {
        a.rule == b.rule && a.kind == b.kind && a.name == b.name && a.outcome == b.outcome
            && a.sentence == b.sentence && a.figures.elementsEqual(b.figures, by: ==)
    }
}

/// All about one file.
package struct ConformanceReport: Sendable {
    /// As it was given.
    package var file: String
    /// The plugin's own name and version; empty if it could not be loaded.
    package var plugin = ""
    package var version = ""
    package var findings: [ConformanceFinding] = []

    package func count(_ outcome: ConformanceFinding.Outcome) -> Int {
        findings.count { $0.outcome == outcome }
    }
}
