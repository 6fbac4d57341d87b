"""The work that is measured: one function for each kind, one call for each measurement.

A measurement returns a dictionary of figures (names as in `FIGURES`) and `errors`, the number of
requests or transfers that did not end as they should. What is counted as CPU is user and system
time of the balancer's whole family of processes between just before and just after the load.
"""

import json
import os
import socket
import subprocess
import time

import balancers
import processes

# Figure: what it is, how it is written, and whether it stands in the plot and the ratios.
FIGURES = {
    "cpu_us": ("CPU per request", "{:.1f} us", True),
    "many": ("times that of the first pool", "{:.3f}", False),
    "calls": ("system calls per request", "{:.2f}", True),
    "rps": ("requests/s", "{:,.0f}", False),
    "p50_us": ("p50", "{:,.0f} us", False),
    "p99_us": ("p99", "{:,.0f} us", False),
    "paced_p99_us": ("p99 at the same load", "{:,.0f} us", True),
    "p999_us": ("p99.9", "{:,.0f} us", False),
    "cpu_s_gb": ("CPU per GB", "{:.3f} s", True),
    "gb_s": ("GB/s", "{:.2f}", False),
    "idle_mb": ("at rest", "{:.2f} MB", True),
    "held_kib": ("per idle connection", "{:.2f} KiB", True),
    "start_ms": ("until the first answer", "{:.1f} ms", True),
    "busy": ("core: own", "{:.0%}", False),
    "foreign": ("others", "{:.0%}", False),
}


class Window:
    """What a balancer and its cores did between `with` and its end."""

    def __init__(self, one):
        self.one = one

    def read(self):
        return (time.monotonic(), self.one.cpu_seconds(),
                processes.core_seconds(self.one.setting.balancer_cores))

    def __enter__(self):
        self.before = self.read()
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            wall, self.cpu, cores = (b - a for a, b in zip(self.before, self.read()))
            limit = wall * len(self.one.setting.balancer_cores)
            self.shares = {"busy": self.cpu / limit,
                           "foreign": max(0.0, cores - self.cpu) / limit}


def wrk(one, connections, seconds, close, kind="web"):
    setting = one.setting
    threads = min(connections, len(setting.load_cores))
    command = [balancers.find("wrk"), "-t", str(threads), "-c", str(connections),
               "-d", f"{seconds}s", "--timeout", "5s", "--latency",
               "-s", os.path.join(setting.sources, "report.lua")]
    if close:
        command += ["-H", "Connection: close"]
    command.append({"web": f"http://127.0.0.1:{one.web_port}/",
                    "tls": f"https://127.0.0.1:{one.secure[0]}/",
                    "tcp": f"http://127.0.0.1:{one.wire_port}/"}[kind])
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    for line in done.stdout.splitlines():
        if line.startswith("JSON "):
            return json.loads(line[5:])
    raise RuntimeError(f"wrk printed no figures: {done.stdout}{done.stderr}")


def requests(connections, close=False, kind="web"):
    def measure(one):
        wrk(one, connections, 1, close, kind)
        with Window(one) as window:
            seen = wrk(one, connections, one.setting.seconds, close, kind)
        count = max(1, seen["requests"])
        return {
            "cpu_us": window.cpu / count * 1e6,
            "rps": seen["requests"] / seen["microseconds"] * 1e6,
            "p50_us": seen["p50"], "p99_us": seen["p99"], "p999_us": seen["p999"],
            "errors": seen["errors"] + seen["refused"],
        } | window.shares
    return measure


def variant(label, **how):
    """The small GET at 64 connections through a fresh one that is set up otherwise."""
    def measure(one):
        again = balancers.Balancer(one.name, one.setting, *processes.free_ports(2), label=label,
                                   **how)
        try:
            again.start()
            return requests(64)(again)
        finally:
            again.stop()
    return measure


def pool(count):
    """A pool of so many nodes beside one of the usual size, both fresh, one after the other."""
    def measure(one):
        few = variant(f"few-{count}")(one)
        many = variant(f"pool-{count}", web_nodes=one.setting.many_nodes[:count])(one)
        many["many"] = many["cpu_us"] / few["cpu_us"]
        many["errors"] += few["errors"]
        return many
    return measure


