"""Crash points: places at which a process can be made to die, to see what the farm loses by it.

Off unless ``FARM_CRASH_AT`` arms one of them::

    POINT[/STAGE][:N][+parent|+stop][@TOKEN]

``STAGE`` counts only passings in that stage of a render; the process dies at the ``N``-th passing, the
first unless told; ``+parent`` takes its parent along, so that a worker goes whole and not only its child;
``+stop`` has it stand still instead, until a SIGCONT; ``TOKEN`` is a file that must be there, and is removed
first, so that one dies once, however often started.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.spec import Stage

if TYPE_CHECKING:
    from renderfarm.settings import Settings


class Point(StrEnum):
    """Where a process may die."""

    UPLOADED = "uploaded"  # ingress: the files are stored, and no row names them but as garbage
    SUBMITTED = "submitted"  # ingress: the job is committed, and its answer not sent
    ADMITTED = "admitted"  # dispatcher: units are admitted, and no message published
    PUBLISHED = "published"  # dispatcher: a message is published
    TAKEN_BACK = "taken_back"  # dispatcher: a lease that ran out is taken back
    DELETED = "deleted"  # dispatcher: a stored file is deleted, and its row is not
    DELIVERED = "delivered"  # courier: a receiver has taken a webhook, and no row says so
    CLAIMED = "claimed"  # worker: a unit is claimed, and nothing done
    DRAWN = "drawn"  # worker: in the middle of a piece or segment, at each progress
    ITEM_STORED = "item_stored"  # worker: a piece or segment is stored, and its row not written
    ITEM_RECORDED = "item_recorded"  # worker: a piece or segment is recorded, and others are to come
    STORING = "storing"  # worker: in the middle of a file on its way into the store
    STORED = "stored"  # worker: a unit's files are stored, and its end not committed
    FINISHED = "finished"  # worker: a unit's end is committed, and its message not acknowledged


class Armed:
    """What ``FARM_CRASH_AT`` says, parsed; of an empty text: nothing. Counts its point's passings."""

    _FORM = re.compile(
        r"(?P<point>\w+)(/(?P<stage>\w+))?(:(?P<nth>[1-9]\d*))?(\+(?P<how>parent|stop))?(@(?P<token>.+))?"
    )

    def __init__(self, text: str = "") -> None:
        """Raises ``ValueError`` for a text that is no crash point."""
        self._text = text
        if not text:
            return
        form = self._FORM.fullmatch(text)
        if form is None:
            raise ValueError(f"not POINT[/STAGE][:N][+parent|+stop][@TOKEN]: {text!r}")
        self.point = Point(form["point"])
        self.stage = Stage(form["stage"]) if form["stage"] else None
        self._left = int(form["nth"] or 1)
        self._how = form["how"] or ""
        self._token = Path(form["token"]) if form["token"] else None
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._text)

    def __str__(self) -> str:
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Armed) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def passed(self, point: Point, stage: Stage | None) -> None:
        """Die, if this is where."""
        if point is not self.point or (self.stage is not None and stage is not self.stage):
            return
        with self._lock:
            self._left -= 1
            if self._left != 0 or not self._takes_token():
                return
        if self._how == "parent":
            os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGSTOP if self._how == "stop" else signal.SIGKILL)

    def _takes_token(self) -> bool:
        if self._token is None:
            return True
        try:
            self._token.unlink()
        except FileNotFoundError:
            return False
        return True


def here(settings: Settings, point: Point, stage: Stage | None = None) -> None:
    """This is ``point``: the process ends here, by SIGKILL, if the settings say so."""
    if settings.crash_at:
        settings.crash_at.passed(point, stage)
