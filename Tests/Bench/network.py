"""A network of the run's own: a namespace with nothing but its loopback, in which the congestion
control is the one that is asked for, whatever this machine's administrator chose for theirs.

It matters: BBR paces what it sends by timers, also where there is nothing to pace for, and on loopback
every balancer took 1.6 to 4 times the CPU per GB with it. Linux's own default is CUBIC.

The route says it and not net.ipv4.tcp_congestion_control, which takes only what
tcp_allowed_congestion_control has: on a machine set up for BBR, CUBIC may not be in that.
"""

import ctypes
import os
import socket
import subprocess

import balancers

NEW_NETWORK = 0x4000_0000      # CLONE_NEWNET, sched.h
KNOWN = "/proc/sys/net/ipv4/tcp_available_congestion_control"


def congestion_control():
    """What connections of this process get, on either side."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as ours, server.accept()[0] as theirs:
            names = {end.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).split(b"\0")[0].decode()
                     for end in (ours, theirs)}
            return " and ".join(sorted(names))


def known():
    """What there is to choose from."""
    with open(KNOWN) as file:
        return file.read().split()


def of_its_own(control):
    """Moves this process, and with it all that it starts from now on, into a new network, with that
    congestion control, which has to be known. Raises OSError, and nothing has changed, where this user
    may not; CalledProcessError where `ip` could not do it, and then there is no network at all."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_NETWORK) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    ip("link", "set", "lo", "up")
    for to in ("127.0.0.0/8", "127.0.0.1"):
        ip("route", "change", "local", to, "dev", "lo", "table", "local", "proto", "kernel",
           "scope", "host", "src", "127.0.0.1", "congctl", control)


def ip(*words):
    """iproute2's command, which says itself what it does not like."""
    subprocess.run([balancers.find("ip"), *words], check=True)
