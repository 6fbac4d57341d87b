"""A strict reader of HTTP/1.1, and nodes that record what reaches them.

The reader is the judge's: what it takes for one message is one message for every reader. It shares
no code with anything it judges.
"""

import re
import socket
import struct
import threading

REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [\x21-\x7e]+ HTTP/1\.[01]")
STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t ]*([\t\x20-\x7e\x80-\xff]*?)[\t ]*")


class Broken(Exception):
    """Bytes that are no message."""


class Message:
    """A message that lies at the front of some bytes; `end` is None while it is not whole."""

    def __init__(self, data, start_line, method=None):
        self.end = None
        self.needs_close = False
        head, mark, _ = data.partition(b"\r\n\r\n")
        self.head_is_whole = bool(mark)
        if not mark:
            # What is wrong already is said at once.
            line, mark, _ = data.partition(b"\r\n")
            if mark and not start_line.fullmatch(line):
                raise Broken(f"start line {line[:60]!r}")
            return
        first, *lines = head.split(b"\r\n")
        match = start_line.fullmatch(first)
        if not match:
            raise Broken(f"start line {first[:60]!r}")
        self.line = first
        self.status = int(match[1]) if match.groups() else None
        self.fields = {}
        for line in lines:
            field = FIELD.fullmatch(line)
            if not field:
                raise Broken(f"field line {line[:60]!r}")
            self.fields.setdefault(field[1].lower(), []).append(field[2])
        self._body(data, len(head) + 4, method)

    def _body(self, data, at, method):
        codings = self.fields.get(b"transfer-encoding", [])
        lengths = self.fields.get(b"content-length", [])
        if codings and lengths or len(codings) > 1 or len(lengths) > 1:
            raise Broken("more than one framing")
        if codings and codings[0].lower() != b"chunked":
            raise Broken(f"transfer coding {codings[0]!r}")
        if lengths and not re.fullmatch(rb"[0-9]{1,19}", lengths[0]):
            raise Broken(f"length {lengths[0]!r}")
        if self.status and (self.status < 200 or self.status in (204, 304) or method == b"HEAD"):
            self.body, self.end = b"", at
        elif codings:
            self._chunks(data, at)
        elif lengths:
            end = at + int(lengths[0])
            self.body = data[at:end]
            self.end = end if len(data) >= end else None
        elif self.status:
            self.body, self.needs_close = data[at:], True
        else:
            self.body, self.end = b"", at

    def _chunks(self, data, at):
        self.body, self.trailers = b"", []
        while True:
            line, mark, _ = data[at:].partition(b"\r\n")
            if not mark:
                if len(line) > 16_384:
                    raise Broken("an endless chunk size")
                return
            size = re.fullmatch(rb"([0-9A-Fa-f]{1,16})(?:;[\t\x20-\x7e]*)?", line)
            if not size:
                raise Broken(f"chunk size {line[:60]!r}")
            at += len(line) + 2
            length = int(size[1], 16)
            if length == 0:
                break
            self.body += data[at:at + length]
            if len(data) < at + length + 2:
                return
            if data[at + length:at + length + 2] != b"\r\n":
                raise Broken("a chunk longer than its size")
            at += length + 2
        while True:
            line, mark, _ = data[at:].partition(b"\r\n")
            if not mark:
                return
            at += len(line) + 2
            if not line:
                self.end = at
                return
            if not FIELD.fullmatch(line):
                raise Broken(f"trailer {line[:60]!r}")
            self.trailers.append(line)


def reset(one):
    """Closes a socket so that the other side sees a reset."""
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


class Node:
    """Listens on a port of its own. `serve(connection, number)` has each connection on a thread."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.count = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                one, _ = self.listener.accept()
            except OSError:
                return
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.count += 1
            threading.Thread(target=self._run, args=(one, self.count), daemon=True).start()

    def _run(self, one, number):
        try:
            self.serve(one, number)
        except OSError:
            pass
        finally:
            one.close()


class Recorder(Node):
    """Answers each request that reaches it whole, and keeps what came."""

    def __init__(self):
        super().__init__()
        self.clear()

    def clear(self):
        self.raw = b""
        self.whole = []
        self.broken = []
        self.open = 0

    def serve(self, one, number):
        data, told = b"", False
        while True:
            try:
                message = Message(data, REQUEST_LINE) if data else None
            except Broken as what:
                self.broken.append(str(what))
                return
            if message and message.end is not None:
                self.whole.append(message)
                data, told = data[message.end:], False
                body = b"" if message.line.startswith(b"HEAD ") else b"ok"
                one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + body)
                continue
            if message and message.head_is_whole and b"expect" in message.fields and not told:
                told = True
                one.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            some = one.recv(65_536)
            if not some:
                return
            self.raw += some
            data += some


class Scripted(Node):
    """Answers the first request of a case with what its script says; `/second` with a good answer."""

    def __init__(self):
        super().__init__()
        self.script, self.then = [], "stay"
        self.used = {}
        # The last script has been said to its end.
        self.is_through = threading.Event()

    def serve(self, one, number):
        data = b""
        while True:
            message = Message(data, REQUEST_LINE) if data else None
            if message and message.end is not None:
                data = data[message.end:]
                path = message.line.split(b" ")[1]
                self.used[path] = number
                if path == b"/second":
                    one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond")
                    continue
                for number_of_piece, piece in enumerate(self.script):
                    if number_of_piece:
                        threading.Event().wait(0.03)
                    try:
                        one.sendall(piece)
                    except OSError:
                        self.is_through.set()  # nobody wants to hear the rest
                        raise
                self.is_through.set()
                if self.then == "reset":
                    threading.Event().wait(0.05)
                    reset(one)
                if self.then != "stay":
                    return
                continue
            some = one.recv(65_536)
            if not some:
                return
            data += some
