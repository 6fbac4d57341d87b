// What the workers share for as long as the process lives, and what is published to them while they
// run: the board, the address book, the orders and the mailboxes, each with its own rules.

import Balance
import Base
import Net
import Synchronization

/// What the workers are to do. Set by the balancer's main thread, read by each worker once a turn. [any]
final class Orders: Sendable {
    enum Order: UInt8 {
        case serve = 0
        /// Take no new connections, finish what is in flight, leave.
        case drain = 1
        /// Leave now.
        case stop = 2
    }
    private let value = Atomic<UInt8>(0)

    var current: Order { Order(rawValue: value.load(ordering: .relaxed)) ?? .stop }

    /// Orders only get stronger.
    func give(_ order: Order) {
        let before = value.load(ordering: .relaxed)
        if order.rawValue > before { value.store(order.rawValue, ordering: .relaxed) }
    }
}

/// Made by `Balancer`; its `let`s are read by all workers.
final class WorkerShared: @unchecked Sendable {
    let board: Board
    let addresses: AddressBook
    let metrics: Metrics
    let gauges: CallGauges
    let candidates = Candidates()
    let room: SocketRoom
    let orders = Orders()
    let entropy: UInt64
    let clocks: [WorkerClock]
    let wakeups: [Wakeup]
    /// By worker.
    let mailboxes: [Mailbox]
    /// What the workers have to say to the loader.
    let inbox: LoaderInbox
    /// Signs the sessions of pools without a secret of their own.
    let sessionSecret: [UInt8]
    /// Seal the sessions of TLS.
    let tickets: TLSTickets

    init(
        board: Board, addresses: AddressBook, metrics: Metrics, entropy: UInt64,
        clocks: [WorkerClock], wakeups: [Wakeup], inbox: LoaderInbox, gauges: CallGauges,
        sessionSecret: [UInt8] = [], ticketRoot: TicketRoot = .none,
        room: SocketRoom = .ofThisProcess()
    ) {
        self.room = room
        self.gauges = gauges
        self.board = board
        self.addresses = addresses
        self.metrics = metrics
        self.entropy = entropy
        self.clocks = clocks
        self.wakeups = wakeups
        self.inbox = inbox
        self.sessionSecret = sessionSecret
        tickets = TLSTickets(ticketRoot)
        mailboxes = wakeups.map { _ in Mailbox() }
    }

    /// The moment of the start and the worker, spread over all numbers.
    func nonceSeed(worker: Int) -> UInt64 { hash64("\(worker)", seed: entropy) }

    func deliver(_ letter: Delivery, to worker: Int) {
        mailboxes[worker].put(letter)
        wakeups[worker].signal()
    }
}

/// What workers ask of the loader, or give back to it. [any]
final class LoaderInbox: Sendable {
    enum Message: Sendable {
        /// A worker has taken over a generation (and will not touch the one before it again).
        case passed(worker: Int, generation: UInt64)
        /// A worker has left: it takes over nothing more.
        case left(worker: Int)
        /// Instances that no worker uses any more: destroyed when they are dropped.
        case returned([StrategyInstance])
        /// A strategy without `update` has missed a change: it wants an instance made anew.
        case stale(worker: Int, place: Int, slot: Int, StrategyInstance)
        /// A build is fenced: its pools go to another.
        case fenced(Build)
        case job(@Sendable () -> Void)
        case end
    }

    let wakeup: Wakeup
    private let messages = Guarded<[Message]>([])

    init() throws(SystemError) { wakeup = try Wakeup() }

    deinit { wakeup.close() }

    func put(_ message: Message) {
        messages.withLock { $0.append(message) }
        wakeup.signal()
    }

    func take() -> [Message] {
        messages.withLock { messages in
            defer { messages = [] }
            return messages
        }
    }
}
