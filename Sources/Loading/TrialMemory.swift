// What the trial of the plugins that serve has found, so that the next one reads, sums up and tries
// only what differs. It holds nothing bad: what was refused is looked at again each time.

import Balance

/// Belongs to a catalogue, and is as immutable.
package struct TrialMemory: Equatable, Sendable {
    /// What a file held when it was read.
    struct Content: Equatable, Sendable {
        var stamp: FileStamp
        var build: UInt64
    }

    private struct Attempt: Hashable, Sendable {
        var build: UInt64
        var use: PluginUse
    }

    /// By path.
    private var contents: [String: Content] = [:]
    /// By build, under any path.
    private var listings: [UInt64: PluginListing] = [:]
    private var attempts: Set<Attempt> = []

    /// Nothing.
    package init() {}

    /// `builds`: which build each listed file is, by path.
    init(
        contents: [String: Content], listings: [PluginListing], builds: [String: UInt64],
        uses: [PluginUse]
    ) {
        self.contents = contents
        for listing in listings {
            guard let build = builds[listing.file] else { continue }
            self.listings[build] = listing
            for use in uses where listing.offers(use) {
                attempts.insert(Attempt(build: build, use: use))
            }
        }
    }

    /// What a file holds, if it is as it was when it was last read.
    func content(of path: String) -> Content? {
        guard let content = contents[path], FileStamp(path) == content.stamp else { return nil }
        return content
    }

    /// What a build offers, if it has been tried with all of `uses` that are for it.
    func listing(of build: UInt64, as file: PluginFile, for uses: [PluginUse]) -> PluginListing? {
        guard var listing = listings[build] else { return nil }
        for use in uses where listing.offers(use) {
            guard attempts.contains(Attempt(build: build, use: use)) else { return nil }
        }
        listing.file = file.path
        listing.isBundled = file.isBundled
        return listing
    }
}

extension PluginListing {
    func offers(_ use: PluginUse) -> Bool {
        offers.contains { $0.kind == use.kind && $0.name == use.name }
    }

    /// Whether any of the uses is meant for it: a candidate is asked for by its path alone.
    func offers(anyOf uses: [PluginUse], _ candidates: Set<String>) -> Bool {
        uses.contains { use in
            let isMeant = use.file == file || use.file == nil && !candidates.contains(file)
            return isMeant && offers(use)
        }
    }
}
