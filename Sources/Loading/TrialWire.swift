// What host and trial child say to each other: fields of bytes with their length before them. The
// job goes in as a file, the answers come out over a pipe, and the last word says that the child
// came to its end by itself: an exit status of 0 alone proves nothing, since any plugin can call
// exit.

import Balance

/// Writes and reads sequences of texts.
package struct FieldWriter {
    package private(set) var bytes: [UInt8] = []

    package init() {}

    mutating func add(_ text: String) {
        let utf8 = Array(text.utf8)
        for shift in stride(from: 0, to: 32, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: utf8.count >> shift))
        }
        bytes += utf8
    }
}

struct FieldReader {
    private let bytes: [UInt8]
    private var at = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The next text; nil at the end, or where the rest is no whole field.
    mutating func next() -> String? {
        guard bytes.count - at >= 4 else { return nil }
        var length = 0
        for index in 0..<4 { length |= Int(bytes[at + index]) << (index * 8) }
        guard bytes.count - at - 4 >= length else { return nil }
        let text = String(decoding: bytes[(at + 4)..<(at + 4 + length)], as: UTF8.self)
        at += 4 + length
        return text
    }
}

/// What the child has to try: copies to load, and uses to make instances of.
package struct TrialJob: Equatable {
    package struct File: Equatable {
        /// Where its copy is.
        var copy: String
        /// How the operator knows it.
        var file: String
    }

    var files: [File]
    var uses: [PluginUse]

    package var encoded: [UInt8] {
        var writer = FieldWriter()
        writer.add(String(files.count))
        for file in files {
            writer.add(file.copy)
            writer.add(file.file)
        }
        for use in uses {
            let file = use.file ?? ""
            for text in [use.kind.rawValue, use.name, use.pool, use.options, file] {
                writer.add(text)
            }
        }
        return writer.bytes
    }

    init(files: [File], uses: [PluginUse]) {
        self.files = files
        self.uses = uses
    }

    package init?(_ bytes: [UInt8]) {
        var reader = FieldReader(bytes)
        guard let count = reader.next().flatMap({ Int($0) }), count >= 0 else { return nil }
        files = []
        uses = []
        for _ in 0..<count {
            guard let copy = reader.next(), let file = reader.next() else { return nil }
            files.append(File(copy: copy, file: file))
        }
        while let kind = reader.next() {
            guard let kind = OfferKind(rawValue: kind), let name = reader.next(),
                let pool = reader.next(), let options = reader.next(), let file = reader.next()
            else { return nil }
            uses.append(
                PluginUse(
                    kind: kind, name: name, pool: pool, options: options,
                    file: file.isEmpty ? nil : file))
        }
    }
}

/// One thing that the child says.
package enum TrialWord: Equatable {
    /// What it is about to do, with which file: what to blame if it says nothing more.
    case begins(file: Int, deed: String)
    /// A file is loaded: what it offers.
    case listing(file: Int, PluginListing)
    /// A file as a whole is refused; the sentence names it.
    case refusesFile(file: Int, String)
    /// A use is refused.
    case refusesUse(String)
    /// It came to its end.
    case done

    package func write(to writer: inout FieldWriter) {
        switch self {
        case .begins(let file, let deed):
            for text in ["begins", String(file), deed] { writer.add(text) }
        case .listing(let file, let listing):
            for text in ["listing", String(file), listing.plugin, listing.version] {
                writer.add(text)
            }
            writer.add(String(listing.offers.count))
            for offer in listing.offers { offer.write(to: &writer) }
        case .refusesFile(let file, let sentence):
            for text in ["file", String(file), sentence] { writer.add(text) }
        case .refusesUse(let sentence):
            for text in ["use", sentence] { writer.add(text) }
        case .done:
            writer.add("done")
        }
    }

    /// The words in `bytes`; what is cut off at the end is dropped.
    package static func read(_ bytes: [UInt8], files: [PluginFile]) -> [TrialWord] {
        var reader = FieldReader(bytes)
        var words: [TrialWord] = []
        while let kind = reader.next(), let word = read(kind, &reader, files) {
            words.append(word)
        }
        return words
    }

    private static func read(
        _ kind: String, _ reader: inout FieldReader, _ files: [PluginFile]
    ) -> TrialWord? {
        if kind == "done" { return .done }
        if kind == "use" { return reader.next().map { .refusesUse($0) } }
        guard let file = reader.next().flatMap({ Int($0) }), files.indices.contains(file),
            let text = reader.next()
        else { return nil }
        switch kind {
        case "begins": return .begins(file: file, deed: text)
        case "file": return .refusesFile(file: file, text)
        case "listing":
            guard let version = reader.next(), let count = reader.next().flatMap({ Int($0) })
            else { return nil }
            var listing = PluginListing(
                file: files[file].path, isBundled: files[file].isBundled, plugin: text,
                version: version, offers: [])
            for _ in 0..<max(0, count) {
                guard let offer = PluginOffer(&reader) else { return nil }
                listing.offers.append(offer)
            }
            return .listing(file: file, listing)
        default: return nil
        }
    }
}
