// The conformance kit as the host sees it: one child for each rule, at most two at a time, each with
// its time limit. A child that crashes, hangs or leaves is that rule's failure and nobody else's. What
// the children do is in ConformanceChild.

import Balance
import Base
import Glibc
import Synchronization

/// Checks plugin files against the rules. Blocking.
package struct Conformance: Sendable {
    /// What is started with `--rule`: this binary, unless it is a test's.
    package var program: String
    /// How long one rule may take, in time of its own: a busy machine fails nobody. By the clock on the
    /// wall it is given six times as much.
    package var limitSeconds: Int
    /// Blocks of the configuration, as JSON, by the name of the strategy or check; "{}" for others.
    package var options: [String: String]
    /// The rules to run; the others are left out. `tables` and `creates` always run.
    package var rules: Set<ConformanceRule>

    package init(
        program: String = "/proc/self/exe", limitSeconds: Int = 20, options: [String: String] = [:],
        rules: Set<ConformanceRule> = Set(ConformanceRule.allCases)
    ) {
        self.program = program
        self.limitSeconds = limitSeconds
        self.options = options
        self.rules = rules
    }

    /// Runs all rules that apply to `file`. Throws only if no child can be started at all; a file that
    /// is no plugin fails `tables`.
    package func check(_ file: String) throws(Refusal) -> ConformanceReport {
        var report = ConformanceReport(file: file)
        var copies: [String] = []
        defer { for copy in copies { PrivateFolder.discard(copy) } }
        do throws(Refusal) {
            let bytes = try Files.read(file)
            do throws(Refusal) { try ELF.inspect(bytes) } catch {
                throw Refusal("\(file) \(error.sentence)")
            }
            for _ in 0..<2 {
                copies.append(try PrivateFolder.keep(bytes, name: Files.name(of: file)))
            }
        } catch {
            report.findings = [
                ConformanceFinding(
                    rule: .tables, kind: nil, name: "", outcome: .failed, sentence: error.sentence,
                    figures: [])
            ]
            return report
        }
        let first = try run(
            ConformanceJob(
                rule: .tables, file: file, copies: copies, seconds: limitSeconds))
        report.findings = [finding(.tables, nil, "", first)]
        for word in first.words {
            switch word {
            case .plugin(let name, let version): (report.plugin, report.version) = (name, version)
            case .offer(let kind, let name):
                let job = ConformanceJob(
                    rule: .creates, file: file, copies: copies, kind: kind, name: name,
                    options: options[name] ?? "{}", seconds: limitSeconds)
                report.findings += try check(job)
            default: break
            }
        }
        return report
    }

    /// All rules of one strategy or check. `creates` decides whether the others can be tried.
    private func check(_ creates: ConformanceJob) throws(Refusal) -> [ConformanceFinding] {
        let first = try judge(creates)
        var jobs: [ConformanceJob] = []
        for rule in ConformanceRule.all(of: creates.kind).dropFirst() where rules.contains(rule) {
            var job = creates
            job.rule = rule
            jobs.append(job)
        }
        if first.outcome != .failed { return [first] + (try check(jobs)) }
        return [first]
            + jobs.map { job in
                ConformanceFinding(
                    rule: job.rule, kind: job.kind, name: job.name, outcome: .skipped,
                    sentence: "no instance can be made: see creates", figures: [])
            }
    }

    /// What one child said, and how it ended.
    private struct Telling {
        var words: [ConformanceWord]
        var remains: TrialRemains
    }

    private func run(_ job: ConformanceJob) throws(Refusal) -> Telling {
        var remains = try TrialChild.run(
            job.encoded, as: "--rule", program: program, limitMs: limitSeconds * 6000)
        if remains.end == .signalled(SIGXCPU) { remains.end = .tookTooLong }
        return Telling(words: ConformanceWord.read(remains.answers), remains: remains)
    }

    private func finding(
        _ rule: ConformanceRule, _ kind: OfferKind?, _ name: String, _ telling: Telling
    ) -> ConformanceFinding {
        var finding = ConformanceFinding(
            rule: rule, kind: kind, name: name, outcome: .failed, sentence: "", figures: [])
        var deed = "before it began"
        for word in telling.words {
            switch word {
            case .begins(let what): deed = what
            case .figure(let name, let value): finding.figures.append((name, value))
            case .outcome(let outcome, let sentence):
                (finding.outcome, finding.sentence) = (outcome, sentence)
                return finding
            default: break
            }
        }
        let remains = telling.remains
        finding.sentence = "\(remains.story(limitSeconds * 1000)) \(deed)\(remains.quote)"
        return finding
    }

    /// Two children at a time, so that a file is done in half the time where there are two cores.
    private func check(_ jobs: [ConformanceJob]) throws(Refusal) -> [ConformanceFinding] {
        let work = Work(jobs)
        let other = work.onThread { self.attend(work) }
        attend(work)
        if let other { pthread_join(other, nil) }
        return try work.results()
    }

    private func attend(_ work: Work) {
        while let (index, job) = work.next() {
            do throws(Refusal) {
                work.settle(index, try judge(job))
            } catch {
                work.give(up: error)
            }
        }
    }

    private func judge(_ job: ConformanceJob) throws(Refusal) -> ConformanceFinding {
        let telling = try run(job)
        var found = finding(job.rule, job.kind, job.name, telling)
        guard job.rule == .deterministic, found.outcome == .passed else { return found }
        // Once more in another process: addresses, hash seeds and the time of day are others there.
        let again = try run(job)
        let second = finding(job.rule, job.kind, job.name, again)
        guard second.outcome == .passed else { return second }
        let digests = [telling, again].map { $0.words.first { $0.isDigest } }
        if digests[0] != digests[1] {
            found.outcome = .failed
            found.sentence =
                "two processes that were told the same came to different answers: something but the "
                + "host's clock and randomness is asked (addresses, hash seeds, a clock of its own)"
        }
        return found
    }
}

