// The key that hash strategies hash: 64 bits that stay the same for a client, on every worker and
// after every restart. Not secret, and not proof against someone who picks addresses.

import TrivetPlugin

/// Spreads a number over all 64 bits: the last steps of SplitMix64 (Steele, Lea, Flood: "Fast
/// Splittable Pseudorandom Number Generators", OOPSLA 2014). One to one.
package func mix(_ number: UInt64) -> UInt64 {
    var z = number
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
}

/// FNV-1a (draft-eastlake-fnv), 64 bits, started from `seed`, with `mix` at the end. For addresses
/// and other short text.
package func fingerprint(_ bytes: Span<UInt8>, seed: UInt64) -> UInt64 {
    var hash = 0xCBF2_9CE4_8422_2325 ^ seed
    var index = 0
    while index < bytes.count {
        hash = (hash ^ UInt64(bytes[index])) &* 0x0000_0100_0000_01B3
        index += 1
    }
    return mix(hash)
}

extension Request {
    /// The hash of what the pool's `hash` setting names; where nothing is set, or this request has
    /// none of it, of the client's address, seeded with the pool's seed. [worker]
    package func key(_ pool: Pool) -> UInt64 {
        hash != 0 ? hash : fingerprint(client, seed: pool.seed)
    }
}
