// Host names to addresses, on a thread of its own, since getaddrinfo(3) blocks for as long as name
// servers like. Asks again and again, and tells what it found; who connects where is not its matter.
// IP addresses and paths never come here.

import Base
import CLinux
import Glibc
import Synchronization

/// Why a name has no addresses: the resolver's own words, "name or service not known".
package struct Unresolved: Error, Equatable, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// Looks up names at `start`, and again for as long as it lives. Names of one host share a look-up.
/// Look-ups are made one after the other: a name server that is silent delays the others of a round.
package final class Resolver: Sendable {
    /// Who is told: the index of the name, and its addresses (never none, without duplicates, in
    /// the order to try them) or why there are none. Called on the resolver's thread, after the
    /// first look-up of each name, whenever the addresses differ from those before, and after each
    /// failure. Never after `stop` has returned.
    package typealias Found = @Sendable (Int, Result<[SocketAddress], Unresolved>) -> Void

    // Failed names are asked for again after 1 s, 2 s, 4 s ... up to the period.
    private static let firstPause: UInt64 = 1_000_000_000

    private let hosts: [Host]
    private let period: UInt64
    private let lookup: @Sendable (String) -> Result<[SocketAddress], Unresolved>
    private let found: Found
    private let wakeup: Wakeup
    private let state = Guarded(State())

    private struct Host: Sendable {
        let name: String
        /// Indices of the names given, with their ports.
        var uses: [(index: Int, port: UInt16)]
    }

    private struct State: Sendable {
        var thread: Thread?
        var isStopped = false
        /// Inside getaddrinfo, which nothing can end.
        var isLookingUp = false
    }

    /// - Parameters:
    ///   - names: hosts and ports; the index in this list is what `found` is told.
    ///   - period: nanoseconds from one look-up to the next.
    ///   - lookup: only tests bring their own.
    package init(
        names: [(host: String, port: UInt16)], every period: UInt64 = 30_000_000_000,
        lookup: @escaping @Sendable (String) -> Result<[SocketAddress], Unresolved> = {
            Resolver.ask($0)
        },
        found: @escaping Found
    ) throws(SystemError) {
        var hosts: [Host] = []
        var places: [String: Int] = [:]
        for (index, name) in names.enumerated() {
            if let place = places[name.host] {
                hosts[place].uses.append((index, name.port))
            } else {
                places[name.host] = hosts.count
                hosts.append(Host(name: name.host, uses: [(index, name.port)]))
            }
        }
        self.hosts = hosts
        self.period = period
        self.lookup = lookup
        self.found = found
        wakeup = try Wakeup()
    }

    deinit { wakeup.close() }

    /// Starts the thread; without names there is none. Call once.
    package func start() throws(SystemError) {
        guard !hosts.isEmpty else { return }
        let poller = try Poller()
        guard poller.addLevel(wakeup.fd, token: 0) else {
            throw SystemError.last("epoll_ctl")
        }
        let thread = try Thread("resolver") { [self] in run() }
        state.withLock { $0.thread = thread }
    }

    /// Ends it. Returns at once even if a name server is being waited for: that thread then ends
    /// when it has its answer, which nobody is told. [any but the resolver's own]
    package func stop() {
        let (thread, isLookingUp) = state.withLock { state in
            defer { state.thread = nil }
            state.isStopped = true
            return (state.thread, state.isLookingUp)
        }
        wakeup.signal()
        guard let thread else { return }
        if isLookingUp { thread.detach() } else { thread.join() }
    }

    // MARK: The thread

    /// What the thread remembers of a host.
    private struct Memory {
        var due: UInt64 = 0
        var pause = Resolver.firstPause
        var isFailing = false
        var addresses: [SocketAddress] = []
    }

    private func run() {
        guard let poller = try? Poller(), poller.addLevel(wakeup.fd, token: 0) else {
            Log.error("names of nodes cannot be looked up: no descriptor is left for it")
            return
        }
        var memories = Array(repeating: Memory(), count: hosts.count)
        while true {
            for index in hosts.indices where memories[index].due <= monotonicNow() {
                guard visit(hosts[index], &memories[index]) else { return }
            }
            let next = memories.reduce(UInt64.max) { min($0, $1.due) }
            let now = monotonicNow()
            let wait = next > now ? (next - now) / 1_000_000 + 1 : 0
            _ = poller.wait(milliseconds: Int32(clamping: wait))
            if state.withLock({ $0.isStopped }) { return }
        }
    }

    /// Looks one host up and tells. False: it is over.
    private func visit(_ host: Host, _ memory: inout Memory) -> Bool {
        let goesOn = state.withLock { state in
            state.isLookingUp = !state.isStopped
            return !state.isStopped
        }
        guard goesOn else { return false }
        let answer = lookup(host.name)
        // From here on `stop` waits for us, so that nobody is told after it.
        let isStopped = state.withLock { state in
            state.isLookingUp = false
            return state.isStopped
        }
        if isStopped { return false }
        switch answer {
        case .success(let addresses):
            memory.due = monotonicNow() &+ period
            let isNew = !Self.isSame(addresses, memory.addresses)
            if isNew || memory.isFailing { log(host, addresses, memory, isNew: isNew) }
            memory.isFailing = false
            memory.pause = Self.firstPause
            // Name servers like to rotate their answers. That is no news, and the order stays.
            guard isNew else { return true }
            memory.addresses = addresses
            for use in host.uses {
                found(use.index, .success(addresses.map { $0.with(port: use.port) }))
            }
        case .failure(let reason):
            memory.due = monotonicNow() &+ min(memory.pause, period)
            memory.pause = min(memory.pause * 2, period)
            if !memory.isFailing {
                let rest = memory.addresses.isEmpty ? "" : "; its last addresses stay in use"
                Log.warning("name \(host.name) cannot be resolved: \(reason)\(rest)")
            }
            memory.isFailing = true
            for use in host.uses { found(use.index, .failure(reason)) }
        }
        return true
    }

    private func log(_ host: Host, _ addresses: [SocketAddress], _ memory: Memory, isNew: Bool) {
        let list = addresses.map(\.host).joined(separator: ", ")
        let again = memory.isFailing ? "can be resolved again" : "has changed"
        if memory.addresses.isEmpty && !memory.isFailing {
            Log.info("name \(host.name) is \(list)")
        } else {
            Log.info("name \(host.name) \(again): \(isNew ? "now" : "still") \(list)")
        }
    }

    private static func isSame(_ a: [SocketAddress], _ b: [SocketAddress]) -> Bool {
        a.count == b.count && a.allSatisfy { b.contains($0) }
    }

    // MARK: getaddrinfo

    /// Asks the system, blocking. The addresses have port 0.
    package static func ask(_ name: String) -> Result<[SocketAddress], Unresolved> {
        var hints = unsafe addrinfo()
        unsafe hints.ai_family = AF_UNSPEC
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = unsafe getaddrinfo(name, nil, &hints, &list)
        if code == EAI_SYSTEM { return .failure(Unresolved(errorText(errno))) }
        guard code == 0 else {
            let words = unsafe String(cString: gai_strerror(code))
            return .failure(Unresolved(words.prefix(1).lowercased() + words.dropFirst()))
        }
        defer { unsafe freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var entry = unsafe list
        while let each = unsafe entry {
            if let raw = unsafe each.pointee.ai_addr,
                let address = unsafe SocketAddress(raw, length: each.pointee.ai_addrlen),
                !addresses.contains(address)
            {
                addresses.append(address)
            }
            unsafe entry = unsafe each.pointee.ai_next
        }
        return addresses.isEmpty
            ? .failure(Unresolved("it has no address")) : .success(addresses)
    }
}

extension SocketAddress: Equatable {
    /// An IP address as the system wrote it (of IPv6 with its scope); nil of any other family.
    init?(_ raw: UnsafePointer<sockaddr>, length: socklen_t) {
        let family = unsafe Int32(raw.pointee.sa_family)
        guard family == AF_INET || family == AF_INET6,
            Int(length) <= MemoryLayout<sockaddr_storage>.size
        else { return nil }
        self.init()
        self.length = length
        unsafe withUnsafeMutableBytes(of: &storage) {
            unsafe $0.copyMemory(from: UnsafeRawBufferPointer(start: raw, count: Int(length)))
        }
    }

    /// The same host at another port. A local socket has none and stays what it is.
    package func with(port: UInt16) -> SocketAddress {
        guard !isLocal else { return self }
        var changed = self
        // The port lies at the same place in both families.
        unsafe withUnsafeMutableBytes(of: &changed.storage) {
            unsafe $0.storeBytes(of: port.bigEndian, toByteOffset: 2, as: UInt16.self)
        }
        return changed
    }

    /// For people: the IP address without its port.
    package var host: String { ip?.description ?? "a local socket" }

    package static func == (a: SocketAddress, b: SocketAddress) -> Bool {
        guard a.length == b.length else { return false }
        let count = Int(a.length)
        return unsafe withUnsafeBytes(of: a.storage) { x in
            unsafe withUnsafeBytes(of: b.storage) { y in
                unsafe x.prefix(count).elementsEqual(y.prefix(count))
            }
        }
    }
}
