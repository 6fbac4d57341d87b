// Letting clients go whose listener no longer serves. Who is between two requests is told by the end of
// its connection, and comes back somewhere else at once: so they are let go a few at a time, or all of
// them would come back at the same moment.

import Base

/// A walk over the clients, and its pace.
struct Farewell {
    // The wheel's own grain.
    static let pause: UInt64 = 16_000_000
    // As many at once do nobody harm, and a drain with as few is over at once.
    static let least = 16
    // However many there are, all are let go within 5 s.
    private static let pauses = 300

    /// When the next of them are let go; 0: nobody is left.
    var next: UInt64 = 0
    /// The slot where the walk goes on.
    var place: UInt32 = 0
    private(set) var share = least

    init() {}

    /// From the first slot on, now.
    init(clients: Int, now: UInt64) {
        next = now
        share = max(Self.least, clients / Self.pauses + 1)
    }
}

extension Worker {
    /// Lets go of clients whose listener no longer serves, or of all while the worker drains. Who has
    /// sent something by then is served first. A newcomer gets a second to say what it came for.
    mutating func letGo() {
        for index in 0..<UInt32(clients.capacity) where clients.isLive(index: index) {
            let client = clients.at(index)
            guard isBetweenRequests(client), !client.it.hasServed else { continue }
            client.it.link.canRead = true
            arm(index, after: 1_000_000_000)
            enqueue(client: index)
        }
        // One walk for all: it begins anew if others are still to be let go.
        farewell = Farewell(clients: clients.count, now: now)
        sayFarewell()
    }

    /// Lets a few go, and says when the next are.
    mutating func sayFarewell() {
        var left = farewell.share
        while farewell.place < UInt32(clients.capacity) {
            if left == 0 {
                farewell.next = now &+ Farewell.pause
                return
            }
            let index = farewell.place
            farewell.place += 1
            guard clients.isLive(index: index) else { continue }
            let client = clients.at(index)
            guard client.it.hasServed, isBetweenRequests(client) else { continue }
            // It ends if nothing can be read (`readHead`).
            client.it.link.canRead = true
            enqueue(client: index)
            left -= 1
        }
        farewell.next = 0
    }

    private func isBetweenRequests(_ client: Ref<Client>) -> Bool {
        client.it.phase == .head && client.it.seen == 0 && isLeaving(client)
    }

    /// Whether a client is to be let go between two requests.
    func isLeaving(_ client: Ref<Client>) -> Bool {
        isDraining || listeners[Int(client.it.listener)].plan.isLeaving
    }
}
