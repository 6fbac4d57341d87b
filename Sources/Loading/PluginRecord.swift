// What a balancer tells its supervisor about its plugins, and gets back from it after a crash: builds,
// fences, and where copies lie. Written as fields of bytes, like the words of a trial.

import Balance

/// All that outlives a balancer of its plugins.
package struct PluginRecord: Equatable, Sendable {
    package var list = FenceList()
    /// What is loaded now.
    package var serving: [BuildFacts] = []

    package init(list: FenceList = FenceList(), serving: [BuildFacts] = []) {
        self.list = list
        self.serving = serving
    }

    /// A build is fenced from now on. What it offered is kept, so that its names stay known.
    package mutating func fence(_ build: UInt64, reason: String) {
        guard list.fence(of: build) == nil else { return }
        let facts = serving.first { $0.build == build } ?? list.facts(of: build)
        list.fences.append(Fence(build: build, file: facts?.file ?? "", reason: reason))
        if let facts, list.facts(of: build) == nil { list.earlier.append(facts) }
    }

    /// What people call a build.
    package func label(of build: UInt64) -> String {
        (serving.first { $0.build == build } ?? list.facts(of: build))?.label
            ?? "a plugin (build \(Build.text(of: build)))"
    }

    /// Copies that are still needed when the process that made them is gone.
    package var copies: Set<String> { Set((list.earlier + serving).map(\.copy)) }

    package var encoded: [UInt8] {
        var writer = FieldWriter()
        writer.add(String(list.fences.count))
        for fence in list.fences {
            for text in [String(fence.build), fence.file, fence.reason] { writer.add(text) }
        }
        for facts in [list.earlier, serving] {
            writer.add(String(facts.count))
            for build in facts { build.write(to: &writer) }
        }
        return writer.bytes
    }

    /// Nil if that is no record.
    package init?(_ bytes: [UInt8]) {
        var reader = FieldReader(bytes)
        guard let fences = reader.count() else { return nil }
        for _ in 0..<fences {
            guard let build = reader.next().flatMap({ UInt64($0) }), let file = reader.next(),
                let reason = reader.next()
            else { return nil }
            list.fences.append(Fence(build: build, file: file, reason: reason))
        }
        guard let earlier = BuildFacts.readAll(&reader), let serving = BuildFacts.readAll(&reader)
        else { return nil }
        list.earlier = earlier
        self.serving = serving
    }
}

extension FieldReader {
    /// How many of something follow.
    mutating func count() -> Int? {
        next().flatMap { Int($0) }.flatMap { $0 >= 0 && $0 <= 1 << 20 ? $0 : nil }
    }
}

extension BuildFacts {
    fileprivate func write(to writer: inout FieldWriter) {
        for text in [String(build), file, label, copy, String(offers.count)] { writer.add(text) }
        for offer in offers { offer.write(to: &writer) }
    }

    fileprivate static func readAll(_ reader: inout FieldReader) -> [BuildFacts]? {
        guard let count = reader.count() else { return nil }
        var all: [BuildFacts] = []
        for _ in 0..<count {
            guard let build = reader.next().flatMap({ UInt64($0) }), let file = reader.next(),
                let label = reader.next(), let copy = reader.next(), let offers = reader.count()
            else { return nil }
            var facts = BuildFacts(build: build, file: file, label: label, copy: copy, offers: [])
            for _ in 0..<offers {
                guard let offer = PluginOffer(&reader) else { return nil }
                facts.offers.append(offer)
            }
            all.append(facts)
        }
        return all
    }
}

extension PluginOffer {
    func write(to writer: inout FieldWriter) {
        for text in [kind.rawValue, name, summary] { writer.add(text) }
        writer.add(String(options.count))
        for option in options {
            writer.add(option.name)
            writer.add(option.summary)
        }
    }

    init?(_ reader: inout FieldReader) {
        guard let kind = reader.next().flatMap({ OfferKind(rawValue: $0) }),
            let name = reader.next(), let summary = reader.next(), let options = reader.count()
        else { return nil }
        self.init(kind: kind, name: name, summary: summary, options: [])
        for _ in 0..<options {
            guard let name = reader.next(), let summary = reader.next() else { return nil }
            self.options.append(PluginOption(name: name, summary: summary))
        }
    }
}
