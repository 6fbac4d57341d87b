// What documents say of the code holds: a table that names tests names tests that there are.

import Testing

@Suite struct DocumentTests {
    /// The suites and tests that the last cells of a document's tables name: a suite by its word, each of
    /// its tests by a word in backticks behind it.
    private static func named(in document: String) -> [(suite: String, test: String?)] {
        var found: [(suite: String, test: String?)] = []
        for row in document.split(separator: "\n") where row.hasPrefix("| ") {
            guard let cell = row.split(separator: "|").last else { continue }
            var suite: String?
            for word in cell.split(whereSeparator: { $0 == " " || $0 == "," }) {
                if word.hasSuffix("Tests") {
                    suite = String(word)
                    found.append((String(word), nil))
                } else if word.hasPrefix("`"), word.hasSuffix("`"), let suite {
                    found.append((suite, String(word.dropFirst().dropLast())))
                }
            }
        }
        return found
    }

    @Test("Each rule of HTTP that is claimed has the test it names")
    func rules() throws {
        let files = try SourceTree.files(in: "Tests", ending: "Tests.swift")
        let named = Self.named(in: try SourceTree.text(of: "Sources/HTTP/README.md"))
        #expect(named.count > 60)
        for (suite, test) in named {
            guard let file = files.first(where: { $0.hasSuffix("/\(suite).swift") }) else {
                Issue.record("there is no \(suite)")
                continue
            }
            guard let test else { continue }
            let text = try SourceTree.text(of: file)
            #expect(text.contains("func \(test)("), "\(suite) has no \(test)")
        }
    }
}
