"""The ingress's gunicorn worker: silent peers cost it no thread, and no address has all of them."""

from __future__ import annotations

import errno
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

from renderfarm import context

#: Of so many shares of a process's threads one address may have one with its connections.
_SHARES = 2
#: How long a peer may take to say anything at all, in seconds.
_FIRST_BYTE = 10.0


class _Connection(TConn):  # type: ignore[misc]  # gunicorn ships no types
    """A connection that tells when it has ended."""

    def __init__(self, ended: Callable[[], None], *given: Any) -> None:
        super().__init__(*given)
        self._ended: Callable[[], None] | None = ended

    def close(self, graceful: bool = False) -> None:
        """Close it; it may be closed again."""
        ended, self._ended = self._ended, None
        if ended:
            ended()
        super().close(graceful)


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """``gthread``, but for how connections come in.

    A new one waits for its first byte where all of them are waited for, and not in a thread. Beyond its
    share an address is hung up on; where proxies are trusted all have theirs, and no share is kept.
    """

    #: Set by ``gunicorn_conf``.
    behind_proxies = False

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._open: Counter[str] = Counter()

    def accept(self, listener: socket.socket) -> None:
        """Take a connection, and listen for its first byte."""
        try:
            sock, peer = listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        address = str(peer[0]) if isinstance(peer, tuple) else ""
        if address and not self.behind_proxies and self._open[address] >= self.cfg.threads // _SHARES:
            sock.close()
            return
        self._open[address] += 1
        self.nr_conns += 1
        ended = partial(self._let_go, address)
        connection = _Connection(ended, self.cfg, sock, peer, listener.getsockname())
        connection.timeout = time.monotonic() + _FIRST_BYTE
        self.pending_conns.append(connection)
        readable = partial(self.on_pending_socket_readable, connection)
        self.poller.register(sock, selectors.EVENT_READ, readable)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Any) -> None:
        """Answer what is no request of the application's, under an id all the same."""
        sent = dict(getattr(req, "headers", ())).get(context.HEADER.upper())
        with context.about(request=context.accepted(sent)):
            super().handle_error(req, client, addr, exc)

    def _let_go(self, address: str) -> None:
        self._open[address] -= 1
        if self._open[address] <= 0:
            del self._open[address]
