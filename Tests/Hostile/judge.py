"""Runs one case against one balancer and says what is wrong with the outcome: nothing, or a sentence."""

import select
import socket
import time

from wire import STATUS_LINE, Broken, Message

TAIL = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


class Client:
    """What came back on one connection, up to now."""

    def __init__(self, port, methods):
        self.one = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.methods = methods
        self.raw = b""
        self.end = None          # "closed" or "reset"

    def send(self, data):
        try:
            self.one.sendall(data)
        except OSError:
            pass                 # it has been refused already; what was said is read below

    def answers(self):
        """Final answers that are whole, and what is left behind the last of them."""
        found, data = [], self.raw
        while data:
            method = self.methods[min(len(found), len(self.methods) - 1)].encode()
            message = Message(data, STATUS_LINE, method)
            end = message.end
            if end is None and message.head_is_whole and message.needs_close and self.end:
                message.end = end = len(data)
                if self.end == "reset":
                    return found, data
            if end is None:
                return found, data
            if message.status >= 200:
                found.append(message)
            data = data[end:]
        return found, data

    def read(self, enough, seconds):
        """Reads until `enough()` holds, the connection ends, or nothing comes for so long."""
        while not self.end and not enough():
            if not select.select([self.one], [], [], seconds)[0]:
                return
            try:
                some = self.one.recv(65_536)
                self.raw += some
                if not some:
                    self.end = "closed"
            except OSError:
                self.end = "reset"


def settle(condition, seconds=1.0):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.002)
    return condition()


def judge_request(case, port, node):
    """A case of requests.json. `refuse`: statuses; `serve`: how many requests; either, if both."""
    node.clear()
    refuse, serve = case.get("refuse"), case.get("serve")
    data = case["send"]
    client = Client(port, case.get("methods", ["GET"]))
    try:
        for piece in data if isinstance(data, list) else [data]:
            if isinstance(piece, (int, float)):
                time.sleep(piece)
            else:
                client.send(piece.encode("latin-1"))
        if refuse and "alone" not in case:
            client.send(TAIL)
        if case.get("half_close"):
            client.one.shutdown(socket.SHUT_WR)
        wanted = serve + ("alone" not in case) if serve and refuse else serve or 10**6
        client.read(lambda: len(client.answers()[0]) >= wanted, 0.5 if serve and refuse else 3)
        client.read(lambda: False, 0.04 if not client.end else 0)
        answers, rest = client.answers()
    except Broken as what:
        return f"an answer that is none: {what}"
    finally:
        client.one.close()
    statuses = [answer.status for answer in answers]
    before = case.get("before", 0)
    refused = len(statuses) > before and statuses[before] >= 400
    if refuse and (refused or not serve):
        if len(statuses) != before + 1 or any(s != 200 for s in statuses[:-1]):
            return f"answers {statuses} instead of one refusal"
        if statuses[-1] not in refuse:
            return f"status {statuses[-1]} instead of {refuse}"
        if client.end is None:
            return "the connection stayed open"
        if len(node.whole) != before:
            return f"{len(node.whole)} requests reached the node"
    else:
        extra = 1 if refuse and "alone" not in case else 0
        if statuses != [200] * (serve + extra) or rest:
            return f"answers {statuses}, {len(rest)} bytes behind, instead of {serve}"
        if not settle(lambda: len(node.whole) == serve + extra):
            return f"{len(node.whole)} requests at the node instead of {serve}"
        if extra and not node.whole[-1].line.startswith(b"GET /smuggled "):
            return f"the node took {node.whole[-1].line!r} for the last request"
        lines = case.get("lines")
        seen = [m.line.decode("latin-1") for m in node.whole[:serve]]
        if lines and seen != lines:
            return f"the node saw {seen}"
        bodies = case.get("bodies")
        if bodies and [m.body.decode("latin-1") for m in node.whole[:serve]] != bodies:
            return f"the node got {[m.body for m in node.whole]}"
        # Names of fields may come in any case, unless that is what the case is about.
        same = bytes if case.get("exact") else bytes.lower
        for text in case.get("node", []):
            if same(text.encode("latin-1")) not in same(node.raw):
                return f"{text!r} did not reach the node"
        for text in case.get("never", []):
            if text.lower().encode("latin-1") in node.raw.lower():
                return f"{text!r} reached the node"
    for text in case.get("answer", []):
        if text.encode("latin-1") not in client.raw:
            return f"{text!r} is not in the answer"
    if node.broken:
        return f"the node met {node.broken[0]}"
    return None


def judge_response(case, port, node):
    """A case of responses.json: `want` lists what may come of it."""
    script = case["node"]
    node.script = [piece.encode("latin-1") for piece in
                   (script if isinstance(script, list) else [script])]
    node.then, node.used = case.get("then", "stay"), {}
    node.is_through.clear()
    method = case.get("method", "GET")
    client = Client(port, [method])
    try:
        client.send(case.get("send", f"{method} /first HTTP/1.1\r\nHost: a\r\n\r\n")
                    .encode("latin-1"))
        client.read(lambda: bool(client.answers()[0]), 3)
        # What the node still says is on its way before the next request is.
        node.is_through.wait(1)
        client.read(lambda: False, 0.03 if not client.end else 0)
        answers, rest = client.answers()
    except Broken as what:
        return f"an answer that is none: {what}"
    want = case["want"] if isinstance(case["want"], list) else [case["want"]]
    if not answers:
        outcome = "cut" if client.end and (rest or client.end) else "silence"
    else:
        outcome = answers[0].status
    if outcome not in want:
        client.one.close()
        return f"{outcome} instead of {want}"
    if len(answers) > 1 or answers and rest:
        client.one.close()
        return "more than one answer"
    if answers:
        if "body" in case and outcome != 502 and answers[0].body != case["body"].encode("latin-1"):
            return f"the body was {answers[0].body[:60]!r}"
        for text in case.get("answer", []):
            if text.lower().encode("latin-1") not in client.raw.lower():
                return f"{text!r} is not in the answer"
        for text in case.get("absent", []):
            if text.lower().encode("latin-1") in client.raw.lower():
                return f"{text!r} is in the answer"
    # Whoever comes next gets the answer to its own question, on a connection that is clean.
    following = client if answers and not client.end else Client(port, ["GET"])
    try:
        if following is client:
            client.raw, client.methods = b"", ["GET"]
        following.send(b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n")
        following.read(lambda: bool(following.answers()[0]), 3)
        following.read(lambda: False, 0.02 if not following.end else 0)
        answers, rest = following.answers()
    except Broken as what:
        return f"the next answer is none: {what}"
    finally:
        client.one.close()
        following.one.close()
    if [a.body for a in answers] != [b"second"] or rest:
        return f"the next answer was {following.raw[:80]!r}"
    reused = node.used.get(b"/first") == node.used.get(b"/second")
    # Whether one that could be is used again is not judged: that is thrift.
    if reused and not case.get("reuse", True):
        return "the node's connection was used again"
    return None
