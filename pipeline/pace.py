"""A beat that is kept: what comes late once does not make all that follows late."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """Ends one piece of work every ``seconds`` from the first one's beginning, and none earlier."""

    def __init__(
        self,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._seconds, self._clock, self._sleep = seconds, clock, sleep
        self._start: float | None = None
        self._ended = 0

    def begin(self) -> None:
        """The next piece of work is there; with the first one the clock starts."""
        if self._start is None:
            self._start = self._clock()

    def end(self) -> None:
        """Return when the work that was begun may end: at once where it is late."""
        assert self._start is not None, "what ends has begun"
        self._ended += 1
        if (left := self._start + self._ended * self._seconds - self._clock()) > 0:
            self._sleep(left)
