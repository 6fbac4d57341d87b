"""Starting, measuring and ending processes: what /proc says of them, and nothing else.

Figures are of a whole family (a process and all its descendants): a balancer that moves work to
another process does not look cheaper for it.
"""

import ctypes
import os
import signal
import socket
import subprocess
import time

# Orphans come to the runner, which can wait for them, and not to a process that may not (in
# containers the first process often does not).
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

TICK = os.sysconf("SC_CLK_TCK")


def stat(pid):
    """The fields of /proc/PID/stat after the command's name, or None when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2].split()
    except OSError:
        return None


def family(pid):
    """The process and its descendants that live now."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = stat(name)
            if fields:
                children.setdefault(int(fields[1]), []).append(int(name))
    found, rest = [], [pid]
    while rest:
        one = rest.pop()
        found.append(one)
        rest += children.get(one, [])
    return found


def cpu_seconds(pid):
    """User and system time of the family so far.

    The kernel keeps user + system in ticks of 10 ms (stat) and the time on a core in nanoseconds,
    per living thread (schedstat). The finer one is used unless it misses time, which it does when
    a thread has ended.
    """
    coarse = fine = 0.0
    for member in family(pid):
        fields = stat(member)
        if not fields:
            continue
        coarse += (int(fields[11]) + int(fields[12])) / TICK
        try:
            for thread in os.listdir(f"/proc/{member}/task"):
                with open(f"/proc/{member}/task/{thread}/schedstat", "rb") as file:
                    fine += int(file.read().split()[0]) / 1e9
        except (OSError, IndexError):
            pass
    return coarse if coarse > fine + 0.03 + fine * 0.02 else fine


def proportional_set(pid):
    """Bytes of memory of the family: shared pages are divided among those that share them."""
    total = 0
    for member in family(pid):
        try:
            with open(f"/proc/{member}/smaps_rollup") as file:
                for line in file:
                    if line.startswith("Pss:"):
                        total += int(line.split()[1]) * 1024
        except OSError:
            pass
    return total


def core_seconds(cores):
    """Busy time of these cores so far, whoever used them."""
    total = 0
    with open("/proc/stat") as file:
        for line in file:
            name, *fields = line.split()
            if name[:3] == "cpu" and name[3:].isdigit() and int(name[3:]) in cores:
                user, nice, system, _, _, interrupt, soft, steal = map(int, fields[:8])
                total += user + nice + system + interrupt + soft + steal
    return total / TICK


def start(command, cores, log, folder):
    """Starts a command on these cores; what it says goes to the file `log`.

    The runner takes the cores itself for a moment: the child inherits them from its first
    instruction, and no `taskset` is measured with it.
    """
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        with open(log, "ab") as out:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder,
                start_new_session=True)
    finally:
        os.sched_setaffinity(0, own)


def stop(process):
    """Ends a process that `start` began, and whatever it left behind, each by its own id."""
    members = {pid: fields[19] for pid in family(process.pid)
               if pid != process.pid and (fields := stat(pid))}
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            break
        process.send_signal(number)
        try:
            process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            pass
    # A descendant outlives its parent for a moment; the start time tells it from a stranger that
    # got its number.
    until = time.monotonic() + 2
    for pid, born in members.items():
        try:
            while (fields := stat(pid)) and fields[19] == born and fields[0] != b"Z":
                if time.monotonic() > until:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.01)
            os.waitpid(pid, os.WNOHANG)
        except (ProcessLookupError, ChildProcessError):
            pass


def free_ports(count, first=20_000):
    """A run of ports on 127.0.0.1 from `first` on, below those that the kernel gives to clients."""
    while first + count < 32_000:
        for port in range(first, first + count):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    first = port + 1
                    break
        else:
            return list(range(first, first + count))
    raise SystemExit(f"no {count} free ports in a row between 20000 and 32000")


def answers(port, path="/"):
    """Whether a GET is answered with 200 just now."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as one:
            one.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
            return one.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def wait_until_answers(process, port, log, path="/", seconds=15.0):
    """Returns once a GET is answered; raises with the process's own words when that fails."""
    until = time.monotonic() + seconds
    while not answers(port, path):
        if process.poll() is not None or time.monotonic() > until:
            with open(log, errors="replace") as file:
                said = file.read()[-2000:]
            raise RuntimeError(
                f"{process.args[0]} does not answer on port {port}; it said:\n{said}")
        time.sleep(0.0005)
