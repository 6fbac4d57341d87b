"""The balancers under judgement, each before a recording node and a scripted one.

What a peer needs to be judged fairly is set: HTTP/1.1 and kept-alive connections to the nodes, bodies
streamed, the client's own Host. All else is its default.
"""

import glob
import json
import os
import shutil
import socket
import subprocess
import time


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def trivet(folder, ports, nodes, command):
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".build")
    found = [command] if command else (
        glob.glob(f"{root}/debug/trivet") + glob.glob(f"{root}/release/trivet"))
    configuration = {
        "workers": 1,
        "listeners": [{"name": kind, "address": f"127.0.0.1:{ports[kind]}", "pool": kind}
                      for kind in ports],
        "pools": {kind: {"nodes": [{"name": "node", "address": f"127.0.0.1:{nodes[kind]}"}]}
                  for kind in ports}}
    file = f"{folder}/trivet.json5"
    with open(file, "w") as out:
        json.dump(configuration, out)
    return found and [found[0], "run", file]


def nginx(folder, ports, nodes, _):
    lines = ["daemon off; worker_processes 1; error_log stderr crit;", f"pid {folder}/pid;",
             "user root;" if os.geteuid() == 0 else "", "events {}", "http {", "access_log off;",
             "proxy_http_version 1.1; proxy_request_buffering off; proxy_buffering off;",
             "large_client_header_buffers 4 64k; proxy_buffer_size 64k; proxy_buffers 8 64k;",
             'proxy_set_header Connection ""; proxy_set_header Host $http_host;']
    lines += [f"{kind}_temp_path {folder}/{kind};"
              for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")]
    for kind, port in ports.items():
        lines += [f"upstream {kind} {{ server 127.0.0.1:{nodes[kind]} max_fails=0; keepalive 8; }}",
                  f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{kind}; }} }}"]
    with open(f"{folder}/nginx.conf", "w") as out:
        out.write("\n".join(lines + ["}"]) + "\n")
    found = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    return found and [found, "-p", folder, "-e", "stderr", "-c", f"{folder}/nginx.conf"]


def haproxy(folder, ports, nodes, _):
    lines = ["global", "    nbthread 1", "    tune.bufsize 65536", "defaults", "    mode http",
             "    option forwardfor", "    timeout connect 3s", "    timeout client 20s",
             "    timeout server 20s"]
    for kind, port in ports.items():
        lines += [f"listen {kind}", f"    bind 127.0.0.1:{port}",
                  f"    server node 127.0.0.1:{nodes[kind]}"]
    with open(f"{folder}/haproxy.cfg", "w") as out:
        out.write("\n".join(lines) + "\n")
    found = shutil.which("haproxy") or shutil.which("/usr/sbin/haproxy")
    return found and [found, "-db", "-f", f"{folder}/haproxy.cfg"]


def start(name, folder, recorder, scripted, command):
    """The process and its ports, once it takes connections; None if it is not installed."""
    ports = {"request": free_port(), "response": free_port()}
    nodes = {"request": recorder, "response": scripted}
    line = {"trivet": trivet, "nginx": nginx, "haproxy": haproxy}[name](
        folder, ports, nodes, command)
    if not line:
        return None
    with open(f"{folder}/log", "wb") as log:
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    until = time.monotonic() + 15
    while process.poll() is None and time.monotonic() < until:
        try:
            for port in ports.values():
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return process, ports
        except OSError:
            time.sleep(0.02)
    process.kill()
    with open(f"{folder}/log", errors="replace") as log:
        raise SystemExit(f"{name} does not start; it said:\n{log.read()[-2000:]}")
