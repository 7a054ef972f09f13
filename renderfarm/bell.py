"""The bell between those who make work and those who wait for it: NOTIFY, with a clock beside it."""

from __future__ import annotations

import logging
import threading
import time

import psycopg
from sqlalchemy import func, select
from sqlalchemy.orm import Session

log = logging.getLogger(__name__)

#: The channels on which the dispatcher and the courier listen.
WORK, WEBHOOKS = "farm_work", "farm_webhooks"
#: Seconds between looks at whether to stop, while nothing is heard.
_HEARING = 0.25


def announce(session: Session, channel: str = WORK) -> None:
    """Wake who listens there when this transaction commits; PostgreSQL sends one notice per transaction."""
    session.execute(select(func.pg_notify(channel, "")))


class Bell:
    """Rings when a transaction announced work, heard on a connection of its own; else the clock does."""

    def __init__(self, url: str, channel: str = WORK) -> None:
        self._url = url
        self._channel = channel
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Return at the next notice or the stop, or after ``seconds``, with or without PostgreSQL."""
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self._url, autocommit=True, connect_timeout=5)
                self._connection.execute(f"LISTEN {self._channel}")
                return  # what was announced before is heard by nobody: look for it
            deadline = time.monotonic() + seconds
            while (left := deadline - time.monotonic()) > 0 and not stop.is_set():
                if any(self._connection.notifies(timeout=min(left, _HEARING), stop_after=1)):
                    return
        except psycopg.Error as error:
            log.warning("not listening, the clock has to do: %s", str(error).strip())
            self.close()
            stop.wait(seconds)

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
