"""Load on an HTTP server, from a process of its own: ``python -m renderfarm.trial.load SPEC``.

Every connection sends its next request when it has the answer to the one before. One thread and raw
sockets, so that the load takes little of the machine that it loads.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path

#: How long answers are waited for when the time is over, in seconds.
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Spec:
    """What to send: files that each hold one whole request, in turn over all connections."""

    port: int
    connections: int
    #: Seconds before the count begins, and for which it goes on.
    warm: float
    seconds: float
    requests: list[str]


@dataclass(frozen=True, slots=True)
class Load:
    """What came back: answers a second while it counted, and all answers by status; 0 for none."""

    rate: float
    p50_ms: float
    p99_ms: float
    worst_ms: float
    statuses: dict[str, int]

    @property
    def errors(self) -> int:
        """How many requests were not answered by a success."""
        return sum(count for status, count in self.statuses.items() if not status.startswith("2"))


class _Caller(asyncio.Protocol):
    """One connection: asks, reads the answer, asks again."""

    def __init__(self, tally: _Tally) -> None:
        self._tally = tally
        self._buffer = b""
        self._asked_at = 0.0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = next(
            int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        if len(body) < length:
            return
        self._buffer = body[length:]
        self._tally.answered(head[9:12].decode(), self._asked_at)
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.over.done():
            self._tally.answered("0", self._asked_at)
            self.over.set_result(None)

    def _ask(self) -> None:
        request = self._tally.next_request()
        if request is None:
            self.over.set_result(None)
            self._transport.close()
            return
        self._asked_at = time.perf_counter()
        self._transport.write(request)


class _Tally:
    def __init__(self, spec: Spec) -> None:
        self._requests: Iterator[bytes] = cycle([Path(name).read_bytes() for name in spec.requests])
        self._from = time.perf_counter() + spec.warm
        self._until = self._from + spec.seconds
        self._seconds = spec.seconds
        self._times: list[float] = []
        self._statuses: Counter[str] = Counter()

    def next_request(self) -> bytes | None:
        return next(self._requests) if time.perf_counter() < self._until else None

    def answered(self, status: str, asked_at: float) -> None:
        now = time.perf_counter()
        self._statuses[status] += 1
        if self._from <= now < self._until:
            self._times.append(now - asked_at)

    def load(self) -> Load:
        times = sorted(self._times) or [0.0]
        p50, p99, worst = (1000 * times[min(len(times) - 1, int(q * len(times)))] for q in (0.5, 0.99, 1.0))
        rate = len(self._times) / self._seconds
        return Load(round(rate, 2), round(p50, 1), round(p99, 1), round(worst, 1), dict(self._statuses))


async def run(spec: Spec) -> Load:
    """Send the load, and wait for its last answers."""
    tally = _Tally(spec)
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: _Caller(tally), "127.0.0.1", spec.port)
        for _ in range(spec.connections)
    ]
    waiting = [caller.over for _, caller in made]
    await asyncio.wait(waiting, timeout=spec.warm + spec.seconds + _PATIENCE)
    for transport, caller in made:
        caller.connection_lost(None)  # who is still waiting has got no answer
        transport.abort()
    return tally.load()


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(run(Spec(**json.loads(sys.argv[1])))))))
