// From files to a catalogue: read, look, copy, try in a child, and only then load here. All or
// nothing: what is refused leaves nothing behind but a sentence.

import Balance
import Glibc

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

    /// Looks at every file, and tries those that pass in one child, but for what the trial before has
    /// found already. A file that ends the child is refused, and the others are tried again without
    /// it. Throws only if no trial can be made at all.
    package func trial(uses: [PluginUse]) throws(Refusal) -> TrialReport {
        var report = TrialReport()
        try attempt(files, uses, &report)
        return report
    }

    /// The same without the bundled files whose names are not in use, unless another file claims such
    /// a name. If a use is not found, or its options are not, `complete` it before that is said.
    package func leanTrial(uses: [PluginUse]) throws(Refusal) -> TrialReport {
        var report = TrialReport()
        let names = Set(uses.map { Substring($0.name) })
        report.spared = files.filter { file in
            file.bundledName.map { !names.contains($0) } ?? false
        }
        let spared = Set(report.spared.compactMap(\.bundledName))
        try attempt(files.filter { !report.spared.contains($0) }, uses, &report)
        let offered = report.listings.filter { !$0.isBundled }.flatMap(\.offers).map(\.name)
        if offered.contains(where: { spared.contains(Substring($0)) }) {
            try complete(&report, uses: uses)
        }
        return report
    }

    /// Looks at what a lean trial has left out.
    package func complete(_ report: inout TrialReport, uses: [PluginUse]) throws(Refusal) {
        let rest = report.spared
        report.spared = []
        if !rest.isEmpty { try attempt(rest, uses, &report) }
    }

    private func attempt(
        _ files: [PluginFile], _ uses: [PluginUse], _ report: inout TrialReport
    ) throws(Refusal) {
        var left: [(file: PluginFile, copy: PluginCopy)] = []
        for file in files {
            do throws(Refusal) {
                switch try look(at: file, uses, &report) {
                case .fenced(let fenced): report.fenced.append(fenced)
                case .known(let listing, let build, let copy):
                    report.listings.append(listing)
                    report.builds[file.path] = build
                    report.copies[file.path] = copy
                case .toTry(let copy): left.append((file, copy))
                }
            } catch {
                report.refused.append(error)
            }
        }
        while !left.isEmpty {
            let job = TrialJob(
                files: left.map { TrialJob.File(copy: $0.copy.path, file: $0.file.path) },
                uses: uses)
            let remains = try TrialChild.run(
                job.encoded, program: trialProgram, limitMs: limitMs)
            let words = TrialWord.read(remains.answers, files: left.map(\.file))
            if words.last == .done {
                take(words, left, into: &report)
                break
            }
            guard case .begins(let guilty, let deed) = words.last(where: \.isBeginning) else {
                throw Refusal(
                    "\(trialProgram) was started for a plugin trial and \(remains.story)")
            }
            report.refused.append(
                Refusal(
                    "\(left[guilty].file.path) \(remains.story(limitMs)) \(deed)\(remains.quote)"))
            left[guilty].copy.discard()
            left.remove(at: guilty)
        }
        // In the order of files, whoever was tried and whoever was known.
        let places = self.files.enumerated().reduce(into: [String: Int]()) { places, file in
            places[file.element.path] = file.offset
        }
        report.listings.sort { (places[$0.file] ?? 0) < (places[$1.file] ?? 0) }
        refuseClashes(&report)
    }

    /// Loads the files that offer something in use, once for each report: copies of the others go.
    /// `report` must be good; a use that nothing offers is left out, and is the configuration's to
    /// judge.
    package func load(_ report: TrialReport, uses: [PluginUse]) throws(Refusal) -> Catalogue {
        var libraries: [Library] = []
        for listing in report.listings {
            let isUsed = listing.offers(anyOf: uses, candidates)
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
        let memory = TrialMemory(
            contents: report.contents, listings: report.listings, builds: report.builds, uses: uses)
        return try Catalogue(
            libraries: libraries, fenced: report.fenced, candidates: candidates, memory: memory)
    }

    /// Loads a build that has served before, from its copy: it has been tried, and has served.
    package func load(earlier facts: BuildFacts) throws(Refusal) -> Library {
        try Library.load(
            path: facts.copy, file: facts.file,
            content: .init(build: facts.build, generation: generation, workers: workers))
    }

    /// What served in a process that died, from its copies, but for what is fenced by now. The files
    /// themselves may be anything meanwhile: nobody has asked for them to be taken.
    package func restore(_ record: PluginRecord) throws(Refusal) -> Catalogue {
        var libraries: [Library] = []
        var left: [FencedFile] = []
        for facts in record.serving {
            guard let fence = record.list.fence(of: facts.build) else {
                libraries.append(try load(earlier: facts))
                continue
            }
            // What stands in for a canary is the incumbent, not an earlier canary.
            if !candidates.contains(facts.file), let earlier = record.list.earlier(of: facts.file) {
                libraries.append(try load(earlier: earlier))
            } else {
                let here = Fence(build: facts.build, file: facts.file, reason: fence.reason)
                left.append(FencedFile(fence: here, offers: facts.offers))
            }
        }
        // What was fenced earlier, and has no stand-in, serves no more: its names stay known.
        for fence in record.list.fences
        where !record.serving.contains(where: { $0.file == fence.file }) {
            let offers = record.list.facts(of: fence.build)?.offers ?? []
            left.append(FencedFile(fence: fence, offers: offers))
        }
        return try Catalogue(libraries: libraries, fenced: left, candidates: candidates)
    }

    /// Drops what was copied for a trial that comes to nothing.
    package func discard(_ report: TrialReport) {
        for copy in report.copies.values { copy.discard() }
    }

    /// What a look at a file comes to.
    private enum Look {
        /// Nothing of it may be loaded.
        case fenced(FencedFile)
        /// It has been tried before. The copy is there if there is a use for it.
        case known(PluginListing, build: UInt64, PluginCopy?)
        case toTry(PluginCopy)
    }

    private func look(
        at file: PluginFile, _ uses: [PluginUse], _ report: inout TrialReport
    ) throws(Refusal) -> Look {
        let memory = serving.memory
        if let content = memory.content(of: file.path) {
            report.contents[file.path] = content
            switch choice(of: file, content.build) {
            case .nothing(let fenced): return .fenced(fenced)
            case .build(let build, _):
                guard let listing = memory.listing(of: build, as: file, for: uses) else { break }
                if let present = present(file, build) {
                    return .known(listing, build: build, present)
                }
                if !listing.offers(anyOf: uses, candidates) {
                    return .known(listing, build: build, nil)
                }
            }
        }
        var (bytes, stamp) = try Files.readStamped(file.path)
        do throws(Refusal) {
            try ELF.inspect(bytes)
        } catch {
            throw Refusal("\(file.path) \(error.sentence)")
        }
        let own = buildNumber(of: bytes)
        report.contents[file.path] = stamp.map { TrialMemory.Content(stamp: $0, build: own) }
        switch choice(of: file, own) {
        case .nothing(let fenced): return .fenced(fenced)
        case .build(let build, let earlier):
            let listing = memory.listing(of: build, as: file, for: uses)
            if let listing, !listing.offers(anyOf: uses, candidates) {
                return .known(listing, build: build, nil)
            }
            let copy: PluginCopy
            if let present = present(file, build) {
                copy = present
            } else {
                if let earlier { bytes = try Files.read(earlier) }
                let path = try PrivateFolder.keep(bytes, name: Files.name(of: file.path))
                copy = PluginCopy(path: path, build: build, isLoaded: false)
            }
            return listing.map { .known($0, build: build, copy) } ?? .toTry(copy)
        }
    }

    /// What is to serve of a file.
    private enum Choice {
        /// This build; `earlier`: where a copy of it is, if the file holds another one by now.
        case build(UInt64, earlier: String?)
        case nothing(FencedFile)
    }

    /// What the file holds; of a fenced build, that before it.
    private func choice(of file: PluginFile, _ build: UInt64) -> Choice {
        guard let fence = fenced.fence(of: build) else { return .build(build, earlier: nil) }
        // What stands in for a canary is the incumbent, not an earlier canary.
        guard !candidates.contains(file.path), let earlier = fenced.earlier(of: file.path) else {
            let here = Fence(build: build, file: file.path, reason: fence.reason)
            let offers = fenced.facts(of: build)?.offers ?? []
            return .nothing(FencedFile(fence: here, offers: offers))
        }
        return .build(earlier.build, earlier: earlier.copy)
    }

    /// The copy from which a library that serves was loaded, if it is of this build.
    private func present(_ file: PluginFile, _ build: UInt64) -> PluginCopy? {
        library(of: file, build).map { PluginCopy(path: $0.copy, build: build, isLoaded: true) }
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
                report.builds[listing.file] = tried[file].copy.build
                report.copies[listing.file] = tried[file].copy
            case .refusesFile(let file, let sentence):
                report.refused.append(Refusal(sentence))
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
        report.clashes = []
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
                report.clashes.append(Refusal(sentence))
            }
        }
    }
}

extension TrialWord {
    fileprivate var isBeginning: Bool {
        if case .begins = self { true } else { false }
    }
}

extension TrialRemains {
    /// What became of the child, as the end of a sentence about a file.
    func story(_ limitMs: Int) -> String {
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

    var quote: String { lastWords.isEmpty ? "" : ": \(lastWords)" }

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
