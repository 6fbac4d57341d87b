// Whether a canary does worse than the strategy that it is to replace: margins that an operator can
// understand, and beside each a test, so that chance withdraws nobody. Figures in, a sentence out.
// Why these margins: Sources/Decisions/2026-11-25-when-a-canary-is-withdrawn.md.

enum CanaryVerdict {
    /// So many standard deviations apart, two shares or means differ by more than chance. Looked at
    /// as often as here, three would be reached by equals now and then.
    static let clear = 5.0

    /// Why `candidate` is to be withdrawn; nil: it goes on.
    static func judge(
        _ candidate: CanaryArm, _ incumbent: CanaryArm, _ limits: CanaryPlan.Limits
    ) -> String? {
        badAnswers(candidate, incumbent, limits)
            ?? failures(candidate, incumbent, limits) ?? latency(candidate, incumbent, limits)
    }

    /// No sample is waited for: so many are over the limit whatever else comes in the first sample.
    /// A pick that names no legal node is no matter of chance.
    static func badAnswers(
        _ candidate: CanaryArm, _ incumbent: CanaryArm, _ limits: CanaryPlan.Limits
    ) -> String? {
        guard let limit = limits.badAnswers, candidate.badAnswers > 0 else { return nil }
        let picks = Double(max(candidate.picks, UInt64(limits.sample)))
        guard Double(candidate.badAnswers) > (incumbent.badAnswerRate + limit) * picks else {
            return nil
        }
        return "\(candidate.badAnswers) of its \(candidate.picks) picks were of no legal node, "
            + "\(incumbent.badAnswers) of \(incumbent.picks) of the incumbent's, where "
            + "\(percent(limit)) more are allowed"
    }

    static func failures(
        _ candidate: CanaryArm, _ incumbent: CanaryArm, _ limits: CanaryPlan.Limits
    ) -> String? {
        guard let limit = limits.failures, candidate.ended >= limits.sample,
            incumbent.ended >= limits.sample,
            candidate.failureRate - incumbent.failureRate > limit,
            deviations(candidate, incumbent) >= clear
        else { return nil }
        return "\(percent(candidate.failureRate)) of its requests failed "
            + "(\(candidate.bad) of \(candidate.ended)), \(percent(incumbent.failureRate)) of the "
            + "incumbent's (\(incumbent.bad) of \(incumbent.ended)), where \(percent(limit)) more "
            + "are allowed"
    }

    static func latency(
        _ candidate: CanaryArm, _ incumbent: CanaryArm, _ limits: CanaryPlan.Limits
    ) -> String? {
        guard let limit = limits.latency, candidate.latencies >= limits.sample,
            incumbent.latencies >= limits.sample,
            candidate.meanLatency > incumbent.meanLatency * (1 + limit)
        else { return nil }
        // Welch: "The generalization of Student's problem when several different population
        // variances are involved", Biometrika 34 (1947).
        let error = (errorOfMean(candidate) + errorOfMean(incumbent)).squareRoot()
        guard candidate.meanLatency - incumbent.meanLatency >= clear * error else { return nil }
        return "its first bytes came after \(milliseconds(candidate.meanLatency)) on average "
            + "(\(candidate.latencies) requests), the incumbent's after "
            + "\(milliseconds(incumbent.meanLatency)) (\(incumbent.latencies)), where "
            + "\(percent(limit)) more is allowed"
    }

    /// The signed root of the likelihood ratio of two shares: about normal even where one of them is
    /// near 0 (Wilks: "The large-sample distribution of the likelihood ratio", 1938).
    private static func deviations(_ a: CanaryArm, _ b: CanaryArm) -> Double {
        let rate = Double(a.bad + b.bad) / Double(a.ended + b.ended)
        return max(0, 2 * (likelihood(a, against: rate) + likelihood(b, against: rate)))
            .squareRoot()
    }

    /// By how much (in logarithms) its own rate explains an arm's failures better than `rate` does.
    private static func likelihood(_ arm: CanaryArm, against rate: Double) -> Double {
        let (bad, ended) = (Double(arm.bad), Double(arm.ended))
        var sum = 0.0
        if bad > 0 { sum += bad * logarithm(bad / (ended * rate)) }
        if ended > bad { sum += (ended - bad) * logarithm((ended - bad) / (ended * (1 - rate))) }
        return sum
    }

    /// Natural, of a positive number: by its exponent, and the series of the inverse hyperbolic
    /// tangent for what is left. To 1e-12, which is plenty here, and the same on every machine.
    static func logarithm(_ x: Double) -> Double {
        let z = (x.significand - 1) / (x.significand + 1)
        var (power, sum) = (z, 0.0)
        for term in 0..<13 {
            sum += power / Double(2 * term + 1)
            power *= z * z
        }
        return Double(x.exponent) * 0.693_147_180_559_945_3 + 2 * sum
    }

    /// Square of the standard error.
    private static func errorOfMean(_ arm: CanaryArm) -> Double {
        let count = Double(arm.latencies)
        let variance = max(0, arm.latencySquares - count * arm.meanLatency * arm.meanLatency)
        return variance / max(count - 1, 1) / count
    }

    /// "5 %", "0.3 %"
    static func percent(_ share: Double) -> String { rounded(share * 100) + " %" }

    static func milliseconds(_ value: Double) -> String { rounded(value) + " ms" }

    /// To a tenth; below one, to a thousandth.
    private static func rounded(_ value: Double) -> String {
        let scale = value < 1 ? 1000.0 : 10.0
        let result = (value * scale).rounded() / scale
        return result == result.rounded() ? "\(Int(result))" : "\(result)"
    }
}
