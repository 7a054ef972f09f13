"""Files that go: from the store, and then from the caches. Any number may be at it.

What is done of a file is in its row, so that a process may die on any line: the next one repeats that step.
A cache is told with no transaction open, and holds up nothing but its own part: the store's files go
meanwhile, and the other caches are told.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from renderfarm import crash, garbage
from renderfarm.cdn import PUBLIC, Cache, caches_of
from renderfarm.db import Database
from renderfarm.garbage import Due
from renderfarm.models import Artifact, GarbageState
from renderfarm.settings import Settings
from renderfarm.storage import NotStored, Storage, StorageError

log = logging.getLogger(__name__)

#: Files handled in one go.
_BATCH = 100
#: How long files stay that the store would not delete, or that a cache has not been told of.
_POSTPONED = 60.0
#: After so long no cache still reads what was there when it was deleted.
_READ_OUT = 120.0
#: For so long nobody else tells the caches of the same files; later it is done twice, which harms nothing.
_LEASED = 300.0


class Disposal:
    """Deletes one farm's garbage, and purges its caches."""

    def __init__(self, settings: Settings, database: Database, storage: Storage) -> None:
        self._settings = settings
        self._database = database
        self._storage = storage
        self._caches = caches_of(settings)

    def delete(self) -> int:
        """Delete stored files whose time has come; how many keys went.

        The rows stay locked while the store works, so that nobody can claim a file that is going.
        """
        gone = 0
        while gone < _BATCH:
            with self._database.begin() as session:
                due = garbage.next_stored(session)
                if due is None:
                    break
                try:
                    cached = bool(self._caches) and due.key.startswith(PUBLIC) and due.key[-1] not in "/*"
                    if cached and self._note_size(session, due):
                        continue  # the row is the next one still, and its size committed
                    self._delete(session, due.key)
                except (StorageError, ValueError) as error:
                    log.warning("cannot delete %s yet: %s", due.key, error)
                    garbage.move(session, due, GarbageState.STORED, _POSTPONED)
                    break
                crash.here(self._settings, crash.Point.DELETED)
                garbage.move(session, due, GarbageState.DELETED if cached else None)
                gone += 1
        return gone

    def purge(self) -> int:
        """Have the caches forget what was deleted; how many keys they were told of.

        They are told twice where it costs nothing: at once, come of it what may, and when nobody reads any
        more what was there at the deletion. Only this last time has to succeed; where it costs it is the
        only one, since nothing that came into the cache before it is left by it.
        """
        with self._database.begin() as session:
            leased = garbage.lease_deleted(session, _BATCH, _LEASED)
        if not leased:
            return 0
        free = _left([cache for cache in self._caches if not cache.costs], leased)
        last = [due for due in leased if due.state is GarbageState.READ_OUT]
        paid = _left([cache for cache in self._caches if cache.costs], last)
        with self._database.begin() as session:
            for due in leased:
                if due.state is GarbageState.DELETED:
                    garbage.move(session, due, GarbageState.READ_OUT, _READ_OUT)
                elif due.key in paid:
                    garbage.move(session, due, GarbageState.READ_OUT, _POSTPONED)
                elif due.key in free:
                    garbage.move(session, due, GarbageState.INVALIDATED, _POSTPONED)
                else:
                    garbage.move(session, due, None)
        return len(leased)

    def _delete(self, session: Session, key: str) -> None:
        if key.endswith("/*"):
            job_id = key.split("/")[1]
            kept = session.scalars(select(Artifact.key).where(Artifact.job_id == job_id)).all()
            self._storage.delete_prefix(key[:-1], kept)
        elif key.endswith("/"):
            self._storage.delete_prefix(key)
        else:
            self._storage.delete(key)

    def _note_size(self, session: Session, due: Due) -> bool:
        """Note how large the file is, by its row or the store, unless that is done or nobody knows it."""
        if due.deleted_size is not None:
            return False
        own = (Artifact.job_id == due.key.split("/")[1], Artifact.key == due.key)
        size = session.scalar(select(Artifact.size).where(*own).limit(1))
        try:
            garbage.note(session, due.key, self._storage.size(due.key) if size is None else size)
        except NotStored:
            return False
        return True


def _left(caches: Iterable[Cache], files: Sequence[Due]) -> set[str]:
    """Tell each of the caches; the keys that one of them may have still."""
    sizes = {due.key: due.deleted_size for due in files}
    left: set[str] = set()
    for cache in caches if sizes else ():
        for key, why in cache.purge(sizes).items():
            log.warning("cannot purge %s yet: %s", key, why)
            left.add(key)
    return left
