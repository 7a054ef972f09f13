"""Files that come in by themselves, in parts, ahead of the job that takes them.

    begin      a row, and addresses for the parts: the store's own, presigned, or the farm's
    complete   all parts are there: the file can be used
    take       the transaction of a job makes the file its own; the upload is gone with it
    abort      the upload is dropped, with what came in of it

What is never completed, or never taken, is garbage once ``upload_seconds`` are over: its row among the
garbage is older than its first byte.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from renderfarm import garbage
from renderfarm.db import after, new_id
from renderfarm.errors import FarmError
from renderfarm.models import Upload
from renderfarm.settings import Settings
from renderfarm.storage import NotStored, Part, Storage

#: Bytes of each part but the last.
PART_BYTES = 16 << 20
_ID = re.compile(r"upl_[a-z0-9]{24}")
_LONGEST_NAME = 255


def is_upload_id(text: str) -> bool:
    """Whether the text has the form of an upload's id."""
    return bool(_ID.fullmatch(text))


def begin(
    session: Session, settings: Settings, storage: Storage, account_id: str, filename: str, size: int
) -> Upload:
    """Expect a file of ``size`` bytes.

    Raises CS-ORIV-005 for one that is too large, -007 for an empty one, and CS-UORC01-111 where the
    account has too many uploads open.
    """
    if size > settings.max_upload_mb << 20:
        raise FarmError("CS-ORIV-005", f"The file is larger than {settings.max_upload_mb} MB.")
    if size <= 0:
        raise FarmError("CS-ORIV-007", "The file is empty.")
    own = select(func.count()).where(Upload.account_id == account_id, Upload.expires_at > func.now())
    if (session.scalar(own) or 0) >= settings.account_uploads:
        raise FarmError("CS-UORC01-111", "Too many uploads are open: use or delete some.", retry_after=60)
    key = f"in/{account_id}/{new_id('file')}"
    upload = Upload(
        id=new_id("upl"),
        account_id=account_id,
        filename=filename[:_LONGEST_NAME],
        key=key,
        size=size,
        part_size=PART_BYTES,
        session="",
        secret=secrets.token_hex(32),
        expires_at=after(settings.upload_seconds),
    )
    session.add(upload)
    garbage.throw(session, settings, [key], settings.upload_seconds)
    session.commit()  # before the first byte is stored: whatever dies from here on leaves a row
    upload.session = storage.begin(key)
    session.add(upload)
    session.flush()
    session.refresh(upload)
    return upload


def parts_of(upload: Upload) -> list[Part]:
    """The parts in which the file is expected."""
    count = -(-upload.size // upload.part_size)
    last = upload.size - (count - 1) * upload.part_size
    return [Part(number, upload.part_size if number < count else last) for number in range(1, count + 1)]


def find(session: Session, account_id: str, upload_id: str, *, lock: bool = False) -> Upload:
    """The account's upload; CS-UORC01-116 where it has none of that id, or its time is over."""
    query = select(Upload).where(
        Upload.id == upload_id, Upload.account_id == account_id, Upload.expires_at > func.now()
    )
    upload = session.scalar(query.with_for_update() if lock else query) if is_upload_id(upload_id) else None
    if upload is None:
        raise FarmError("CS-UORC01-116")
    return upload


def missing(storage: Storage, upload: Upload) -> list[Part]:
    """The parts that are still to come, or came with another size."""
    if upload.completed_at is not None:
        return []
    try:
        there = set(storage.parts(upload.key, upload.session))
    except NotStored:  # assembled, but whoever did it died before the row said so
        there = set(parts_of(upload)) if storage.exists(upload.key) else set()
    return [part for part in parts_of(upload) if part not in there]


def complete(session: Session, storage: Storage, account_id: str, upload_id: str) -> Upload:
    """Make the file of its parts; may be asked again. CS-UORC01-122 while parts are missing."""
    upload = find(session, account_id, upload_id, lock=True)
    if upload.completed_at is None:
        if absent := missing(storage, upload):
            numbers = ", ".join(str(part.number) for part in absent[:10])
            raise FarmError("CS-UORC01-122", f"The upload is not complete: part {numbers} is missing.")
        storage.assemble(upload.key, upload.session)
        upload.completed_at = session.scalar(select(func.now()))
        session.flush()
    return upload


def abort(session: Session, settings: Settings, account_id: str, upload_id: str) -> None:
    """Drop the upload; CS-UORC01-116 where the account has none of that id."""
    upload = find(session, account_id, upload_id, lock=True)
    garbage.throw(session, settings, [upload.key], 0)
    session.execute(delete(Upload).where(Upload.id == upload.id))


def usable(session: Session, account_id: str, upload_id: str) -> Upload:
    """The account's complete upload; CS-UORC01-116, or -122 where parts are missing."""
    upload = find(session, account_id, upload_id)
    if upload.completed_at is None:
        raise FarmError("CS-UORC01-122")
    return upload


def take(session: Session, account_id: str, upload_id: str) -> None:
    """The file is a job's from this transaction on; CS-UORC01-116 where another was quicker."""
    find(session, account_id, upload_id, lock=True)
    session.execute(delete(Upload).where(Upload.id == upload_id))


def forget(session: Session, limit: int) -> int:
    """Drop uploads whose time is over, whose files are garbage; how many, ``limit`` at most."""
    due = select(Upload.id).where(Upload.expires_at < func.now()).limit(limit)
    picked = due.with_for_update(skip_locked=True).cte()
    gone = delete(Upload).where(Upload.id.in_(select(picked.c.id))).returning(Upload.id)
    return len(session.scalars(gone).all())


def signature(upload: Upload, number: int, until: int) -> str:
    """What makes an address of the farm's own good for one part, until then (seconds since 1970)."""
    said = f"{upload.id}/{number}/{until}".encode()
    return hmac.new(upload.secret.encode(), said, hashlib.sha256).hexdigest()


def is_signed(upload: Upload, number: int, until: int, given: str) -> bool:
    """Whether ``given`` is the signature, and its time is not over."""
    return time.time() < until and hmac.compare_digest(signature(upload, number, until).encode(), given.encode())
