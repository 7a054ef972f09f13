"""The heartbeat of an attempt: it keeps the lease, and knows when the work has to stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from types import TracebackType
from typing import Self

from sqlalchemy.exc import SQLAlchemyError

log = logging.getLogger(__name__)

#: Reports ``done`` of ``total`` and prolongs the lease; False: the unit is no longer ours.
Beat = Callable[[int, int], bool]


class Reason(StrEnum):
    """Why work stops before it is done."""

    LOST = "lost"  # cancelled, taken back, or nobody could be told for as long as the lease lasts
    DRAIN = "drain"  # this worker is asked to stop


class Stopped(Exception):
    """The work has to stop."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Heart:
    """Beats in a thread of its own while the block lasts; the work asks ``check`` whether to go on.

    The thread only beats. That the lease has run out is judged by ``check`` with the clock alone, so
    that a beat which hangs in a dead connection stops nothing but itself.
    """

    def __init__(self, beat: Beat, *, claimed_at: float, lease: float, every: float) -> None:
        self._beat = beat
        self._lease = lease
        self._every = every
        self._heard_at = claimed_at
        self._refused = False
        self._done, self._total = 0, 0
        self._beyond = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=self._lease)

    def advance(self, done: int, total: int) -> None:
        """Note the progress that the next beat reports."""
        self._done, self._total = done, total

    def moved(self) -> None:
        """Note that work goes on after the last frame: bytes are on their way to the store."""
        self._beyond += 1

    def check(self) -> None:
        """Raise ``Stopped`` once the unit is no longer ours, or may not be."""
        if self._refused or time.monotonic() - self._heard_at > self._lease:
            raise Stopped(Reason.LOST)

    def _run(self) -> None:
        complained = False
        while not self._ended.wait(self._every):
            begun = time.monotonic()
            try:
                alive = self._beat(self._done + self._beyond, self._total)
            except SQLAlchemyError as error:
                if not complained:
                    log.warning("no heartbeat: %s", str(error).partition("\n")[0])
                complained = True
                continue
            complained = False
            if not alive:
                self._refused = True
                return
            self._heard_at = begun
