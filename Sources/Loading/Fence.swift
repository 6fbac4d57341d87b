// Builds that are not to be called any more, and which build of the same file served before: what
// must be known of plugins when the process that found it out has died of one.

import Balance
import Base

/// One build that is fenced. Keyed by its content: another content under the same name is free.
package struct Fence: Equatable, Sendable {
    /// The first eight bytes of the SHA-256 (FIPS 180-4) of the file's content; never 0.
    package var build: UInt64
    /// The file as the operator knows it.
    package var file: String
    /// In a few words.
    package var reason: String

    package init(build: UInt64, file: String, reason: String) {
        self.build = build
        self.file = file
        self.reason = reason
    }
}

/// A build that is, or was, loaded: what the next process needs to go back to the one before it.
package struct BuildFacts: Equatable, Sendable {
    package var build: UInt64
    package var file: String
    /// "plugin least-busy 1.2 (build 00f3..., libleast.so)"
    package var label: String
    /// Where its private copy lies.
    package var copy: String
    package var offers: [PluginOffer]

    package init(
        build: UInt64, file: String, label: String, copy: String, offers: [PluginOffer]
    ) {
        self.build = build
        self.file = file
        self.label = label
        self.copy = copy
        self.offers = offers
    }
}

/// What a process starts with: who is fenced, and what served under the same file before.
package struct FenceList: Equatable, Sendable {
    package var fences: [Fence] = []
    /// Builds that may be gone back to, newest first.
    package var earlier: [BuildFacts] = []

    package init(fences: [Fence] = [], earlier: [BuildFacts] = []) {
        self.fences = fences
        self.earlier = earlier
    }

    package func fence(of build: UInt64) -> Fence? { fences.first { $0.build == build } }

    /// The newest build of a file that is not fenced.
    package func earlier(of file: String) -> BuildFacts? {
        earlier.first { $0.file == file && fence(of: $0.build) == nil }
    }

    /// What a fenced build offered, if anybody remembers.
    package func facts(of build: UInt64) -> BuildFacts? { earlier.first { $0.build == build } }
}

/// The build of a file with this content.
func buildNumber(of content: [UInt8]) -> UInt64 {
    var hash = SHA256()
    hash.update(content.span)
    let number = hash.finalize().prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    return number == 0 ? 1 : number
}
