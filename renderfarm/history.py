"""What became of a job, for whoever runs the farm: its units, each attempt at them, and its credits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from renderfarm.models import Account, Attempt, Job, LedgerEntry, Unit


@dataclass(frozen=True, slots=True)
class History:
    """A job as the rows have it."""

    account_id: str
    account: str
    request_id: str | None
    traceparent: str | None
    #: Each unit, and after it the attempts at it, oldest first; the one that runs is the last.
    work: list[dict[str, Any]]
    #: What the ledger says of it, oldest first.
    ledger: list[dict[str, Any]]


def history_of(session: Session, job_id: str) -> History | None:
    """The history of a job; None where there is none."""
    found = session.execute(
        select(Job, Account.name).join(Account, Account.id == Job.account_id).where(Job.id == job_id)
    ).first()
    if found is None:
        return None
    job, account = found
    units = session.scalars(select(Unit).where(Unit.job_id == job_id).order_by(Unit.created_at, Unit.id))
    entries = session.scalars(
        select(LedgerEntry).where(LedgerEntry.job_id == job_id).order_by(LedgerEntry.id)
    )
    ledger = [
        {
            "created_at": entry.created_at,
            "kind": entry.kind,
            "available_delta": entry.available_delta,
            "held_delta": entry.held_delta,
        }
        for entry in entries
    ]
    work = [row for unit in units for row in _work(session, unit)]
    return History(job.account_id, account, job.request_id, job.traceparent, work, ledger)


def jobs_of(session: Session, request_id: str, limit: int) -> list[dict[str, Any]]:
    """The jobs that a request brought, newest first; more than one where its id was used again."""
    columns = (Job.id, Job.status, Job.model, Job.mode, Job.credits, Job.created_at, Job.error_code)
    rows = session.execute(
        select(*columns).where(Job.request_id == request_id).order_by(Job.created_at.desc()).limit(limit)
    )
    return [{**row, "job_id": row["id"]} for row in rows.mappings()]


def _work(session: Session, unit: Unit) -> list[dict[str, Any]]:
    ended = session.scalars(select(Attempt).where(Attempt.unit_id == unit.id).order_by(Attempt.attempt))
    rows = [
        _row(unit, each.attempt, each.outcome, each.worker, each.started_at, each.ended_at, each.error_code)
        for each in ended
    ]
    if unit.attempt > len(rows) or not rows:
        since = unit.started_at if unit.status == "running" else None
        worker = unit.worker if unit.status == "running" else None
        rows.append(_row(unit, unit.attempt, unit.status, worker, since, None, unit.error_code))
    elif unit.status in ("waiting", "admitted"):
        rows.append(_row(unit, unit.attempt + 1, unit.status, None, None, None, None))
    if unit.error_message:
        rows[-1]["error"] = f"{unit.error_code}: {unit.error_message.splitlines()[0]}"
    return rows


def _row(
    unit: Unit,
    attempt: int,
    outcome: str,
    worker: str | None,
    started_at: datetime | None,
    ended_at: datetime | None,
    error: str | None,
) -> dict[str, Any]:
    seconds = (ended_at - started_at).total_seconds() if started_at and ended_at else None
    return {
        "unit": f"{unit.stage}:{unit.index}",
        "attempt": attempt,
        "outcome": outcome,
        "done": f"{unit.done}/{unit.total}",
        "worker": worker,
        "started_at": started_at,
        "seconds": None if seconds is None else round(seconds, 2),
        "error": error,
    }
