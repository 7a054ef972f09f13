"""Files on their way in: from the socket into the store, hashed and measured as they pass.

A key is written down as garbage before its first byte is stored, so that a process may die on any
line and the sweeper still finds the file; the transaction that submits the job takes it off the list.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Self

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from api.context import Farm
from api.forms import Form
from renderfarm import garbage, idempotency, media, uploads
from renderfarm.db import new_id
from renderfarm.errors import FarmError
from renderfarm.models import UploadState
from renderfarm.storage import StorageError, Writer

log = logging.getLogger(__name__)

#: A picture and a video.
_MOST_FILES = 2


class Upload(io.RawIOBase):
    """One file part, as Werkzeug's parser writes to it; stored once it is committed."""

    def __init__(self, key: str, writer: Writer, limit_mb: int, goes_on: Callable[[], None]) -> None:
        self.key = key
        #: The file's first bytes: enough to see of what kind it is.
        self.head = b""
        #: Known once it is committed.
        self.sha256 = ""
        self._limit_mb = limit_mb
        self._goes_on = goes_on
        self._writer = writer

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
        self.sha256 = self._writer.commit().sha256

    def abort(self) -> None:
        """Leave nothing of a file that was not committed."""
        self._writer.__exit__(None, None, None)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A file that was sent before, by itself: stored, and looked at, already."""

    upload_id: str
    key: str
    head: bytes
    #: What stands for its content where orders are compared.
    sha256: str

    def commit(self) -> None:
        """It is stored already."""


#: A file of a request, however it came.
Source = Upload | Claimed


def nowhere(filename: str | None = None, **_: object) -> IO[bytes]:
    """A stream factory for forms that take no file."""
    return _Nowhere()


class Uploads:
    """The files of one request: all of them are gone at the end of the block, unless it submitted.

    ``hold`` is the request's idempotency key, whose lease is prolonged as the files come in. With
    ``keeps`` off they are hashed, and stored nowhere.
    """

    def __init__(
        self, farm: Farm, account_id: str, hold: idempotency.Hold | None = None, *, keeps: bool = True
    ) -> None:
        self._farm = farm
        self._hold = hold
        self._keeps = keeps
        #: For all files there may be, once one comes.
        self._keys: list[str] = []
        self._account_id = account_id
        self._uploads: list[Upload] = []
        self._claims: list[Claimed] = []
        self._submitting = False
        self._announced_at = time.monotonic()
        settings = farm.settings
        lease = settings.idempotency_lease_seconds if hold else settings.garbage_seconds
        self._period = min(settings.garbage_seconds, lease) / 2

    def open_part(self, filename: str | None = None, **_: object) -> IO[bytes]:
        """Werkzeug's stream factory. A part whose file name is empty is a form's unused input."""
        if not filename:
            return _Nowhere()
        if len(self._uploads) == _MOST_FILES:
            raise FarmError("CS-UORC01-002", f"The form has more than {_MOST_FILES} files.")
        if not self._keys:
            self._keys = [f"in/{self._account_id}/{new_id('file')}" for _ in range(_MOST_FILES)]
            if self._keeps:
                self._announce()  # for all of them: a transaction costs more than a row
        key = self._keys[len(self._uploads)]
        writer = self._farm.storage.writer(key) if self._keeps else _Hasher()
        upload = Upload(key, writer, self._farm.settings.max_upload_mb, self.goes_on)
        self._uploads.append(upload)
        return upload  # type: ignore[return-value]  # writes and seeks, which is all that is asked of it

    def take(self, form: Form, name: str) -> Upload | None:
        """The one file of that name; None when there is none, CS-UORC01-002 when there are two."""
        sent: set[object] = {file.stream for file in form.files.getlist(name)}
        found = [upload for upload in self._uploads if upload in sent]
        if len(found) > 1:
            raise FarmError("CS-UORC01-002", f"`{name}` was given more than once.")
        return found[0] if found else None

    def claim(self, upload_id: str, kind: uploads.Kind) -> Claimed:
        """An upload of the account, to be used by what is submitted here.

        CS-UORC01-116 where there is none, or it was used; -123 where it is not complete; -002 where it is
        of the other kind. Where nothing is kept, its id alone is asked about.
        """
        if not self._keeps:
            return Claimed(upload_id, "", b"", upload_id)
        with self._farm.database.begin() as session:
            found = uploads.of(session, self._account_id, upload_id)
        if found.state == UploadState.OPEN:
            raise FarmError("CS-UORC01-123")
        if found.state == UploadState.USED:
            raise FarmError("CS-UORC01-116", "The upload was used by another job.")
        if found.kind != kind:
            raise FarmError("CS-UORC01-002", f"The upload {upload_id} is of the kind {found.kind}.")
        head = self._farm.storage.first(found.key, media.HEAD_BYTES)
        claimed = Claimed(upload_id, found.key, head, upload_id)
        self._claims.append(claimed)
        return claimed

    @property
    def claimed(self) -> bool:
        """Whether ``settle`` has anything to write."""
        return bool(self._claims)

    def settle(self, session: Session) -> None:
        """Use what was claimed, in the transaction that submits."""
        uploads.use(session, self._account_id, [claim.upload_id for claim in self._claims])

    def commit(self, *files: Source) -> None:
        """Store these."""
        for file in files:
            file.commit()
            self.goes_on()

    def goes_on(self) -> None:
        """Keep what is here, and still comes in, from the sweeper, however slow the line is."""
        if self._keeps and time.monotonic() - self._announced_at > self._period:
            self._announce()

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
        if self._keeps and self._uploads and (refused or not self._submitting):
            self._discard()

    def _announce(self) -> None:
        """Let the sweeper have the files in ``garbage_seconds``, should nobody ask again."""
        self._announced_at = time.monotonic()
        with self._farm.database.begin() as session:
            garbage.throw(session, self._farm.settings, self._keys)
            if self._hold:
                idempotency.renew(session, self._farm.settings, self._hold)

    def _discard(self) -> None:
        try:
            for upload in self._uploads:
                self._farm.storage.delete(upload.key)
            with self._farm.database.begin() as session:
                garbage.keep(session, self._keys)
        except (StorageError, SQLAlchemyError):
            # Their rows are there still: the sweeper deletes them when the store answers again.
            log.warning("left to the sweeper: %s", ", ".join(self._keys), exc_info=True)


class _Hasher(Writer):
    """Stores nothing: who asks again only has to show that the files are the same."""

    def _append(self, data: bytes) -> None: ...

    def _finish(self) -> None: ...

    def _abort(self) -> None: ...


class _Nowhere(io.BytesIO):
    """Takes what nobody wants."""

    def write(self, data: bytes) -> int:  # type: ignore[override]  # bytes are all that the parser writes
        return len(data)
