"""Files that are sent by themselves, in parts and in any order, and used once by their id.

    open --> complete --> used        and gone at any time by ``drop``, or by their age

The bytes go to the store, or to the embedded one through the ingress; a row says what they will be. Its
key is garbage before the first of them is sent, and stays that until a job's transaction takes it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from psycopg.errors import LockNotAvailable
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from renderfarm import garbage, media
from renderfarm.db import after, may_idle, new_id
from renderfarm.errors import FarmError
from renderfarm.models import Upload, UploadState
from renderfarm.settings import Settings
from renderfarm.storage import NotStored, Storage

#: A file below this is sent in one part; others in parts of ``PART`` bytes.
WHOLE = 64 << 20
PART = 32 << 20
#: Refusals after which an upload cannot be completed any more.
FOR_GOOD = frozenset({"CS-UORC01-002", "CS-ORIV-003", "CS-ORIV-007"})
#: When to ask again after an upload that is being completed, in seconds.
_COME_BACK = 2
#: What an id looks like.
ID = re.compile(r"upl_[a-z0-9]{24}")

Kind = Literal["image", "video"]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an upload: its number, from 1, and its bytes."""

    number: int
    size: int


def begin(
    session: Session, settings: Settings, account_id: str, kind: Kind, size: int, sha256: str | None
) -> Upload:
    """Write down an upload, before a byte of it is sent. CS-UORC01-111 where the account has too many."""
    session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": account_id})
    mine = (Upload.account_id == account_id, Upload.state != UploadState.USED, Upload.expires_at > func.now())
    files, taken = session.execute(
        select(func.count(), func.coalesce(func.sum(Upload.size), 0)).where(*mine)
    ).one()
    if files >= settings.account_uploads or taken + size > settings.account_upload_mb << 20:
        message = "The account has too many uploads that no job has taken: use, or delete, some."
        raise FarmError("CS-UORC01-111", message, retry_after=60)
    upload = Upload(
        id=new_id("upl"),
        account_id=account_id,
        kind=kind,
        key=f"in/{account_id}/{new_id('file')}",
        size=size,
        part_size=size if size < WHOLE else PART,
        sha256=sha256,
        secret=secrets.token_hex(32),
        expires_at=after(settings.upload_seconds),
    )
    session.add(upload)
    # Later than the upload expires: what a job takes at the last moment is not on its way out.
    garbage.throw(session, settings, [upload.key], settings.upload_seconds + settings.garbage_seconds)
    session.flush()
    session.refresh(upload)
    return upload


def of(session: Session, account_id: str, upload_id: str, *, lock: bool = False, wait: bool = True) -> Upload:
    """The account's upload of that id, if its time is not over; else CS-UORC01-116.

    Locked, if wanted; where that is not to ``wait`` for somebody else's lock, an ``OperationalError``.
    """
    query = select(Upload).where(
        Upload.id == upload_id, Upload.account_id == account_id, Upload.expires_at > func.now()
    )
    upload = session.scalar(query.with_for_update(nowait=not wait) if lock else query)
    if upload is None:
        raise FarmError("CS-UORC01-116")
    return upload


def parts_of(upload: Upload) -> list[Part]:
    """What it is sent in."""
    whole, rest = divmod(upload.size, upload.part_size)
    sizes = [upload.part_size] * whole + ([rest] if rest else [])
    return [Part(number, size) for number, size in enumerate(sizes, 1)]


def signature(upload: Upload, number: int) -> str:
    """What lets somebody without a key send this part, as long as the upload is open."""
    signed = f"{upload.id}/{number}".encode()
    return hmac.digest(bytes.fromhex(upload.secret), signed, hashlib.sha256).hex()


def signed(session: Session, upload_id: str, number: int, given: str) -> tuple[Upload, Part]:
    """The open upload and its part, where ``given`` is the signature; CS-UORC01-116 for anything else."""
    upload = session.scalar(select(Upload).where(Upload.id == upload_id, Upload.expires_at > func.now()))
    parts = {part.number: part for part in parts_of(upload)} if upload else {}
    if upload is None or number not in parts or upload.state != UploadState.OPEN:
        raise FarmError("CS-UORC01-116")
    if not hmac.compare_digest(signature(upload, number).encode(), given.encode(errors="replace")):
        raise FarmError("CS-UORC01-116")
    return upload, parts[number]


def complete(session: Session, storage: Storage, account_id: str, upload_id: str) -> Upload:
    """open -> complete, once every part is there; CS-UORC01-123 before that. Once more is no error.

    What is not what was announced is CS-UORC01-002, what is no picture or video CS-ORIV-003 or -007: these
    are ``FOR_GOOD``. The row stays locked while the store works, however slow it is; whoever asks the same
    meanwhile does not wait for it (CS-UORC01-123).
    """
    may_idle(session)
    try:
        upload = of(session, account_id, upload_id, lock=True, wait=False)
    except OperationalError as error:
        if isinstance(error.orig, LockNotAvailable):
            message = "The upload is being completed right now."
            raise FarmError("CS-UORC01-123", message, retry_after=_COME_BACK) from error
        raise
    if upload.state != UploadState.OPEN:
        return upload
    try:
        whole = storage.size(upload.key)  # joined by a call whose commit was lost
    except NotStored:
        there = storage.parts(upload.key, upload.handle, upload.part_size)
        missing = [part.number for part in parts_of(upload) if there.get(part.number) != part.size]
        if missing:
            numbers = ", ".join(map(str, missing[:8]))
            raise FarmError(
                "CS-UORC01-123", f"The upload lacks {len(missing)} parts: {numbers} ..."
            ) from None
        storage.join_parts(upload.key, upload.handle, upload.part_size)
        whole = storage.size(upload.key)
    if whole != upload.size:
        raise FarmError("CS-UORC01-002", f"`size` is {upload.size}, and {whole} bytes were sent.")
    if upload.sha256 and storage.digest(upload.key).sha256 != upload.sha256:
        raise FarmError("CS-UORC01-002", "`sha256` is not that of the file that was sent.")
    head = storage.first(upload.key, media.HEAD_BYTES)
    (media.judge_video_head if upload.kind == "video" else media.judge_picture_head)(head)
    upload.state = UploadState.COMPLETE.value
    return upload


def use(session: Session, account_id: str, upload_ids: Sequence[str]) -> None:
    """complete -> used, in the transaction that submits the job. CS-UORC01-116 where one is used already."""
    for upload_id in sorted(upload_ids):
        used = session.scalar(
            update(Upload)
            .where(
                Upload.id == upload_id,
                Upload.account_id == account_id,
                Upload.state == UploadState.COMPLETE,
                Upload.expires_at > func.now(),
            )
            .values(state=UploadState.USED.value)
            .returning(Upload.id)
        )
        if used is None:
            raise FarmError("CS-UORC01-116", "The upload was used by another job, or its time is over.")


def drop(session: Session, settings: Settings, account_id: str, upload_id: str) -> None:
    """Forget the upload; its file goes with the garbage. What a job has taken stays the job's."""
    upload = of(session, account_id, upload_id, lock=True)
    if upload.state != UploadState.USED:
        garbage.throw(session, settings, [upload.key], 0)
    session.delete(upload)


def forget(session: Session, limit: int) -> int:
    """Drop the rows of uploads whose time is over; how many, ``limit`` at most."""
    due = select(Upload.id).where(Upload.expires_at < func.now()).limit(limit)
    picked = due.with_for_update(skip_locked=True).cte()
    gone = delete(Upload).where(Upload.id.in_(select(picked.c.id))).returning(Upload.id)
    return len(session.scalars(gone).all())
