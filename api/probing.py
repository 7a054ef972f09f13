"""How many uploads are probed at once: each costs a core and a picture's memory, however many wait."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from renderfarm.errors import FarmError
from renderfarm.settings import Settings

#: When whoever has waited in vain is told to come back, in seconds.
_COME_BACK = 5


class Probing:
    """One process's share of the machine's bound; nobody else takes it, and nothing is left of a dead one."""

    def __init__(self, settings: Settings) -> None:
        self._slots = max(1, settings.probes_at_once // settings.api_processes)
        self._share = max(1, self._slots // 2)
        self._patience = settings.probe_wait_seconds
        self._changed = threading.Condition()
        self._busy: Counter[str] = Counter()
        self._waiting: Counter[str] = Counter()

    @contextmanager
    def turn(self, account_id: str) -> Iterator[None]:
        """Wait for a turn, and probe; CS-UORC01-111 where none comes in time.

        An account has no more than its share of them while another one waits.
        """
        with self._changed:
            self._waiting[account_id] += 1
            came = self._changed.wait_for(lambda: self._may(account_id), self._patience)
            self._waiting -= Counter([account_id])
            if not came:
                message = "Too many uploads are being examined just now."
                raise FarmError("CS-UORC01-111", message, retry_after=_COME_BACK)
            self._busy[account_id] += 1
        try:
            yield
        finally:
            with self._changed:
                self._busy -= Counter([account_id])
                self._changed.notify_all()

    def _may(self, account_id: str) -> bool:
        if self._busy.total() >= self._slots:
            return False
        return self._busy[account_id] < self._share or not self._waiting.keys() - {account_id}
