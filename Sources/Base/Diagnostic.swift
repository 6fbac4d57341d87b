// One thing that is wrong in a text a person wrote: which file, where, and a sentence. Not for
// refusals of the system or of plugins, which have no place in a text.

/// A sentence about a place in a file. The sentence is lower case, names the thing, and says what
/// was expected.
package struct Diagnostic: Error, Equatable, Sendable, CustomStringConvertible {
    /// As the operator named it.
    package var file: String
    /// Nil when the file as a whole is meant.
    package var place: Place?
    package var sentence: String

    package init(file: String, place: Place?, sentence: String) {
        self.file = file
        self.place = place
        self.sentence = sentence
    }

    /// `trivet.json5:12:17: unknown strategy "round-robbin"`
    package var description: String {
        guard let place else { return "\(file): \(sentence)" }
        return "\(file):\(place.line):\(place.column): \(sentence)"
    }
}