extension ConformanceWord {
    fileprivate var isDigest: Bool { if case .digest = self { true } else { false } }
}

/// The jobs of one file and what became of them; shared by two threads.
private final class Work: Sendable {
    private struct State: Sendable {
        var next = 0
        var findings: [ConformanceFinding?]
        var refusal: Refusal?
    }

    private let jobs: [ConformanceJob]
    private let state: Guarded<State>

    init(_ jobs: [ConformanceJob]) {
        self.jobs = jobs
        state = Guarded(State(findings: Array(repeating: nil, count: jobs.count)))
    }

    func next() -> (Int, ConformanceJob)? {
        state.withLock { state in
            guard state.refusal == nil, state.next < jobs.count else { return nil }
            defer { state.next += 1 }
            return (state.next, jobs[state.next])
        }
    }

    func settle(_ index: Int, _ finding: ConformanceFinding) {
        state.withLock { $0.findings[index] = finding }
    }

    func give(up refusal: Refusal) { state.withLock { $0.refusal = $0.refusal ?? refusal } }

    func results() throws(Refusal) -> [ConformanceFinding] {
        let (findings, refusal) = state.withLock { ($0.findings, $0.refusal) }
        if let refusal { throw refusal }
        return findings.compactMap { $0 }
    }

    /// Starts a second pair of hands; nil if there is none to be had, which only takes longer.
    func onThread(_ body: @escaping @Sendable () -> Void) -> pthread_t? {
        final class Box: Sendable {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        let box = unsafe Unmanaged.passRetained(Box(body))
        var thread = pthread_t()
        let code = unsafe pthread_create(
            &thread, nil,
            { argument in
                unsafe Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
                return nil
            }, unsafe box.toOpaque())
        guard code == 0 else {
            unsafe box.release()
            return nil
        }
        return thread
    }
}
