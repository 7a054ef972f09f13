"""Files between the store and an attempt's folder, interruptible and checked."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from renderfarm.storage import NotStored, Storage, StorageError, Stored, StoredFile, checksum

log = logging.getLogger(__name__)

T = TypeVar("T")
#: Raises when the work has to stop.
Check = Callable[[], None]

_CHUNK = 1 << 20
_KINDS = {".mp4": "video/mp4", ".jpg": "image/jpeg"}
#: How long to wait before each further try: half a minute in all, then the unit goes back.
DELAYS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)


class Corrupt(Exception):
    """A stored file is not what its row says."""


class Gone(Corrupt):
    """It is not there."""


def fetch(storage: Storage, key: str, folder: Path, check: Check, expected: Stored | None = None) -> Path:
    """A local file with the object's bytes; ``Gone`` without them, ``Corrupt`` without the ``expected`` ones."""
    try:
        path = patiently(lambda: storage.fetch(key, folder), check)
    except NotStored as error:  # not an outage: it would be missed again and again
        raise Gone(f"{key} is not stored any more") from error
    try:
        damaged = expected is not None and checksum(path) != expected
    except OSError as error:  # read in place, and gone with its disk
        raise StorageError(f"{key} went away: {error}") from error
    if damaged:
        raise Corrupt(f"{key} is not the file that was stored")
    return path


def upload(storage: Storage, name: str, key: str, path: Path, check: Check) -> StoredFile:
    """Store ``path`` under ``key``; stops between two chunks when ``check`` raises."""

    def attempt() -> Stored:
        with path.open("rb") as file, storage.writer(key, _KINDS.get(path.suffix, "")) as out:
            while chunk := file.read(_CHUNK):
                check()
                out.write(chunk)
            return out.commit()

    stored = patiently(attempt, check)
    return StoredFile(name, key, stored.size, stored.sha256)


def patiently(action: Callable[[], T], check: Check) -> T:
    """What ``action`` returns, tried again while the store fails; raises its last ``StorageError``."""
    for delay in DELAYS:
        check()
        try:
            return action()
        except NotStored:
            raise
        except StorageError as error:
            log.warning("the store failed, next try in %g s: %s", delay, error)
        _pause(delay, check)
    return action()


def _pause(seconds: float, check: Check) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        check()
        time.sleep(min(left, 0.25))
