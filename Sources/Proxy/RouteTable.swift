// Which pool serves a request: the first route of its listener whose host and path fit, else the
// listener's own pool. Runs for every request, on bytes. Paths are compared as they were sent.

import Base

/// A listener's routes, ready to be asked.
struct RouteTable: Sendable {
    private struct Entry {
        /// In lower case; empty: any. With `anyLabel`, what follows the star of "*.example.com".
        var host: [UInt8]
        var anyLabel: Bool
        var path: [UInt8]
        var isPrefix: Bool
        /// Nil: nobody's any more.
        var pool: Int?
    }

    private var entries: [Entry] = []
    private var otherwise: Int?

    /// `otherwise`: the pool of requests that no route takes, or nil.
    init(otherwise: Int?) { self.otherwise = otherwise }

    /// `host`: exact or "*.example.com"; `path`: exact, or a prefix with a star at its end.
    mutating func add(host: String?, path: String?, pool: Int) {
        var name = Array((host ?? "").lowercased().utf8)
        let anyLabel = name.starts(with: "*.".utf8)
        if anyLabel { name.removeFirst() }
        var prefix = Array((path ?? "*").utf8)
        let isPrefix = prefix.last == UInt8(ascii: "*")
        if isPrefix { prefix.removeLast() }
        entries.append(
            Entry(host: name, anyLabel: anyLabel, path: prefix, isPrefix: isPrefix, pool: pool))
    }

    /// Routes to other pools than these lead nowhere from now on.
    mutating func keep(pools: Set<Int>) {
        if let pool = otherwise, !pools.contains(pool) { otherwise = nil }
        for i in entries.indices {
            if let pool = entries[i].pool, !pools.contains(pool) { entries[i].pool = nil }
        }
    }

    /// `host` may carry a port, which does not count.
    func pool(host: Span<UInt8>, path: Span<UInt8>) -> Int? {
        if entries.isEmpty { return otherwise }
        let name = withoutPort(host)
        for i in entries.indices {
            if fitsHost(entries[i], name) && fitsPath(entries[i], path) { return entries[i].pool }
        }
        return otherwise
    }

    @_lifetime(copy host)
    private func withoutPort(_ host: Span<UInt8>) -> Span<UInt8> {
        var i = host.count - 1
        while i >= 0 && host[i] >= 0x30 && host[i] <= 0x39 { i -= 1 }
        // A colon inside an IPv6 literal stands before a bracket, never before the end alone.
        return i >= 0 && host[i] == UInt8(ascii: ":") ? host.extracting(0..<i) : host
    }

    private func fitsHost(_ entry: borrowing Entry, _ name: Span<UInt8>) -> Bool {
        let wanted = entry.host.span
        if wanted.isEmpty { return true }
        let skipped = name.count - wanted.count
        guard entry.anyLabel ? skipped > 0 : skipped == 0 else { return false }
        for i in 0..<wanted.count where wanted[i] != lower(name[skipped + i]) { return false }
        return true
    }

    private func fitsPath(_ entry: borrowing Entry, _ path: Span<UInt8>) -> Bool {
        let wanted = entry.path.span
        // "GET http://host HTTP/1.1" asks for the root (RFC 9112 section 3.2.2).
        if path.isEmpty { return wanted.isEmpty || wanted.count == 1 && wanted[0] == 0x2F }
        guard entry.isPrefix ? path.count >= wanted.count : path.count == wanted.count else {
            return false
        }
        for i in 0..<wanted.count where wanted[i] != path[i] { return false }
        return true
    }

    private func lower(_ byte: UInt8) -> UInt8 {
        byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte
    }
}
