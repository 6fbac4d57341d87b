// The tree as plugins get it: strict JSON, to the letter.

import Testing

@testable import Base

@Suite struct JSONNodeTests {
    private func node(_ kind: JSONNode.Kind) -> JSONNode {
        JSONNode(kind, at: Place(line: 1, column: 1))
    }

    @Test(arguments: [
        (0.0, "0"), (-0.0, "0"), (3.0, "3"), (-17.0, "-17"), (0.1, "0.1"), (1e20, "1e+20"),
        (9_007_199_254_740_992, "9007199254740992"), (.infinity, "null"), (.nan, "null"),
    ])
    func `whole numbers have no fraction`(number: Double, text: String) {
        #expect(node(.number(number)).encoded() == text)
    }

    @Test func `text is escaped where JSON wants it`() {
        #expect(
            node(.string("a\"b\\c\n\r\t\u{0}\u{1F}é/")).encoded()
                == #""a\"b\\c\n\r\t\u0000\u001fé/""#)
    }

    @Test func `members are looked up by name, in objects only`() {
        let place = Place(line: 1, column: 1)
        let object = node(.object([.init(key: "a", keyPlace: place, value: node(.bool(true)))]))
        #expect(object["a"] == node(.bool(true)))
        #expect(object["b"] == nil)
        #expect(node(.array([object]))["a"] == nil)
        #expect(node(.array([object, node(.null)])).encoded() == #"[{"a":true},null]"#)
        #expect(object.kindName == "an object")
    }
}
