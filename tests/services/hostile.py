"""Servers for the tests of the guarded client: a host that says anything, a DNS that lies, and canaries."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

#: Writes an answer; may raise ``OSError`` when the client has gone.
Script = Callable[[socket.socket], None]


class Host:
    """Answers each path by its script, on 127.0.0.1; ``asked`` counts the paths."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.port: int = listener.getsockname()[1]
        self.scripts: dict[str, Script] = {}
        self.asked: Counter[str] = Counter()
        #: The heads of the requests, as they came.
        self.heads: list[str] = []
        #: What it shows under TLS; None: it does not speak it.
        self.tls: ssl.SSLContext | None = None

    def serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(sock,), daemon=True).start()

    def _answer(self, sock: socket.socket) -> None:
        # Gone, or no HTTP, or no such path.
        with suppress(OSError, LookupError, UnicodeError), ExitStack() as stack:
            stack.enter_context(sock)
            sock.settimeout(10)
            if self.tls:
                sock = stack.enter_context(self.tls.wrap_socket(sock, server_side=True))
            head = b""
            while b"\r\n\r\n" not in head and (more := sock.recv(4096)):
                head += more
            if not head:
                return
            _take_body(sock, head)
            path = head.split(b" ")[1].decode()
            self.asked[path] += 1
            self.heads.append(head.decode("latin-1"))
            self.scripts[path](sock)


def _take_body(sock: socket.socket, received: bytes) -> None:
    """Read what follows the head: who closes before that resets, and the answer is lost."""
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
    left = int(length[1]) - len(body) if length else 0
    while left > 0 and (more := sock.recv(left)):
        left -= len(more)


class Canary:
    """Listens where nobody may connect, and counts those who do."""

    def __init__(self) -> None:
        self.seen = 0

    def watch(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self.seen += 1
            sock.close()


class Names:
    """A DNS server: each name gives its answers one after the other, the last of them for ever.

    An answer is a list of addresses, or of one ``CNAME name.``; what is not known does not exist.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.address = f"127.0.0.1:{sock.getsockname()[1]}"
        self.answers: dict[str, list[list[str]]] = {}
        #: How often each name was asked for its IPv4 addresses.
        self.asked: Counter[str] = Counter()

    def serve(self) -> None:
        while True:
            try:
                data, peer = self._sock.recvfrom(4096)
            except OSError:
                return
            if data == b"stop":
                return
            self._sock.sendto(self._answer(dns.message.from_wire(data)).to_wire(), peer)

    def _answer(self, query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA | dns.flags.AA
        asked = query.question[0]
        name, kind = asked.name.to_text(), "A" if asked.rdtype == 1 else "AAAA"
        turns = self.answers.get(name.rstrip("."))
        if turns is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
            return response
        turn = turns[0]
        if kind == "A" and len(turns) > 1:  # the second of the two questions of one look-up
            turns.pop(0)
        self.asked[name.rstrip(".")] += kind == "A"
        for value in turn:
            if value.startswith("CNAME "):
                target = value.split()[1]
                response.answer.append(dns.rrset.from_text(name, 0, "IN", "CNAME", target))
                turn, name = self.answers[target.rstrip(".")][0], target
        here = [value for value in turn if (":" in value) == (kind == "AAAA") and " " not in value]
        if here:
            response.answer.append(dns.rrset.from_text(name, 0, "IN", kind, *here))
        return response


@contextmanager
def host() -> Iterator[Host]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        server = Host(listener)
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@contextmanager
def canary(*places: tuple[str, int]) -> Iterator[Canary]:
    bird = Canary()
    with ExitStack() as listeners:
        threads = []
        for place in places:
            family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
            listener = listeners.enter_context(closing(socket.create_server(place, family=family)))
            threads.append(threading.Thread(target=bird.watch, args=(listener,), daemon=True))
            threads[-1].start()
            listeners.callback(listener.shutdown, socket.SHUT_RDWR)
        yield bird
    for thread in threads:
        thread.join(5)


@contextmanager
def names(answers: Mapping[str, list[list[str]]]) -> Iterator[Names]:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.bind(("127.0.0.1", 0))
        server = Names(sock)
        server.answers.update(answers)
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        yield server
        sock.sendto(b"stop", sock.getsockname())
        thread.join(5)
