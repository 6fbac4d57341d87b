// "Did you mean": the known name that a mistyped one is closest to. For sentences to people only.

/// The one of `known` that `word` was most likely meant to be; nil if none is close. Case does not
/// count, and `_` is `-`. Otherwise as many slips (a letter too much, missing, wrong, or two swapped)
/// are forgiven as a third of the word, but at least one and at most three. The first of equals wins.
package func nearest(_ word: String, in known: [String]) -> String? {
    let typed = folded(word)
    // No name in use is longer, and the cost grows with the square.
    guard !typed.isEmpty, typed.count <= 64 else { return nil }
    var best: String?
    var least = Int.max
    for name in known {
        let candidate = folded(name)
        let allowed = max(1, min(3, max(typed.count, candidate.count) / 3))
        guard abs(candidate.count - typed.count) <= allowed else { continue }
        let slips = distance(typed, candidate)
        // A word of which nothing remains is no typo.
        guard slips <= allowed, slips < max(typed.count, candidate.count), slips < least else {
            continue
        }
        best = name
        least = slips
    }
    return best
}

private func folded(_ word: String) -> [UInt8] {
    word.utf8.map { byte in
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): byte | 0x20
        case UInt8(ascii: "_"): UInt8(ascii: "-")
        default: byte
        }
    }
}

/// Optimal string alignment: the edit distance of Levenshtein with swaps of neighbours.
private func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var beforeLast: [Int] = []
    var last = Array(0...b.count)
    for i in 0..<a.count {
        var row = [i + 1]
        for j in 0..<b.count {
            var slips = min(last[j] + (a[i] == b[j] ? 0 : 1), last[j + 1] + 1, row[j] + 1)
            if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
                slips = min(slips, beforeLast[j - 1] + 1)
            }
            row.append(slips)
        }
        beforeLast = last
        last = row
    }
    return last[b.count]
}
