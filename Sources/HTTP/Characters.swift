// Bytes of HTTP: which may stand where, and the few scans that every parser here is made of.
// The classes are bit masks in code, since a global table would cost an initialiser check per look.
// Nothing here knows what a field means.

let tab: UInt8 = 0x09
let lineFeed: UInt8 = 0x0A
let carriageReturn: UInt8 = 0x0D
let space: UInt8 = 0x20
let colon: UInt8 = 0x3A
let comma: UInt8 = 0x2C

/// One bit for each of the 128 ASCII characters. Bytes from 128 on are never members.
private func isMember(_ byte: UInt8, _ low: UInt64, _ high: UInt64) -> Bool {
    let word = byte & 0x40 == 0 ? low : high
    return byte < 0x80 && (word &>> UInt64(byte & 0x3F)) & 1 != 0
}

/// RFC 9110 section 5.6.2, `tchar`: ! # $ % & ' * + - . ^ _ ` | ~ digits and letters.
@inline(__always)
func isTokenCharacter(_ byte: UInt8) -> Bool {
    isMember(byte, 0x03FF_6CFA_0000_0000, 0x57FF_FFFF_C7FF_FFFE)
}

/// The first place from `start` on that is no token character; `bytes.count` when there is none.
@inline(__always)
func endOfToken(_ bytes: Span<UInt8>, _ start: Int) -> Int {
    let count = bytes.count
    var index = start
    while true {
        // Eight letters and hyphens at a time: most names are made of them (half the cost of a head).
        index = skipWords(bytes, index, count) { word in
            letters(word) | places(of: 0x2D, in: word)
        }
        guard index < count, isTokenCharacter(bytes[index]) else { return index }
        index += 1
    }
}

/// The first place from `start` on that is neither visible ASCII nor may stand in a target as such: "#"
/// begins a fragment, which is not sent (RFC 9112 section 3.2). `query`: the first "?" before it, or -1.
@inline(__always)
func endOfTarget(_ bytes: Span<UInt8>, _ start: Int, query: inout Int) -> Int {
    let count = bytes.count
    var index = start
    while true {
        index = skipWords(bytes, index, count) { word in
            let low = word & ~everyTop
            let visible = (low &+ every(0x80 - 0x21)) & ~(low &+ every(1)) & ~word
            return visible & ~(places(of: 0x23, in: word) | places(of: 0x3F, in: word))
        }
        guard index < count else { return index }
        let byte = bytes[index]
        guard byte &- 0x21 < 0x5E, byte != UInt8(ascii: "#") else { return index }
        if byte == UInt8(ascii: "?"), query < 0 { query = index }
        index += 1
    }
}

/// Skips letters, digits, hyphens and dots, of which nearly every host is made, from `start` on, eight at a
/// time and not beyond `end`: what is left is for a closer look.
@inline(__always)
func endOfName(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
    skipWords(bytes, start, end) { word in
        letters(word) | digits(word) | places(of: 0x2D, in: word) | places(of: 0x2E, in: word)
    }
}

/// From `start` on, while there are eight bytes before `end` of which all belong; then to the first of
/// eight that does not. `belong`: the top bit set of each byte that does.
@inline(__always)
private func skipWords(
    _ bytes: Span<UInt8>, _ start: Int, _ end: Int, _ belong: (UInt64) -> UInt64
) -> Int {
    let raw = unsafe bytes.bytes
    var index = start
    while index + 8 <= end {
        let word = unsafe UInt64(
            littleEndian: raw.unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self))
        let others = ~belong(word) & everyTop
        if others != 0 { return index + others.trailingZeroBitCount &>> 3 }
        index += 8
    }
    return index
}

// Eight bytes in one word, each looked at by itself: no carry leaves a byte, so every answer is exact.
// What is found has its top bit set (Warren, Hacker's Delight, section 6-1).

private func every(_ byte: UInt8) -> UInt64 { UInt64(byte) &* 0x0101_0101_0101_0101 }

private var everyTop: UInt64 { 0x8080_8080_8080_8080 }

@inline(__always)
private func letters(_ word: UInt64) -> UInt64 {
    let low = (word | every(0x20)) & ~everyTop
    return (low &+ every(0x80 - 0x61)) & ~(low &+ every(0x80 - 0x7B)) & ~word & everyTop
}

@inline(__always)
private func digits(_ word: UInt64) -> UInt64 {
    let low = word & ~everyTop
    return (low &+ every(0x80 - 0x30)) & ~(low &+ every(0x80 - 0x3A)) & ~word & everyTop
}

@inline(__always)
private func places(of byte: UInt8, in word: UInt64) -> UInt64 {
    let difference = word ^ every(byte)
    return ~((difference & ~everyTop) &+ ~everyTop | difference) & everyTop
}

