// What comes of a trial, on its way from the loader to those who judge a configuration, and back to
// the loader if the judgement is good.

import Balance

/// What a trial found. Nothing is loaded by it.
package struct TrialReport: Sendable {
    /// Files that may be loaded, with what they offer.
    package var listings: [PluginListing] = []
    /// Files that may not, one sentence each, with the file's name; clashes of names as well.
    package var fileRefusals: [Refusal] { refused + clashes }
    /// Uses whose `create` refuses, or that no longer answer.
    package var useRefusals: [Refusal] = []

    /// Files whose build is fenced and that no earlier one stands in for.
    package var fenced: [FencedFile] = []

    /// Bundled files that were not looked at, since nothing seems to need them.
    package internal(set) var spared: [PluginFile] = []

    var refused: [Refusal] = []
    var clashes: [Refusal] = []
    /// Private copies of the files in `listings`, as far as there is a use for them.
    var copies: [String: PluginCopy] = [:]
    /// Which build each file in `listings` is.
    var builds: [String: UInt64] = [:]
    /// What was read, or is as it was.
    var contents: [String: TrialMemory.Content] = [:]

    package var isGood: Bool { fileRefusals.isEmpty && useRefusals.isEmpty }

    package func offer(_ kind: OfferKind, _ name: String) -> (PluginListing, PluginOffer)? {
        for listing in listings {
            if let offer = listing.offers.first(where: { $0.kind == kind && $0.name == name }) {
                return (listing, offer)
            }
        }
        return nil
    }
}

/// A file that is left out.
package struct FencedFile: Equatable, Sendable {
    package var fence: Fence
    /// What it offered, and what nobody offers now.
    package var offers: [PluginOffer]
}

/// The content of a file as it was read.
struct PluginCopy: Equatable, Sendable {
    var path: String
    var build: UInt64
    /// A library that serves already was loaded from it.
    var isLoaded: Bool
}

extension PluginCopy {
    /// Removes it, unless a library is mapped from it.
    func discard() {
        if !isLoaded { PrivateFolder.discard(path) }
    }
}