def calls(one):
    """System calls while requests are served, counted by perf in a run of its own."""
    setting = one.setting
    perf = balancers.find("perf")
    if not perf:
        raise RuntimeError("perf is missing: apt-get install linux-perf, or leave `calls` out")
    wrk(one, 64, 1, False)
    family = ",".join(map(str, processes.family(one.process.pid)))
    counter = subprocess.Popen(
        [perf, "stat", "-x", ";", "-e", "raw_syscalls:sys_enter", "-p", family, "--",
         "sleep", str(setting.seconds + 2)], stderr=subprocess.PIPE, text=True)
    time.sleep(0.5)
    seen = wrk(one, 64, setting.seconds, False)
    said = counter.communicate(timeout=setting.seconds + 30)[1]
    count = next((line.split(";")[0] for line in said.splitlines() if "sys_enter" in line), "")
    if not count.isdigit():
        raise RuntimeError(f"perf counted nothing: {said}")
    return {"calls": int(count) / max(1, seen["requests"]),
            "errors": seen["errors"] + seen["refused"]}


def paced(one):
    """Latency while all are offered the same: 70 % of what the slowest peer can do."""
    setting = one.setting
    if not setting.offered:
        peers = [peer for peer in setting.standing if peer.name in ("nginx", "haproxy")]
        peaks = []
        for peer in peers or setting.standing:
            seen = wrk(peer, 64, 3, False)
            peaks.append(seen["requests"] / seen["microseconds"] * 1e6)
        setting.offered = int(0.7 * min(peaks))
    log = os.path.join(setting.scratch, f"{one.name}-paced.tsv")
    if os.path.exists(log):
        os.remove(log)
    each = max(1, setting.offered // 64)
    with Window(one) as window:
        done = subprocess.run(
            [balancers.find("h2load"), "--h1", "-c", "64", "-t", str(len(setting.load_cores)),
             "-D", str(setting.seconds), f"--rps={each}", f"--log-file={log}",
             f"http://127.0.0.1:{one.web_port}/"],
            capture_output=True, text=True, timeout=setting.seconds + 30)
    times, errors = [], 0
    with open(log) as lines:
        for line in lines:
            _, status, micros = line.split("\t")[:3]
            times.append(int(micros))
            errors += status != "200"
    if not times:
        raise RuntimeError(f"h2load printed no figures: {done.stdout}{done.stderr}")
    times.sort()

    def at(share):
        return times[min(len(times) - 1, int(share * len(times)))]
    return {"paced_p99_us": at(0.99), "p50_us": at(0.5), "p999_us": at(0.999),
            "cpu_us": window.cpu / len(times) * 1e6, "rps": len(times) / setting.seconds,
            "errors": errors} | window.shares


def bulk(kind, streams):
    def measure(one):
        setting = one.setting
        size = setting.body // streams
        command = [setting.bulkload, kind, str(one.bulk_port), str(size), str(streams)]
        subprocess.run(command + ["0"], capture_output=True, timeout=120)  # one transfer each
        with Window(one) as window:
            done = subprocess.run(command + [str(setting.seconds)], capture_output=True, text=True,
                                  timeout=setting.seconds + 70)
        if not done.stdout:
            raise RuntimeError(f"bulkload printed no figures: {done.stderr}")
        seen = json.loads(done.stdout)
        gigabytes = max(1, seen["bytes"]) / 1e9
        return {
            "cpu_s_gb": window.cpu / gigabytes, "gb_s": gigabytes / seen["seconds"],
            "errors": seen["failures"],
        } | window.shares
    return measure


def handshakes(one, how):
    """New connections by TLS, one after the other, with one request on each: `-new`, or `-reuse` for those
    that take up a session. wrk would do either, as it likes."""
    seconds = one.setting.seconds
    with Window(one) as window:
        done = subprocess.run(
            [balancers.find("openssl"), "s_time", "-connect", f"127.0.0.1:{one.secure[0]}",
             "-www", "/", how, "-time", str(seconds)],
            capture_output=True, text=True, timeout=seconds + 30)
    count = 0
    for line in done.stdout.splitlines():
        # "12345 connections in 5 real seconds, 148 bytes read per connection"
        words = line.split()
        if words[1:3] == ["connections", "in"] and words[4:5] == ["real"]:
            count = int(words[0])
    # "t": TLS 1.3, begun anew; "r": taken up.
    marks = "".join(line for line in done.stdout.splitlines() if line and set(line) <= set("r*tTcu"))
    wrong = "r" if how == "-new" else "*tTcu"
    if not count:
        raise RuntimeError(f"openssl s_time printed no figures: {done.stdout}{done.stderr}")
    return {"cpu_us": window.cpu / count * 1e6, "rps": count / seconds,
            "errors": sum(marks.count(mark) for mark in wrong)} | window.shares


def secure_upload(one):
    """One curl after the other sends a file of zeroes by TLS."""
    setting = one.setting
    file = os.path.join(setting.scratch, "upload")
    if not os.path.exists(file):
        with open(file, "wb") as out:
            out.truncate(setting.body)
    command = ["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Expect:", "-T", file,
               f"https://127.0.0.1:{one.secure[1]}/upload"]
    subprocess.run(command, capture_output=True, timeout=120)
    count = errors = 0
    begun = time.monotonic()
    with Window(one) as window:
        while time.monotonic() - begun < setting.seconds:
            done = subprocess.run(command, capture_output=True, text=True, timeout=120)
            count += 1
            errors += done.stdout != "200"
    gigabytes = count * setting.body / 1e9
    return {"cpu_s_gb": window.cpu / gigabytes, "gb_s": gigabytes / (time.monotonic() - begun),
            "errors": errors} | window.shares


REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"


def memory(one):
    """A fresh balancer: its memory after a little work, and again with many idle connections,
    each of which has had one answer and is kept alive."""
    setting = one.setting
    again = balancers.Balancer(one.name, setting, *processes.free_ports(2), label="memory")
    held, errors = [], 0

    def hold():
        nonlocal errors
        connection = socket.create_connection(("127.0.0.1", again.web_port), timeout=5)
        held.append(connection)
        connection.sendall(REQUEST)
        if not connection.recv(4096).startswith(b"HTTP/1.1 200"):
            errors += 1

    try:
        again.start()
        for _ in range(100):
            hold()
            held.pop().close()
        time.sleep(0.3)
        idle = processes.proportional_set(again.process.pid)
        for _ in range(setting.connections):
            hold()
        time.sleep(0.3)
        full = processes.proportional_set(again.process.pid)
        for connection in held:  # an idle connection that was closed behind our back does not count
            connection.setblocking(False)
            try:
                connection.recv(1)
                errors += 1
            except BlockingIOError:
                pass
            except OSError:
                errors += 1
    finally:
        for connection in held:
            connection.close()
        again.stop()
    return {"idle_mb": idle / 1e6, "held_kib": (full - idle) / 1024 / setting.connections,
            "errors": errors}


def start_up(one):
    """From just before the process is started until a request through it has its answer."""
    again = balancers.Balancer(one.name, one.setting, *processes.free_ports(2), label="start-up")
    try:
        begun = time.monotonic()
        again.start(wait=False)
        processes.wait_until_answers(again.process, again.web_port, again.log)
        return {"start_ms": (time.monotonic() - begun) * 1e3, "errors": 0}
    finally:
        again.stop()


WORKS = {
    "keepalive-1": ("small GET, 1 connection", requests(1)),
    "keepalive-64": ("small GET, 64 connections", requests(64)),
    "keepalive-1000": ("small GET, 1,000 connections", requests(1000)),
    "new-connection": ("small GET, new connection each", requests(64, close=True)),
    "paced": ("small GET, the same load for all", paced),
    "pool-100": ("small GET, 100 nodes", pool(100)),
    "pool-1000": ("small GET, 1,000 nodes", pool(1000)),
    "access-log": ("small GET, access log on", variant("access-log", logs=True)),
    "sticky": ("small GET, sessions by cookie", variant("sticky", sticky=True)),
    "calls": ("system calls of a small GET, 64 connections", calls),
    "upload-1": ("upload, 1 stream", bulk("upload", 1)),
    "upload-16": ("upload, 16 streams", bulk("upload", 16)),
    "download-1": ("download, 1 stream", bulk("download", 1)),
    "download-16": ("download, 16 streams", bulk("download", 16)),
    "chunked-1": ("chunked upload, 1 stream", bulk("chunked", 1)),
    "tcp-64": ("connections as they are, small GET on 64", requests(64, kind="tcp")),
    "tcp-new": ("connections as they are, a new one for each GET",
                requests(64, close=True, kind="tcp")),
    "tls-64": ("TLS, small GET, 64 connections", requests(64, kind="tls")),
    "tls-new": ("TLS, full handshake each", lambda one: handshakes(one, "-new")),
    "tls-resumed": ("TLS, session taken up", lambda one: handshakes(one, "-reuse")),
    "tls-upload": ("TLS, upload, 1 stream", secure_upload),
    "memory": ("memory", memory),
    "start-up": ("start-up", start_up),
}
