// Which pool serves a request: the first route of its listener whose host and path fit, else the
// listener's own pool. Runs for every request, on bytes. Paths are compared as HTTP/RoutePath.swift
// reads them, and forwarded as they were sent.

import Base
import HTTP
import Net

/// A listener's routes, ready to be asked.
struct RouteTable: Sendable {
    private struct Entry {
        /// In lower case; empty: any. With `anyLabel`, what follows the star of "*.example.com".
        var host: [UInt8]
        var anyLabel: Bool
        /// Both readings of the path or the prefix; empty: any.
        var plain: [UInt8]
        var generous: [UInt8]
        var isPrefix: Bool
        /// Nil: nobody's any more.
        var pool: Int?
    }

    private var entries: [Entry] = []
    private var otherwise: Int?
    /// Whether any route has a path.
    private var looksAtPaths = false

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
        looksAtPaths = looksAtPaths || !prefix.isEmpty
        entries.append(
            Entry(
                host: name, anyLabel: anyLabel, plain: Self.read(prefix, .plain, isPrefix),
                generous: Self.read(prefix, .generous, isPrefix), isPrefix: isPrefix, pool: pool))
    }

    /// A route's own path as requests' are read. A prefix may end amid a segment: "/a/.*" does not mean
    /// the segment ".".
    private static func read(
        _ path: [UInt8], _ reading: RoutePath.Reading, _ isPrefix: Bool
    ) -> [UInt8] {
        if path.isEmpty { return path }
        let stub = isPrefix ? path + [0x78] : path
        var isSound = false
        let result = [UInt8](capacity: stub.count) {
            isSound = RoutePath.write(stub.span, as: reading, to: &$0)
        }
        return isSound ? Array(result.dropLast(isPrefix ? 1 : 0)) : path
    }

    /// All goes to one pool, or nowhere.
    var isEmpty: Bool { entries.isEmpty }

    /// Routes to other pools than these lead nowhere from now on.
    mutating func keep(pools: Set<Int>) {
        if let pool = otherwise, !pools.contains(pool) { otherwise = nil }
        for i in entries.indices {
            if let pool = entries[i].pool, !pools.contains(pool) { entries[i].pool = nil }
        }
    }

    /// `host` may carry a port, which does not count, nor does the dot at the end of a full name. `first`
    /// and `second` are lent for the two readings of the path: empty before and after.
    func pool(
        host: Span<UInt8>, path: Span<UInt8>, _ first: inout Buffer, _ second: inout Buffer
    ) -> Int? {
        if entries.isEmpty { return otherwise }
        // "GET http://host HTTP/1.1" asks for the root (RFC 9112 section 3.2.2).
        let isRoot = path.isEmpty
        if !looksAtPaths || !isRoot && RoutePath.isNormal(path) {
            return pool(host, path, path, isSound: true)
        }
        if isRoot {
            _ = first.append(Self.root.span)
            _ = second.append(Self.root.span)
        }
        let isSound =
            isRoot
            || first.write { RoutePath.write(path, as: .plain, to: &$0) }
                && second.write { RoutePath.write(path, as: .generous, to: &$0) }
        let result = pool(host, first.bytes, second.bytes, isSound: isSound)
        first.clear()
        second.clear()
        return result
    }

    private static let root: [1 of UInt8] = [0x2F]

    private func pool(
        _ host: Span<UInt8>, _ plain: Span<UInt8>, _ generous: Span<UInt8>, isSound: Bool
    ) -> Int? {
        let name = bareName(host)
        for i in entries.indices where fitsHost(entries[i], name) {
            if entries[i].plain.isEmpty && entries[i].isPrefix { return entries[i].pool }
            if isSound && fitsPath(entries[i], plain, generous) { return entries[i].pool }
        }
        return otherwise
    }

    @_lifetime(copy host)
    private func bareName(_ host: Span<UInt8>) -> Span<UInt8> {
        var end = host.count
        var i = end - 1
        while i >= 0 && host[i] >= 0x30 && host[i] <= 0x39 { i -= 1 }
        // A colon inside an IPv6 literal stands before a bracket, never before the end alone.
        if i >= 0 && host[i] == UInt8(ascii: ":") { end = i }
        if end > 1 && host[end - 1] == UInt8(ascii: ".") { end -= 1 }
        return host.extracting(0..<end)
    }

    private func fitsHost(_ entry: borrowing Entry, _ name: Span<UInt8>) -> Bool {
        let wanted = entry.host.span
        if wanted.isEmpty { return true }
        let skipped = name.count - wanted.count
        guard entry.anyLabel ? skipped > 0 : skipped == 0 else { return false }
        for i in 0..<wanted.count where wanted[i] != lower(name[skipped + i]) { return false }
        return true
    }

    private func fitsPath(
        _ entry: borrowing Entry, _ plain: Span<UInt8>, _ generous: Span<UInt8>
    ) -> Bool {
        fits(entry.plain.span, plain, isPrefix: entry.isPrefix)
            && fits(entry.generous.span, generous, isPrefix: entry.isPrefix)
    }

    private func fits(_ wanted: Span<UInt8>, _ path: Span<UInt8>, isPrefix: Bool) -> Bool {
        guard isPrefix ? path.count >= wanted.count : path.count == wanted.count else {
            return false
        }
        for i in 0..<wanted.count where wanted[i] != path[i] { return false }
        return true
    }

    private func lower(_ byte: UInt8) -> UInt8 {
        byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte
    }
}
