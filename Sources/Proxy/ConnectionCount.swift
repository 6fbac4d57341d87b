// Who may have how many connections on a listener: as many in all as it may have, and as many of one
// client as one may have. Asked once for each connection, never for a request.

import Base
import Synchronization

/// The connections of one listener on all workers. [any]
final class ConnectionCount: Sendable {
    /// What becomes of a connection that was just accepted.
    enum Verdict: Equatable {
        case welcome
        /// One too many: it is told so, and takes no place of those that are served.
        case refused(Reason)
        /// One too many even for that: it is closed without a word, and does not count.
        case dropped(Reason)
    }

    enum Reason: Equatable {
        /// The listener has as many as it may have.
        case full
        /// The client has as many as one may have.
        case crowded
    }

    /// What came of a handshake.
    enum Handshake {
        case full
        /// An earlier session was taken up.
        case resumed
        case failed
    }

    /// What is kept of it until it leaves.
    struct Entry: Equatable {
        var verdict: Verdict
        /// It counts for its client, too.
        var isTallied: Bool
    }

    // Who is told why it is refused keeps a descriptor until it has read that. So many may do so at
    // one time, beyond the limits; a flood is not answered.
    static let courtesy = 64
    static let courtesyPerClient = 8

    private let served = Atomic<Int>(0)
    private let told = Atomic<Int>(0)
    private let limit: Atomic<Int>
    private let limitPerClient: Atomic<Int>
    private let tally: ClientTally
    private let full = Atomic<UInt64>(0)
    private let crowded = Atomic<UInt64>(0)
    private let fullHandshakes = Atomic<UInt64>(0)
    private let resumedHandshakes = Atomic<UInt64>(0)
    private let failedHandshakes = Atomic<UInt64>(0)
    private let throttle = Throttle()
    private let throttlePerClient = Throttle()

    /// A limit of nil: as many as there are descriptors. `seed`: nobody outside should know it.
    init(limit: Int?, perClient: Int? = nil, seed: UInt64 = 0) {
        self.limit = Atomic(limit ?? .max)
        limitPerClient = Atomic(perClient ?? .max)
        tally = ClientTally(seed: seed)
    }

    /// From here on. Who is connected stays.
    func limit(to limit: Int?, perClient: Int?) {
        self.limit.store(limit ?? .max, ordering: .relaxed)
        limitPerClient.store(perClient ?? .max, ordering: .relaxed)
    }

    /// Counts one in. `isExempt`: its address stands for many clients. Goes with one `leave`.
    func enter(_ address: IPAddress, isExempt: Bool = false) -> Entry {
        let most = limitPerClient.load(ordering: .relaxed)
        // While there is no such limit nobody is counted for it: who came before one did not.
        let isTallied = most != .max && !isExempt
        let client = ClientTally.Key(address)
        if isTallied && !tally.enter(client, most: most) {
            crowded.wrappingAdd(1, ordering: .relaxed)
            return refuse(client, .crowded)
        }
        let number = served.wrappingAdd(1, ordering: .relaxed).newValue
        guard number > limit.load(ordering: .relaxed) else {
            return Entry(verdict: .welcome, isTallied: isTallied)
        }
        served.wrappingSubtract(1, ordering: .relaxed)
        if isTallied { tally.leave(client) }
        full.wrappingAdd(1, ordering: .relaxed)
        return refuse(client, .full)
    }

    private func refuse(_ client: ClientTally.Key, _ reason: Reason) -> Entry {
        let number = told.wrappingAdd(1, ordering: .relaxed).newValue
        let isTallied = reason == .crowded
        if number <= Self.courtesy
            && (!isTallied || tally.tell(client, most: Self.courtesyPerClient))
        {
            return Entry(verdict: .refused(reason), isTallied: isTallied)
        }
        told.wrappingSubtract(1, ordering: .relaxed)
        return Entry(verdict: .dropped(reason), isTallied: false)
    }

    /// With what `enter` said of it.
    func leave(_ address: IPAddress, _ entry: Entry) {
        let client = ClientTally.Key(address)
        switch entry.verdict {
        case .welcome:
            served.wrappingSubtract(1, ordering: .relaxed)
            if entry.isTallied { tally.leave(client) }
        case .refused:
            told.wrappingSubtract(1, ordering: .relaxed)
            if entry.isTallied { tally.leaveTold(client) }
        case .dropped: break
        }
    }

    /// Those that are told why they are refused among them, until they have gone.
    var open: Int { served.load(ordering: .relaxed) + told.load(ordering: .relaxed) }

    var isNone: Bool { open == 0 }

    /// Connections that were refused, for either reason.
    var refused: (full: UInt64, crowded: UInt64) {
        (full.load(ordering: .relaxed), crowded.load(ordering: .relaxed))
    }

    /// A handshake of a client has ended.
    func note(_ handshake: Handshake) {
        switch handshake {
        case .full: fullHandshakes.wrappingAdd(1, ordering: .relaxed)
        case .resumed: resumedHandshakes.wrappingAdd(1, ordering: .relaxed)
        case .failed: failedHandshakes.wrappingAdd(1, ordering: .relaxed)
        }
    }

    /// Since the process started.
    var handshakeTotals: HandshakeTotals {
        HandshakeTotals(
            full: fullHandshakes.load(ordering: .relaxed),
            resumed: resumedHandshakes.load(ordering: .relaxed),
            failed: failedHandshakes.load(ordering: .relaxed))
    }

    /// Says who was refused, but not every time. Monotonic nanoseconds.
    func complain(_ reason: Reason, listener: String, of client: IPAddress, now: UInt64) {
        let throttle = reason == .full ? throttle : throttlePerClient
        guard let kept = throttle.pass(now: now) else { return }
        let others = kept == 0 ? "" : " (and \(kept) since the last such line)"
        switch reason {
        case .full:
            Log.warning(
                "listener \(listener) refuses a connection of \(client): it has "
                    + "\(limit.load(ordering: .relaxed)), as many as it may have\(others)")
        case .crowded:
            Log.warning(
                "listener \(listener) refuses a connection of \(client), which has "
                    + "\(limitPerClient.load(ordering: .relaxed)), as many as one client may "
                    + "have\(others)")
        }
    }
}
