-- wrk's figures as one line of JSON on standard output. Only `done` is defined: wrk runs no Lua per
-- request, so the load is what it is without a script.
done = function(summary, latency, requests)
    local e = summary.errors
    io.write(string.format(
        'JSON {"requests": %d, "microseconds": %d, "errors": %d, "refused": %d, ' ..
        '"p50": %.0f, "p99": %.0f, "p999": %.0f, "max": %.0f}\n',
        summary.requests, summary.duration,
        e.connect + e.read + e.write + e.timeout, e.status,
        latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
