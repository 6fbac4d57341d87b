// Hashes and random numbers that come out the same on every machine and in every version: node ids,
// sessions and simulations rest on them. Nothing here is for secrets.

private let prime1: UInt64 = 0x9E37_79B1_85EB_CA87
private let prime2: UInt64 = 0xC2B2_AE3D_27D4_EB4F
private let prime3: UInt64 = 0x1656_67B1_9E37_79F9
private let prime4: UInt64 = 0x85EB_CA77_C2B2_AE63
private let prime5: UInt64 = 0x27D4_EB2F_1656_67C5

/// XXH64, stable for ever: the XXH64 algorithm of Yann Collet, as written down in the xxHash
/// repository (doc/xxhash_spec.md, 0.1.1). No allocation. Not proof against an adversary who picks
/// the bytes, even with a secret seed.
package func hash64(_ bytes: Span<UInt8>, seed: UInt64 = 0) -> UInt64 {
    let raw = unsafe bytes.bytes  // marked only because not every element type has no padding
    let count = raw.byteCount
    var at = 0
    var hash: UInt64
    if count >= 32 {
        var a = seed &+ prime1 &+ prime2
        var b = seed &+ prime2
        var c = seed
        var d = seed &- prime1
        while at <= count - 32 {
            a = round(a, load64(raw, at))
            b = round(b, load64(raw, at + 8))
            c = round(c, load64(raw, at + 16))
            d = round(d, load64(raw, at + 24))
            at += 32
        }
        hash = rotate(a, 1) &+ rotate(b, 7) &+ rotate(c, 12) &+ rotate(d, 18)
        hash = merge(hash, a)
        hash = merge(hash, b)
        hash = merge(hash, c)
        hash = merge(hash, d)
    } else {
        hash = seed &+ prime5
    }
    hash = hash &+ UInt64(count)
    while at <= count - 8 {
        hash = rotate(hash ^ round(0, load64(raw, at)), 27) &* prime1 &+ prime4
        at += 8
    }
    if at <= count - 4 {
        hash = rotate(hash ^ (load32(raw, at) &* prime1), 23) &* prime2 &+ prime3
        at += 4
    }
    while at < count {
        hash = rotate(hash ^ (UInt64(bytes[at]) &* prime5), 11) &* prime1
        at += 1
    }
    hash = (hash ^ (hash >> 33)) &* prime2
    hash = (hash ^ (hash >> 29)) &* prime3
    return hash ^ (hash >> 32)
}

/// The same for text, as UTF-8.
package func hash64(_ text: String, seed: UInt64 = 0) -> UInt64 {
    let bytes = Array(text.utf8)
    return hash64(bytes.span, seed: seed)
}

private func rotate(_ x: UInt64, _ by: UInt64) -> UInt64 { (x &<< by) | (x &>> (64 &- by)) }

private func round(_ lane: UInt64, _ input: UInt64) -> UInt64 {
    rotate(lane &+ (input &* prime2), 31) &* prime1
}

private func merge(_ hash: UInt64, _ lane: UInt64) -> UInt64 {
    (hash ^ round(0, lane)) &* prime1 &+ prime4
}

// The loads are bounds-checked; `unsafe` only because not every type may be loaded so.
private func load64(_ bytes: RawSpan, _ at: Int) -> UInt64 {
    UInt64(littleEndian: unsafe bytes.unsafeLoadUnaligned(fromByteOffset: at, as: UInt64.self))
}

private func load32(_ bytes: RawSpan, _ at: Int) -> UInt64 {
    let word = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: at, as: UInt32.self)
    return UInt64(UInt32(littleEndian: word))
}

/// Random numbers that repeat from their seed: SplitMix64 (Steele, Lea, Flood: "Fast Splittable
/// Pseudorandom Number Generators", OOPSLA 2014). Not for secrets: one output tells all others.
package struct SplitMix64: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
