// What is loaded, by the names that a configuration uses; and what could be, as a trial found it.

import Balance

/// All plugins in use in this process. Immutable: a reload makes another.
package struct Catalogue: Sendable {
    package let libraries: [Library]
    package let strategies: [String: StrategyKind]
    package let checks: [String: CheckKind]
    /// Names that only fenced builds offer: a pool does without them.
    package let fenced: [FencedFile]
    /// Files that serve as canaries alone: what they offer goes by their path.
    package let candidates: Set<String>
    /// What the trial has found of the files behind it.
    let memory: TrialMemory

    /// Names are unique over all files: the trial has seen to it, and it is checked again here.
    package init(
        libraries: [Library], fenced: [FencedFile] = [], candidates: Set<String> = [],
        memory: TrialMemory = TrialMemory()
    ) throws(Refusal) {
        self.fenced = fenced
        self.candidates = candidates
        self.memory = memory
        var strategies: [String: StrategyKind] = [:]
        var checks: [String: CheckKind] = [:]
        for library in libraries where !candidates.contains(library.origin.file) {
            for kind in library.strategies {
                if let other = strategies.updateValue(kind, forKey: kind.name) {
                    throw Refusal(
                        "\(library.origin.file) and \(other.origin.file) both offer strategy "
                            + "\"\(kind.name)\"; take one away")
                }
            }
            for kind in library.checks {
                if let other = checks.updateValue(kind, forKey: kind.name) {
                    throw Refusal(
                        "\(library.origin.file) and \(other.origin.file) both offer check "
                            + "\"\(kind.name)\"; take one away")
                }
            }
        }
        self.libraries = libraries
        self.strategies = strategies
        self.checks = checks
    }

    /// Nothing loaded: pools are served by the built-in round robin.
    package static var empty: Catalogue {
        Catalogue()
    }

    /// The fence because of which nobody offers this, if that is why.
    package func fence(_ kind: OfferKind, _ name: String) -> Fence? {
        fenced.first { file in
            !candidates.contains(file.fence.file)
                && file.offers.contains { $0.kind == kind && $0.name == name }
        }?.fence
    }

    /// A strategy of a file that serves as a canary alone.
    package func strategy(_ name: String, ofCandidate file: String) -> StrategyKind? {
        libraries.first { $0.origin.file == file && candidates.contains(file) }?
            .strategies.first { $0.name == name }
    }

    /// Why such a file is not loaded, if that is so.
    package func fence(ofCandidate file: String) -> Fence? {
        fenced.first { $0.fence.file == file }?.fence
    }

    /// The same without a library: another in its place, or what it offered fenced.
    package func replacing(
        _ old: Library, with other: Library?, fence: Fence
    ) throws(Refusal) -> Catalogue {
        var libraries = libraries.filter { $0.copy != old.copy }
        var fenced = fenced
        if let other {
            libraries.append(other)
        } else {
            fenced.append(FencedFile(fence: fence, offers: old.facts.offers))
        }
        return try Catalogue(
            libraries: libraries, fenced: fenced, candidates: candidates, memory: memory)
    }

    private init() {
        fenced = []
        memory = TrialMemory()
        candidates = []
        libraries = []
        strategies = [:]
        checks = [:]
    }
}

/// Strategy or check.
package enum OfferKind: String, Sendable {
    case strategy
    case check
}

/// One strategy or check that a file offers.
package struct PluginOffer: Equatable, Sendable {
    package var kind: OfferKind
    package var name: String
    package var summary: String
    package var options: [PluginOption]
}

/// One plugin file as a trial found it.
package struct PluginListing: Equatable, Sendable {
    /// As the operator knows it.
    package var file: String
    package var isBundled: Bool
    /// The file's own name for itself, and its version.
    package var plugin: String
    package var version: String
    package var offers: [PluginOffer]
}

/// What the configuration wants of the plugins: one strategy or check of one pool.
package struct PluginUse: Hashable, Sendable {
    package var kind: OfferKind
    package var name: String
    package var pool: String
    /// Its block of the configuration as JSON; "{}" if none.
    package var options: String
    /// The file that it is of, which then serves as a canary alone; nil: any of the others.
    package var file: String?

    package init(
        kind: OfferKind, name: String, pool: String, options: String = "{}", file: String? = nil
    ) {
        self.file = file
        self.kind = kind
        self.name = name
        self.pool = pool
        self.options = options
    }
}
