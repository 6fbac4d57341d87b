// From files to a catalogue: read, look, copy, try in a child, and only then load here. All or
// nothing: what is refused leaves nothing behind but a sentence.

import Balance
import Glibc

/// What a trial found. Nothing is loaded by it.
package struct TrialReport: Sendable {
    /// Files that may be loaded, with what they offer.
    package var listings: [PluginListing] = []
    /// Files that may not, one sentence each, with the file's name; clashes of names as well.
    package var fileRefusals: [Refusal] = []
    /// Uses whose `create` refuses, or that no longer answer.
    package var useRefusals: [Refusal] = []

    /// Files whose build is fenced and that no earlier one stands in for.
    package var fenced: [FencedFile] = []

    /// Private copies of the files in `listings`, with what build each is.
    fileprivate var copies: [String: PluginCopy] = [:]

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

/// Finds, tries and loads plugins. Blocking; for the loader thread and for start-up.
package struct PluginLoader: Sendable {
    package var files: [PluginFile]
    /// Paths of those that serve as canaries alone.
    package var candidates: Set<String>
    /// What is started with `--trial`: this binary, unless it is a test's.
    package var trialProgram: String
    /// How long a trial may take altogether.
    package var limitMs: Int
    /// What serves now: of a file that holds the same build, nothing is loaded again.
    package var serving: Catalogue
    /// Builds that are not to be loaded, and what may serve in their place.
    package var fenced: FenceList
    /// Of the libraries that are loaded: for their counters and for people.
    package var generation = 0
    package var workers = 1

    /// `files`: see PluginFile.bundled and .named. One that two paths lead to is taken once.
    /// `candidates`: see PluginFile.candidate; none of `files` then, even if it is among them.
    package init(
        files: [PluginFile], candidates: [PluginFile] = [], trialProgram: String = "/proc/self/exe",
        limitMs: Int = 5000,
        serving: Catalogue = .empty, fenced: FenceList = FenceList()
    ) {
        self.fenced = fenced
        self.serving = serving
        self.candidates = Set(candidates.map(\.path))
        var named: [PluginFile] = []
        for candidate in candidates where !named.contains(candidate) { named.append(candidate) }
        self.files = PluginFile.unique(files, besides: named) + named
        self.trialProgram = trialProgram
        self.limitMs = limitMs
    }

    /// The whole way, for those who want one answer: the catalogue of what is in use, or why not.
    package static func load(
        bundled: Bool, extra: [String], uses: [PluginUse], trialProgram: String = "/proc/self/exe"
    ) throws(Refusal) -> Catalogue {
        let named = try PluginFile.named(extra)
        let loader = PluginLoader(
            files: (bundled ? PluginFile.bundled() : []) + named, trialProgram: trialProgram)
        let report = try loader.trial(uses: uses)
        if let refusal = report.fileRefusals.first ?? report.useRefusals.first { throw refusal }
        return try loader.load(report, uses: uses)
    }

    /// Looks at every file, and tries those that pass in one child. A file that ends the child is
    /// refused, and the others are tried again without it. Throws only if no trial can be made at
    /// all.
    package func trial(uses: [PluginUse]) throws(Refusal) -> TrialReport {
        var report = TrialReport()
        var left: [(file: PluginFile, copy: PluginCopy)] = []
        for file in files {
            do throws(Refusal) {
                let bytes = try Files.read(file.path)
                do throws(Refusal) {
                    try ELF.inspect(bytes)
                } catch {
                    throw Refusal("\(file.path) \(error.sentence)")
                }
                if let copy = try copy(bytes, of: file, &report) { left.append((file, copy)) }
            } catch {
                report.fileRefusals.append(error)
            }
        }
        while !left.isEmpty {
            let job = TrialJob(
                files: left.map { TrialJob.File(copy: $0.copy.path, file: $0.file.path) },
                uses: uses)
            let remains = try TrialChild.run(job, program: trialProgram, limitMs: limitMs)
            let words = TrialWord.read(remains.answers, files: left.map(\.file))
            if words.last == .done {
                take(words, left, into: &report)
                break
            }
            guard case .begins(let guilty, let deed) = words.last(where: \.isBeginning) else {
                throw Refusal(
                    "\(trialProgram) was started for a plugin trial and \(remains.story)")
            }
            report.fileRefusals.append(
                Refusal(
                    "\(left[guilty].file.path) \(remains.story(limitMs)) \(deed)\(remains.quote)"))
            left[guilty].copy.discard()
            left.remove(at: guilty)
        }
        refuseClashes(&report)
        return report
    }

    /// Loads the files that offer something in use, once for each report: copies of the others go.
    /// `report` must be good; a use that nothing offers is left out, and is the configuration's to
    /// judge.
    package func load(_ report: TrialReport, uses: [PluginUse]) throws(Refusal) -> Catalogue {
        var libraries: [Library] = []
        for listing in report.listings {
            let isUsed = uses.contains { use in
                let isMeant =
                    use.file == listing.file
                    || use.file == nil && !candidates.contains(listing.file)
                return isMeant
                    && listing.offers.contains { $0.kind == use.kind && $0.name == use.name }
            }
            guard let copy = report.copies[listing.file] else { continue }
            if let present = self.library(copy) {
                if isUsed { libraries.append(present) }
            } else if isUsed {
                libraries.append(
                    try Library.load(
                        path: copy.path, file: listing.file,
                        content: .init(
                            build: copy.build, generation: generation, workers: workers)))
            } else {
                copy.discard()
            }
        }
        return try Catalogue(
            libraries: libraries, fenced: report.fenced, candidates: candidates)
    }

    /// Loads a build that has served before, from its copy: it has been tried, and has served.
    package func load(earlier facts: BuildFacts) throws(Refusal) -> Library {
        try Library.load(
            path: facts.copy, file: facts.file,
            content: .init(build: facts.build, generation: generation, workers: workers))
    }

    /// Drops what was copied for a trial that comes to nothing.
    package func discard(_ report: TrialReport) {
        for copy in report.copies.values { copy.discard() }
    }

    /// A private copy of what a file holds; that of the library that serves, if it holds the same.
    /// Of a fenced build, that of the one before it; nil: there is none.
    private func copy(
        _ content: [UInt8], of file: PluginFile, _ report: inout TrialReport
    ) throws(Refusal) -> PluginCopy? {
        var bytes = content
        var build = buildNumber(of: bytes)
        if let fence = fenced.fence(of: build) {
            // What stands in for a canary is the incumbent, not an earlier canary.
            guard !candidates.contains(file.path), let earlier = fenced.earlier(of: file.path)
            else {
                let here = Fence(build: build, file: file.path, reason: fence.reason)
                report.fenced.append(
                    FencedFile(fence: here, offers: fenced.facts(of: build)?.offers ?? []))
                return nil
            }
            build = earlier.build
            if library(of: file, build) == nil { bytes = try Files.read(earlier.copy) }
        }
        if let present = library(of: file, build) {
            return PluginCopy(path: present.copy, build: build, isLoaded: true)
        }
        let path = try PrivateFolder.keep(bytes, name: Files.name(of: file.path))
        return PluginCopy(path: path, build: build, isLoaded: false)
    }

    private func library(of file: PluginFile, _ build: UInt64) -> Library? {
        serving.libraries.first { $0.origin.file == file.path && $0.build.id == build }
    }

    private func library(_ copy: PluginCopy) -> Library? {
        copy.isLoaded ? serving.libraries.first { $0.copy == copy.path } : nil
    }

    private func take(
        _ words: [TrialWord], _ tried: [(file: PluginFile, copy: PluginCopy)],
        into report: inout TrialReport
    ) {
        for word in words {
            switch word {
            case .listing(let file, let listing):
                report.listings.append(listing)
                report.copies[listing.file] = tried[file].copy
            case .refusesFile(let file, let sentence):
                report.fileRefusals.append(Refusal(sentence))
                tried[file].copy.discard()
            case .refusesUse(let sentence):
                report.useRefusals.append(Refusal(sentence))
            case .begins, .done:
                break
            }
        }
    }

    /// Two files that offer one name: both are named. Bundled names are taken.
    private func refuseClashes(_ report: inout TrialReport) {
        var owners: [String: PluginListing] = [:]
        for listing in report.listings where !candidates.contains(listing.file) {
            for offer in listing.offers {
                let key = "\(offer.kind.rawValue) \"\(offer.name)\""
                guard let owner = owners[key] else {
                    owners[key] = listing
                    continue
                }
                let sentence =
                    owner.isBundled && !listing.isBundled
                    ? "\(listing.file) offers \(key), which comes with Trivet (\(owner.file)); "
                        + "give it another name"
                    : "\(owner.file) and \(listing.file) both offer \(key); take one away"
                report.fileRefusals.append(Refusal(sentence))
            }
        }
    }
}

extension PluginCopy {
    /// Removes it, unless a library is mapped from it.
    func discard() {
        if !isLoaded { PrivateFolder.discard(path) }
    }
}

extension TrialWord {
    fileprivate var isBeginning: Bool {
        if case .begins = self { true } else { false }
    }
}

extension TrialRemains {
    /// What became of the child, as the end of a sentence about a file.
    fileprivate func story(_ limitMs: Int) -> String {
        switch end {
        case .exited(let code): "ended the process by itself (exit status \(code))"
        case .signalled(let signal): "crashed (\(Self.name(of: signal)))"
        case .tookTooLong: "did not come to an end within \(Double(limitMs) / 1000) s"
        }
    }

    /// The same about the child itself.
    fileprivate var story: String {
        switch end {
        case .exited(let code): "ended without a word (exit status \(code))"
        case .signalled(let signal): "crashed (\(Self.name(of: signal)))"
        case .tookTooLong: "never answered"
        }
    }

    fileprivate var quote: String { lastWords.isEmpty ? "" : ": \(lastWords)" }

    private static func name(of signal: Int32) -> String {
        switch signal {
        case SIGSEGV: "SIGSEGV"
        case SIGBUS: "SIGBUS"
        case SIGILL: "SIGILL"
        case SIGTRAP: "SIGTRAP"
        case SIGABRT: "SIGABRT"
        case SIGFPE: "SIGFPE"
        case SIGKILL: "SIGKILL"
        default: "signal \(signal)"
        }
    }
}
