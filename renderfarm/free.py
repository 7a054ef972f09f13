"""What an account has for nothing, and how much of it: preprocessing, and renders given up after they began.

Both cost the farm work that nobody pays for. They are counted from the jobs themselves, over the last
24 hours. A render that is cancelled before it began costs nothing, and is not counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.orm import InstrumentedAttribute, Session

from renderfarm.db import after
from renderfarm.errors import FarmError
from renderfarm.models import FINAL, Job, JobStatus
from renderfarm.settings import Settings

_DAY = 24 * 3600
#: When to come back where too many preprocess at once, in seconds: about as long as one takes.
_COME_BACK = 30


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much of one kind of free work the account had in the last 24 hours, and may have."""

    used: int
    limit: int


def preprocess(session: Session, settings: Settings, account_id: str) -> Allowance:
    """Of jobs that cost nothing."""
    return Allowance(_count(session, _preprocessed(account_id)), settings.free_preprocess_per_day)


def cancels(session: Session, settings: Settings, account_id: str) -> Allowance:
    """Of renders that were cancelled after they had begun."""
    return Allowance(_count(session, _given_up(account_id)), settings.free_cancels_per_day)


def check_preprocess(session: Session, settings: Settings, account_id: str) -> None:
    """CS-UORC01-118 where the account may not preprocess one more now.

    Called in the transaction that submits the job, before it: others of the account wait until it ends.
    """
    _in_turn(session, account_id)
    mine = _preprocessed(account_id)
    unfinished = Job.status.not_in(FINAL)
    if _count(session, mine & unfinished) >= settings.free_preprocess_open:
        raise FarmError(
            "CS-UORC01-118",
            f"{settings.free_preprocess_open} characters and scenes are being preprocessed already.",
            retry_after=_COME_BACK,
        )
    found = preprocess(session, settings, account_id)
    if found.used >= found.limit:
        raise FarmError(
            "CS-UORC01-118",
            f"{found.limit} characters and scenes were preprocessed in the last 24 hours.",
            retry_after=_until_one_is_old(session, Job.created_at, mine, found),
        )


def check_cancel(session: Session, settings: Settings, job: Job) -> None:
    """CS-UORC01-118 where the job has begun and its account has given up as many as it may; the job goes on.

    Called in the transaction that cancels it. What cost nothing was counted when it was submitted.
    """
    if job.started_at is None or job.credits == 0:
        return
    _in_turn(session, job.account_id)
    found = cancels(session, settings, job.account_id)
    if found.used >= found.limit:
        raise FarmError(
            "CS-UORC01-118",
            f"{found.limit} renders were cancelled after they had begun in the last 24 hours: "
            "this one goes on, and is paid for when it completes.",
            retry_after=_until_one_is_old(session, Job.completed_at, _given_up(job.account_id), found),
        )


def _preprocessed(account_id: str) -> ColumnElement[bool]:
    # Literally 0: the partial index is found by it. Templates and imports have no stages: they are no work.
    worked = text("credits = 0 AND stages <> '[]'")
    return (Job.account_id == account_id) & worked & (Job.created_at > after(-_DAY))


def _given_up(account_id: str) -> ColumnElement[bool]:
    return (
        (Job.account_id == account_id)
        & text(f"status = '{JobStatus.CANCELLED}' AND started_at IS NOT NULL")
        & (Job.completed_at > after(-_DAY))
        & Job.credits.is_distinct_from(0)
    )


def _count(session: Session, which: ColumnElement[bool]) -> int:
    return session.execute(select(func.count()).select_from(Job).where(which)).scalar_one()


def _until_one_is_old(
    session: Session, moment: InstrumentedAttribute[Any], which: ColumnElement[bool], found: Allowance
) -> int:
    """Seconds until so many of them are older than a day that one more may be."""
    if found.limit == 0:
        return _DAY
    age = func.extract("epoch", func.now() - moment)
    query = select(age).where(which).order_by(moment).offset(found.used - found.limit).limit(1)
    return max(1, math.ceil(_DAY - float(session.scalar(query) or 0)))


def _in_turn(session: Session, account_id: str) -> None:
    """Let the account's free work be counted by one transaction at a time; its row stays free for renders."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"free {account_id}", 0))))
