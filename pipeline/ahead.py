"""A stream that is made in a thread of its own while what it gave last is worked on."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from contextlib import closing
from queue import Full, Queue
from typing import TypeVar

T = TypeVar("T")


class _End:
    """The end of a stream, and the error that it ended with."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def ahead(stream: Iterable[T], items: int = 4) -> Generator[T, None, None]:
    """Yield what ``stream`` does, in order; up to ``items`` are made before they are asked for.

    Decoders, detectors and encoders are native code that runs beside Python: so two of them keep two
    cores busy, without a second process and its memory. Errors arrive where they would have; closing
    this closes ``stream`` in its thread and waits for that.
    """
    queue: Queue[T | _End] = Queue(items)
    over = threading.Event()

    def put(item: T | _End) -> None:
        while not over.is_set():
            try:
                return queue.put(item, timeout=0.1)
            except Full:
                continue

    def work() -> None:
        try:
            for item in stream:
                put(item)
                if over.is_set():
                    break
            if isinstance(stream, Generator):
                stream.close()
            put(_End())
        except BaseException as error:  # handed to whoever reads
            put(_End(error))

    worker = threading.Thread(target=work, name="ahead", daemon=True)
    with closing(_Joined(worker, over)):
        worker.start()
        while not isinstance(item := queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error


class _Joined:
    """Ends a worker when it is closed."""

    def __init__(self, worker: threading.Thread, over: threading.Event) -> None:
        self._worker, self._over = worker, over

    def close(self) -> None:
        self._over.set()
        self._worker.join()
