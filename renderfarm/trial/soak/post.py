"""Where a soak's webhooks arrive: a receiver that is away now and then, and remembers what it was told."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping

from renderfarm.receiver import Received

#: How often a message is not taken when it comes for the first time.
_AWAY = 0.05


class Post:
    """``take`` is what a ``Receiver`` calls, in many threads."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._lock = threading.Lock()
        self._seen: set[str] = set()
        #: The types of what was taken, by job.
        self.told: dict[str, set[str]] = {}
        #: Messages that came again after they had been taken: a courier may do so, seldom.
        self.again = 0
        self._taken: set[str] = set()

    def take(self, message: Received) -> int | None:
        """Take it, or answer 503 to the first attempt of some."""
        with self._lock:
            new = message.id not in self._seen
            self._seen.add(message.id)
            if new and self._dice.random() < _AWAY:
                return 503
            self.again += message.id in self._taken
            self._taken.add(message.id)
            self.told.setdefault(str(message.data["job_id"]), set()).add(message.type)
        return None

    def untold(self, jobs: Mapping[str, str]) -> list[str]:
        """Of these jobs, by their ends, those whose end was not told."""
        with self._lock:
            return [
                f"{job_id}: nobody was told that it is {end}"
                for job_id, end in jobs.items()
                if f"job.{end}" not in self.told.get(job_id, ())
            ]
