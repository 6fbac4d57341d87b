// One probe over a socket: addresses in turn, connect, send, read, and the patience with each. Whatever
// a node does, a probe ends within its time, and its connection is closed.

import Balance
import Base
import Net

/// A question that is out.
struct Probe {
    enum Stage {
        /// The name has neither an address nor a failure yet.
        case resolving
        case connecting
        /// Connected: TLS is being agreed on.
        case securing
        /// Connected: the request goes out, the reply comes in.
        case open
    }

    let plan: ProbePlan
    let began: UInt64
    /// When it is over, whatever happens.
    let deadline: UInt64
    /// When the patience with the present stage ends; never after `deadline`.
    var patience: UInt64
    var stage = Stage.resolving
    var targets: [SocketAddress] = []
    /// How many of `targets` were tried.
    var tried = 0
    var fd: Int32 = -1
    var serial: UInt32 = 0
    var connectNs: UInt64 = 0
    /// Nil: plain, or not connected yet.
    var tls: TLSSession?
    /// Goes first, and in plain.
    let greeting: [UInt8]
    let request: [UInt8]
    var sent = 0
    let reader: ReplyReader

    init(_ plan: ProbePlan, greeting: ProxyHeader.Version?, now: UInt64) {
        self.plan = plan
        began = now
        deadline = now &+ UInt64(plan.timeoutMs) * 1_000_000
        patience = deadline
        self.greeting = [UInt8](capacity: ProxyHeader.room) { output in
            if let greeting { _ = ProxyHeader.write(nil, greeting, to: &output) }
        }
        request = plan.request
        reader = ReplyReader(
            plan.kind, method: plan.method, limit: Int(plan.readLimit), until: plan.readUntil)
    }

    /// Its timeout for people: "1 s", "250 ms".
    var span: String {
        plan.timeoutMs % 1000 == 0 ? "\(plan.timeoutMs / 1000) s" : "\(plan.timeoutMs) ms"
    }
}

extension ProbeLoop {
    // So long a TCP peer may be silent in the middle of what it says; then that was all.
    private static let pause: UInt64 = 200_000_000

    /// Takes the node's addresses from the book, or waits until it has some.
    func resolve(_ index: Int) {
        guard let plan = self[index].probe?.plan else { return }
        let found = addresses.addresses(node: index)
        if !found.isEmpty {
            self[index].probe?.targets =
                plan.port == 0 ? found : found.map { $0.with(port: plan.port) }
            connect(index, failure: "it has no address")
        } else if let reason = addresses.failure(node: index) {
            finish(index, .connectFailed, "the name could not be resolved: \(reason)")
        } else {
            arm(index)
        }
    }

    /// Tries the next address; if there is none left, `failure` is why the probe has failed.
    private func connect(_ index: Int, failure: String, timedOut: Bool = false) {
        guard let probe = self[index].probe else { return }
        var failure = failure
        for tried in probe.tried..<probe.targets.count where now < probe.deadline {
            self[index].probe?.tried = tried + 1
            switch Socket.connect(probe.targets[tried]) {
            case .connected(let fd):
                guard adopt(index, fd) else { return }
                opened(index)
                return
            case .started(let fd):
                guard adopt(index, fd) else { return }
                // What is left of the time is shared by the addresses that are left.
                let share = (probe.deadline - now) / UInt64(probe.targets.count - tried)
                self[index].probe?.stage = .connecting
                self[index].probe?.patience = now &+ share
                arm(index)
                return
            case .failed(let code):
                if Socket.isShortage(code) {
                    postpone(index, errorText(code))
                    return
                }
                failure = errorText(code)
            }
        }
        finish(index, timedOut ? .timedOut : .connectFailed, failure)
    }

    private func adopt(_ index: Int, _ fd: Int32) -> Bool {
        serial &+= 1
        self[index].probe?.fd = fd
        self[index].probe?.serial = serial
        if poller.add(fd, token: UInt64(serial) << 32 | UInt64(index)) { return true }
        postpone(index, "the system watches no further connection")
        return false
    }

