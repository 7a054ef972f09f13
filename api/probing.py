"""How many uploads are probed at once: each costs a core and a picture's memory, however many wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from renderfarm.errors import FarmError
from renderfarm.settings import Settings

#: When whoever has waited in vain is told to come back, in seconds.
_COME_BACK = 5


class Probing:
    """One process's share of the machine's bound; nobody else takes it, and nothing is left of a dead one."""

    def __init__(self, settings: Settings) -> None:
        self._slots = threading.BoundedSemaphore(max(1, settings.probes_at_once // settings.api_processes))
        self._patience = settings.probe_wait_seconds

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, and probe; CS-UORC01-111 where none comes in time."""
        if not self._slots.acquire(timeout=self._patience):
            message = "Too many uploads are being examined just now."
            raise FarmError("CS-UORC01-111", message, retry_after=_COME_BACK)
        try:
            yield
        finally:
            self._slots.release()
