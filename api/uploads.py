"""Files on their way in: from the socket into the store, hashed and measured as they pass.

A key is written down as garbage before its first byte is stored, so that a process may die on any
line and the sweeper still finds the file; the transaction that submits the job takes it off the list.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, Self

from sqlalchemy.exc import SQLAlchemyError

from api.context import Farm
from api.forms import Form
from renderfarm import garbage, media
from renderfarm.db import new_id
from renderfarm.errors import FarmError
from renderfarm.storage import StorageError

log = logging.getLogger(__name__)

#: A picture and a video.
_MOST_FILES = 2


class Upload(io.RawIOBase):
    """One file part, as Werkzeug's parser writes to it; stored once it is committed."""

    def __init__(self, farm: Farm, key: str, goes_on: Callable[[], None]) -> None:
        self.key = key
        #: The file's first bytes: enough to see of what kind it is.
        self.head = b""
        self._limit_mb = farm.settings.max_upload_mb
        self._goes_on = goes_on
        self._writer = farm.storage.writer(key)

    def write(self, data: bytes) -> int:  # type: ignore[override]  # bytes are all that the parser writes
        if self._writer.size + len(data) > self._limit_mb << 20:
            raise FarmError("CS-ORIV-005", f"The file is larger than {self._limit_mb} MB.")
        if len(self.head) < media.HEAD_BYTES:
            self.head += data[: media.HEAD_BYTES - len(self.head)]
        self._goes_on()
        return self._writer.write(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return 0  # the parser rewinds what it has written; nobody reads it from here

    def commit(self) -> None:
        """Store the file. Raises ``StorageError``."""
        self._writer.commit()

    def abort(self) -> None:
        """Leave nothing of a file that was not committed."""
        self._writer.__exit__(None, None, None)


class Uploads:
    """The files of one request: all of them are gone at the end of the block, unless it submitted."""

    def __init__(self, farm: Farm, account_id: str) -> None:
        self._farm = farm
        self._account_id = account_id
        self._uploads: list[Upload] = []
        self._submitting = False
        self._thrown_at = 0.0

    def open_part(self, filename: str | None = None, **_: object) -> IO[bytes]:
        """Werkzeug's stream factory. A part whose file name is empty is a form's unused input."""
        if not filename:
            return _Nowhere()
        if len(self._uploads) == _MOST_FILES:
            raise FarmError("CS-UORC01-002", f"The form has more than {_MOST_FILES} files.")
        key = f"in/{self._account_id}/{new_id('file')}"
        self._throw(key)
        upload = Upload(self._farm, key, self._renew)
        self._uploads.append(upload)
        return upload  # type: ignore[return-value]  # writes and seeks, which is all that is asked of it

    def take(self, form: Form, name: str) -> Upload | None:
        """The one file of that name; None when there is none, CS-UORC01-002 when there are two."""
        sent: set[object] = {file.stream for file in form.files.getlist(name)}
        found = [upload for upload in self._uploads if upload in sent]
        if len(found) > 1:
            raise FarmError("CS-UORC01-002", f"`{name}` was given more than once.")
        return found[0] if found else None

    def commit(self, *uploads: Upload) -> None:
        """Store these, and start their time as garbage anew."""
        for upload in uploads:
            upload.commit()
        self._throw()

    def submitting(self) -> None:
        """From here on a transaction may own the files, even if its answer never reaches us."""
        self._submitting = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        refused = kind is not None and issubclass(kind, FarmError)
        for upload in self._uploads:
            upload.abort()
        # A commit whose connection broke may have happened: only the sweeper can tell, by the rows.
        if self._uploads and (refused or not self._submitting):
            self._discard()

    def _throw(self, *keys: str) -> None:
        """Let the sweeper have the files in ``garbage_seconds``, should nobody ask again."""
        self._thrown_at = time.monotonic()
        with self._farm.database.begin() as session:
            garbage.throw(session, self._farm.settings, [*keys, *(each.key for each in self._uploads)])

    def _renew(self) -> None:
        """Keep what is here, and still comes in, from the sweeper, however slow the line is."""
        if time.monotonic() - self._thrown_at > self._farm.settings.garbage_seconds / 2:
            self._throw()

    def _discard(self) -> None:
        keys = [upload.key for upload in self._uploads]
        try:
            for key in keys:
                self._farm.storage.delete(key)
            with self._farm.database.begin() as session:
                garbage.keep(session, keys)
        except (StorageError, SQLAlchemyError):
            # Their rows are there still: the sweeper deletes them when the store answers again.
            log.warning("left to the sweeper: %s", ", ".join(keys), exc_info=True)


class _Nowhere(io.BytesIO):
    """Takes what nobody wants."""

    def write(self, data: bytes) -> int:  # type: ignore[override]  # bytes are all that the parser writes
        return len(data)
