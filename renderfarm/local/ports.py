"""Free ports and waiting for servers, on loopback."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Container

#: Below those that systems give to connections that go out: one of these would have it before its server.
_PORTS = range(15_000, 32_000)


def free_port(preferred: int = 0, taken: Container[int] = ()) -> int:
    """``preferred`` if nobody listens there, else any free port of 127.0.0.1; never one of ``taken``."""
    if preferred and preferred not in taken and not answers(preferred) and _can_bind(preferred):
        return preferred
    for _ in range(500):
        port = secrets.choice(_PORTS)
        if port not in taken and _can_bind(port):
            return port
    raise OSError("no free port on 127.0.0.1")


def answers(port: int) -> bool:
    """Whether something accepts connections on the port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def wait_for(port: int, seconds: float) -> bool:
    """Wait until the port answers; False when it does not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answers(port):
            return True
        time.sleep(0.05)
    return False


def _can_bind(port: int) -> int:
    """The port, once it could be bound; 0 when it could not."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
        return int(probe.getsockname()[1])
