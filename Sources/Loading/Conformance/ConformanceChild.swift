// The child that runs one rule: loads the plugin, does what the rule's name says, and tells what it saw.
// It says what it is about to do before it does it, since it may not live to tell. Started as
// `trivet --rule`.

import Balance
import CLinux
import CTrivet
import Glibc

package enum ConformanceChild {
    /// What the command runs for `--rule`: the job on standard input, words on descriptor 3.
    package static func main(_ arguments: [String]) -> Int32 {
        Trial.expectTheWorst(arguments)
        guard let job = ConformanceJob(Trial.readAll(0)), let copy = job.copies.first else {
            return 2
        }
        // SIGXCPU at the first, SIGKILL at the second.
        var limit = rlimit(rlim_cur: rlim_t(job.seconds), rlim_max: rlim_t(job.seconds + 1))
        _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_CPU.rawValue), &limit)
        let end: (ConformanceFinding.Outcome, String)
        do throws(ConformanceEnd) {
            end = (.passed, try judge(job, copy))
        } catch {
            end =
                switch error {
                case .failed(let sentence): (.failed, sentence)
                case .warned(let sentence): (.warned, sentence)
                case .skipped(let sentence): (.skipped, sentence)
                }
        }
        say(.outcome(end.0, end.1))
        // Not exit: a plugin's handlers for it are nothing that a rule is about.
        _exit(0)
    }

    static func say(_ word: ConformanceWord) { Trial.say(word.encoded) }

    /// What comes now, as the end of a sentence: "in pick with 3 nodes".
    static func doing(_ deed: String) { say(.begins(deed)) }

    /// Does what the rule says; gives back what was seen.
    private static func judge(
        _ job: ConformanceJob, _ copy: String
    ) throws(ConformanceEnd) -> String {
        if job.rule == .tables { return try FileRules.tables(job) }
        if job.rule == .nothingLeftBehind { return try Traces.judge(job, copy) }
        let library = try load(copy, job.file)
        switch job.kind {
        case .strategy:
            guard let kind = library.strategies.first(where: { $0.name == job.name }) else {
                throw .failed("strategy \"\(job.name)\" is gone when the file is loaded once more")
            }
            return try StrategyRules.judge(job.rule, StagedKind(kind: kind, options: job.options))
        case .check:
            guard let kind = library.checks.first(where: { $0.name == job.name }) else {
                throw .failed("check \"\(job.name)\" is gone when the file is loaded once more")
            }
            return try CheckRules.judge(job.rule, StagedCheck(kind: kind, options: job.options))
        }
    }

    static func load(_ copy: String, _ file: String) throws(ConformanceEnd) -> Library {
        doing("while it was loaded")
        do throws(Refusal) {
            // Watched by nobody: which build it is makes no difference here.
            return try Library.load(path: copy, file: file, content: .init(build: 1))
        } catch {
            throw .failed(error.sentence)
        }
    }
}
