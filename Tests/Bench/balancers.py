"""The balancers and the nodes behind them: their configurations, equal as far as they can be.

Each has one worker (or --workers), kept-alive connections on both sides, round robin, no access
log, no health checks, and five listeners: `web` before nodes that give a small answer, `bulk` before
nodes that take uploads and send downloads, both again with TLS in front, by one ECDSA
certificate, tickets on, no other cache, and `web` again for connections as they are. Where a default would put a peer at a
disadvantage in this setting, it is changed, and the reason stands beside the line.
"""

import json
import os
import shutil
import subprocess

import processes


# What nginx passes connections on with: a package of its own in Debian (libnginx-mod-stream).
STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"

# What listeners with TLS show; a client of them does not verify.
CERTIFICATE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                           "Fixtures", "TLS", "web-ec")


class Balancer:
    """One balancer under test: how to start it, and its ports."""

    def __init__(self, name, setting, web_port, bulk_port, label=None, web_nodes=None,
                 logs=False, sticky=False, further=None):
        """`label` names a second one of the kind, which has files of its own. It may have other
        nodes, an access log, and sessions that stay with their node by a cookie. `further`:
        the ports of the listeners with TLS, `web` and `bulk`, and of that for connections."""
        self.name = name
        self.web_nodes = web_nodes or setting.web_nodes
        self.logs = logs
        self.sticky = sticky
        self.web_port = web_port
        self.bulk_port = bulk_port
        *self.secure, self.wire_port = further or processes.free_ports(3, first=23_000)
        self.setting = setting
        self.folder = os.path.join(setting.scratch, f"{name}-{label}" if label else name)
        self.files = self.folder if label else setting.out
        self.log = os.path.join(setting.out, f"{name}.log")
        self.process = None
        os.makedirs(self.folder, exist_ok=True)
        text, file, self.command = CONFIGURATIONS[name](self)
        with open(file, "w") as out:
            out.write(text)

    def start(self, wait=True):
        self.process = processes.start(
            self.command, self.setting.balancer_cores, self.log, self.folder)
        if wait:
            processes.wait_until_answers(self.process, self.web_port, self.log)
            processes.wait_until_answers(self.process, self.bulk_port, self.log, "/bytes/1")

    def stop(self):
        if self.process:
            processes.stop(self.process)
            self.process = None

    def cpu_seconds(self):
        return processes.cpu_seconds(self.process.pid)


def nginx(one):
    setting = one.setting
    upstreams = {"web": one.web_nodes, "bulk": setting.bulk_nodes}
    servers = {"web": one.web_port, "bulk": one.bulk_port}
    secure = dict(zip(servers, one.secure))
    lines = [
        "daemon off;",
        "user root;" if os.geteuid() == 0 else "# not root: workers run as the caller",
        f"worker_processes {setting.workers};",
        f"worker_rlimit_nofile {setting.descriptors};",
        f"pid {one.folder}/nginx.pid;",
        "error_log stderr warn;",
        "events {",
        f"    worker_connections {2 * setting.capacity};",
        "}",
        "http {",
        f"    access_log {one.folder}/access.log;" if one.logs else "    access_log off;",
        "    keepalive_timeout 75s;",
        "    keepalive_requests 1000000000;       # default 1000: would end connections amid a run",
        "    client_max_body_size 0;",
        "    proxy_http_version 1.1;",
        '    proxy_set_header Connection "";      # kept-alive connections to the nodes',
        "    proxy_set_header Host $http_host;",
        "    proxy_set_header X-Forwarded-For $remote_addr;",
        "    proxy_set_header X-Forwarded-Proto $scheme;",
        "    proxy_set_header X-Forwarded-Host $http_host;",
        "    proxy_request_buffering off;         # default on: uploads would go to disk first",
        "    proxy_max_temp_file_size 0;          # default 1g: downloads would go to disk",
    ]
    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        lines.append(f"    {kind}_temp_path {one.folder}/{kind};")
    for name, nodes in upstreams.items():
        lines.append(f"    upstream {name} {{")
        if one.sticky:
            lines.append("        hash $cookie_session consistent;  # what it has for free")
        lines += [f"        server 127.0.0.1:{port};" for port in nodes]
        lines += [
            f"        keepalive {max(1024, 2 * len(nodes))};",
            "        keepalive_requests 1000000000;",
            "    }",
            "    server {",
            f"        listen 127.0.0.1:{servers[name]} backlog=4096;",
            f"        listen 127.0.0.1:{secure[name]} ssl backlog=4096;",
            f"        ssl_certificate {CERTIFICATE}.crt;",
            f"        ssl_certificate_key {CERTIFICATE}.key;",
            "        ssl_protocols TLSv1.2 TLSv1.3;",
            f"        location / {{ proxy_pass http://{name}; }}",
            "    }",
        ]
    lines.append("}")
    if os.path.exists(STREAM_MODULE):
        lines.insert(0, f"load_module {STREAM_MODULE};")
        lines += ["stream {", "    upstream wire {"]
        lines += [f"        server 127.0.0.1:{port};" for port in one.web_nodes]
        lines += ["    }", f"    server {{ listen 127.0.0.1:{one.wire_port} backlog=4096;",
                  "        proxy_timeout 1h; proxy_pass wire; }", "}"]
    file = os.path.join(one.files, "nginx.conf")
    command = [find("nginx"), "-p", one.folder, "-e", "stderr", "-c", file]
    return "\n".join(lines) + "\n", file, command


