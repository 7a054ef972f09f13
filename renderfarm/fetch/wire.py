"""A connection to one address that was judged: it measures every byte, and gives up in time."""

from __future__ import annotations

import errno
import io
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address

from renderfarm.fetch.address import IPAddress, Refused, Unreachable

#: How long a wait in the system lasts before ``tick`` is asked whether to go on.
_SLICE = 0.25


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a peer may take, in seconds: to be connected to, to say anything more, and for everything."""

    connect: float
    silence: float
    total: float
    #: Bytes a second that a peer has to send on the whole, beyond its first ``silence``.
    slowest: float = 0.0


class Watch:
    """The clock of one exchange; ``tick`` is called at least every quarter of a second and may raise."""

    def __init__(self, limits: Limits, tick: Callable[[], None]) -> None:
        self.limits = limits
        self._tick = tick
        self._began = time.monotonic()
        self._ends = self._began + limits.total
        self._came = 0

    def wait(self, ready: Callable[[float], bool], seconds: float) -> None:
        """Return once ``ready`` (waiting so long at most) says so; ``Unreachable`` when it is late."""
        until = min(time.monotonic() + seconds, self._ends)
        while (left := until - time.monotonic()) > 0:
            self._tick()
            if ready(min(left, _SLICE)):
                return
        if time.monotonic() >= self._ends:
            raise Refused("The host of the address took too long.")
        raise Unreachable("The host of the address took too long.")

    def count(self, size: int) -> None:
        """So many bytes came; ``Refused`` where all of them are too few for their time."""
        self._came += size
        owed = self.limits.slowest * (time.monotonic() - self._began - self.limits.silence)
        if self._came < owed:
            raise Refused("The host of the address is too slow.")

    def check(self) -> None:
        """Raise where the time is up, or ``tick`` does."""
        self._tick()
        _ = self.left

    @property
    def left(self) -> float:
        """Seconds of the whole that are left; raises when there are none."""
        if (left := self._ends - time.monotonic()) <= 0:
            raise Refused("The host of the address took too long.")
        return left


class Wire:
    """A connected socket as ``http.client`` uses one, within ``allowance`` bytes from the peer."""

    def __init__(self, sock: socket.socket, watch: Watch, allowance: int) -> None:
        self._sock = sock
        self._watch = watch
        #: Bytes that the peer may still send.
        self.allowance = allowance

    def receive(self, buffer: memoryview) -> int:
        """Put what comes next into ``buffer``; its length, 0 at the end."""
        got = 0

        def ready(seconds: float) -> bool:
            nonlocal got
            self._sock.settimeout(seconds)
            try:
                got = self._sock.recv_into(buffer)
            except TimeoutError:
                return False
            return True

        self._watch.wait(ready, self._watch.limits.silence)
        self.allowance -= got
        self._watch.count(got)
        if self.allowance < 0:
            raise Refused("The address answers with more than is taken.")
        return got

    def sendall(self, data: bytes) -> None:
        """Send all of it within the limit of silence."""
        self._sock.settimeout(min(self._watch.limits.silence, self._watch.left))
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What ``http.client`` reads an answer through."""
        return io.BufferedReader(_Reader(self))

    def close(self) -> None:
        """Nothing: ``http.client`` lets go of a socket of which it still reads."""

    def hang_up(self) -> None:
        """Close the socket."""
        self._sock.close()


class _Reader(io.RawIOBase):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # of any buffer, this one comes
        return self._wire.receive(buffer)


def connect(address: IPAddress, port: int, watch: Watch) -> socket.socket:
    """A socket that is connected to this very address; raises ``Unreachable``."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise Unreachable("The host of the address cannot be reached.") from error
    try:
        sock.setblocking(False)
        if sock.connect_ex((str(address), port)) not in {0, errno.EINPROGRESS}:
            raise Unreachable("The host of the address cannot be reached.")
        waiting = select.poll()
        waiting.register(sock, select.POLLOUT)
        watch.wait(lambda seconds: bool(waiting.poll(seconds * 1000)), watch.limits.connect)
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise Unreachable("The host of the address cannot be reached.")
        host, at = sock.getpeername()[:2]
        if ip_address(host) != address or at != port:
            raise Refused("The address leads elsewhere.")
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError):
            raise Unreachable("The host of the address cannot be reached.") from error
        raise
    return sock


def encrypted(sock: socket.socket, host: str, context: ssl.SSLContext, watch: Watch) -> ssl.SSLSocket:
    """The socket under TLS, once the peer has shown a certificate of ``host``. The socket is used up."""
    with _trusted(), ExitStack() as failed:
        failed.enter_context(sock)
        sock.getpeername()  # who may have gone: ssl asks too, and would lose the socket
        safe = failed.enter_context(
            context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
        )

        def ready(seconds: float) -> bool:
            safe.settimeout(seconds)
            try:
                safe.do_handshake()
            except TimeoutError:
                return False
            return True

        watch.wait(ready, watch.limits.silence)
        failed.pop_all()  # it is well, and stays open
    return safe


@contextmanager
def _trusted() -> Iterator[None]:
    try:
        yield
    except ssl.SSLError as error:
        raise Refused("The host of the address does not speak TLS that can be trusted.") from error
    except OSError as error:
        raise Unreachable("The host of the address broke the connection off.") from error
