"""Jobs as their users see them: read in one statement, however many they are, and locked by nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from renderfarm.db import Database
from renderfarm.progress import STAGES, JobProgress, progress_of

_VIEW = f"""
    SELECT id, status, mode, model, jobs.stages AS own, checkpoint, outputs, notes, credits,
        error_code, error_message, created_at, started_at, completed_at, files_deleted_at,
        extract(epoch FROM now() - started_at)::float8 AS elapsed, ({STAGES}) AS stages
    FROM jobs WHERE id = ANY(%s)
    """


@dataclass(frozen=True, slots=True)
class JobView:
    """One job. Files are storage keys: addresses are made from them as they are shown."""

    id: str
    status: str
    mode: str
    model: str
    checkpoint: str | None
    outputs: Mapping[str, str]
    notes: Mapping[str, str]
    credits: int | None
    error_code: str | None
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    files_deleted_at: datetime | None
    progress: JobProgress


def view(database: Database, job_id: str) -> JobView | None:
    """The job as it is now; None where there is none."""
    found = view_all(database, [job_id])
    return found[0] if found else None


def view_all(database: Database, job_ids: Sequence[str]) -> list[JobView]:
    """The jobs that there are, in the order of their ids here."""
    found = {row["id"]: _seen(row) for row in database.read(_VIEW, [list(job_ids)])}
    return [found[job_id] for job_id in job_ids if job_id in found]


def view_within(session: Session, job_id: str) -> JobView:
    """The job as this transaction has written it; there has to be one."""
    session.flush()
    row = session.connection().exec_driver_sql(_VIEW, ([job_id],)).mappings().one()
    return _seen(dict(row))


def is_of(database: Database, account_id: str, job_id: str) -> bool:
    """Whether the job is the account's."""
    if not (job_id.isascii() and job_id.isprintable()):  # PostgreSQL takes no NUL in a text
        return False
    return bool(database.read("SELECT 1 FROM jobs WHERE id = %s AND account_id = %s", [job_id, account_id]))


def _seen(row: dict[str, Any]) -> JobView:
    progress = progress_of(row["status"], row.pop("own"), row.pop("stages") or [], row.pop("elapsed"))
    return JobView(**row, progress=progress)