def haproxy(one):
    setting = one.setting
    lines = [
        "global",
        f"    nbthread {setting.workers}",
        "    # Two descriptors for each connection are more than it uses here: a warning is enough.",
        "    no strict-limits",
        "    # Also decides how many idle connections it keeps to the nodes.",
        f"    maxconn {setting.capacity}",
        "defaults",
        "    mode http",
        "    option splice-auto                   # bodies by splice where it pays",
        "    option forwardfor",
        "    http-reuse always                    # as the others: any connection, any request",
        "    timeout connect 3s",
        "    timeout client 10m",
        "    timeout server 10m",
        "    timeout http-keep-alive 75s",
    ]
    if one.logs:
        # It writes no files: a log goes to a socket or to its standard output, which is a file here.
        lines += ["    log stdout format raw local0", "    option httplog"]
    # It wants both in one file.
    both = os.path.join(one.folder, "both.pem")
    with open(both, "w") as out:
        for end in ("crt", "key"):
            with open(f"{CERTIFICATE}.{end}") as file:
                out.write(file.read())
    for name, port, secure, nodes in (
            ("web", one.web_port, one.secure[0], one.web_nodes),
            ("bulk", one.bulk_port, one.secure[1], setting.bulk_nodes)):
        lines += [
            f"listen {name}",
            f"    bind 127.0.0.1:{port} backlog 4096",
            f"    bind 127.0.0.1:{secure} ssl crt {both} ssl-min-ver TLSv1.2 alpn http/1.1 backlog 4096",
            "    balance roundrobin",
            "    http-request set-header X-Forwarded-Proto http",
            "    http-request set-header X-Forwarded-Host %[req.hdr(Host)]",
        ]
        if one.sticky:
            lines.append("    cookie session insert indirect nocache")
        lines += [f"    server n{i} 127.0.0.1:{node}" + (f" cookie n{i}" if one.sticky else "")
                  for i, node in enumerate(nodes, 1)]
    lines += ["listen wire", "    mode tcp", f"    bind 127.0.0.1:{one.wire_port} backlog 4096",
              "    balance roundrobin"]
    lines += [f"    server n{i} 127.0.0.1:{node}" for i, node in enumerate(one.web_nodes, 1)]
    file = os.path.join(one.files, "haproxy.cfg")
    # -W: a master and a worker, as its service runs it; -db: in the foreground.
    return "\n".join(lines) + "\n", file, [find("haproxy"), "-W", "-db", "-f", file]