    private func opened(_ index: Int) {
        guard let probe = self[index].probe else { return }
        // A new connection takes as little as this.
        if !probe.greeting.isEmpty, case .failed(let code) = IO.send(probe.fd, probe.greeting.span)
        {
            finish(index, .broken, errorText(code))
            return
        }
        self[index].probe?.connectNs = now &- probe.began
        self[index].probe?.patience = probe.deadline
        do throws(TLSRefusal) {
            self[index].probe?.tls = try session(index)
        } catch {
            finish(index, .connectFailed, error.sentence)
            return
        }
        guard self[index].probe?.tls != nil else {
            begin(index)
            return
        }
        self[index].probe?.stage = .securing
        arm(index)
        secure(index)
    }

    /// Goes on with the handshake.
    private func secure(_ index: Int) {
        guard let tls = self[index].probe?.tls else { return }
        switch tls.handshake() {
        case .wait: return
        case .done: begin(index)
        case .failed: finish(index, .connectFailed, "no TLS could be agreed on: \(tls.reason)")
        }
    }

    /// The connection is ready for the request.
    private func begin(_ index: Int) {
        self[index].probe?.stage = .open
        arm(index)
        exchange(index)
    }

    /// Something happened on the probe's connection.
    func go(on index: Int, _ event: Event) {
        guard let probe = self[index].probe else { return }
        switch probe.stage {
        case .resolving, .connecting: break
        case .securing:
            secure(index)
            return
        case .open:
            exchange(index)
            return
        }
        let code = Socket.error(probe.fd)
        if code != 0 {
            drop(index)
            connect(index, failure: errorText(code))
        } else if event.writable {
            opened(index)
        }
    }

    /// Sends what can be sent and reads what is there.
    private func exchange(_ index: Int) {
        guard let probe = self[index].probe else { return }
        _ = probe.tls?.flush()
        var sent = probe.sent
        var sendFailure: String?
        while sent < probe.request.count {
            let rest = probe.request.span.extracting(sent..<probe.request.count)
            let result = probe.tls?.send(rest, Span(), Span()) ?? IO.send(probe.fd, rest)
            if case .done(let count) = result {
                sent += count
                continue
            }
            // The answer may be there all the same: who refuses a request need not read it.
            if case .failed(let code) = result { sendFailure = errorText(code) }
            break
        }
        self[index].probe?.sent = sent
        if probe.reader.needsNothing {
            if let sendFailure {
                finish(index, .broken, sendFailure)
            } else if sent == probe.request.count {
                finish(index, .ok)
            }
            return
        }
        read(index, probe, sendFailure)
    }

    private func read(_ index: Int, _ probe: Probe, _ sendFailure: String?) {
        while true {
            let progress: ReplyReader.Progress
            landing.clear()
            let result =
                probe.tls?.receive(into: &landing, limit: Buffer.capacity)
                ?? landing.fill(from: probe.fd)
            switch result {
            case .done: progress = probe.reader.take(landing.bytes)
            case .closed:
                progress = probe.reader.end()
            case .wait:
                if let sendFailure {
                    finish(index, .broken, sendFailure)
                } else if probe.reader.endsWithPause {
                    self[index].probe?.patience = min(probe.deadline, now &+ Self.pause)
                    arm(index)
                }
                return
            case .failed(let code):
                progress = .broken(errorText(code))
            }
            switch progress {
            case .more: continue
            case .done: finish(index, .ok)
            case .broken(let why): finish(index, .broken, why)
            }
            return
        }
    }

    /// The probe has taken as long as its present stage may.
    func patienceIsOver(_ index: Int) {
        guard let probe = self[index].probe else { return }
        switch probe.stage {
        case .resolving:
            finish(index, .timedOut, "the name was not resolved within \(probe.span)")
        case .connecting:
            drop(index)
            connect(index, failure: "no connection within \(probe.span)", timedOut: true)
        case .securing:
            finish(index, .timedOut, "no TLS was agreed on within \(probe.span)")
        case .open where probe.reader.endsWithPause:
            finish(index, .ok)
        case .open:
            let what = probe.reader.hasBegun ? "no complete answer" : "no answer"
            finish(index, .timedOut, "\(what) within \(probe.span)")
        }
    }

    /// Closes the connection of the probe, which goes on.
    private func drop(_ index: Int) {
        guard let fd = self[index].probe?.fd, fd >= 0 else { return }
        self[index].probe?.tls?.close()
        self[index].probe?.tls = nil
        IO.close(fd)
        self[index].probe?.fd = -1
    }

    /// The probe is over.
    func hangUp(_ index: Int) {
        drop(index)
        self[index].probe = nil
    }
}
