// Where a mistake is, as editors and terminals understand it.

import Testing

@testable import Base

@Suite struct DiagnosticTests {
    @Test func `a diagnostic reads file, line, column, sentence`() {
        let place = Place(line: 12, column: 17)
        #expect(
            Diagnostic(file: "trivet.json5", place: place, sentence: "no such pool").description
                == "trivet.json5:12:17: no such pool")
        #expect(
            Diagnostic(file: "trivet.json5", place: nil, sentence: "is not there").description
                == "trivet.json5: is not there")
    }
}
