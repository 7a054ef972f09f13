"""The jobs that streams follow: one thread looks at all of them at once, and tells every stream."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from renderfarm import public, views
from renderfarm.db import Database
from renderfarm.errors import FarmError
from renderfarm.places import Places
from renderfarm.settings import Settings

log = logging.getLogger(__name__)

#: A job as ``public.state_of`` has it.
State = Mapping[str, Any]
#: When to come back to a process whose streams are all taken, in seconds.
_COME_BACK = 5
#: Of so many shares of the streams one job, and one address, may have one.
_SHARES = 4
#: For how many looks a stream waits for one: the database may be away.
_PATIENCE = 2


class Watching:
    """The streams of one process. Nothing runs while there are none."""

    def __init__(self, settings: Settings, database: Database, places: Places) -> None:
        self._settings = settings
        self._database = database
        self._places = places
        self._looked = threading.Condition()
        self._watched: Counter[str] = Counter()
        self._watchers: Counter[str] = Counter()
        self._states: Mapping[str, State] = {}
        self._looks = 0
        self._looker: threading.Thread | None = None
        #: Whether the process goes on: its streams end when it is asked to stop (``gunicorn_conf``).
        self.goes_on: Callable[[], bool] = lambda: True

    @property
    def open(self) -> int:
        """How many streams there are."""
        return self._watched.total()

    def watch(self, job_id: str, address: str) -> Watch:
        """A place for one more stream; CS-UORC01-111 where all are taken.

        So it is where the job, or whoever asks from that address, has a share of them already.
        """
        most = self._settings.event_streams
        share = max(1, most // _SHARES)
        with self._looked:
            if self.open >= most:
                raise FarmError("CS-UORC01-111", "Too many streams are open here.", retry_after=_COME_BACK)
            if max(self._watched[job_id], self._watchers[address]) >= share:
                raise FarmError("CS-UORC01-111", "You have too many streams open.", retry_after=_COME_BACK)
            self._watched[job_id] += 1
            self._watchers[address] += 1
            if self._looker is None:
                self._looker = threading.Thread(target=self._look_on, name="watching", daemon=True)
                self._looker.start()
            return Watch(self, job_id, address, self._looks)

    def leave(self, job_id: str, address: str) -> None:
        """One stream less."""
        with self._looked:
            self._watched -= Counter([job_id])  # which drops what nobody watches
            self._watchers -= Counter([address])
            if not self._watched:
                self._looked.notify_all()

    def after(self, look: int) -> tuple[int, Mapping[str, State]]:
        """The first look after that one, and what it found: nothing where none comes."""
        with self._looked:
            patience = _PATIENCE * self._settings.event_look_seconds
            if not self._looked.wait_for(lambda: self._looks > look, patience):
                return look, {}
            return self._looks, self._states

    def _look_on(self) -> None:
        while True:
            with self._looked:
                if not self._watched:
                    self._looker = None
                    return
                job_ids = list(self._watched)
            began = time.monotonic()
            try:
                states = self._look(job_ids)
            except Exception as error:  # the streams stay, and see nothing new
                log.warning("the watched jobs were not looked at: %s", str(error).partition("\n")[0])
                states = {}
            with self._looked:
                self._states = states
                self._looks += 1
                self._looked.notify_all()
                left = self._settings.event_look_seconds - (time.monotonic() - began)
                self._looked.wait_for(lambda: not self._watched, max(0.0, left))

    def _look(self, job_ids: list[str]) -> dict[str, State]:
        found = views.view_all(self._database, job_ids)
        return {job.id: public.state_of(job, self._places.place(self._database, job)) for job in found}


class Watch:
    """One stream's place, until it is closed."""

    def __init__(self, watching: Watching, job_id: str, address: str, look: int) -> None:
        self._watching = watching
        self._job_id = job_id
        self._address = address
        self._look = look
        self._closed = False

    @property
    def goes_on(self) -> bool:
        """Whether the process does."""
        return self._watching.goes_on()

    def next(self) -> State | None:
        """The job as the next look finds it; None where it finds nothing."""
        self._look, states = self._watching.after(self._look)
        return states.get(self._job_id)

    def close(self) -> None:
        """Free the place; it may be closed again."""
        if not self._closed:
            self._closed = True
            self._watching.leave(self._job_id, self._address)
