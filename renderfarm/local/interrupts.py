"""Ctrl-C, SIGTERM and a closed terminal, taken at a moment that suits."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Within its block the first signal raises ``KeyboardInterrupt``, later ones are only counted.

    So what the first one breaks off can be cleaned up in peace, and a second can be asked about.
    """

    def __init__(self) -> None:
        self.count = 0
        self._holding = False
        self._before: dict[signal.Signals, Callable[[int, FrameType | None], Any] | int | None] = {}

    def __enter__(self) -> Self:
        for kind in _SIGNALS:
            if signal.getsignal(kind) is not signal.SIG_IGN:  # nohup means it
                self._before[kind] = signal.signal(kind, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for kind, handler in self._before.items():
            signal.signal(kind, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Put a signal off until the end of this block."""
        self._holding, before = True, self.count
        try:
            yield
        finally:
            self._holding = False
        if before == 0 and self.count:
            raise KeyboardInterrupt

    def hurried(self) -> bool:
        """Whether somebody asked a second time."""
        return self.count > 1

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.count == 1 and not self._holding:
            raise KeyboardInterrupt
