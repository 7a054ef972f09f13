"""Idempotency keys: a request that is sent again under its key is answered again, and charged once.

    take     the key is the request's, under a lease that its upload renews
    settle   written by the transaction that submits the job: the key names the job from then on
    free     the request was refused, or failed: the key may be used again

A process that dies before ``settle`` is committed leaves a lease that runs out; one that dies after it
leaves a key that names its job. Who holds a key is told by a word of its own, which fences late writers.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from renderfarm.db import after, new_id
from renderfarm.errors import FarmError
from renderfarm.models import IdempotencyKey, Job
from renderfarm.settings import Settings

_KEY = re.compile(r"[ -~]{1,255}")
#: When a twin is told to come back, in seconds.
_COME_BACK = 2


@dataclass(frozen=True, slots=True)
class Hold:
    """One request's hold on a key."""

    account_id: str
    key: str
    holder: str


@dataclass(frozen=True, slots=True)
class Settled:
    """A key whose request was taken: what it asked for, and the job that came of it."""

    fingerprint: str
    job: Job


def checked(key: str) -> str:
    """``key`` itself; CS-UORC01-002 where it is not 1 to 255 printable ASCII characters."""
    if not _KEY.fullmatch(key):
        raise FarmError("CS-UORC01-002", "`Idempotency-Key` has to be 1 to 255 printable ASCII characters.")
    return key


def fingerprint(fields: Mapping[str, object], files: Mapping[str, str]) -> str:
    """One word for what is asked: fields by name, and the SHA-256 of each file by its field's name.

    Neither their order nor how they were packed on the way matters.
    """
    return hashlib.sha256(json.dumps([fields, files], sort_keys=True).encode()).hexdigest()


def take(session: Session, settings: Settings, account_id: str, key: str) -> Hold | Settled:
    """Hold the account's key, or say what it was settled with; to be committed before the upload.

    Raises CS-UORC01-113, with a time to come back, while another request holds it.
    """
    hold = Hold(account_id, key, new_id("hold"))
    row = insert(IdempotencyKey).values(
        account_id=account_id, key=key, holder=hold.holder, until=after(settings.idempotency_lease_seconds)
    )
    anew = {"holder": row.excluded.holder, "until": row.excluded.until, "fingerprint": None, "job_id": None}
    taken = session.scalar(
        row.on_conflict_do_update(
            index_elements=[IdempotencyKey.account_id, IdempotencyKey.key],
            set_=anew,
            where=IdempotencyKey.until < func.now(),
        ).returning(IdempotencyKey.holder)
    )
    if taken is not None:
        return hold
    found = session.execute(
        select(IdempotencyKey.fingerprint, Job)
        .join(Job, Job.id == IdempotencyKey.job_id)
        .where(IdempotencyKey.account_id == account_id, IdempotencyKey.key == key)
    ).one_or_none()
    if found is None or found.fingerprint is None:
        raise _busy()
    return Settled(found.fingerprint, found.Job)


def renew(session: Session, settings: Settings, hold: Hold) -> None:
    """Start the lease anew, if the key is still held."""
    session.execute(
        update(IdempotencyKey).where(*_held(hold)).values(until=after(settings.idempotency_lease_seconds))
    )


def settle(session: Session, settings: Settings, hold: Hold, fingerprint: str, job_id: str) -> None:
    """Let the key name the job, in the transaction that submits it.

    Raises CS-UORC01-113 where the lease ran out and the key went on without us: the caller's
    transaction must not be committed then.
    """
    settled = session.scalar(
        update(IdempotencyKey)
        .where(*_held(hold))
        .values(fingerprint=fingerprint, job_id=job_id, until=after(settings.idempotency_seconds))
        .returning(IdempotencyKey.key)
    )
    if settled is None:
        raise _busy()


def free(session: Session, hold: Hold) -> None:
    """The key may be used again, unless it was settled: a commit whose answer was lost may have happened."""
    session.execute(delete(IdempotencyKey).where(*_held(hold)))


def forget(session: Session, limit: int) -> int:
    """Drop keys whose time is over; how many, ``limit`` at most."""
    due = select(IdempotencyKey.account_id, IdempotencyKey.key).where(IdempotencyKey.until < func.now())
    picked = due.limit(limit).with_for_update(skip_locked=True).cte()
    own = (IdempotencyKey.account_id == picked.c.account_id) & (IdempotencyKey.key == picked.c.key)
    return len(session.scalars(delete(IdempotencyKey).where(own).returning(IdempotencyKey.key)).all())


def _held(hold: Hold) -> tuple[ColumnElement[bool], ...]:
    return (
        IdempotencyKey.account_id == hold.account_id,
        IdempotencyKey.key == hold.key,
        IdempotencyKey.holder == hold.holder,
        IdempotencyKey.job_id.is_(None),
    )


def _busy() -> FarmError:
    message = "A request with this `Idempotency-Key` is being taken right now."
    return FarmError("CS-UORC01-113", message, retry_after=_COME_BACK)