/// RFC 3986 section 3.2.2: what may stand in a registered name, but for the % of an escape:
/// unreserved (letters, digits, - . _ ~) and sub-delims (! $ & ' ( ) * + , ; =).
@inline(__always)
func isNameCharacter(_ byte: UInt8) -> Bool {
    isMember(byte, 0x2BFF_7FD2_0000_0000, 0x47FF_FFFE_87FF_FFFE)
}

@inline(__always)
func isDigit(_ byte: UInt8) -> Bool {
    byte &- 0x30 < 10
}

/// The value of a hexadecimal digit, or 255.
@inline(__always)
func hexValue(_ byte: UInt8) -> UInt8 {
    if byte &- 0x30 < 10 { return byte &- 0x30 }
    let letter = (byte | 0x20) &- 0x61
    return letter < 6 ? letter + 10 : 255
}

@inline(__always)
func isBlank(_ byte: UInt8) -> Bool {
    byte == space || byte == tab
}

@inline(__always)
func lowercased(_ byte: UInt8) -> UInt8 {
    byte &- 0x41 < 26 ? byte | 0x20 : byte
}

/// Whether `text` stands at `start`, case counting. False when `bytes` ends before it.
@inline(__always)
func matches(_ bytes: Span<UInt8>, _ start: Int, _ text: StaticString) -> Bool {
    let count = text.utf8CodeUnitCount
    guard start + count <= bytes.count else { return false }
    for index in 0..<count where unsafe bytes[start + index] != text.utf8Start[index] {
        return false
    }
    return true
}

/// Whether the `text.count` bytes at `start` are `text` in any mixture of cases. `text` is in lower
/// case and has only letters, digits and hyphens. The caller has made sure that the bytes are of
/// token class, among which no other has these codes but for bit 5.
@inline(__always)
func matchesFolded(_ bytes: Span<UInt8>, _ start: Int, _ text: StaticString) -> Bool {
    let count = text.utf8CodeUnitCount
    guard start + count <= bytes.count else { return false }
    for index in 0..<count where unsafe bytes[start + index] | 0x20 != text.utf8Start[index] {
        return false
    }
    return true
}

/// Whether `bytes[start..<end]` is `text` in any mixture of cases, whatever bytes it has.
func isWord(_ bytes: Span<UInt8>, _ start: Int, _ end: Int, _ text: StaticString) -> Bool {
    guard end - start == text.utf8CodeUnitCount else { return false }
    for index in start..<end
    where unsafe lowercased(bytes[index]) != text.utf8Start[index - start] {
        return false
    }
    return true
}

/// Whether two runs of the same length are the same token in any mixture of cases.
func isSameToken(_ bytes: Span<UInt8>, _ left: Int, _ right: Int, count: Int) -> Bool {
    for index in 0..<count
    where lowercased(bytes[left + index]) != lowercased(bytes[right + index]) {
        return false
    }
    return true
}

/// The first place from `start` on that does not belong into a field value: a control character
/// but for the tab (RFC 9110 section 5.5). `bytes.count` when there is none.
func endOfValue(_ bytes: Span<UInt8>, _ start: Int) -> Int {
    let count = bytes.count
    let raw = unsafe bytes.bytes
    var index = start
    // Eight bytes at a time: values are most of a head. The lowest byte flagged is exact; a borrow
    // can only raise a false flag above a true one.
    while index + 8 <= count {
        let word = unsafe UInt64(
            littleEndian: raw.unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self))
        let low = (word &- 0x2020_2020_2020_2020) & ~word
        let other = word ^ 0x7F7F_7F7F_7F7F_7F7F
        let flags = (low | ((other &- 0x0101_0101_0101_0101) & ~other)) & 0x8080_8080_8080_8080
        if flags == 0 {
            index += 8
            continue
        }
        index += flags.trailingZeroBitCount &>> 3
        if bytes[index] != tab { return index }
        index += 1
    }
    while index < count {
        let byte = bytes[index]
        if (byte < 0x20 && byte != tab) || byte == 0x7F { return index }
        index += 1
    }
    return count
}

/// A decimal number that is all of `bytes[start..<end]` and fits in 63 bits; nil otherwise. Leading
/// zeros are allowed (the grammar is 1*DIGIT), signs and blanks are not.
func decimal(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> UInt64? {
    guard start < end else { return nil }
    var value: UInt64 = 0
    for index in start..<end {
        let digit = bytes[index] &- 0x30
        guard digit < 10, value <= (UInt64(Int64.max) - UInt64(digit)) / 10 else { return nil }
        value = value * 10 + UInt64(digit)
    }
    return value
}