def trivet(one):
    setting = one.setting
    pools = {
        name: {
            "strategy": ["sticky", "round-robin"] if one.sticky else "round-robin",
            "nodes": [{"name": f"n{i}", "address": f"127.0.0.1:{port}"}
                      for i, port in enumerate(nodes, 1)],
        } for name, nodes in (("web", one.web_nodes), ("bulk", setting.bulk_nodes))
    }
    configuration = {
        "workers": setting.workers,
        "listeners": [
            {"name": "web", "address": f"127.0.0.1:{one.web_port}", "pool": "web"},
            {"name": "bulk", "address": f"127.0.0.1:{one.bulk_port}", "pool": "bulk"},
        ],
        "pools": pools,
    }
    if one.name != "before":  # an older one may not know TLS
        pair = {"certificate": CERTIFICATE + ".crt", "key": CERTIFICATE + ".key"}
        configuration["listeners"] += [
            {"name": f"{name}-tls", "address": f"127.0.0.1:{port}", "pool": name,
             "tls": {"certificates": [pair]}} for name, port in zip(pools, one.secure)]
        configuration["listeners"].append(
            {"name": "wire", "address": f"127.0.0.1:{one.wire_port}", "pool": "web",
             "protocol": "tcp"})
    if one.logs:
        configuration["access_log"] = os.path.join(one.folder, "access.log")
    if one.sticky:
        for pool in pools.values():
            pool["session"] = {"cookie": "session"}
    file = os.path.join(one.files, "trivet.json5")
    return json.dumps(configuration, indent=2) + "\n", file, [program(one.name, setting), "run", file]


CONFIGURATIONS = {"nginx": nginx, "haproxy": haproxy, "before": trivet, "trivet": trivet}


class Nodes:
    """The nodes: one nginx with a port for each `web` node, one `bulknode` for the `bulk` ones."""

    def __init__(self, setting):
        self.setting = setting
        self.running = []

    def start(self):
        setting = self.setting
        folder = os.path.join(setting.scratch, "nodes")
        os.makedirs(folder, exist_ok=True)
        file = os.path.join(setting.out, "nodes.conf")
        lines = [
            "daemon off;",
            "user root;" if os.geteuid() == 0 else "# not root",
            f"worker_processes {len(setting.load_cores)};",
            f"worker_rlimit_nofile {setting.descriptors};",
            f"pid {folder}/nginx.pid;",
            "error_log stderr warn;",
            f"events {{ worker_connections {2 * setting.capacity + len(setting.web_nodes) + len(setting.many_nodes)}; }}",
            "http {",
            "    access_log off;",
            "    keepalive_timeout 1h;",
            "    keepalive_requests 1000000000;",
        ]
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
            lines.append(f"    {kind}_temp_path {folder}/{kind};")
        lines.append("    server {")
        lines += [f"        listen 127.0.0.1:{port} backlog=4096;"
                  for port in setting.web_nodes + setting.many_nodes]
        lines += [
            "        default_type text/plain;",
            '        location / { return 200 "A small answer, as a ping or an API gives it.\\n"; }',
            "    }",
            "}",
        ]
        with open(file, "w") as out:
            out.write("\n".join(lines) + "\n")
        log = os.path.join(setting.out, "nodes.log")
        web = [find("nginx"), "-p", folder, "-e", "stderr", "-c", file]
        bulk = [setting.bulknode] + [str(port) for port in setting.bulk_nodes]
        for command, port, path in ((web, setting.web_nodes[0], "/"),
                                    (bulk, setting.bulk_nodes[0], "/bytes/1")):
            process = processes.start(command, setting.load_cores, log, folder)
            self.running.append(process)
            processes.wait_until_answers(process, port, log, path)

    def stop(self):
        for process in self.running:
            processes.stop(process)
        self.running = []


def find(name):
    """A program's path; Debian keeps daemons where a user's PATH does not lead."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def program(name, setting):
    """Where the program of that name is."""
    return {"trivet": setting.trivet, "before": setting.before}.get(name) or find(name)


def version(name, path):
    """The first line with which a program names itself."""
    flag = "--version" if name in ("trivet", "before") else "-v"
    said = subprocess.run([path, flag], capture_output=True, text=True, timeout=10)
    return (said.stdout + said.stderr).strip().splitlines()[0]
