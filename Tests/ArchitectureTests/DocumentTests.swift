// What documents say of the code holds: a table that names tests names tests that there are.

import Testing

@Suite struct DocumentTests {
    /// The last cells of a document's tables, without those of headings.
    private static func cells(of document: String) -> [Substring] {
        document.split(separator: "\n").filter { $0.hasPrefix("| ") }
            .compactMap { $0.split(separator: "|").last }
            .filter { $0 != " tests " && $0 != " --- " }
    }

    /// The suites and tests that cells name: a suite by its word, each of its tests by a word in
    /// backticks behind it.
    private static func named(in cells: [Substring]) -> [(suite: String, test: String?)] {
        var found: [(suite: String, test: String?)] = []
        for cell in cells {
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
        let cells = Self.cells(of: try SourceTree.text(of: "Sources/HTTP/README.md"))
        for cell in cells { #expect(cell.contains("Tests"), "\(cell): a rule that nothing tests") }
        let named = Self.named(in: cells)
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
