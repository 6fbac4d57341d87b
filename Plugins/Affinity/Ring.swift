// The ring of consistent hashing, laid out as nginx does for `hash $key consistent`
// (ngx_http_upstream_hash_module, compatible with Cache::Memcached::Fast). What is taken from it,
// and what happens when a node cannot take a request, is the strategies' matter.

import TrivetPlugin

/// Points on a circle of 32 bits, each owned by a node. Made once, never changed; 8 bytes a point.
///
/// A node's points depend on its address and weight only: a node that comes or goes moves none of the
/// others'. Point n of a node is CRC-32(host, 0, port, point n-1), with the point before the first 0.
package struct Ring {
    /// More points than this are scaled down, so that a table stays at 16 MiB a worker and is made
    /// in a tenth of a second: 10,000 nodes of weight 1 have 1.6 million, and take 80 ms.
    package static let mostPoints = 1 << 21

    /// So many points are walked in search of a node that takes a request. Every one of them being
    /// in vain while half the nodes are ready has a chance of 2^-512.
    package static let longestWalk = 512

    private let places: [UInt32]  // ascending, none twice
    private let owners: [UInt32]  // offset of the node that owns the place at the same index

    /// Lays out the ring. O(points). [control]
    /// - Parameter pointsPerWeight: how many points a node has for each unit of its weight.
    package init(_ pool: Pool, pointsPerWeight: Int) {
        let weights = pool.tableWeights
        let wished = weights.reduce(0) { $0 + Int($1) * pointsPerWeight }
        var points: [UInt64] = []  // place in the upper half, owner in the lower
        points.reserveCapacity(min(wished, Self.mostPoints) + weights.count)
        var starts: Set<UInt32> = []
        for (offset, weight) in weights.enumerated() where weight > 0 {
            let node = pool[pool.index(offset)]
            var start = Self.start(node)
            if !starts.insert(start.value).inserted {
                // A second node with this address: its points must not all coincide with the first's.
                start.add(UInt32(truncatingIfNeeded: node.id))
                start.add(UInt32(truncatingIfNeeded: node.id >> 32))
            }
            var count = Int(weight) * pointsPerWeight
            if wished > Self.mostPoints {
                count = max(1, Int(Double(count) * Double(Self.mostPoints) / Double(wished)))
            }
            var place: UInt32 = 0
            for _ in 0..<count {
                var next = start
                next.add(place)
                place = next.value
                points.append(UInt64(place) << 32 | UInt64(offset))
            }
        }
        sortByPlace(&points)
        var places: [UInt32] = []
        var owners: [UInt32] = []
        places.reserveCapacity(points.count)
        owners.reserveCapacity(points.count)
        for point in points {
            let place = UInt32(point >> 32)
            if place == places.last { continue }  // the node that is first in the pool has it
            places.append(place)
            owners.append(UInt32(truncatingIfNeeded: point))
        }
        self.places = places
        self.owners = owners
    }

    /// How many points there are.
    package var count: Int { places.count }

    /// How many points a search may look at.
    package var walk: Int { min(count, Self.longestWalk) }

    /// The point that a key belongs to: the first at or after the key's upper 32 bits. 0 if there
    /// is none. O(log points).
    package func point(of key: UInt64) -> Int {
        let place = UInt32(key >> 32)
        var low = 0
        var high = places.count
        while low < high {
            let middle = (low + high) / 2
            if places[middle] < place { low = middle + 1 } else { high = middle }
        }
        return low == places.count ? 0 : low
    }

    /// The point after this one, round the circle.
    package func next(_ point: Int) -> Int { point + 1 == places.count ? 0 : point + 1 }

    /// Offset of the node that owns a point, as of when the ring was made.
    package func owner(_ point: Int) -> Int { Int(owners[point]) }

    /// What every point of a node begins with: host, a zero byte, and the port if there is one.
    private static func start(_ node: Node) -> CRC32 {
        let address = node.address
        var host = 0..<address.count
        var port = 0..<0
        if address.count >= 5, address.extracting(0..<5).equals("unix:") {
            host = 5..<address.count
        } else {
            var colon = address.count - 1
            while colon >= 0, address[colon] >= 0x30 && address[colon] <= 0x39 { colon -= 1 }
            if colon >= 0, address[colon] == UInt8(ascii: ":") {
                host = 0..<colon
                port = (colon + 1)..<address.count
            }
        }
        var start = CRC32()
        start.add(address.extracting(host))
        start.add(UInt8(0))
        start.add(address.extracting(port))
        return start
    }
}

/// Sorts by the upper 32 bits and keeps the order of equals: radix sort, a byte at a time from the
/// lowest. O(points).
private func sortByPlace(_ points: inout [UInt64]) {
    var sorted = [UInt64](repeating: 0, count: points.count)
    for shift in stride(from: UInt64(32), to: 64, by: 8) {
        var starts = [Int](repeating: 0, count: 257)
        for point in points { starts[Int((point >> shift) & 0xFF) + 1] += 1 }
        for digit in 1...256 { starts[digit] += starts[digit - 1] }
        for point in points {
            let digit = Int((point >> shift) & 0xFF)
            sorted[starts[digit]] = point
            starts[digit] += 1
        }
        swap(&points, &sorted)
    }
}
